// SPDX-License-Identifier: Apache-2.0

//! What a round trip through the descriptor pool costs.
//!
//! The one rule: each bench checks that it measured the recycled path, not the allocator.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use s2n_quic_dc::{
    socket::pool::{Class, Config, Pool, Purpose, Unfilled},
    sync::handoff::Handoff,
};
use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// A pool that has handed out and taken back one descriptor of each class.
fn primed() -> Pool {
    let pool = Pool::new(Config::default()).expect("the default configuration is valid");
    for class in [Class::Packet, Class::Burst] {
        drop(alloc(&pool, class));
    }
    pool
}

fn alloc(pool: &Pool, class: Class) -> Unfilled {
    pool.alloc(class, Purpose::Data)
        .expect("the bench stays below the ceiling")
}

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool");
    for class in [Class::Packet, Class::Burst] {
        let pool = primed();
        group.bench_function(format!("alloc and free/{class:?}"), |b| {
            b.iter(|| drop(black_box(alloc(&pool, class))));
        });
        assert_eq!(pool.stats().misses, 2);
    }
    group.finish();
}

/// The other core does the same on the same pool all the while.
fn round_trip_contended(c: &mut Criterion) {
    let pool = primed();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(black_box(alloc(&pool, Class::Packet)));
            }
        });
        c.bench_function("pool/alloc and free/contended", |b| {
            b.iter(|| drop(black_box(alloc(&pool, Class::Packet))));
        });
        stop.store(true, Ordering::Relaxed);
    });
    assert!(pool.stats().misses <= 3);
}

fn sharing(c: &mut Criterion) {
    let pool = primed();
    let filled = alloc(&pool, Class::Burst).fill(1).expect("one byte fits");
    c.bench_function("pool/clone and drop", |b| {
        b.iter(|| drop(black_box(filled.clone())))
    });

    let mut group = c.benchmark_group("pool");
    group.throughput(Throughput::Elements(44));
    group.bench_function("fill, cut into 44 segments, free", |b| {
        b.iter(|| {
            let filled = alloc(&pool, Class::Burst)
                .fill(44 * 1472)
                .expect("44 packets fit");
            let segments = filled.into_segments(1472).expect("nobody shares it");
            black_box(segments.count())
        });
    });
    group.finish();
    assert!(pool.stats().misses <= 3);
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

criterion_group!(benches, round_trip, round_trip_contended, sharing, handoff);
criterion_main!(benches);
