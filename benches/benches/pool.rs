// SPDX-License-Identifier: Apache-2.0

//! What a round trip through the descriptor pool costs.
//!
//! Path measured: `Pool::alloc` by a writer or receiver, and the drop of the last user, which may be on another thread. The
//! bytes are not touched. With 2 and 4 threads all share one pool and do the same number of round trips at once; the figure
//! is the time of one round trip of each thread, so it doubles when two take turns.
//!
//! Also here, because they are what is done with a descriptor between the two: sharing and cutting it, and the hand-over of a
//! batch to the thread of the socket.
//!
//! The one rule: it is the recycled path that is measured, not the allocator. Every bench checks that each allocation was a
//! hit and none a miss.

use criterion::{
    criterion_group, criterion_main,
    measurement::{Measurement as _, WallTime},
    Criterion, Throughput,
};
use s2n_quic_dc::{
    socket::pool::{Class, Config, Pool, Purpose, Unfilled},
    sync::handoff::Handoff,
};
use std::{cell::Cell, hint::black_box, sync::Barrier, thread, time::Duration};

/// A pool in which `idle` descriptors of each class are at home.
fn primed(idle: usize) -> Pool {
    let pool = Pool::new(Config::default()).expect("the default configuration is valid");
    for class in CLASSES {
        let out: Vec<Unfilled> = (0..idle).map(|_| alloc(&pool, class)).collect();
        drop(out);
    }
    pool
}

fn alloc(pool: &Pool, class: Class) -> Unfilled {
    pool.alloc(class, Purpose::Data)
        .expect("the bench stays below the ceiling")
}

/// Runs `bench`, which returns the number of its allocations, and checks that all of them were hits.
fn all_hits(pool: &Pool, bench: impl FnOnce() -> u64) {
    let before = pool.stats();
    let allocations = bench();
    let after = pool.stats();
    assert_eq!(after.hits - before.hits, allocations);
    assert_eq!(after.misses, before.misses, "the allocator was measured");
    assert_eq!(after.in_use_bytes, 0, "a descriptor did not go home");
}

fn uncontended(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/alloc and free/1 thread");
    for class in CLASSES {
        let pool = primed(1);
        all_hits(&pool, || {
            let allocations = Cell::new(0);
            group.bench_function(format!("{class:?}"), |b| {
                b.iter(|| {
                    allocations.set(allocations.get() + 1);
                    drop(black_box(alloc(&pool, class)));
                });
            });
            allocations.get()
        });
    }
    group.finish();
}

fn contended(c: &mut Criterion) {
    for threads in [2, 4] {
        let mut group = c.benchmark_group(format!("pool/alloc and free/{threads} threads"));
        group.throughput(Throughput::Elements(threads as u64));
        for class in CLASSES {
            let pool = primed(threads);
            all_hits(&pool, || {
                let mut allocations = 0;
                group.bench_function(format!("{class:?}"), |b| {
                    b.iter_custom(|count| {
                        allocations += count * threads as u64;
                        time_together(&pool, class, threads, count)
                    });
                });
                allocations
            });
        }
        group.finish();
    }
}

/// From when all threads are ready until the last of them has made `count` round trips.
fn time_together(pool: &Pool, class: Class, threads: usize, count: u64) -> Duration {
    let ready = Barrier::new(threads + 1);
    let start = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                ready.wait();
                for _ in 0..count {
                    drop(black_box(alloc(pool, class)));
                }
            });
        }
        // before the barrier: this thread may be the last to get a processor behind it
        let start = WallTime.start();
        ready.wait();
        start
    });
    WallTime.end(start)
}

fn sharing(c: &mut Criterion) {
    let pool = primed(1);
    let filled = alloc(&pool, Class::Burst).fill(1).expect("one byte fits");
    c.bench_function("pool/clone and drop", |b| {
        b.iter(|| drop(black_box(filled.clone())));
    });
    drop(filled);

    let mut group = c.benchmark_group("pool");
    group.throughput(Throughput::Elements(44));
    all_hits(&pool, || {
        let allocations = Cell::new(0);
        group.bench_function("fill, cut into 44 segments, free", |b| {
            b.iter(|| {
                allocations.set(allocations.get() + 1);
                let filled = alloc(&pool, Class::Burst)
                    .fill(44 * 1472)
                    .expect("44 packets fit");
                let segments = filled.into_segments(1472).expect("nobody shares it");
                assert_eq!(black_box(segments.count()), 44);
            });
        });
        allocations.get()
    });
    group.finish();
}

/// One push and its share of a drain, in batches of 32.
fn handoff(c: &mut Criterion) {
    let mut group = c.benchmark_group("handoff");
    group.throughput(Throughput::Elements(32));
    let handoff = Handoff::new();
    let mut out = Vec::new();
    group.bench_function("32 pushes, one drain", |b| {
        b.iter(|| {
            for item in 0..32_u64 {
                let _ = black_box(handoff.push(item));
            }
            out.clear();
            handoff.drain_into(&mut out);
            assert_eq!(out.len(), 32);
        });
    });
    group.bench_function("one batch of 32, one drain", |b| {
        b.iter(|| {
            let _ = black_box(handoff.extend(0..32_u64));
            out.clear();
            handoff.drain_into(&mut out);
            assert_eq!(out.len(), 32);
        });
    });
    group.finish();
}

const CLASSES: [Class; 2] = [Class::Packet, Class::Burst];

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = uncontended, contended, sharing, handoff
}
criterion_main!(benches);
