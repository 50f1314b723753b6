// SPDX-License-Identifier: Apache-2.0

//! How exactly the socket worker keeps to the departure times.
//!
//! The one rule: two ranges per power of two of microseconds, so that a range is never wider than half of where it starts.

use crate::counter::Counter;
use core::time::Duration;

/// The last range has no end
const RANGES: usize = 64;

/// How late transmissions of data left: a histogram of the time of sending minus the departure time
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    counts: [u64; RANGES],
}

/// Transmissions that were late by a time within a range
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatenessRange {
    /// The least lateness in it
    pub from: Duration,
    /// The least lateness beyond it
    pub to: Duration,
    /// Transmissions
    pub count: u64,
}

impl Default for Lateness {
    fn default() -> Self {
        Self {
            counts: [0; RANGES],
        }
    }
}

impl Lateness {
    /// All ranges in order, those without transmissions too
    pub fn ranges(&self) -> impl Iterator<Item = LatenessRange> + '_ {
        (0..)
            .zip(&self.counts)
            .map(|(index, &count)| LatenessRange {
                from: start(index),
                to: start(index + 1),
                count,
            })
    }

    /// Transmissions that were counted
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The lateness that a `share` of the transmissions, from 0 to 1, stayed below, as the end of its range; `None` without any
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        self.ranges()
            .find(|range| {
                seen += range.count;
                seen >= rank
            })
            .map(|range| range.to)
    }
}

impl core::ops::AddAssign for Lateness {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

/// The histogram of one socket while it is in use
#[derive(Debug)]
pub(crate) struct LatenessCounters([Counter; RANGES]);

impl Default for LatenessCounters {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Counter::default()))
    }
}

impl LatenessCounters {
    pub(crate) fn add(&self, lateness: Duration) {
        self.0[range_of(lateness)].add(1);
    }

    pub(crate) fn get(&self) -> Lateness {
        Lateness {
            counts: core::array::from_fn(|index| self.0[index].get()),
        }
    }
}

/// Range 0 is below a microsecond; ranges `2e + 1` and `2e + 2` are the two halves of `2^e` to `2^(e + 1)` microseconds
fn range_of(lateness: Duration) -> usize {
    let micros = lateness.as_micros();
    let Some(exponent) = micros.checked_ilog2() else {
        return 0;
    };
    // 1 µs has no upper half: the clock that counts is one of microseconds
    let half = (micros << 1 >> exponent) & 1;
    (2 * exponent as usize + 1 + half as usize).min(RANGES - 1)
}

fn start(range: u32) -> Duration {
    let Some(above) = range.checked_sub(1) else {
        return Duration::ZERO;
    };
    let (exponent, half) = (above / 2, u64::from(above % 2));
    Duration::from_nanos((500 * (2 + half)) << exponent)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_lateness_is_within_its_range() {
        let mut micros = (0..5000).chain((0..31).map(|exponent| (1 << exponent) - 1));
        assert!(micros.all(|micros| {
            let lateness = Duration::from_micros(micros);
            let range = range_of(lateness) as u32;
            start(range) <= lateness && lateness < start(range + 1)
        }));
    }

    #[test]
    fn ranges_are_in_order_and_what_is_past_the_last_is_in_it() {
        for range in 0..RANGES as u32 {
            assert!(start(range) < start(range + 1), "{range}");
        }
        assert_eq!(range_of(Duration::MAX), RANGES - 1);
    }

    #[test]
    fn quantiles_are_read_from_the_ranges() {
        let counters = LatenessCounters::default();
        assert_eq!(counters.get().quantile(0.5), None);
        for micros in [10; 98].into_iter().chain([100, 1000]) {
            counters.add(Duration::from_micros(micros));
        }
        let lateness = counters.get();
        assert_eq!(lateness.count(), 100);
        // 8 to 12, 96 to 128, and 768 to 1024 microseconds
        let quantile = |share| lateness.quantile(share).unwrap().as_micros();
        assert_eq!(quantile(0.0), 12);
        assert_eq!(quantile(0.98), 12);
        assert_eq!(quantile(0.99), 128);
        assert_eq!(quantile(1.0), 1024);
        let mut twice = lateness;
        twice += lateness;
        assert_eq!(twice.count(), 200);
    }
}
