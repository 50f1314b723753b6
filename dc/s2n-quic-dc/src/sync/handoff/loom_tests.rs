// SPDX-License-Identifier: Apache-2.0

//! The hand-off queue under every interleaving of a few threads.
//!
//! The consumer parks on its thread's token, so a wake-up that is lost shows as a deadlock.

#![allow(clippy::unwrap_used)]

use super::*;
use loom::{sync::Arc, thread};

#[test]
fn loom_the_consumer_gets_all_and_never_sleeps_on_items() {
    loom::model(|| {
        let handoff = Arc::new(Handoff::new());
        let consumer = thread::current();
        let producers = [0, 1].map(|id| {
            let handoff = handoff.clone();
            let consumer = consumer.clone();
            thread::spawn(move || {
                if handoff.push(id) == Ok(Edge::WasEmpty) {
                    consumer.unpark();
                }
            })
        });

        let mut all = Vec::new();
        let mut batch = Vec::new();
        while all.len() < 2 {
            handoff.drain_into(&mut batch);
            if batch.is_empty() {
                thread::park();
            }
            all.append(&mut batch);
        }
        all.sort_unstable();
        assert_eq!(all, [0, 1]);
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn loom_a_batch_stays_together_and_in_order() {
    loom::model(|| {
        let handoff = Arc::new(Handoff::new());
        let other = {
            let handoff = handoff.clone();
            thread::spawn(move || {
                let _ = handoff.extend([1, 2]);
            })
        };
        let _ = handoff.extend([3, 4]);
        other.join().unwrap();
        let mut out = Vec::new();
        handoff.drain_into(&mut out);
        assert!(out == [1, 2, 3, 4] || out == [3, 4, 1, 2], "{out:?}");
    });
}

#[test]
fn loom_an_item_pushed_at_the_close_is_returned_on_one_side() {
    loom::model(|| {
        let handoff = Arc::new(Handoff::new());
        let producer = {
            let handoff = handoff.clone();
            thread::spawn(move || handoff.push(1).is_err())
        };
        let closed = handoff.close();
        let refused = producer.join().unwrap();
        assert_eq!(closed.len() + usize::from(refused), 1);
    });
}
