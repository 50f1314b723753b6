// SPDX-License-Identifier: Apache-2.0

//! The completion queue under every interleaving of a few threads.
//!
//! The stream parks on its thread's token, so a wake-up that is lost shows as a deadlock. The weak reference is the
//! standard library's, which loom takes for granted: what is explored is what happens under the lock.

#![allow(clippy::unwrap_used)]

use super::*;
use loom::thread;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

struct Unpark(thread::Thread);

impl Unpark {
    fn waker() -> Waker {
        Waker::from(Arc::new(Self(thread::current())))
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A token that counts its drops.
struct Token(Arc<AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a stream's poll does until it has seen `count` completions.
fn collect(queue: &Queue<u8, u8>, count: usize) -> Vec<u8> {
    let waker = Unpark::waker();
    let mut all = Vec::new();
    let mut batch = Batch::new();
    loop {
        queue.drain_into(&mut batch);
        all.extend(batch.drain(..).map(|entry| entry.token));
        if all.len() >= count {
            return all;
        }
        if queue.register(&waker) {
            thread::park();
        }
    }
}

#[test]
fn loom_a_stream_never_sleeps_on_a_completion() {
    loom::model(|| {
        let queue = Queue::new();
        let workers = [0, 1].map(|token| {
            let ticket = queue.ticket(token);
            thread::spawn(move || {
                if let Some(waker) = ticket.complete(Outcome::Sent(0)) {
                    waker.wake();
                }
            })
        });
        let mut all = collect(&queue, 2);
        all.sort_unstable();
        assert_eq!((all, queue.outstanding()), (vec![0, 1], 0));
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn loom_one_wake_after_a_batch_is_enough() {
    loom::model(|| {
        let queue = Queue::new();
        let tickets = [0, 1, 2].map(|token| queue.ticket(token));
        let worker = thread::spawn(move || {
            let wakers = tickets.map(|ticket| ticket.complete(Outcome::Sent(0)));
            wakers.into_iter().flatten().for_each(Waker::wake);
        });
        assert_eq!(collect(&queue, 3), [0, 1, 2]);
        worker.join().unwrap();
    });
}

#[test]
fn loom_a_ticket_dropped_elsewhere_wakes_the_stream() {
    loom::model(|| {
        let queue = Queue::new();
        let ticket = queue.ticket(7);
        let worker = thread::spawn(move || drop(ticket));
        assert_eq!(collect(&queue, 1), [7]);
        worker.join().unwrap();
    });
}

#[test]
fn loom_a_ticket_dropped_as_the_stream_ends_drops_its_token_once() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = Queue::<_, u8>::new();
        let waker = Unpark::waker();
        assert!(queue.register(&waker));
        let ticket = queue.ticket(Token(drops.clone()));
        let worker = thread::spawn(move || drop(ticket));
        drop(queue);
        worker.join().unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn loom_a_completion_at_the_close_is_queued_or_counted() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = Queue::<_, u8>::new();
        let ticket = queue.ticket(Token(drops.clone()));
        let worker = thread::spawn(move || {
            let _ = ticket.complete(Outcome::Sent(0));
        });
        queue.close();
        worker.join().unwrap();
        let mut out = Batch::new();
        queue.drain_into(&mut out);
        assert_eq!(out.len() as u64 + queue.dropped(), 1);
        assert_eq!(queue.outstanding(), 0);
        drop(out);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}
