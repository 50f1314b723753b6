// SPDX-License-Identifier: Apache-2.0

//! How a workload ended, with all that was measured.
//!
//! The one rule: facts only; what is printed of them, and how, is decided by those who print.

use crate::{
    failures::Failures,
    measure::{Sample, Usage},
    workload::Workload,
};
use hdrhistogram::Histogram;
use std::time::Duration;

/// How a workload ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub workload: Workload,
    /// From opening the first stream to the end of the last.
    pub elapsed: Duration,
    /// Bulk streams whose every byte was right.
    pub streams: u64,
    /// Their bytes.
    pub bulk_bytes: u64,
    /// Bytes whose content was compared and right: those of bulk streams, and requests and responses.
    pub verified_bytes: u64,
    /// Calls that were answered rightly.
    pub calls: u64,
    /// Nanoseconds that each call took, or for kinds without calls each stream, from opening it to its verdict.
    pub latency: Histogram<u64>,
    /// What was not verified.
    pub failures: Failures,
    /// What the process used.
    pub usage: Usage,
    /// The system's counters at the end.
    pub sample: Sample,
    /// How it went over time.
    pub series: Vec<Point>,
    /// Why it ended.
    pub end: End,
    /// Whether clients and servers were in this process.
    pub both_ends: bool,
}

/// Why a workload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every stream and call has an outcome.
    Completed,
    /// Its time was over before that; what was left counts as failed.
    TimedOut,
    /// Somebody stopped it; what was left does not count.
    Interrupted,
}

/// One moment of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Time since the start.
    pub at: Duration,
    /// Bytes that clients have written or read, and those of calls that were answered.
    pub moved: u64,
    /// Calls that were answered.
    pub calls: u64,
    /// Transmissions in the wheels.
    pub wheel_entries: Option<u64>,
    /// Bytes of descriptors in use.
    pub pool_bytes: Option<u64>,
}

/// Points in time, thinned out evenly as they become many.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    points: Vec<Point>,
    /// One in this many is kept.
    stride: u64,
    seen: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            stride: 1,
            seen: 0,
        }
    }
}

impl Series {
    /// More than a plot can show.
    const MAX_POINTS: usize = 4096;

    pub(crate) fn push(&mut self, point: Point) {
        if self.seen.is_multiple_of(self.stride) {
            if self.points.len() == Self::MAX_POINTS {
                let mut index = 0;
                self.points.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
            self.points.push(point);
        }
        self.seen += 1;
    }

    pub(crate) fn into_points(self) -> Vec<Point> {
        self.points
    }
}

/// An empty histogram of how long calls or streams took: from a microsecond to an hour with three digits, in nanoseconds.
#[must_use]
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are constant"))
}

/// Adds one to a histogram of [`latencies`]; what is out of its bounds counts as the nearest that is not.
pub fn add_latency(latencies: &mut Histogram<u64>, took: Duration) {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    latencies.saturating_record(nanos);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_is_thinned_out_evenly() {
        let mut series = Series::default();
        for millis in 0..100_000 {
            series.push(Point {
                at: Duration::from_millis(millis),
                moved: 0,
                calls: 0,
                wheel_entries: None,
                pool_bytes: None,
            });
        }
        let points = series.into_points();
        assert!((2000..=4096).contains(&points.len()), "{}", points.len());
        let step = points[1].at - points[0].at;
        assert!(points
            .windows(2)
            .all(|pair| pair[1].at - pair[0].at == step));
        assert_eq!(points[0].at, Duration::ZERO);
    }
}
