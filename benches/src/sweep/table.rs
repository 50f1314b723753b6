// SPDX-License-Identifier: Apache-2.0

//! The figures of a sweep, and what follows from them.
//!
//! The one rule: a measurement that failed has no figure. It is empty in the file, and neither median nor choice know of it.

use std::{fmt, time::Duration};

/// The limits that are measured: [`Config::max_in_flight_transmissions`](s2n_quic_dc::stream::environment::udp::Config).
pub const LIMITS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// The numbers of streams that share the bytes.
pub const STREAMS: [u32; 3] = [1, 10, 1000];
/// What is added to each way over loopback. Zero is without a relay.
pub const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(1)];

/// How far below the best median a choice may be. Arbitrary: about what two runs of one setup differ by on a machine at rest.
const TOLERANCE: f64 = 0.03;

/// What is measured in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What is added to each way.
    pub delay: Duration,
    /// Uploads at once.
    pub streams: u32,
    /// Transmissions that each may have in the wheel.
    pub limit: usize,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            delay,
            streams,
            limit,
        } = self;
        write!(
            f,
            "{:>4} us each way, {streams:>4} streams, limit {limit:>2}",
            delay.as_micros()
        )
    }
}

/// A setup with its figures in Gbit/s, one for each round; `None` if the measurement failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub setup: Setup,
    /// In the order of the rounds.
    pub gbps: Vec<Option<f64>>,
}

impl Row {
    /// The median of the figures that there are.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        median(self.gbps.iter().copied().flatten().collect())
    }

    fn csv(&self) -> String {
        let Setup {
            delay,
            streams,
            limit,
        } = self.setup;
        let figures = self.gbps.iter().copied().chain([self.median()]);
        let figures = figures.map(|gbps| gbps.map_or(String::new(), |gbps| format!("{gbps:.3}")));
        let mut cells = vec![
            delay.as_micros().to_string(),
            streams.to_string(),
            limit.to_string(),
        ];
        cells.extend(figures);
        cells.join(",")
    }
}

/// All rows of a sweep: by delay, then by streams, then by limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Table(Vec<Row>);

impl Default for Table {
    fn default() -> Self {
        let setups = DELAYS.iter().flat_map(|&delay| {
            STREAMS.iter().flat_map(move |&streams| {
                LIMITS.iter().map(move |&limit| Setup {
                    delay,
                    streams,
                    limit,
                })
            })
        });
        let empty = |setup| Row {
            setup,
            gbps: Vec::new(),
        };
        Self(setups.map(empty).collect())
    }
}

impl Table {
    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// The rows, to add figures to.
    pub fn rows_mut(&mut self) -> &mut [Row] {
        &mut self.0
    }

    /// The rows that differ in the limit only, each time rising.
    pub fn series(&self) -> impl Iterator<Item = &[Row]> {
        let is_same = |one: &Row, other: &Row| {
            (one.setup.delay, one.setup.streams) == (other.setup.delay, other.setup.streams)
        };
        self.0.chunk_by(is_same)
    }

    /// For each delay and number of streams the smallest limit that is about as good as the best. What has no figures has no choice.
    #[must_use]
    pub fn choices(&self) -> Vec<Choice> {
        self.series().filter_map(choose).collect()
    }

    /// The table as a file, with a line of names.
    #[must_use]
    pub fn csv(&self) -> String {
        let rounds = self.0.iter().map(|row| row.gbps.len()).max().unwrap_or(0);
        let names = (1..=rounds).map(|round| format!("gbps_{round},"));
        let names: String = names.collect();
        let mut csv = format!("delay_us,streams,limit,{names}gbps_median\n");
        for row in &self.0 {
            csv.push_str(&row.csv());
            csv.push('\n');
        }
        csv
    }
}

/// The smallest limit that is about as good as the best, with what it is compared to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// With the limit that was chosen.
    pub setup: Setup,
    /// Its median in Gbit/s.
    pub gbps: f64,
    /// The best median of all limits in Gbit/s.
    pub best: f64,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setup, gbps, best } = self;
        write!(f, "{setup}: {gbps:.2} Gbit/s (best {best:.2})")
    }
}

