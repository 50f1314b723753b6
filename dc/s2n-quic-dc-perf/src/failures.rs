// SPDX-License-Identifier: Apache-2.0

//! What failed, grouped by what the errors say.
//!
//! The one rule: a failure is counted once, under the text that tells it from others; where it happened is kept for the first.

use std::{collections::BTreeMap, fmt};

/// Streams and calls that failed, by what their error says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(BTreeMap<String, Group>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        group.streams = group.streams.saturating_add(streams);
        if group.first_place.is_none() {
            group.first_place = place;
        }
    }

    /// The number of streams and calls that failed.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.0
            .values()
            .fold(0, |sum: usize, group| sum.saturating_add(group.streams))
    }

    /// Each error text with the number of streams and calls that failed with it, in the order of the texts.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .iter()
            .map(|(error, group)| (error.as_str(), group.streams as u64))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_grouped_by_text_and_the_largest_group_comes_first() {
        let mut failures = Failures::default();
        failures.add(1, "rare", Some("stream 3, byte 9".into()));
        failures.add(1, "usual", None);
        failures.add(2, "usual", None);
        failures.add(1, "rare", Some("stream 4, byte 0".into()));
        failures.add(0, "never", None);
        assert_eq!(failures.streams(), 5);
        assert_eq!(
            failures.to_string(),
            "         3 x usual\n         2 x rare (first: stream 3, byte 9)\n"
        );
        let counts: Vec<_> = failures.counts().collect();
        assert_eq!(counts, [("rare", 2), ("usual", 3)]);
    }

    #[test]
    fn a_place_that_comes_with_a_later_failure_is_kept() {
        let mut failures = Failures::default();
        failures.add(1, "error", None);
        failures.add(1, "error", Some("stream 7".into()));
        assert_eq!(
            failures.to_string(),
            "         2 x error (first: stream 7)\n"
        );
    }
}
