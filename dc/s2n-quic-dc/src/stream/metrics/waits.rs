// SPDX-License-Identifier: Apache-2.0

//! What writers waited for.
//!
//! The one rule: a writer waits for one thing at a time, so the parts add up to the time that streams were not writing.

use crate::counter::Counter;
use core::time::Duration;

/// Time that writers waited, summed over all streams, by what they waited for
///
/// A wait is counted when it ends, that is when the writer is polled again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waits {
    /// For the peer's MAX_DATA, or for acknowledgements of what is unacknowledged
    pub stream_credit: Duration,
    /// For the path's window
    pub path_window: Duration,
    /// For transmissions to leave the wheel
    pub pending: Duration,
    /// For a descriptor of the pool
    pub pool: Duration,
    /// For the packets under an old key to be acknowledged
    pub key_update: Duration,
    /// For the application to write more
    pub application: Duration,
}

impl Waits {
    /// All of them together
    pub fn total(&self) -> Duration {
        let Self {
            stream_credit,
            path_window,
            pending,
            pool,
            key_update,
            application,
        } = *self;
        stream_credit + path_window + pending + pool + key_update + application
    }
}

impl core::ops::AddAssign for Waits {
    fn add_assign(&mut self, other: Self) {
        self.stream_credit += other.stream_credit;
        self.path_window += other.path_window;
        self.pending += other.pending;
        self.pool += other.pool;
        self.key_update += other.key_update;
        self.application += other.application;
    }
}

/// What a writer waits for
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    StreamCredit,
    PathWindow,
    Pending,
    Pool,
    KeyUpdate,
    Application,
}

/// Nanoseconds of one socket's streams, by reason
#[derive(Debug, Default)]
pub(crate) struct WaitCounters([Counter; 6]);

impl WaitCounters {
    pub(crate) fn add(&self, reason: Reason, waited: Duration) {
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        if nanos > 0 {
            self.0[reason as usize].add(nanos);
        }
    }

    pub(crate) fn get(&self) -> Waits {
        let of = |reason: Reason| Duration::from_nanos(self.0[reason as usize].get());
        Waits {
            stream_credit: of(Reason::StreamCredit),
            path_window: of(Reason::PathWindow),
            pending: of(Reason::Pending),
            pool: of(Reason::Pool),
            key_update: of(Reason::KeyUpdate),
            application: of(Reason::Application),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_sum_of_its_own() {
        let counters = WaitCounters::default();
        let reasons = [
            Reason::StreamCredit,
            Reason::PathWindow,
            Reason::Pending,
            Reason::Pool,
            Reason::KeyUpdate,
            Reason::Application,
        ];
        for (exponent, reason) in reasons.into_iter().enumerate() {
            counters.add(reason, Duration::from_nanos(1 << exponent));
            counters.add(reason, Duration::from_nanos(1 << exponent));
        }
        let waits = counters.get();
        assert_eq!(waits.stream_credit.as_nanos(), 2);
        assert_eq!(waits.path_window.as_nanos(), 4);
        assert_eq!(waits.pending.as_nanos(), 8);
        assert_eq!(waits.pool.as_nanos(), 16);
        assert_eq!(waits.key_update.as_nanos(), 32);
        assert_eq!(waits.application.as_nanos(), 64);
        assert_eq!(waits.total().as_nanos(), 126);
        let mut twice = waits;
        twice += waits;
        assert_eq!(twice.total().as_nanos(), 252);
    }
}
