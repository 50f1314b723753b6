// SPDX-License-Identifier: Apache-2.0

//! The table: for somebody who has never seen these systems.
//!
//! The one rule: what a figure depends on stands above it, and what it means stands below it.

use super::summary::{Ratio, Summary};
use crate::system::System;
use s2n_quic_dc_perf::record::Record;
use std::fmt::{self, Write as _};

/// Everything that the page shows.
#[derive(Debug)]
pub struct Page<'a> {
    /// What was run.
    pub workload: &'a str,
    /// How often.
    pub rounds: u32,
    /// Bytes of UDP payload that were asked for.
    pub mtu: u16,
    /// What it was run on.
    pub machine: &'a [(String, String)],
    /// The systems with their settings.
    pub systems: &'a [(System, Vec<(String, String)>)],
    /// The figures.
    pub summaries: &'a [Summary],
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}\n", self.workload)?;
        writeln!(
            f,
            "Medians of {} rounds, in which the systems took turns.\n",
            self.rounds
        )?;
        f.write_str(&settings(self.mtu, self.machine, self.systems))?;
        writeln!(f)?;
        self.table(f)?;
        self.troubles(f)?;
        f.write_str(LEGEND)
    }
}

impl Page<'_> {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.summaries.first().map_or("", |row| &row.ratio.base);
        let is_rpc = self
            .summaries
            .iter()
            .any(|row| row.figures.workload == "rpc");
        let figure = if is_rpc { "calls/s" } else { "Gbit/s" };
        writeln!(
            f,
            "| system | {figure} | x {base} | p50 ms | p99 ms | failed | lost % | sent again % | CPU s/GB | peak RSS MB |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for Summary { figures, ratio, .. } in self.summaries {
            let figure = if is_rpc {
                number(figures.rps, 0)
            } else {
                number(figures.gbps, 2)
            };
            let cells = [
                figures.system.clone(),
                figure,
                ratio_cell(ratio),
                number(figures.p50_us.map(|us| us / 1e3), 3),
                number(figures.p99_us.map(|us| us / 1e3), 3),
                figures.failed.map_or_else(none, |count| count.to_string()),
                number(figures.lost_ratio.map(|share| share * 100.0), 3),
                number(figures.retransmitted_ratio.map(|share| share * 100.0), 3),
                number(figures.cpu_s_per_gb, 2),
                number(figures.peak_rss_bytes.map(|bytes| bytes as f64 / 1e6), 0),
            ];
            writeln!(f, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }

    fn troubles(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for Record {
            system,
            error,
            failures,
            ..
        } in self.summaries.iter().map(|row| &row.figures)
        {
            let failures = failures
                .iter()
                .map(|(text, count)| format!("{count} x {text}"));
            for text in error.iter().cloned().chain(failures) {
                if is_first {
                    writeln!(f)?;
                    is_first = false;
                }
                writeln!(f, "* {system}: {}", one_line(&text))?;
            }
        }
        Ok(())
    }
}

/// What the figures depend on: a list that is fit for the page as well as for a terminal.
#[must_use]
pub fn settings(
    mtu: u16,
    machine: &[(String, String)],
    systems: &[(System, Vec<(String, String)>)],
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // writing to a string cannot fail
        let _ = writeln!(text, "* {name}: {}", one_line(value));
    };
    for (name, value) in machine {
        line(name, value);
    }
    line("MTU", &format!("{mtu} bytes of UDP payload"));
    for (system, settings) in systems {
        let settings: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        line(system.name(), &settings.join("; "));
    }
    text
}

/// An error may have lines, and a table may not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(none, |value| format!("{value:.decimals$}"))
}

fn ratio_cell(ratio: &Ratio) -> String {
    let (Some(median), Some(min), Some(max)) = (ratio.median, ratio.min, ratio.max) else {
        return none();
    };
    format!("{median:.2} ({min:.2} to {max:.2})")
}

fn none() -> String {
    "-".to_owned()
}

const LEGEND: &str = "
Gbit/s counts the bytes that were compared with what was sent and found right. The ratio is made round by round: its
median, and in brackets its extremes. p50 and p99 are of a call, or of a stream from its opening to the verdict on it.
Failed streams or calls are those of the worst round. Lost and sent again are shares of the packets sent, where the
system counts them. CPU time and memory are those of both ends. A dash means that there is no such figure.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{child, summary::summarise};
    use s2n_quic_dc_perf::workload::Kind;
    use std::collections::BTreeMap;

    fn page() -> String {
        let workload = crate::system::tests::workload(Kind::Upload);
        let crashed = child::failed(System::Quinn, &workload, "ended\nby SIGSEGV".to_owned());
        let good = Record {
            gbps: Some(12.345),
            p50_us: Some(1500.0),
            failed: Some(2),
            lost_ratio: Some(0.0125),
            peak_rss_bytes: Some(64_000_000),
            error: None,
            failures: BTreeMap::from([("reset".to_owned(), 2)]),
            ..child::failed(System::Wheel, &workload, String::new())
        };
        let summaries = summarise("wheel", &[vec![good, crashed]]);
        Page {
            workload: "upload 3 x 1 MB",
            rounds: 1,
            mtu: 1450,
            machine: &[("kernel".to_owned(), "6.0".to_owned())],
            systems: &[(
                System::Quinn,
                vec![("version".to_owned(), "0.11".to_owned())],
            )],
            summaries: &summaries,
        }
        .to_string()
    }

    #[test]
    fn rows_have_as_many_cells_as_the_heading() {
        let page = page();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 4);
        for row in &rows {
            assert_eq!(row.matches('|').count(), rows[0].matches('|').count());
        }
        assert_eq!(
            rows[2],
            "| wheel | 12.35 | 1.00 (1.00 to 1.00) | 1.500 | - | 2 | 1.250 | - | - | 64 |"
        );
        assert_eq!(rows[3], "| quinn | - | - | - | - | - | - | - | - | - |");
    }

    #[test]
    fn what_went_wrong_stands_below_the_table() {
        let page = page();
        assert!(page.contains("\n* wheel: 2 x reset\n"), "{page}");
        assert!(page.contains("\n* quinn: ended by SIGSEGV\n"), "{page}");
    }

    #[test]
    fn settings_stand_above_the_table() {
        let page = page();
        let table = page.find("| system").unwrap();
        for line in [
            "* kernel: 6.0",
            "* MTU: 1450 bytes of UDP payload",
            "* quinn: version: 0.11",
        ] {
            assert!(page.find(line).unwrap() < table, "{line}");
        }
    }
}
