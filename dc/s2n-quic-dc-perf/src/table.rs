// SPDX-License-Identifier: Apache-2.0

//! What is read on standard output: a row per workload, then what failed, then details for those who ask.
//!
//! The one rule: columns have fixed widths, so that a row can be printed as soon as its workload has finished; what does not
//! apply is `-`.

use crate::{
    human,
    measure::Sample,
    outcome::{End, Outcome},
    record::{Record, WaitShare},
};
use anstyle::{AnsiColor, Style};
use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io::{stdout, IsTerminal as _},
    time::Duration,
};

/// Whether the output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// Failures are red, and bytes that are all verified green.
    On,
    /// Plain text.
    Off,
}

impl Colors {
    /// Colours if standard output is a terminal and the variable `NO_COLOR` is unset or empty (<https://no-color.org>).
    #[must_use]
    pub fn detect() -> Self {
        Self::choose(stdout().is_terminal(), env::var_os("NO_COLOR").as_deref())
    }

    /// The choice of [`Colors::detect`] for a stream that is a terminal or not, and the value of `NO_COLOR`.
    pub(crate) fn choose(is_terminal: bool, no_color: Option<&OsStr>) -> Self {
        if is_terminal && no_color.is_none_or(OsStr::is_empty) {
            Self::On
        } else {
            Self::Off
        }
    }

    fn paint(self, color: AnsiColor, text: &str) -> String {
        match self {
            Self::On => {
                let style = Style::new().fg_color(Some(color.into()));
                format!("{style}{text}{style:#}")
            }
            Self::Off => text.to_owned(),
        }
    }
}

/// The heading of the table, without the end of the line.
#[must_use]
pub fn heading() -> String {
    let mut line = format!("{:<NAME_WIDTH$}", "workload");
    for (name, width) in COLUMNS {
        let _ = write!(line, "  {name:>width$}");
    }
    line
}

/// The row of `record`, without the end of the line.
#[must_use]
pub fn row(record: &Record, colors: Colors) -> String {
    let mut line = format!("{:<NAME_WIDTH$}", human::line(&record.name, NAME_WIDTH));
    if let Some(error) = &record.error {
        let text = format!("no result: {error}");
        let room = width().saturating_sub(NAME_WIDTH + 2);
        line.push_str("  ");
        line.push_str(&colors.paint(AnsiColor::Red, &human::line(&text, room)));
        return line;
    }
    let failed = record.failed.unwrap_or(0);
    let is_all_verified = failed == 0 && record.verified.is_some_and(|bytes| bytes > 0);
    for ((name, width), cell) in COLUMNS.into_iter().zip(cells(record)) {
        // padded first: codes have no width on the screen, but have one in a string
        let cell = format!("{:>width$}", cell.as_deref().unwrap_or("-"));
        let cell = match name {
            FAILED if failed > 0 => colors.paint(AnsiColor::Red, &cell),
            VERIFIED if is_all_verified => colors.paint(AnsiColor::Green, &cell),
            _ => cell,
        };
        line.push_str("  ");
        line.push_str(&cell);
    }
    line
}

/// What the columns mean that do not say it themselves, in one line.
pub const LEGEND: &str =
    "p50, p99: time of calls, else of streams. resent, lost: of packets. CPU: of both ends. verified: bytes compared. -: none";

/// Heading, rows and legend of `records`.
#[must_use]
pub fn table(records: &[Record], colors: Colors) -> String {
    let mut text = heading() + "\n";
    for record in records {
        text.push_str(&row(record, colors));
        text.push('\n');
    }
    text + LEGEND + "\n"
}

/// What failed in `outcome`, the most frequent error first, and whether it was ended early; empty if there is nothing to say.
#[must_use]
pub fn failures(outcome: &Outcome, colors: Colors) -> String {
    let end = match outcome.end {
        End::Completed => None,
        End::Interrupted => Some("interrupted; the figures are of the part that ran".to_owned()),
        End::TimedOut => Some(format!(
            "not finished after {}; what was open has failed",
            human::duration(outcome.workload.timeout)
        )),
    };
    let failed = outcome.failures.streams();
    let failed = (failed > 0).then(|| format!("{failed} failed"));
    let said: Vec<_> = [end, failed].into_iter().flatten().collect();
    if said.is_empty() {
        return String::new();
    }
    let name = human::line(&outcome.workload.name, width());
    let title = colors.paint(AnsiColor::Red, &format!("{name}: {}", said.join("; ")));
    let mut text = title + "\n";
    for line in outcome.failures.to_string().lines() {
        text.push_str(&human::line(line, usize::MAX));
        text.push('\n');
    }
    text
}

