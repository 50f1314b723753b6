// SPDX-License-Identifier: Apache-2.0

//! Descriptors and the line under every interleaving of a few threads.
//!
//! Accesses to a buffer are reported to loom, which fails when a write of the next user is not ordered after a read
//! of the last. Waiters park on their thread's token, so a wake-up that is lost shows as a deadlock.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::at_tick;
use loom::thread;
use s2n_quic_core::time::Timestamp;
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering as O},
        Arc as StdArc,
    },
    task::{Wake, Waker},
};

const LEN: usize = 64;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: StdArc<Self>) {
        self.0.unpark();
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, O::Relaxed);
    }
}

/// A pool with room for one descriptor of data.
fn pool() -> Pool {
    Pool::new(Config {
        packet_len: LEN,
        burst_len: LEN,
        max_bytes: 2 * LEN,
        reserve_bytes: LEN,
        ..Config::default()
    })
    .unwrap()
}

fn filled(pool: &Pool, byte: u8) -> Filled {
    let mut unfilled = pool.alloc(Class::Packet, Purpose::Data).unwrap();
    unfilled.as_mut_slice().fill(byte);
    unfilled.fill(LEN).unwrap()
}

fn wait(pool: &Pool) -> Unfilled {
    let waker = Waker::from(StdArc::new(Unpark(thread::current())));
    let mut waiter = Waiter::default();
    loop {
        match pool.poll_alloc(Class::Packet, &mut waiter, &mut Context::from_waker(&waker)) {
            Poll::Ready(unfilled) => return unfilled,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn loom_the_next_user_writes_after_all_readers_are_done() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let clone = filled.clone();
        let reader = thread::spawn(move || assert_eq!(clone[0], 1));
        assert_eq!(filled[0], 1);
        drop(filled);
        if let Some(mut unfilled) = pool.alloc(Class::Packet, Purpose::Data) {
            unfilled.as_mut_slice().fill(2);
        }
        reader.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.in_use_bytes, stats.misses), (0, 1));
    });
}

#[test]
fn loom_the_only_user_left_may_write() {
    loom::model(|| {
        let pool = pool();
        let mut filled = filled(&pool, 1);
        let clone = filled.clone();
        let reader = thread::spawn(move || assert_eq!(clone[0], 1));
        let mut unfilled = loop {
            match filled.try_into_unfilled() {
                Ok(unfilled) => break unfilled,
                Err(shared) => filled = shared,
            }
            thread::yield_now();
        };
        unfilled.as_mut_slice().fill(2);
        drop(unfilled);
        reader.join().unwrap();
        assert_eq!(pool.stats().in_use_bytes, 0);
    });
}

#[test]
fn loom_three_users_release_a_descriptor_once() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let users = [filled.clone(), filled.clone()].map(|user| thread::spawn(move || drop(user)));
        drop(filled);
        for user in users {
            user.join().unwrap();
        }
        assert_eq!(pool.stats().in_use_bytes, 0);
        drop(pool.alloc(Class::Packet, Purpose::Data).unwrap());
        assert_eq!(pool.stats().hits, 1);
    });
}

#[test]
fn loom_segments_are_written_apart_and_reused_after_the_last() {
    loom::model(|| {
        let pool = pool();
        let mut segments = filled(&pool, 1).into_segments(LEN / 2).unwrap();
        let mut first = segments.next().unwrap();
        let mut second = segments.next().unwrap();
        let other = thread::spawn(move || first.fill(2));
        second.fill(3);
        drop((second, segments));
        if let Some(mut unfilled) = pool.alloc(Class::Packet, Purpose::Data) {
            unfilled.as_mut_slice().fill(4);
        }
        other.join().unwrap();
        assert_eq!(pool.stats().in_use_bytes, 0);
    });
}

#[test]
fn loom_runs_of_segments_are_written_apart_and_reused_after_the_last() {
    loom::model(|| {
        let pool = pool();
        let mut rest = filled(&pool, 1).into_segments(1).unwrap();
        let mut run = rest.split_to(1);
        let other = thread::spawn(move || {
            run.first_mut().unwrap().fill(2);
            run.advance(1);
        });
        rest.first_mut().unwrap().fill(3);
        drop(rest);
        if let Some(mut unfilled) = pool.alloc(Class::Packet, Purpose::Data) {
            unfilled.as_mut_slice().fill(4);
        }
        other.join().unwrap();
        assert_eq!(pool.stats().in_use_bytes, 0);
    });
}

#[test]
fn loom_a_descriptor_goes_home_while_the_pool_is_dropped() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let user = thread::spawn(move || drop(filled));
        drop(pool);
        user.join().unwrap();
    });
}

#[test]
fn loom_a_release_wakes_who_joins_at_the_same_time() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let user = thread::spawn(move || assert_eq!(filled[0], 1));
        wait(&pool).as_mut_slice().fill(2);
        user.join().unwrap();
        assert_eq!(pool.stats().waiters, 0);
    });
}

