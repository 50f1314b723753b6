// SPDX-License-Identifier: Apache-2.0

//! Behaviour of the completion queue, one thread at a time, and against a plain list.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::sync::wakes::Wakes;
use bolero::{check, produce, TypeGenerator};

fn drain<T, S>(queue: &Queue<T, S>) -> Vec<(T, Outcome<S>)> {
    let mut out = Batch::new();
    queue.drain_into(&mut out);
    out.into_iter()
        .map(|entry| (entry.token, entry.outcome))
        .collect()
}

#[test]
fn handles_can_be_sent_and_shared() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Queue<std::cell::Cell<u8>, u64>>();
    check::<Ticket<u8, u64>>();
    check::<Completion<u8, u64>>();
}

#[test]
fn completions_arrive_in_the_order_of_completing() {
    let queue = Queue::new();
    let [first, second, third] = [1, 2, 3].map(|token| queue.ticket(token));
    assert!(second.complete(Outcome::Sent(70)).is_none());
    assert!(third.complete(Outcome::Cancelled).is_none());
    assert!(first
        .complete(Outcome::Failed { errno: Some(105) })
        .is_none());
    let expected = [
        (2, Outcome::Sent(70)),
        (3, Outcome::Cancelled),
        (1, Outcome::Failed { errno: Some(105) }),
    ];
    assert_eq!(drain(&queue), expected);
    assert!(drain(&queue).is_empty());
}

#[test]
fn a_dropped_ticket_completes_as_cancelled_and_wakes() {
    let queue = Queue::<_, u64>::new();
    let (wakes, waker) = Wakes::new();
    let ticket = queue.ticket("first");
    assert!(queue.register(&waker));
    drop(ticket);
    assert_eq!(wakes.count(), 1);
    assert_eq!(drain(&queue), [("first", Outcome::Cancelled)]);
}

