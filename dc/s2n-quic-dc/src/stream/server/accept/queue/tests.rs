// SPDX-License-Identifier: Apache-2.0

//! Who gets an item, who is woken for it, and what happens to those that nobody gets.

use super::*;
use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

#[test]
fn fifo_gives_the_oldest_first() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);

    push_all(&sender, Flavor::Fifo, &pruned, 1..=3);

    assert_eq!(pop_all(&receiver), [1, 2, 3]);
    assert_eq!(pruned.ids(), []);
}

#[test]
fn lifo_gives_the_newest_first() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);

    push_all(&sender, Flavor::Lifo, &pruned, 1..=3);

    assert_eq!(pop_all(&receiver), [3, 2, 1]);
    assert_eq!(pruned.ids(), []);
}

#[test]
fn a_full_fifo_prunes_its_oldest() {
    let pruned = Log::default();
    let (sender, receiver) = new(2);

    push_all(&sender, Flavor::Fifo, &pruned, 1..=4);

    assert_eq!(pruned.ids(), [1, 2]);
    assert_eq!(pop_all(&receiver), [3, 4]);
}

#[test]
fn a_full_lifo_prunes_its_oldest() {
    let pruned = Log::default();
    let (sender, receiver) = new(2);

    push_all(&sender, Flavor::Lifo, &pruned, 1..=4);

    assert_eq!(pruned.ids(), [1, 2]);
    assert_eq!(pop_all(&receiver), [4, 3]);
}

#[test]
fn a_capacity_of_zero_holds_one() {
    let pruned = Log::default();
    let (sender, receiver) = new(0);

    push_all(&sender, Flavor::Fifo, &pruned, 1..=2);

    assert_eq!(pruned.ids(), [1]);
    assert_eq!(pop_all(&receiver), [2]);
}

#[test]
fn the_last_receiver_prunes_what_still_waits() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);
    let other = receiver.clone();
    push_all(&sender, Flavor::Fifo, &pruned, 1..=2);

    drop(receiver);
    assert_eq!(pruned.ids(), []);

    drop(other);
    assert_eq!(pruned.ids(), [1, 2]);
}

#[test]
fn a_push_without_receivers_prunes_its_own_item() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);
    drop(receiver);

    let result = sender.push(Flavor::Fifo, pruned.item(1));

    assert_eq!(result.err(), Some(Closed));
    assert_eq!(pruned.ids(), [1]);
}

#[test]
fn what_the_senders_left_is_delivered_before_the_end() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);
    let other = sender.clone();
    push_all(&sender, Flavor::Fifo, &pruned, 1..=1);

    drop(sender);
    drop(other);

    let wakes = Arc::new(Wakes::default());
    assert_eq!(poll(pin!(receiver.pop()), &wakes), Poll::Ready(Ok(1)));
    assert_eq!(poll(pin!(receiver.pop()), &wakes), Poll::Ready(Err(Closed)));
    assert_eq!(pruned.ids(), []);
}

#[test]
fn only_the_last_sender_ends_the_wait() {
    let (sender, receiver) = new::<Item>(8);
    let other = sender.clone();
    let wakes = Arc::new(Wakes::default());
    let mut pop = pin!(receiver.pop());
    assert!(poll(pop.as_mut(), &wakes).is_pending());

    drop(sender);
    assert_eq!(wakes.count(), 0);

    drop(other);
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(pop.as_mut(), &wakes), Poll::Ready(Err(Closed)));
}

#[test]
fn one_item_wakes_the_consumer_that_has_waited_longest_and_no_other() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);
    let [first_wakes, second_wakes] = [(); 2].map(|()| Arc::new(Wakes::default()));
    let mut first = pin!(receiver.pop());
    let mut second = pin!(receiver.pop());
    assert!(poll(first.as_mut(), &first_wakes).is_pending());
    assert!(poll(second.as_mut(), &second_wakes).is_pending());
    // polled again, it keeps its place
    assert!(poll(first.as_mut(), &first_wakes).is_pending());

    push_all(&sender, Flavor::Fifo, &pruned, 1..=1);

    assert_eq!((first_wakes.count(), second_wakes.count()), (1, 0));
    assert_eq!(poll(first.as_mut(), &first_wakes), Poll::Ready(Ok(1)));
}

