// SPDX-License-Identifier: Apache-2.0

//! Waiting for a descriptor: who is served, who is woken, and that nobody is forgotten.

use super::*;
use std::thread;

/// Somebody who waits, and how often they were woken.
struct Someone {
    waiter: Waiter,
    wakes: StdArc<Wakes>,
    waker: Waker,
}

impl Someone {
    fn new() -> Self {
        let (wakes, waker) = Wakes::new();
        let waiter = Waiter::default();
        Self {
            waiter,
            wakes,
            waker,
        }
    }

    fn poll(&mut self, pool: &Pool, class: Class) -> Option<Unfilled> {
        match pool.poll_alloc(
            class,
            &mut self.waiter,
            &mut Context::from_waker(&self.waker),
        ) {
            Poll::Ready(unfilled) => Some(unfilled),
            Poll::Pending => None,
        }
    }

    fn waiting(pool: &Pool, class: Class) -> Self {
        let mut someone = Self::new();
        assert!(someone.poll(pool, class).is_none());
        someone
    }

    fn wakes(&self) -> usize {
        self.wakes.count()
    }
}

#[test]
fn nobody_waits_while_there_is_room() {
    let pool = pool(BURST, BURST);
    let mut someone = Someone::new();
    assert!(someone.poll(&pool, Class::Burst).is_some());
    assert!(!someone.waiter.is_waiting());
    assert_eq!(pool.stats().exhausted, 0);
}

#[test]
fn each_release_serves_the_one_who_waited_longest() {
    let pool = pool(2 * BURST, BURST);
    let mut held = vec![data(&pool, Class::Burst), data(&pool, Class::Burst)];
    let mut line: Vec<_> = (0..4)
        .map(|_| Someone::waiting(&pool, Class::Burst))
        .collect();
    assert_eq!((pool.stats().waiters, pool.stats().exhausted), (4, 4));
    for turn in 0..4 {
        held.remove(0);
        let woken: Vec<_> = line.iter().map(Someone::wakes).collect();
        let expected: Vec<_> = (0..4).map(|place| usize::from(place <= turn)).collect();
        assert_eq!(woken, expected);
        held.push(line[turn].poll(&pool, Class::Burst).unwrap());
    }
    assert_eq!((pool.stats().waiters, pool.stats().exhausted), (0, 4));
}

#[test]
fn who_is_served_cannot_be_overtaken() {
    let pool = pool(BURST, BURST);
    let held = data(&pool, Class::Burst);
    let mut first = Someone::waiting(&pool, Class::Burst);
    let mut second = Someone::waiting(&pool, Class::Burst);
    drop(held);
    assert!(pool.alloc(Class::Burst, Purpose::Data).is_none());
    assert!(Someone::new().poll(&pool, Class::Burst).is_none());
    assert!(second.poll(&pool, Class::Burst).is_none());
    assert!(first.poll(&pool, Class::Burst).is_some());
}

#[test]
fn a_small_request_does_not_overtake_a_large_one() {
    let pool = pool(BURST, BURST);
    let held = data(&pool, Class::Packet);
    let mut burst = Someone::waiting(&pool, Class::Burst);
    assert!(pool.alloc(Class::Packet, Purpose::Data).is_none());
    let mut packet = Someone::waiting(&pool, Class::Packet);
    assert!(
        pool.alloc(Class::Packet, Purpose::Control).is_some(),
        "control does not queue"
    );
    drop(held);
    assert_eq!((burst.wakes(), packet.wakes()), (1, 0));
    drop(burst.poll(&pool, Class::Burst).unwrap());
    assert!(packet.poll(&pool, Class::Packet).is_some());
}

