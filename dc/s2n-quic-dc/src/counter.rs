// SPDX-License-Identifier: Apache-2.0

//! Counters and gauges that many threads add to and somebody reads now and then.
//!
//! The one rule: relaxed atomics only; nothing is decided by them.

use core::sync::atomic::{AtomicU64, Ordering};

/// Counts events; it only grows
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level, and the highest that it had
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    level: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    pub(crate) fn set(&self, level: u64) {
        self.level.store(level, Ordering::Relaxed);
        if level > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(level, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.level.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}
