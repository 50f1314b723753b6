// SPDX-License-Identifier: Apache-2.0

//! What it costs to tell a stream what became of its transmissions.
//!
//! Path measured: the ticket that a writer takes for each transmission, its completion by the socket worker, and the drain by
//! the stream. On one thread this is the work itself; across two, as in operation, also the cache lines that move, and the
//! switches of threads, for the side that waits yields. Left out: waking a task, which is the runtime's cost.
//!
//! The one rule: each submission comes back once, as sent, and in the order of completing.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use s2n_quic_dc::socket::send::completion::{Batch, Completion, Outcome, Queue, Ticket};
use std::{hint::black_box, sync::mpsc, task::Waker, thread, time::Duration};

fn same_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("completion");
    group.throughput(Throughput::Elements(BATCH));
    let queue = Queue::<u64, u64>::new();
    let mut tickets = Vec::new();
    let mut out = Batch::new();
    group.bench_function("submit, complete and drain 32", |b| {
        b.iter(|| {
            tickets.extend((0..BATCH).map(|token| queue.ticket(token)));
            assert!(queue.register(Waker::noop()));
            let woken = tickets
                .drain(..)
                .filter_map(|ticket| ticket.complete(Outcome::Sent(TIME)))
                .count();
            assert_eq!(woken, 1);
            out.clear();
            queue.drain_into(&mut out);
            check(&out);
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
                    black_box(ticket.complete(Outcome::Sent(TIME)));
                }
            }
        });
        let mut out = Batch::new();
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
                check(&out);
            });
        });
        drop(sender);
    });
    group.finish();
    assert_eq!(queue.outstanding(), 0);
}

fn check(completions: &[Completion<u64, u64>]) {
    assert_eq!(completions.len() as u64, BATCH);
    for (expected, completion) in (0..).zip(completions) {
        assert_eq!(completion.token, expected);
        assert_eq!(completion.outcome, Outcome::Sent(TIME));
    }
}

/// What a GSO batch that is full of small streams' packets completes at once.
const BATCH: u64 = 32;

/// The time sent; any
const TIME: u64 = 1;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = same_thread, across_threads
}
criterion_main!(benches);
