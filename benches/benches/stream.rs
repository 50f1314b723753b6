// SPDX-License-Identifier: Apache-2.0

//! The throughput of one stream by its size: 1 KB, 16 KB, 256 KB, 4 MB and 64 MB.
//!
//! Path measured: everything. The client opens a stream over loopback, writes, and ends it; the server reads to the end,
//! compares every byte and confirms. Handshake and path secret are there already, the sockets and the paths warm. Small
//! streams show what opening and confirming cost, a round trip among it; large ones what the sustained rate is. Both ends,
//! and the making and comparing of bytes, share the machine's processors.
//!
//! The one rule: an iteration whose bytes did not all arrive is a failure, not a sample; and what arrived has left through
//! the timing wheel, by the count of the environment's transmissions.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use s2n_quic_dc_benches::ends::Ends;
use std::{error::Error, time::Duration};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let ends = Ends::start()?;
    let mut transferred = 0;

    let mut group = criterion.benchmark_group("stream/upload");
    group.sampling_mode(SamplingMode::Flat);
    for (name, bytes) in SIZES {
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let verdict = ends.run(ends.peer().transfer(bytes));
                assert!(verdict.is_ok(), "not verified: {verdict:?}");
                transferred += bytes;
            });
        });
        ends.assert_sent(transferred);
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Bytes of each stream
const SIZES: [(&str, u64); 5] = [
    ("1KB", 1_000),
    ("16KB", 16_000),
    ("256KB", 256_000),
    ("4MB", 4_000_000),
    ("64MB", 64_000_000),
];
