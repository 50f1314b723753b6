// SPDX-License-Identifier: Apache-2.0

//! A workload: many streams at once, all alike, with the time that they take together.
//!
//! The one rule: every stream has exactly one outcome, verified or failed, and one that is not finished in time has failed.

use crate::{
    client,
    handshake::Loopback,
    pattern,
    report::{Failures, Outcome, Progress},
    request::{Direction, Request},
    size::Size,
    transfer::{self, Failure},
};
use std::{
    fmt,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{interval, sleep_until, Instant},
};

/// So many streams of so many bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Streams, all open at once.
    pub streams: u32,
    /// Bytes of data on each.
    pub size: Size,
    /// Which way the data goes.
    pub direction: Direction,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.streams, self.size)
    }
}

/// Runs `workload` and waits until every stream is done, has failed, or `timeout` is over.
///
/// `first_seed` is the number of the first stream's seed; the others follow. Dropping the future closes all streams.
pub async fn run(
    ends: &Arc<Loopback>,
    workload: Workload,
    first_seed: u64,
    timeout: Duration,
    progress: &mut Progress,
) -> Outcome {
    let moved = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut streams = JoinSet::new();
    for number in 0..workload.streams {
        let (ends, moved) = (ends.clone(), moved.clone());
        let request = Request {
            direction: workload.direction,
            seed: pattern::seed(first_seed + u64::from(number)),
            length: workload.size.bytes(),
        };
        streams.spawn(async move {
            let buffer = transfer::buffer_size(workload.streams as usize);
            let count = |bytes| {
                moved.fetch_add(bytes, Ordering::Relaxed);
            };
            (
                number,
                client::transfer(&ends, &request, buffer, count).await,
            )
        });
    }

    let mut verified = 0;
    let mut failures = Failures::default();
    let mut tick = interval(Progress::INTERVAL);
    loop {
        tokio::select! {
            biased;
            next = streams.join_next() => match next {
                Some(Ok((_, Ok(())))) => verified += 1,
                Some(Ok((number, Err(failure)))) => note(&mut failures, number, &failure),
                Some(Err(panic)) => failures.add(1, &panic.to_string(), None),
                None => break,
            },
            () = sleep_until(start + timeout) => {
                let late = streams.len();
                failures.add(late, &format!("not finished after {} s", timeout.as_secs()), None);
                streams.shutdown().await;
                break;
            }
            _ = tick.tick() => progress.show(&workload, moved.load(Ordering::Relaxed), start.elapsed()),
        }
    }
    let elapsed = start.elapsed();
    progress.clear();
    Outcome {
        workload,
        verified: verified * workload.size.bytes(),
        elapsed,
        failures,
    }
}

fn note(failures: &mut Failures, number: u32, failure: &Failure) {
    let place = failure
        .position()
        .map(|position| format!("stream {number}, byte {position}"));
    failures.add(1, &failure.to_string(), place);
}
