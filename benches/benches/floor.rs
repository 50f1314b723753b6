// SPDX-License-Identifier: Apache-2.0

//! What the wire format takes of a batch beyond its AES-GCM: the least that one stream costs above the `ceiling` of the comparison.
//!
//! Path measured: a batch of 44 datagrams of 1450 bytes, or 7 of 8950, is sealed and opened. `wire` does it with the published encoder and
//! decoder, as streams do (see `batch.rs` beside the benches), and `ceiling` with a packet number for a header, as the flood does.
//!
//! Left out: all that a transport does besides, as windows, records for loss recovery and acknowledgements.
//!
//! The one rule: both have the same bytes of payload in a datagram of the same length, to within the headers, and what was opened is compared.

use criterion::{criterion_group, criterion_main, BatchSize, BenchmarkId, Criterion, Throughput};
use s2n_quic_dc::socket::pool::{Class, Config, Filled, Pool, Purpose};
use s2n_quic_dc_benches::{
    batch::{datagrams, Secret, DATAGRAM_LENS},
    system::flood::packet::{self, Opener, Sealer, HEADER, TAG},
};
use s2n_quic_dc_perf::pattern::Pattern;
use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

fn pattern(datagram_len: usize) -> Vec<u8> {
    let len = datagrams(datagram_len) * datagram_len;
    Pattern::new(datagram_len as u64).bytes(0, len).to_vec()
}

fn wire(c: &mut Criterion) {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    for datagram_len in DATAGRAM_LENS {
        let pool = Pool::new(Config::default()).expect("the default configuration is valid");
        let payload = pattern(datagram_len);
        let secret = Secret::new();
        let (mut sealer, opener) = secret.open_stream();
        let message = sealer.seal(&pool, datagram_len, &payload, to);
        let sealed = message.payload();
        let mut opened = vec![0; payload.len()];
        let received = || {
            let mut received = pool
                .alloc(Class::Burst, Purpose::Control)
                .expect("the bench stays below the ceiling");
            received.as_mut_slice()[..sealed.len()].copy_from_slice(sealed);
            received.fill(sealed.len()).expect("it fitted before")
        };
        let mut open = |filled: Filled| {
            let segments = filled
                .into_segments(message.segment_len())
                .expect("nobody shares it");
            let len = opener.open(segments, &mut opened);
            let len = len.expect("what was sealed can be opened");
            black_box(&opened[..len]).len()
        };
        let len = open(received());
        let mut group = c.benchmark_group("floor");
        group.throughput(Throughput::Elements(datagrams(datagram_len) as u64));
        group.bench_function(BenchmarkId::new("seal/wire", datagram_len), |b| {
            let mut sealer = secret.open_stream().0;
            b.iter(|| {
                if sealer.is_used_up() {
                    sealer = secret.open_stream().0;
                }
                sealer.seal(&pool, datagram_len, black_box(&payload), to)
            });
        });
        group.bench_function(BenchmarkId::new("open/wire", datagram_len), |b| {
            b.iter_batched(received, &mut open, BatchSize::PerIteration);
        });
        group.finish();
        assert_eq!(open(received()), len);
        assert!(len > 0 && opened[..len] == payload[..len]);
    }
}

fn ceiling(c: &mut Criterion) {
    let (Sealer::Aes(sealer), Opener::Aes(opener)) = packet::keys().expect("random bytes") else {
        panic!("the ceiling is encrypted");
    };
    for datagram_len in DATAGRAM_LENS {
        let payload = pattern(datagram_len);
        let data_len = datagram_len - HEADER - TAG;
        let mut sealed = vec![0; payload.len()];
        let mut opened = vec![0; payload.len()];
        let seal = |sealed: &mut [u8]| {
            let data = black_box(&payload).chunks_exact(data_len);
            for ((number, datagram), data) in (0..).zip(sealed.chunks_mut(datagram_len)).zip(data) {
                packet::seal(&sealer, number, data, datagram).expect("it has room");
            }
        };
        let mut open = |received: &mut Vec<u8>| {
            let data = opened.chunks_mut(data_len);
            for ((number, datagram), data) in (0..).zip(received.chunks(datagram_len)).zip(data) {
                packet::open(&opener, number, datagram, data).expect("it authenticates");
            }
        };
        let mut group = c.benchmark_group("floor");
        group.throughput(Throughput::Elements(datagrams(datagram_len) as u64));
        group.bench_function(BenchmarkId::new("seal/ceiling", datagram_len), |b| {
            b.iter(|| seal(&mut sealed));
        });
        seal(&mut sealed);
        group.bench_function(BenchmarkId::new("open/ceiling", datagram_len), |b| {
            b.iter_batched_ref(|| sealed.clone(), &mut open, BatchSize::PerIteration);
        });
        group.finish();
        open(&mut sealed);
        let len = datagrams(datagram_len) * data_len;
        assert!(opened[..len] == payload[..len]);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = wire, ceiling
}
criterion_main!(benches);
