// SPDX-License-Identifier: Apache-2.0

//! All rounds of a system in one line, and its ratio to another system.
//!
//! The one rule: a ratio is made of two figures of one round, and the median is taken of the ratios, so that a machine that is
//! slow for a while is slow for both. What fails is shown at its worst, never averaged away.

use s2n_quic_dc_perf::record::{Record, RecordEnd};
use serde::Serialize;
use std::collections::BTreeMap;

/// One system over all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The median of each figure over the rounds that have it. `failed` is that of the worst round, `failures` the sum of all,
    /// `error` the first.
    #[serde(flatten)]
    pub figures: Record,
    /// Its figure against that of the base.
    pub ratio: Ratio,
    /// The rounds, in order.
    pub rounds: Vec<Record>,
}

/// The figure of a system divided by that of the base: calls per second for calls, else gigabits per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// What was divided by.
    pub base: String,
    /// The median of the rounds' ratios.
    pub median: Option<f64>,
    /// The least of them.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// How many rounds have a ratio.
    pub rounds: usize,
    /// How many have none, because one of the two gave no figure.
    pub left_out: usize,
}

/// Summarises `rounds`, each of which has a record of every system that it ran. Systems come in the order in which they first
/// appear.
#[must_use]
pub fn summarise(base: &str, rounds: &[Vec<Record>]) -> Vec<Summary> {
    let mut systems: Vec<&str> = Vec::new();
    for record in rounds.iter().flatten() {
        if !systems.contains(&record.system.as_str()) {
            systems.push(&record.system);
        }
    }
    let summary = |system: &&str| {
        let records: Vec<Record> = rounds
            .iter()
            .filter_map(|round| of(system, round))
            .cloned()
            .collect();
        Some(Summary {
            figures: medians(&records)?,
            ratio: ratio(base, system, rounds),
            rounds: records,
        })
    };
    systems.iter().filter_map(summary).collect()
}

fn of<'a>(system: &str, round: &'a [Record]) -> Option<&'a Record> {
    round.iter().find(|record| record.system == system)
}

/// What systems are compared by.
fn figure(record: &Record) -> Option<f64> {
    match record.workload.as_str() {
        "rpc" => record.rps,
        _ => record.gbps,
    }
}

fn ratio(base: &str, system: &str, rounds: &[Vec<Record>]) -> Ratio {
    let ratios: Vec<Option<f64>> = rounds
        .iter()
        .map(|round| {
            let figure = figure(of(system, round)?)?;
            let base = figure_above_zero(of(base, round)?)?;
            Some(figure / base)
        })
        .collect();
    let known: Vec<f64> = ratios.iter().copied().flatten().collect();
    Ratio {
        base: base.to_owned(),
        median: median(&known),
        min: known.iter().copied().reduce(f64::min),
        max: known.iter().copied().reduce(f64::max),
        rounds: known.len(),
        left_out: ratios.len() - known.len(),
    }
}

fn figure_above_zero(record: &Record) -> Option<f64> {
    figure(record).filter(|figure| *figure > 0.0)
}

/// The records of one system as one; nothing if there are none.
fn medians(records: &[Record]) -> Option<Record> {
    let first = records.first()?;
    let of = |field: fn(&Record) -> Option<f64>| {
        let values: Vec<f64> = records.iter().filter_map(field).collect();
        median(&values)
    };
    let whole = |field: fn(&Record) -> Option<u64>| {
        let values = records.iter().filter_map(field).collect();
        median_of_whole(values)
    };
    let mut failures = BTreeMap::new();
    for (text, count) in records.iter().flat_map(|record| &record.failures) {
        *failures.entry(text.clone()).or_insert(0) += count;
    }
    Some(Record {
        system: first.system.clone(),
        workload: first.workload.clone(),
        streams: first.streams,
        bytes: first.bytes,
        mtu: first.mtu,
        seconds: of(|record| record.seconds),
        gbps: of(|record| record.gbps),
        rps: of(|record| record.rps),
        p50_us: of(|record| record.p50_us),
        p99_us: of(|record| record.p99_us),
        p999_us: of(|record| record.p999_us),
        failed: records.iter().filter_map(|record| record.failed).max(),
        retransmitted_ratio: of(|record| record.retransmitted_ratio),
        lost_ratio: of(|record| record.lost_ratio),
        cpu_s_per_gb: of(|record| record.cpu_s_per_gb),
        peak_rss_bytes: whole(|record| record.peak_rss_bytes),
        pool_peak_bytes: whole(|record| record.pool_peak_bytes),
        wheel_peak_entries: whole(|record| record.wheel_peak_entries),
        verified: whole(|record| record.verified),
        name: first.name.clone(),
        error: first_error(records),
        // the first that was not completed, if any
        end: records
            .iter()
            .filter_map(|record| record.end)
            .max_by_key(|end| *end != RecordEnd::Completed),
        failures,
        segments_per_send: of(|record| record.segments_per_send),
        segments_per_recv: of(|record| record.segments_per_recv),
        // shares of one round belong together
        wait_share: records.iter().find_map(|record| record.wait_share),
    })
}

/// What went wrong first, with the round if others went well.
fn first_error(records: &[Record]) -> Option<String> {
    let failed = records.iter().filter(|record| record.error.is_some());
    let count = failed.count();
    let (index, error) = records
        .iter()
        .enumerate()
        .find_map(|(index, record)| Some((index, record.error.as_ref()?)))?;
    Some(if count == records.len() {
        error.clone()
    } else {
        let (round, rounds) = (index + 1, records.len());
        format!("{count} of {rounds} rounds gave nothing, first round {round}: {error}")
    })
}

/// The middle of `values`, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(match sorted.len() % 2 {
        0 => f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, upper),
        _ => upper,
    })
}

/// As [`median`], rounded down.
fn median_of_whole(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(match values.len() % 2 {
        0 => u64::midpoint(*values.get(middle.checked_sub(1)?)?, upper),
        _ => upper,
    })
}

#[cfg(test)]
mod tests;