#[test]
fn a_consumer_that_is_dropped_after_its_wake_up_passes_it_on() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);
    let wakes = Arc::new(Wakes::default());
    let mut first = Box::pin(receiver.pop());
    let mut second = pin!(receiver.pop());
    assert!(poll(first.as_mut(), &Arc::default()).is_pending());
    assert!(poll(second.as_mut(), &wakes).is_pending());
    push_all(&sender, Flavor::Fifo, &pruned, 1..=1);
    assert_eq!(wakes.count(), 0);

    drop(first);

    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(second.as_mut(), &wakes), Poll::Ready(Ok(1)));
}

#[test]
fn a_consumer_that_is_dropped_while_it_waits_gets_no_wake_up() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);
    let wakes = Arc::new(Wakes::default());
    let mut first = Box::pin(receiver.pop());
    let mut second = pin!(receiver.pop());
    assert!(poll(first.as_mut(), &Arc::default()).is_pending());
    assert!(poll(second.as_mut(), &wakes).is_pending());
    // it holds one place, however often it is polled
    assert!(poll(first.as_mut(), &Arc::default()).is_pending());

    drop(first);
    assert_eq!(wakes.count(), 0);

    push_all(&sender, Flavor::Fifo, &pruned, 1..=1);
    assert_eq!(wakes.count(), 1);
}

#[test]
fn a_consumer_that_was_overtaken_waits_again() {
    let pruned = Log::default();
    let (sender, receiver) = new(8);
    let wakes = Arc::new(Wakes::default());
    let mut slow = pin!(receiver.pop());
    assert!(poll(slow.as_mut(), &wakes).is_pending());

    push_all(&sender, Flavor::Fifo, &pruned, 1..=1);
    assert_eq!(pop_all(&receiver), [1]);
    assert!(poll(slow.as_mut(), &wakes).is_pending());

    push_all(&sender, Flavor::Fifo, &pruned, 2..=2);
    assert_eq!(wakes.count(), 2);
    assert_eq!(poll(slow.as_mut(), &wakes), Poll::Ready(Ok(2)));
}

#[test]
fn every_item_reaches_one_consumer_across_threads() {
    const ITEMS: u32 = 10_000;

    let pruned = Log::default();
    let (sender, receiver) = new::<Item>(ITEMS as usize);

    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let receiver = receiver.clone();
            std::thread::spawn(move || {
                let runtime = ::tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut ids = vec![];
                    while let Ok(item) = receiver.pop().await {
                        ids.push(item.id);
                    }
                    ids
                })
            })
        })
        .collect();

    let producers: Vec<_> = (0..2)
        .map(|producer| {
            let (sender, pruned) = (sender.clone(), pruned.clone());
            std::thread::spawn(move || {
                let ids = (0..ITEMS).filter(|id| id % 2 == producer);
                push_all(&sender, Flavor::Fifo, &pruned, ids);
            })
        })
        .collect();
    drop(sender);

    for producer in producers {
        producer.join().unwrap();
    }
    let mut ids: Vec<_> = consumers
        .into_iter()
        .flat_map(|consumer| consumer.join().unwrap())
        .collect();
    ids.sort_unstable();

    assert_eq!(ids, (0..ITEMS).collect::<Vec<_>>());
    assert_eq!(pruned.ids(), []);
}

/// An item that writes its id down when it is pruned.
#[derive(Debug)]
struct Item {
    id: u32,
    pruned: Log,
}

impl Prune for Item {
    fn prune(self) {
        self.pruned.0.lock().push(self.id);
    }
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u32>>>);

impl Log {
    fn item(&self, id: u32) -> Item {
        Item {
            id,
            pruned: self.clone(),
        }
    }

    fn ids(&self) -> Vec<u32> {
        self.0.lock().clone()
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn push_all(
    sender: &Sender<Item>,
    flavor: Flavor,
    pruned: &Log,
    ids: impl IntoIterator<Item = u32>,
) {
    for id in ids {
        let waker = sender.push(flavor, pruned.item(id)).unwrap();
        waker.into_iter().for_each(Waker::wake);
    }
}

fn poll(pop: Pin<&mut Pop<'_, Item>>, wakes: &Arc<Wakes>) -> Poll<Result<u32, Closed>> {
    let waker = Waker::from(wakes.clone());
    pop.poll(&mut Context::from_waker(&waker))
        .map_ok(|item| item.id)
}

/// Everything that can be had without waiting.
fn pop_all(receiver: &Receiver<Item>) -> Vec<u32> {
    let mut ids = vec![];
    while let Poll::Ready(Ok(id)) = poll(pin!(receiver.pop()), &Arc::default()) {
        ids.push(id);
    }
    ids
}
