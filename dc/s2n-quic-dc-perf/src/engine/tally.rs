// SPDX-License-Identifier: Apache-2.0

//! Where streams and calls report how they ended.
//!
//! The one rule: every stream and call has exactly one outcome, verified or failed, and only verified bytes are counted.

use super::transfer::Failure;
use crate::{failures::Failures, outcome};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What has come out so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// Bulk streams that were verified.
    pub(super) streams: u64,
    /// Their bytes.
    pub(super) bulk_bytes: u64,
    /// Calls that were answered rightly.
    pub(super) calls: u64,
    /// Their bytes, both ways, of all peers that were waited for.
    pub(super) call_bytes: u64,
    /// Nanoseconds that streams took.
    pub(super) stream_time: Histogram<u64>,
    /// Nanoseconds that calls took.
    pub(super) call_time: Histogram<u64>,
    pub(super) failures: Failures,
}

/// A tally that many tasks add to, with what has moved before it has an outcome.
#[derive(Debug)]
pub(super) struct Scores {
    tally: Mutex<Tally>,
    moved: AtomicU64,
    calls: AtomicU64,
}

impl Scores {
    pub(super) fn new() -> Self {
        Self {
            tally: Mutex::new(Tally {
                streams: 0,
                bulk_bytes: 0,
                calls: 0,
                call_bytes: 0,
                stream_time: outcome::latencies(),
                call_time: outcome::latencies(),
                failures: Failures::default(),
            }),
            moved: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        }
    }

    /// Bytes of bulk data were written or read.
    pub(super) fn on_moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Relaxed);
    }

    pub(super) fn on_stream(&self, bytes: u64, took: Duration) {
        let mut tally = self.tally.lock();
        tally.streams += 1;
        tally.bulk_bytes += bytes;
        outcome::add_latency(&mut tally.stream_time, took);
    }

    pub(super) fn on_call(&self, bytes: u64, took: Duration) {
        self.calls.fetch_add(1, Relaxed);
        self.moved.fetch_add(bytes, Relaxed);
        let mut tally = self.tally.lock();
        tally.calls += 1;
        tally.call_bytes += bytes;
        outcome::add_latency(&mut tally.call_time, took);
    }

    /// `what` failed at the place that the failure names.
    pub(super) fn on_failure(&self, what: &str, number: u32, failure: &Failure) {
        let place = failure
            .position()
            .map(|position| format!("{what} {number}, byte {position}"));
        let mut tally = self.tally.lock();
        tally.failures.add(1, &failure.to_string(), place);
    }

    /// So many slots were given up for this reason.
    pub(super) fn on_given_up(&self, slots: usize, reason: &str) {
        self.tally.lock().failures.add(slots, reason, None);
    }

    /// Bytes moved and calls answered so far.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.moved.load(Relaxed), self.calls.load(Relaxed))
    }

    /// Takes the tally; what is reported from now on goes to an empty one.
    pub(super) fn take(&self) -> Tally {
        let empty = Self::new().tally.into_inner();
        std::mem::replace(&mut *self.tally.lock(), empty)
    }
}