/// What serves all: the largest of the choices.
#[must_use]
pub fn default_limit(choices: &[Choice]) -> Option<usize> {
    choices.iter().map(|choice| choice.setup.limit).max()
}

/// `rows` have rising limits.
fn choose(rows: &[Row]) -> Option<Choice> {
    let medians = || rows.iter().filter_map(|row| Some((row, row.median()?)));
    let best = medians().map(|(_, gbps)| gbps).max_by(f64::total_cmp)?;
    let (row, gbps) = medians().find(|(_, gbps)| *gbps >= best * (1.0 - TOLERANCE))?;
    Some(Choice {
        setup: row.setup,
        gbps,
        best,
    })
}

/// Of an even number, the mean of the two in the middle.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = *figures.get((figures.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(limit: usize, gbps: &[Option<f64>]) -> Row {
        let setup = Setup {
            delay: Duration::from_millis(1),
            streams: 10,
            limit,
        };
        let gbps = gbps.to_vec();
        Row { setup, gbps }
    }

    fn chosen(medians: &[(usize, Option<f64>)]) -> Option<usize> {
        let rows: Vec<Row> = medians
            .iter()
            .map(|(limit, m)| row(*limit, &[*m]))
            .collect();
        choose(&rows).map(|choice| choice.setup.limit)
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![7.0]), Some(7.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn a_failed_round_does_not_count() {
        assert_eq!(row(1, &[Some(5.0), None, Some(1.0)]).median(), Some(3.0));
        assert_eq!(row(1, &[None]).median(), None);
    }

    #[test]
    fn the_smallest_within_three_percent_of_the_best_is_chosen() {
        let some = |pairs: &[(usize, f64)]| {
            let pairs: Vec<_> = pairs.iter().map(|(l, m)| (*l, Some(*m))).collect();
            chosen(&pairs)
        };
        assert_eq!(some(&[(1, 9.69), (2, 9.71), (4, 9.9), (8, 10.0)]), Some(2));
        // the best need not be the last
        assert_eq!(some(&[(1, 1.0), (2, 10.0), (4, 9.0)]), Some(2));
        assert_eq!(some(&[(1, 10.0), (2, 10.2)]), Some(1));
        assert_eq!(chosen(&[(1, None), (2, Some(3.0)), (4, None)]), Some(2));
        assert_eq!(chosen(&[(1, None)]), None);
    }

    #[test]
    fn the_default_is_what_the_most_demanding_setup_needs() {
        let choice = |limit| Choice {
            setup: row(limit, &[]).setup,
            gbps: 1.0,
            best: 1.0,
        };
        assert_eq!(default_limit(&[choice(2), choice(16), choice(4)]), Some(16));
        assert_eq!(default_limit(&[]), None);
    }

    #[test]
    fn a_line_of_the_file_has_a_cell_for_each_round_and_the_median() {
        let line = row(4, &[Some(1.0), None, Some(2.0006)]).csv();
        assert_eq!(line, "1000,10,4,1.000,,2.001,1.500");
        assert_eq!(row(64, &[None]).csv(), "1000,10,64,,");
    }

    #[test]
    fn a_table_has_every_setup_once_and_the_limits_of_a_series_rise() {
        let mut table = Table::default();
        assert_eq!(table.rows().len(), 42);
        assert_eq!(table.series().count(), 6);
        for series in table.series() {
            let limits: Vec<_> = series.iter().map(|row| row.setup.limit).collect();
            assert_eq!(limits, LIMITS);
        }
        assert_eq!(table.choices(), []);
        for row in table.rows_mut() {
            row.gbps = vec![Some(row.setup.limit.min(8) as f64), None];
        }
        let csv: Vec<String> = table.csv().lines().map(str::to_owned).collect();
        assert_eq!(csv.len(), 43);
        assert_eq!(csv[0], "delay_us,streams,limit,gbps_1,gbps_2,gbps_median");
        assert_eq!(csv[1], "0,1,1,1.000,,1.000");
        assert_eq!(csv[42], "1000,1000,64,8.000,,8.000");
        assert_eq!(table.choices().len(), 6);
        assert_eq!(default_limit(&table.choices()), Some(8));
    }
}
