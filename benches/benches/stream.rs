// SPDX-License-Identifier: Apache-2.0

//! The throughput of one stream: an upload over loopback, from opening the stream to the server's verdict on every byte.
//!
//! The one rule: an iteration whose bytes did not all arrive is a failure, not a sample.

use criterion::{Criterion, SamplingMode, Throughput};
use s2n_quic_dc_perf::{
    client,
    handshake::Loopback,
    pattern,
    request::{Direction, Request},
    server, transfer,
};
use std::{
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    upload(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn upload(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    // the handshake is made here, once
    let ends = runtime.block_on(Loopback::start())?;
    runtime.spawn(server::serve(ends.server().clone()));
    let number = AtomicU64::new(0);

    let mut group = criterion.benchmark_group("stream");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(8))
        .throughput(Throughput::Bytes(LENGTH));
    group.bench_function("upload", |bencher| {
        bencher.iter(|| {
            let request = Request {
                direction: Direction::Upload,
                seed: pattern::seed(number.fetch_add(1, Ordering::Relaxed)),
                length: LENGTH,
            };
            let mut written = 0;
            let upload = client::transfer(&ends, &request, transfer::buffer_size(1), |bytes| {
                written += bytes;
            });
            let verdict = runtime.block_on(upload);
            assert!(verdict.is_ok(), "not verified: {verdict:?}");
            assert_eq!(written, LENGTH);
        });
    });
    group.finish();
    // before the ends, whose own runtimes must not be dropped by a task
    drop(runtime);
    Ok(())
}

/// Bytes in an iteration: enough for the stream to leave its start behind, few enough for ten samples in half a minute at a tenth
/// of a gigabit per second.
const LENGTH: u64 = 20_000_000;
