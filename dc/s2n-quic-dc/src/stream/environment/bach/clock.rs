// SPDX-License-Identifier: Apache-2.0

//! The simulation's time as streams and workers read it.
//!
//! The one rule: it can be read at any time. Streams that are dropped after the end of the simulation find it standing still.

use crate::clock::{self, at_tick, SleepHandle};
use ::bach::time::Instant;
use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use s2n_quic_core::time::Timestamp;
use std::sync::Arc;

/// A clock that is shared by its clones, in microseconds since it was made
#[derive(Clone, Debug)]
pub(super) struct SimClock {
    start: Instant,
    /// The last time that was read
    last: Arc<AtomicU64>,
}

impl SimClock {
    /// A clock that starts now; panics outside of a simulation
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: Arc::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let micros = match Instant::try_now() {
            Some(now) => {
                let elapsed = now.saturating_duration_since(self.start);
                // 584 thousand years, which is more than the simulation's nanoseconds hold
                let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
                self.last.store(micros, Ordering::Relaxed);
                micros
            }
            None => self.last.load(Ordering::Relaxed),
        };
        at_tick(micros)
    }

    /// The first moment at which [`Self::now`] returns `target`
    pub(super) fn instant(&self, target: Timestamp) -> Instant {
        self.start + Duration::from_micros(clock::ticks(target))
    }
}

impl s2n_quic_core::time::Clock for SimClock {
    fn get_time(&self) -> Timestamp {
        self.now()
    }
}

impl clock::Clock for SimClock {
    fn sleep(&self, amount: Duration) -> (SleepHandle, Timestamp) {
        clock::Clock::sleep(&clock::bach::Clock::default(), amount)
    }
}