/// What a workload's row has no room for: `record` is that of `outcome`.
#[must_use]
pub fn details(record: &Record, outcome: &Outcome) -> String {
    let sample = &outcome.sample;
    let lines = [
        calls_line(record.segments_per_send, record.segments_per_recv),
        packets_line(sample),
        datagrams_line(outcome),
        store_line(
            sample.pool_peak_bytes.map(human::bytes),
            sample.pool_bytes.map(human::bytes),
        )
        .map(|text| ("pool", text)),
        store_line(
            sample.wheel_peak_entries.map(entries),
            sample.wheel_entries.map(|entries| entries.to_string()),
        )
        .map(|text| ("wheel", text)),
        record.wait_share.map(waits_line),
        sample.lateness.and_then(|lateness| {
            Some(lateness_line(
                lateness.quantile(0.5)?,
                lateness.quantile(0.99)?,
            ))
        }),
    ];
    let mut text = human::line(&outcome.workload.name, width()) + "\n";
    let mut is_empty = true;
    for (name, value) in lines.into_iter().flatten() {
        is_empty = false;
        let _ = writeln!(text, "  {name:<14}  {value}");
    }
    if is_empty {
        text.push_str("  this system counts none of the details\n");
    }
    text
}

/// The cells of a row, in the order of [`COLUMNS`].
fn cells(record: &Record) -> [Option<String>; COLUMNS.len()] {
    [
        record.gbps.map(human::digits),
        record.rps.map(human::rate),
        record.p50_us.map(human::micros),
        record.p99_us.map(human::micros),
        record.failed.map(|failed| failed.to_string()),
        record.retransmitted_ratio.map(human::percent),
        record.lost_ratio.map(human::percent),
        record.cpu_s_per_gb.map(human::digits),
        record.peak_rss_bytes.map(human::bytes),
        record.verified.map(human::bytes),
    ]
}

type Line = (&'static str, String);

fn calls_line(per_send: Option<f64>, per_recv: Option<f64>) -> Option<Line> {
    let part =
        |figure: Option<f64>, what| Some(format!("{} per {what} call", human::digits(figure?)));
    joined([part(per_send, "send"), part(per_recv, "receive")]).map(|text| ("datagrams", text))
}

fn packets_line(sample: &Sample) -> Option<Line> {
    let part = |figure: Option<u64>, what| Some(format!("{} {what}", figure?));
    joined([
        part(sample.packets_sent, "sent"),
        part(sample.packets_retransmitted, "of them again"),
        part(sample.packets_lost, "declared lost"),
    ])
    .map(|text| ("packets", text))
}

fn datagrams_line(outcome: &Outcome) -> Option<Line> {
    let datagrams = outcome.usage.datagrams?;
    Some((
        "kernel",
        format!(
            "{} delivered, {} dropped as a receive buffer was full",
            datagrams.delivered, datagrams.dropped
        ),
    ))
}

/// What the pool or a wheel held at its peak and at the end.
fn store_line(peak: Option<String>, end: Option<String>) -> Option<String> {
    joined([
        peak.map(|peak| format!("{peak} at the peak")),
        end.map(|end| format!("{end} at the end")),
    ])
}

fn entries(entries: u64) -> String {
    format!("{entries} transmissions")
}

fn waits_line(share: WaitShare) -> Line {
    let parts = [
        ("peer's credit", share.stream_credit),
        ("path window", share.path_window),
        ("wheel", share.pending),
        ("pool", share.pool),
        ("application", share.application),
    ]
    .map(|(reason, share)| Some(format!("{reason} {} %", human::percent(share))));
    let text = joined(parts).unwrap_or_default();
    ("writers waited", format!("{text} of all stream time"))
}

fn lateness_line(half: Duration, most: Duration) -> Line {
    let [half, most] = [half, most].map(human::duration);
    (
        "lateness",
        format!("50 % left within {half} of their departure times, 99 % within {most}"),
    )
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Characters of a whole row.
fn width() -> usize {
    let columns: usize = COLUMNS.iter().map(|(_, width)| width + 2).sum();
    NAME_WIDTH + columns
}

/// Characters of a workload's name; longer ones are cut.
const NAME_WIDTH: usize = 24;
const FAILED: &str = "failed";
const VERIFIED: &str = "verified";
/// Headings with the characters that their figures take: 117 in all with the name and the gaps, for a terminal of 120.
const COLUMNS: [(&str, usize); 10] = [
    ("Gbit/s", 7),
    ("calls/s", 8),
    ("p50", 7),
    ("p99", 7),
    (FAILED, 6),
    ("resent %", 8),
    ("lost %", 6),
    ("CPU s/GB", 8),
    ("peak RSS", 8),
    (VERIFIED, 8),
];

#[cfg(test)]
mod tests;
