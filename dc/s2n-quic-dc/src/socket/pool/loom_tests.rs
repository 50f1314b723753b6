// SPDX-License-Identifier: Apache-2.0

//! Descriptors and the line under every interleaving of a few threads.
//!
//! Accesses to a buffer are reported to loom, which fails when a write of the next user is not ordered after a read
//! of the last. Waiters park on their thread's token, so a wake-up that is lost shows as a deadlock.

#![allow(clippy::unwrap_used)]

use super::*;
use loom::thread;
use std::{
    sync::Arc as StdArc,
    task::{Wake, Waker},
};

const LEN: usize = 64;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: StdArc<Self>) {
        self.0.unpark();
    }
}

/// A pool with room for one descriptor of data.
fn pool() -> Pool {
    Pool::new(Config {
        packet_len: LEN,
        burst_len: LEN,
        max_bytes: 2 * LEN,
        reserve_bytes: LEN,
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
