// SPDX-License-Identifier: Apache-2.0

//! Time that stands still until it is told otherwise.
//!
//! The one rule: nothing but the simulation moves it, and never back.

use crate::clock::{self, SleepHandle};
use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use s2n_quic_core::time::Timestamp;
use std::sync::Arc;

/// Not zero, which the timestamps cannot hold
const START: u64 = 1_000_000;

/// A clock that is shared by its clones
#[derive(Clone)]
pub(crate) struct Clock {
    micros: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            micros: Arc::new(AtomicU64::new(START)),
        }
    }

    pub(crate) fn micros(&self) -> u64 {
        self.micros.load(Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        timestamp(self.micros())
    }

    /// Since the start
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_micros(self.micros() - START)
    }

    pub(crate) fn advance_to(&self, micros: u64) {
        let before = self.micros.swap(micros, Ordering::Relaxed);
        assert!(before <= micros, "time went back");
    }
}

pub(crate) fn timestamp(micros: u64) -> Timestamp {
    // SAFETY: the simulation has one clock, and nothing else makes timestamps
    unsafe { Timestamp::from_duration(Duration::from_micros(micros)) }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.elapsed())
    }
}

impl s2n_quic_core::time::Clock for Clock {
    fn get_time(&self) -> Timestamp {
        self.now()
    }
}

impl clock::Clock for Clock {
    fn sleep(&self, _amount: Duration) -> (SleepHandle, Timestamp) {
        unreachable!("streams have the timers of their shard")
    }
}
