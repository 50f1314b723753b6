// SPDX-License-Identifier: Apache-2.0

//! What the user sees: a table line per workload, failures grouped by what they say, and progress on a terminal.
//!
//! The one rule: standard output carries results only; progress goes to standard error, and only when that is a terminal.

use crate::workload::Workload;
use std::{
    collections::BTreeMap,
    fmt,
    io::{stderr, IsTerminal as _, Write as _},
    time::Duration,
};

/// How a workload ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was run.
    pub workload: Workload,
    /// Bytes of the streams that were verified from the first to the last.
    pub verified: u64,
    /// From opening the first stream to the outcome of the last.
    pub elapsed: Duration,
    /// The streams that were not verified.
    pub failures: Failures,
}

/// Streams that failed, by what their error says.
#[derive(Debug, Default)]
pub struct Failures(BTreeMap<String, Group>);

#[derive(Debug, Default)]
struct Group {
    streams: usize,
    first_place: Option<String>,
}

impl Failures {
    /// Adds `streams` that failed with `error`; `place` tells where the first of them did.
    pub fn add(&mut self, streams: usize, error: &str, place: Option<String>) {
        if streams == 0 {
            return;
        }
        let group = self.0.entry(error.to_owned()).or_default();
        group.streams += streams;
        if group.first_place.is_none() {
            group.first_place = place;
        }
    }

    /// The number of streams that failed.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.0.values().map(|group| group.streams).sum()
    }
}

impl fmt::Display for Failures {
    /// One line per kind of error, the most frequent first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<_> = self.0.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.streams));
        for (error, group) in groups {
            write!(f, "{:>10} x {error}", group.streams)?;
            if let Some(place) = &group.first_place {
                write!(f, " (first: {place})")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The heading of the table.
pub const HEADING: &str =
    "workload              direction  streams          bytes   seconds   Gbit/s   failed";

impl fmt::Display for Outcome {
    /// A line of the table, then a line per kind of failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20}  {:<9}  {:>7}  {:>13}  {:>8.3}  {:>7.2}  {:>7}",
            self.workload.to_string(),
            self.workload.direction,
            self.workload.streams,
            self.verified,
            self.elapsed.as_secs_f64(),
            gigabits_per_second(self.verified, self.elapsed),
            self.failures.streams(),
        )?;
        self.failures.fmt(f)
    }
}

/// The line on standard error that says how far a workload is.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
}

impl Progress {
    /// How often the line is renewed. Arbitrary: often enough to look alive.
    pub const INTERVAL: Duration = Duration::from_millis(500);

    /// Shows progress if standard error is a terminal.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            terminal: stderr().is_terminal(),
        }
    }

    /// Shows nothing.
    #[must_use]
    pub const fn quiet() -> Self {
        Self { terminal: false }
    }

    /// Says that `moved` bytes of `workload` were read or written so far.
    pub fn show(&mut self, workload: &Workload, moved: u64, elapsed: Duration) {
        if self.terminal {
            let line = progress_line(workload, moved, elapsed);
            self.print(&line);
        }
    }

    /// Removes the line.
    pub fn clear(&mut self) {
        if self.terminal {
            self.print("");
        }
    }

    fn print(&mut self, line: &str) {
        let mut out = stderr().lock();
        let written = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
        // a terminal that has gone away needs no progress
        self.terminal = written.is_ok();
    }
}

fn progress_line(workload: &Workload, moved: u64, elapsed: Duration) -> String {
    let total = u128::from(workload.size.bytes()) * u128::from(workload.streams);
    format!(
        "{workload} {}: {} %, {:.2} Gbit/s",
        workload.direction,
        u128::from(moved) * 100 / total,
        gigabits_per_second(moved, elapsed)
    )
}

/// Decimal gigabits of `bytes` per second; 0 if no time has passed.
fn gigabits_per_second(bytes: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() {
        return 0.0;
    }
    bytes as f64 * 8.0 / 1e9 / elapsed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{request::Direction, size::Size};

    fn outcome(failures: Failures) -> Outcome {
        Outcome {
            workload: Workload {
                streams: 10,
                size: Size::new(100_000_000).unwrap(),
                direction: Direction::Upload,
            },
            verified: 1_000_000_000,
            elapsed: Duration::from_secs(4),
            failures,
        }
    }

    #[test]
    fn the_columns_stand_under_their_headings() {
        let line = outcome(Failures::default()).to_string();
        assert_eq!(line.trim_end().len(), HEADING.len());
        for (heading, value) in [("workload", "10 x 100 MB"), ("direction", "upload")] {
            assert_eq!(HEADING.find(heading), line.find(value), "{heading}");
        }
        for (heading, value) in [
            ("bytes", "1000000000"),
            ("seconds", "4.000"),
            ("Gbit/s", "2.00"),
        ] {
            let end = |text: &str, word: &str| text.find(word).unwrap() + word.len();
            assert_eq!(end(HEADING, heading), end(&line, value), "{heading}");
        }
    }

    #[test]
    fn failures_are_grouped_by_text_and_the_largest_group_comes_first() {
        let mut failures = Failures::default();
        failures.add(1, "rare", Some("stream 3, byte 9".into()));
        failures.add(1, "often", None);
        failures.add(2, "often", None);
        failures.add(1, "rare", Some("stream 4, byte 0".into()));
        failures.add(0, "never", None);
        assert_eq!(failures.streams(), 5);
        assert_eq!(
            failures.to_string(),
            "         3 x often\n         2 x rare (first: stream 3, byte 9)\n"
        );
        assert!(outcome(failures).to_string().contains("  5\n"));
    }

    #[test]
    fn progress_is_a_share_of_all_streams() {
        let workload = outcome(Failures::default()).workload;
        let line = progress_line(&workload, 250_000_000, Duration::from_secs(1));
        assert_eq!(line, "10 x 100 MB upload: 25 %, 2.00 Gbit/s");
        let line = progress_line(&workload, 0, Duration::ZERO);
        assert_eq!(line, "10 x 100 MB upload: 0 %, 0.00 Gbit/s");
    }
}
