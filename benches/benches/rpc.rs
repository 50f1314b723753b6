// SPDX-License-Identifier: Apache-2.0

//! Calls of 1 KB each way, one after the other and 100 at a time.
//!
//! Path measured: `Client::rpc` over loopback. Each call opens a stream of its own, whose first packet carries the request;
//! the server reads it to the end, compares it and answers; the client compares the answer. Handshake and path secret are
//! there already. One at a time, the figure is the latency of a call; at 100, it is that of
//! all of them together.
//!
//! The one rule: a call counts only if both ends received what the other one sent; and the requests have left through the
//! timing wheel, by the count of the environment's transmissions.

use criterion::{Criterion, SamplingMode, Throughput};
use futures_util::future::try_join_all;
use s2n_quic_dc_benches::ends::{Ends, Peer};
use s2n_quic_dc_perf::engine::Failure;
use std::{error::Error, time::Duration};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let ends = Ends::start()?;
    let mut answered = 0;

    let mut group = criterion.benchmark_group("rpc/1KB each way");
    group.sampling_mode(SamplingMode::Flat);
    for (name, calls) in [("one at a time", 1), ("100 at a time", 100)] {
        group.throughput(Throughput::Elements(calls));
        group.bench_function(name, |b| {
            b.iter(|| {
                let outcome = ends.run(together(ends.peer(), calls));
                assert!(outcome.is_ok(), "not verified: {outcome:?}");
                answered += calls;
            });
        });
        ends.assert_sent(answered * LEN);
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Returns when all calls are answered, or with the first error.
async fn together(peer: &Peer, calls: u64) -> Result<(), Failure> {
    let calls = (0..calls).map(|_| peer.call(LEN, LEN));
    try_join_all(calls).await.map(drop)
}

/// Bytes of a request, and of its response
const LEN: u64 = 1_000;