#[test]
fn loom_two_who_wait_are_both_served() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || drop(wait(&pool)))
        };
        drop(filled);
        drop(wait(&pool));
        other.join().unwrap();
        assert_eq!(pool.stats().in_use_bytes, 0);
    });
}

#[test]
fn loom_a_turn_given_up_as_it_comes_passes_on() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let mut first = Waiter::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pool
            .poll_alloc(Class::Packet, &mut first, &mut cx)
            .is_pending());
        let leaver = thread::spawn(move || drop(first));
        let user = thread::spawn(move || drop(filled));
        drop(wait(&pool));
        leaver.join().unwrap();
        user.join().unwrap();
        assert_eq!(pool.stats().in_use_bytes, 0);
    });
}

/// So many intervals after the start.
fn at(intervals: u64) -> Timestamp {
    at_tick((1 + intervals) * 1_000_000)
}

fn waker() -> Waker {
    Waker::from(StdArc::new(Unpark(thread::current())))
}

#[test]
fn loom_a_keeper_that_falls_asleep_is_woken_by_what_comes_home() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let user = thread::spawn(move || assert_eq!(filled[0], 1));
        let mut trimmer = pool.trimmer();
        let waker = waker();
        // sleeps for ever if the wake-up was lost
        while trimmer.poll(&waker, at(0)).is_none() {
            thread::park();
        }
        user.join().unwrap();
        // the first interval ends, the second; then nothing is left, and no timer
        assert_eq!(trimmer.poll(&waker, at(1)), Some(at(2)));
        assert_eq!(trimmer.poll(&waker, at(2)), None);
        assert_eq!(pool.stats().allocated_bytes, 0);
    });
}

#[test]
fn loom_two_who_come_home_at_once_wake_the_keeper_once() {
    loom::model(|| {
        let pool = pool();
        let users = [Purpose::Data, Purpose::Control].map(|purpose| {
            let unfilled = pool.alloc(Class::Packet, purpose).unwrap();
            thread::spawn(move || drop(unfilled))
        });
        let wakes = StdArc::new(Count::default());
        let waker = Waker::from(wakes.clone());
        let mut trimmer = pool.trimmer();
        let slept = trimmer.poll(&waker, at(0)).is_none();
        for user in users {
            user.join().unwrap();
        }
        assert_eq!(wakes.0.load(O::Relaxed), usize::from(slept));
        assert!(trimmer.poll(&waker, at(0)).is_some());
    });
}

#[test]
fn loom_a_descriptor_is_taken_or_trimmed_and_never_both() {
    loom::model(|| {
        let pool = pool();
        drop(filled(&pool, 1));
        let mut trimmer = pool.trimmer();
        assert_eq!(trimmer.poll(Waker::noop(), at(0)), Some(at(1)));
        assert_eq!(trimmer.poll(Waker::noop(), at(1)), Some(at(2)));
        let user = {
            let pool = pool.clone();
            thread::spawn(move || drop(filled(&pool, 2)))
        };
        trimmer.poll(Waker::noop(), at(2));
        user.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.allocated_bytes, stats.in_use_bytes), (LEN, 0));
        // taken before, during or after the trim
        assert_eq!(stats.misses, 1 + stats.returned_bytes / LEN as u64);
    });
}

#[test]
fn loom_a_raised_ceiling_serves_who_joins_at_the_same_time() {
    loom::model(|| {
        let pool = pool();
        let _held = filled(&pool, 1);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || pool.set_max_bytes(3 * LEN).unwrap())
        };
        // nothing comes home: sleeps for ever if the raise was not seen
        drop(wait(&pool));
        other.join().unwrap();
        assert_eq!(pool.stats().in_use_bytes, LEN);
    });
}

#[test]
fn loom_a_ceiling_lowered_as_descriptors_come_home_loses_neither_bytes_nor_turns() {
    loom::model(|| {
        let pool = pool();
        pool.set_max_bytes(3 * LEN).unwrap();
        let held = [filled(&pool, 1), filled(&pool, 2)];
        let user = thread::spawn(move || drop(held));
        pool.set_max_bytes(2 * LEN).unwrap();
        drop(wait(&pool));
        user.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.in_use_bytes, stats.waiters), (0, 0));
        assert!(stats.allocated_bytes <= 2 * LEN);
        let taken = stats.misses as usize * LEN;
        assert_eq!(taken - stats.returned_bytes as usize, stats.allocated_bytes);
    });
}

#[test]
fn loom_a_trimmer_is_dropped_as_a_descriptor_comes_home() {
    loom::model(|| {
        let pool = pool();
        let filled = filled(&pool, 1);
        let wakes = StdArc::new(Count::default());
        let mut trimmer = pool.trimmer();
        assert_eq!(trimmer.poll(&Waker::from(wakes.clone()), at(0)), None);
        let user = thread::spawn(move || drop(filled));
        drop(trimmer);
        user.join().unwrap();
        assert_eq!(StdArc::strong_count(&wakes), 1, "the waker is gone");
    });
}