#[test]
fn a_completed_ticket_does_not_complete_again_when_dropped() {
    let queue = Queue::new();
    let _ = queue.ticket(()).complete(Outcome::Sent(1));
    assert_eq!(drain(&queue), [((), Outcome::Sent(1))]);
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn a_token_can_be_changed_until_it_completes() {
    let queue = Queue::new();
    let mut ticket = queue.ticket(1);
    *ticket.token_mut() += 1;
    assert_eq!(*ticket.token(), 2);
    let _ = ticket.complete(Outcome::Sent(0));
    assert_eq!(drain(&queue), [(2, Outcome::Sent(0))]);
}

#[test]
fn a_batch_of_completions_gives_one_waker() {
    const BATCH: usize = 50;
    let queue = Queue::new();
    let (wakes, waker) = Wakes::new();
    for _ in 0..20 {
        assert!(queue.register(&waker));
        let tickets: Vec<_> = (0..BATCH).map(|token| queue.ticket(token)).collect();
        let woken: Vec<_> = tickets
            .into_iter()
            .filter_map(|ticket| ticket.complete(Outcome::Sent(0)))
            .collect();
        woken.into_iter().for_each(Waker::wake);
        assert_eq!(drain(&queue).len(), BATCH);
    }
    assert_eq!(wakes.count(), 20, "per thousand completions");
}

#[test]
fn nothing_is_registered_while_something_is_queued() {
    let queue = Queue::new();
    let (wakes, waker) = Wakes::new();
    let [first, second] = [1, 2].map(|token| queue.ticket(token));
    let _ = first.complete(Outcome::Sent(0));
    assert!(!queue.register(&waker));
    assert_eq!(drain(&queue).len(), 1);
    assert!(second.complete(Outcome::Sent(0)).is_none());
    assert_eq!(
        (wakes.count(), Arc::strong_count(&wakes)),
        (0, 2),
        "the test's and the waker's own"
    );
}

#[test]
fn the_waker_registered_last_is_the_one_woken() {
    let queue = Queue::new();
    let (before, waker) = Wakes::new();
    assert!(queue.register(&waker));
    // the same one twice is not cloned again
    assert!(queue.register(&waker));
    assert_eq!(Arc::strong_count(&before), 3);
    let (now, waker) = Wakes::new();
    assert!(queue.register(&waker));
    queue.ticket(()).complete(Outcome::Sent(0)).unwrap().wake();
    assert_eq!((before.count(), now.count()), (0, 1));
    assert_eq!(Arc::strong_count(&before), 2, "the queue has let go of it");
}

#[test]
fn outstanding_counts_until_the_drain() {
    let queue = Queue::new();
    assert_eq!(queue.outstanding(), 0);
    let [first, second] = [1, 2].map(|token| queue.ticket(token));
    assert_eq!(queue.outstanding(), 2);
    let _ = first.complete(Outcome::Sent(0));
    assert_eq!(queue.outstanding(), 2);
    drain(&queue);
    assert_eq!(queue.outstanding(), 1);
    drop(second);
    drain(&queue);
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn a_closed_queue_counts_and_drops_what_completes() {
    let queue = Queue::new();
    let (wakes, waker) = Wakes::new();
    let token = Arc::new(());
    let [first, second, third] = [0; 3].map(|_| queue.ticket(token.clone()));
    let _ = first.complete(Outcome::Sent(0));
    queue.close();
    assert!(!second.is_alive());
    assert!(second.complete(Outcome::Sent(0)).is_none());
    drop(third);
    assert_eq!(
        Arc::strong_count(&token),
        2,
        "the test's, and that of the one before the close"
    );
    assert_eq!(queue.dropped(), 2);
    assert_eq!(queue.outstanding(), 1);
    assert_eq!(drain(&queue).len(), 1);
    assert!(queue.register(&waker));
    assert_eq!(
        (
            queue.outstanding(),
            wakes.count(),
            Arc::strong_count(&wakes)
        ),
        (0, 0, 2)
    );
}

#[test]
fn a_close_lets_go_of_the_waker() {
    let queue = Queue::<(), ()>::new();
    let (wakes, waker) = Wakes::new();
    assert!(queue.register(&waker));
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 2);
    queue.close();
    assert_eq!((Arc::strong_count(&wakes), wakes.count()), (1, 0));
}

#[test]
fn tickets_keep_no_stream_alive() {
    let queue = Queue::new();
    let weak = Arc::downgrade(&queue);
    let token = Arc::new(());
    let [first, second] = [0; 2].map(|_| queue.ticket(token.clone()));
    assert!(first.is_alive());
    drop(queue);
    assert!(weak.upgrade().is_none());
    assert!(!first.is_alive());
    assert!(first.complete(Outcome::Sent(0)).is_none());
    drop(second);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn two_vectors_go_back_and_forth_and_nothing_is_allocated() {
    let queue = Queue::new();
    let mut out = Batch::with_capacity(8);
    let mut seen = Vec::new();
    for _ in 0..4 {
        for token in 0..8 {
            let _ = queue.ticket(token).complete(Outcome::Sent(0));
        }
        queue.drain_into(&mut out);
        assert_eq!(out.len(), 8);
        seen.push((out.as_ptr(), out.capacity()));
        out.clear();
    }
    assert_ne!(seen[0].0, seen[1].0, "they change places");
    assert_eq!((seen[0], seen[1]), (seen[2], seen[3]));
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Op {
    Submit,
    Complete { which: u8, outcome: u8 },
    Cancel { which: u8 },
    Drain { clear: bool },
    Register { who: bool },
    Close,
}

#[test]
fn it_agrees_with_a_plain_list() {
    let ops = produce::<Vec<Op>>().with().len(0..=100usize);
    check!().with_generator(ops).for_each(|ops| {
        let queue = Queue::new();
        let wakers = [Wakes::new(), Wakes::new()];
        let mut model = Model::default();
        let mut tickets = Vec::new();
        let (mut out, mut next) = (Batch::new(), 0);
        for op in ops {
            match *op {
                Op::Submit => {
                    tickets.push(queue.ticket(next));
                    next += 1;
                }
                Op::Complete { which, outcome } if !tickets.is_empty() => {
                    let ticket = tickets.swap_remove(which as usize % tickets.len());
                    let outcome = match outcome % 3 {
                        0 => Outcome::Sent(u64::from(outcome)),
                        1 => Outcome::Failed {
                            errno: Some(i32::from(outcome)),
                        },
                        _ => Outcome::Cancelled,
                    };
                    assert_eq!(ticket.is_alive(), !model.closed);
                    let expected = model.complete(*ticket.token(), outcome);
                    let waker = ticket.complete(outcome);
                    assert_eq!(waker.is_some(), expected.is_some());
                    waker.into_iter().for_each(Waker::wake);
                }
                Op::Cancel { which } if !tickets.is_empty() => {
                    let ticket = tickets.swap_remove(which as usize % tickets.len());
                    model.complete(*ticket.token(), Outcome::Cancelled);
                    drop(ticket);
                }
                Op::Complete { .. } | Op::Cancel { .. } => {}
                Op::Drain { clear } => {
                    if clear {
                        out.clear();
                        model.drained.clear();
                    }
                    queue.drain_into(&mut out);
                    model.drained.append(&mut model.queued);
                    assert_eq!(out.as_slice(), model.drained);
                }
                Op::Register { who } => {
                    let who = usize::from(who);
                    assert_eq!(queue.register(&wakers[who].1), model.queued.is_empty());
                    if model.queued.is_empty() && !model.closed {
                        model.registered = Some(who);
                    }
                }
                Op::Close => {
                    queue.close();
                    model.closed = true;
                    model.registered = None;
                }
            }
            assert_eq!(queue.outstanding(), tickets.len() + model.queued.len());
            assert_eq!(queue.dropped(), model.dropped);
            for (who, (wakes, _)) in wakers.iter().enumerate() {
                assert_eq!(wakes.count(), model.wakes[who]);
                let stored = usize::from(model.registered == Some(who));
                assert_eq!(Arc::strong_count(wakes), 2 + stored);
            }
        }
    });
}

#[derive(Default)]
struct Model {
    queued: Vec<Completion<u32, u64>>,
    drained: Vec<Completion<u32, u64>>,
    registered: Option<usize>,
    wakes: [usize; 2],
    closed: bool,
    dropped: u64,
}

impl Model {
    /// Who is to be woken.
    fn complete(&mut self, token: u32, outcome: Outcome<u64>) -> Option<usize> {
        if self.closed {
            self.dropped += 1;
            return None;
        }
        self.queued.push(Completion { token, outcome });
        let who = self.registered.take()?;
        self.wakes[who] += 1;
        Some(who)
    }
}
