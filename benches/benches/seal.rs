// SPDX-License-Identifier: Apache-2.0

//! Sealing one full GSO batch: 44 datagrams of 1450 bytes, and 7 of 8950.
//!
//! Path measured: from the caller's buffer into a descriptor of the pool, by the functions that a write calls for a batch:
//! `Pool::alloc`, `msg::send::Builder::{push, finish}`, and for each packet `packet::stream::encoder::encode`, which writes
//! the header and encrypts with AES-128-GCM; then the descriptor goes home. See `batch.rs` beside the benches for the calls.
//!
//! Beside it the same batch as the `ceiling` of the comparison seals it, with nothing but a packet number in front: what `seal/batch` takes more is
//! the wire format's, whatever else a transport does.
//!
//! Left out of `stream/send/queue.rs`: credit and window, the record of each packet for loss recovery, events, and the
//! hand-over to the wheel.
//!
//! The one rule: what was sealed can be opened. The packets of a first and a last batch are opened with the peer's keys and
//! compared with what the caller wrote; every batch has the expected number of packets, and takes a descriptor that was used
//! before.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use s2n_quic_dc::{
    msg::send::Message,
    socket::pool::{Class, Config, Pool, Purpose},
};
use s2n_quic_dc_benches::{
    batch::{datagrams, Opener, Secret, DATAGRAM_LENS},
    system::flood::Batch,
};
use s2n_quic_dc_perf::pattern::Pattern;
use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal/batch");
    let secret = Secret::new();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    for datagram_len in DATAGRAM_LENS {
        let pool = Pool::new(Config::default()).expect("the default configuration is valid");
        let packets = datagrams(datagram_len);
        // more than a batch holds, as a large write has
        let mut payload = vec![0; packets * datagram_len];
        let len = payload.len();
        payload.copy_from_slice(Pattern::new(datagram_len as u64).bytes(0, len));

        let (mut sealer, mut opener) = secret.open_stream();
        let first = sealer.seal(&pool, datagram_len, &payload, to);
        check(&first, &pool, &opener, datagram_len, &payload);
        drop(first);

        let misses = pool.stats().misses;
        group.throughput(Throughput::Bytes((packets * datagram_len) as u64));
        group.bench_function(BenchmarkId::from_parameter(datagram_len), |b| {
            b.iter(|| {
                if sealer.is_used_up() {
                    (sealer, opener) = secret.open_stream();
                }
                let message = sealer.seal(&pool, datagram_len, black_box(&payload), to);
                assert_eq!(message.segments().len(), packets);
            });
        });
        assert_eq!(pool.stats().misses, misses, "the allocator was measured");

        let last = sealer.seal(&pool, datagram_len, &payload, to);
        check(&last, &pool, &opener, datagram_len, &payload);
    }
    group.finish();
}

fn ceiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal/ceiling");
    for datagram_len in DATAGRAM_LENS {
        let mut batch = Batch::new(datagram_len);
        assert_eq!(batch.datagrams(), datagrams(datagram_len));
        group.throughput(Throughput::Bytes(batch.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(datagram_len), |b| {
            b.iter(|| black_box(&mut batch).seal());
        });
        batch.seal();
        batch.receive();
        batch.open();
        assert!(batch.is_intact(), "something else was sealed");
    }
    group.finish();
}

/// Opens all packets and compares what was in them with the start of `payload`.
fn check(message: &Message, pool: &Pool, opener: &Opener, datagram_len: usize, payload: &[u8]) {
    assert_eq!(message.segments().len(), datagrams(datagram_len));
    assert!(message
        .segments()
        .all(|packet| packet.len() == datagram_len));
    let sealed = message.payload();
    let mut received = pool
        .alloc(Class::Burst, Purpose::Control)
        .expect("the bench stays below the ceiling");
    received.as_mut_slice()[..sealed.len()].copy_from_slice(sealed);
    let segments = received
        .fill(sealed.len())
        .expect("it fitted before")
        .into_segments(message.segment_len())
        .expect("nobody shares it");

    let mut opened = vec![0; payload.len()];
    let len = opener
        .open(segments, &mut opened)
        .expect("what was sealed can be opened");
    // what is not payload is the header and the tag of each packet
    assert!(
        len + packets_overhead(datagram_len) >= sealed.len(),
        "{len}"
    );
    assert!(opened[..len] == payload[..len], "something else was sealed");
}

/// The most that a batch may hold besides payload.
fn packets_overhead(datagram_len: usize) -> usize {
    datagrams(datagram_len) * 80
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = seal, ceiling
}
criterion_main!(benches);
