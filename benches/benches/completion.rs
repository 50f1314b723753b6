// SPDX-License-Identifier: Apache-2.0

//! What it costs to tell a stream what became of its transmissions.
//!
//! The one rule: each bench checks that every submission came back.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use s2n_quic_dc::socket::send::completion::{Outcome, Queue, Ticket};
use std::{hint::black_box, sync::mpsc, task::Waker, thread};

/// What a GSO batch that is full of small streams' packets completes at once.
const BATCH: u64 = 32;

fn same_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("completion");
    group.throughput(Throughput::Elements(BATCH));
    let queue = Queue::<u64, u64>::new();
    let mut tickets = Vec::new();
    let mut out = Vec::new();
    group.bench_function("submit, complete and drain 32", |b| {
        b.iter(|| {
            tickets.extend((0..BATCH).map(|token| queue.ticket(token)));
            assert!(queue.register(Waker::noop()));
            let woken = tickets
                .drain(..)
                .filter_map(|ticket| ticket.complete(Outcome::Sent(1)))
                .count();
            assert_eq!(woken, 1);
            out.clear();
            queue.drain_into(&mut out);
            assert_eq!(out.len() as u64, BATCH);
        });
    });
    group.finish();
    assert_eq!(queue.outstanding(), 0);
}

/// Tickets go to another thread and completions come back; the waiting side polls.
fn across_threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("completion");
    group.throughput(Throughput::Elements(BATCH));
    let queue = Queue::<u64, u64>::new();
    let (sender, receiver) = mpsc::channel::<Vec<Ticket<u64, u64>>>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for tickets in receiver {
                for ticket in tickets {
                    black_box(ticket.complete(Outcome::Sent(1)));
                }
            }
        });
        let mut out = Vec::new();
        group.bench_function("round trip of 32 across threads", |b| {
            b.iter(|| {
                let tickets = (0..BATCH).map(|token| queue.ticket(token)).collect();
                sender
                    .send(tickets)
                    .expect("the worker ends after the sender");
                out.clear();
                while (out.len() as u64) < BATCH {
                    queue.drain_into(&mut out);
                    thread::yield_now();
                }
            });
        });
        drop(sender);
    });
    group.finish();
    assert_eq!(queue.outstanding(), 0);
}

criterion_group!(benches, same_thread, across_threads);
criterion_main!(benches);