#[test]
fn one_large_release_serves_all_who_fit() {
    let pool = pool(BURST, BURST);
    let held = data(&pool, Class::Burst);
    let line: Vec<_> = (0..6)
        .map(|_| Someone::waiting(&pool, Class::Packet))
        .collect();
    drop(held);
    let woken: Vec<_> = line.iter().map(Someone::wakes).collect();
    assert_eq!(woken, [1, 1, 1, 1, 0, 0]);
    assert_eq!(pool.stats().in_use_bytes, BURST, "set aside");
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_woken() {
    let pool = pool(BURST, BURST);
    let held = data(&pool, Class::Burst);
    let mut task = Someone::waiting(&pool, Class::Burst);
    let before = task.wakes.clone();
    (task.wakes, task.waker) = Wakes::new();
    assert!(task.poll(&pool, Class::Burst).is_none());
    drop(held);
    assert_eq!((before.count(), task.wakes()), (0, 1));
}

#[test]
fn who_leaves_the_line_is_skipped() {
    let pool = pool(BURST, BURST);
    let held = data(&pool, Class::Burst);
    let first = Someone::waiting(&pool, Class::Burst);
    let mut second = Someone::waiting(&pool, Class::Burst);
    let third = Someone::waiting(&pool, Class::Burst);
    drop(first.waiter);
    second.waiter.cancel();
    drop(held);
    assert_eq!(
        (first.wakes.count(), second.wakes(), third.wakes()),
        (0, 0, 1)
    );
    drop(third.waiter);
    assert_eq!((pool.stats().waiters, pool.stats().in_use_bytes), (0, 0));
}

#[test]
fn who_is_served_and_leaves_passes_the_turn_on() {
    let pool = pool(BURST, BURST);
    let held = data(&pool, Class::Burst);
    let first = Someone::waiting(&pool, Class::Burst);
    let second = Someone::waiting(&pool, Class::Burst);
    drop(held);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first.waiter);
    assert_eq!(second.wakes(), 1);
}

#[test]
fn a_large_one_that_leaves_lets_the_small_ones_behind_it_through() {
    let pool = pool(BURST, BURST);
    let _held = data(&pool, Class::Packet);
    let burst = Someone::waiting(&pool, Class::Burst);
    let packets = [
        Someone::waiting(&pool, Class::Packet),
        Someone::waiting(&pool, Class::Packet),
    ];
    drop(burst.waiter);
    assert_eq!(packets.each_ref().map(Someone::wakes), [1, 1]);
}

#[test]
fn control_that_ends_serves_data_that_waits() {
    let pool = pool(BURST, BURST);
    // past the reserve
    let control = [0, 1].map(|_| pool.alloc(Class::Burst, Purpose::Control).unwrap());
    let waiting = Someone::waiting(&pool, Class::Burst);
    drop(control);
    assert_eq!(waiting.wakes(), 1);
}

#[test]
fn asking_for_something_else_gives_up_the_place() {
    let one = pool(BURST, BURST);
    let other = pool(BURST, BURST);
    let held = data(&one, Class::Burst);
    let mut first = Someone::waiting(&one, Class::Burst);
    let second = Someone::waiting(&one, Class::Burst);
    assert!(
        first.poll(&one, Class::Packet).is_none(),
        "now behind the second"
    );
    drop(held);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert!(first.poll(&other, Class::Burst).is_some());
    assert_eq!(one.stats().waiters, 0);
}

#[test]
fn fifty_tasks_finish_with_two_descriptors() {
    const TASKS: usize = 50;
    const TURNS: usize = 200;

    struct Unpark(thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: StdArc<Self>) {
            self.0.unpark();
        }
    }

    let pool = pool(2 * BURST, BURST);
    thread::scope(|scope| {
        for _ in 0..TASKS {
            scope.spawn(|| {
                let waker = Waker::from(StdArc::new(Unpark(thread::current())));
                let mut waiter = Waiter::default();
                for _ in 0..TURNS {
                    let mut cx = Context::from_waker(&waker);
                    let unfilled = loop {
                        match pool.poll_alloc(Class::Burst, &mut waiter, &mut cx) {
                            Poll::Ready(unfilled) => break unfilled,
                            Poll::Pending => thread::park(),
                        }
                    };
                    thread::yield_now();
                    drop(unfilled);
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.waiters), (0, 0));
    assert_eq!((stats.hits + stats.misses) as usize, TASKS * TURNS);
    assert!(stats.peak_in_use_bytes <= 2 * BURST);
    assert!(stats.misses <= 2);
}
