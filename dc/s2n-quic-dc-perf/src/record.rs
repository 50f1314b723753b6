// SPDX-License-Identifier: Apache-2.0

//! A result as `--json` writes it: one row per system and workload.
//!
//! The one rule: a figure that does not apply, or that was not measured, is null and never zero; a zero was measured.

use crate::{
    measure::Sample,
    outcome::{End, Outcome},
    workload::{Kind, Workload},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// One row. The order of the fields is that of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What ran the workload, such as `wheel` or `tcp-tls`.
    pub system: String,
    /// The kind of workload, such as `upload`.
    pub workload: String,
    /// Streams at once, or calls at once for `rpc`, as the workload asks for.
    pub streams: u32,
    /// Bytes of each bulk stream; null for `rpc`.
    pub bytes: Option<u64>,
    /// Bytes of UDP payload of a datagram; null for a system without datagrams.
    pub mtu: Option<u16>,
    /// From opening the first stream to the end of the last.
    pub seconds: Option<f64>,
    /// Decimal gigabits of verified data per second: of bulk streams, or for `rpc` of calls.
    pub gbps: Option<f64>,
    /// Calls answered rightly per second; null without calls.
    pub rps: Option<f64>,
    /// Time that half of all calls took at most (without calls: streams), in microseconds.
    pub p50_us: Option<f64>,
    /// The same for 99 %.
    pub p99_us: Option<f64>,
    /// The same for 99.9 %.
    pub p999_us: Option<f64>,
    /// Streams and calls that failed.
    pub failed: Option<u64>,
    /// Packets sent again over packets sent.
    pub retransmitted_ratio: Option<f64>,
    /// With both ends in the process: datagrams for which a receive buffer had no room over all that arrived, by the kernel's
    /// count. Else packets that the sender declared lost over packets sent.
    pub lost_ratio: Option<f64>,
    /// Processor seconds per 10^9 verified bytes, of both ends; null unless both are in the process.
    pub cpu_s_per_gb: Option<f64>,
    /// The most memory of the process that was resident, in bytes.
    pub peak_rss_bytes: Option<u64>,
    /// The most descriptor memory that was in use, in bytes.
    pub pool_peak_bytes: Option<u64>,
    /// The most transmissions that one wheel held.
    pub wheel_peak_entries: Option<u64>,
    /// Bytes whose content was compared and right.
    pub verified: Option<u64>,
    /// The name of the workload, as tables show it.
    pub name: String,
    /// Why there are no figures: what the system said when it crashed, hung or did not start.
    pub error: Option<String>,
    /// How the workload ended; null if `error` is set.
    pub end: Option<RecordEnd>,
    /// The number of streams and calls that failed with each error.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
    /// Datagrams per system call that sent.
    pub segments_per_send: Option<f64>,
    /// Datagrams per system call that received.
    pub segments_per_recv: Option<f64>,
    /// What writers waited for.
    pub wait_share: Option<WaitShare>,
}

/// How a workload ended that did run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordEnd {
    /// All of it ran.
    Completed,
    /// The user stopped it; the figures are of the part that ran.
    Interrupted,
    /// What had not finished in time has failed.
    TimedOut,
}

/// Time that writers waited, by reason, over the time of all streams (streams at once times seconds).
///
/// A stream has a writer at either end, so with both ends in the process the sum may be above 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitShare {
    /// For the peer's MAX_DATA, or for acknowledgements of what is unacknowledged.
    pub stream_credit: f64,
    /// For the path's window.
    pub path_window: f64,
    /// For transmissions to leave the wheel.
    pub pending: f64,
    /// For descriptors.
    pub pool: f64,
    /// For the packets under an old key to be acknowledged.
    pub key_update: f64,
    /// For the application to write more.
    pub application: f64,
}

impl Record {
    /// The row of `outcome`, which `system` had.
    #[must_use]
    pub fn new(system: &str, outcome: &Outcome) -> Self {
        let workload = &outcome.workload;
        let sample = &outcome.sample;
        let has_datagrams = has_datagrams(system);
        let bytes = match workload.kind {
            Kind::Rpc => outcome.verified_bytes,
            Kind::Upload | Kind::Download | Kind::Mixed | Kind::Fanin => outcome.bulk_bytes,
        };
        let seconds = outcome.elapsed.as_secs_f64();
        let percentile = |quantile| {
            let nanos = outcome.latency.value_at_quantile(quantile);
            (!outcome.latency.is_empty()).then_some(nanos as f64 / 1e3)
        };
        Self {
            seconds: Some(seconds),
            gbps: over(bytes as f64 * 8.0 / 1e9, seconds),
            rps: workload
                .kind
                .has_calls()
                .then(|| over(outcome.calls as f64, seconds))
                .flatten(),
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
            p999_us: percentile(0.999),
            failed: Some(outcome.failures.streams() as u64),
            retransmitted_ratio: ratio(sample.packets_retransmitted, sample.packets_sent),
            lost_ratio: has_datagrams.then(|| lost_ratio(outcome)).flatten(),
            cpu_s_per_gb: cpu_s_per_gb(outcome),
            peak_rss_bytes: outcome.usage.peak_rss_bytes,
            pool_peak_bytes: sample.pool_peak_bytes,
            wheel_peak_entries: sample.wheel_peak_entries,
            verified: Some(outcome.verified_bytes),
            end: Some(match outcome.end {
                End::Completed => RecordEnd::Completed,
                End::Interrupted => RecordEnd::Interrupted,
                End::TimedOut => RecordEnd::TimedOut,
            }),
            failures: outcome
                .failures
                .counts()
                .map(|(error, count)| (error.to_owned(), count))
                .collect(),
            segments_per_send: ratio(sample.segments_sent, sample.send_calls),
            segments_per_recv: ratio(sample.segments_received, sample.recv_calls),
            wait_share: wait_share(workload, sample, outcome.elapsed),
            ..Self::empty(system, workload)
        }
    }

    /// The row of a system that crashed, hung or did not start with `workload`: no figures.
    #[must_use]
    pub fn failed(system: &str, workload: &Workload, error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::empty(system, workload)
        }
    }

    /// What was asked for, without any result.
    fn empty(system: &str, workload: &Workload) -> Self {
        Self {
            system: system.to_owned(),
            workload: workload.kind.name().to_owned(),
            streams: workload.streams,
            bytes: (workload.kind != Kind::Rpc).then(|| workload.bytes.bytes()),
            mtu: has_datagrams(system).then_some(workload.mtu),
            seconds: None,
            gbps: None,
            rps: None,
            p50_us: None,
            p99_us: None,
            p999_us: None,
            failed: None,
            retransmitted_ratio: None,
            lost_ratio: None,
            cpu_s_per_gb: None,
            peak_rss_bytes: None,
            pool_peak_bytes: None,
            wheel_peak_entries: None,
            verified: None,
            name: workload.name.clone(),
            error: None,
            end: None,
            failures: BTreeMap::new(),
            segments_per_send: None,
            segments_per_recv: None,
            wait_share: None,
        }
    }
}

/// Why records were not written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file, standard input or standard output failed.
    #[error("{path}: {source}", path = shown(path))]
    Io {
        /// The path that was given; `-` for standard input and output.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not an array of records.
    #[error("{path}: not a JSON array of results: {source}", path = shown(path))]
    Json {
        /// The path that was given.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
}

/// Writes `records` as a JSON array to the file `path`, or to standard output if it is `-`.
///
/// # Errors
///
/// [`RecordError::Io`] if the file cannot be created or written.
pub fn write_json(path: &Path, records: &[Record]) -> Result<(), RecordError> {
    let text = serde_json::to_string_pretty(records).map_err(|source| RecordError::Json {
        path: path.to_owned(),
        source,
    })? + "\n";
    let written = if path == Path::new(STANDARD) {
        let mut out = io::stdout().lock();
        io::Write::write_all(&mut out, text.as_bytes()).and_then(|()| io::Write::flush(&mut out))
    } else {
        fs::write(path, text)
    };
    written.map_err(|source| RecordError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Reads what [`write_json`] wrote to the file `path`, or standard input if it is `-`.
///
/// # Errors
///
/// [`RecordError::Io`] if the file cannot be read, [`RecordError::Json`] if it does not hold an array of records.
pub fn read_json(path: &Path) -> Result<Vec<Record>, RecordError> {
    let text = if path == Path::new(STANDARD) {
        io::read_to_string(io::stdin().lock())
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|source| RecordError::Io {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| RecordError::Json {
        path: path.to_owned(),
        source,
    })
}

/// Whether `system` sends UDP datagrams. If not, those that the kernel counted are of somebody else.
fn has_datagrams(system: &str) -> bool {
    system != "tcp-tls"
}

fn lost_ratio(outcome: &Outcome) -> Option<f64> {
    if outcome.both_ends {
        // what was dropped is not among what was delivered
        let datagrams = outcome.usage.datagrams?;
        let arrived = datagrams.delivered.saturating_add(datagrams.dropped);
        ratio(Some(datagrams.dropped), Some(arrived))
    } else {
        ratio(outcome.sample.packets_lost, outcome.sample.packets_sent)
    }
}

fn cpu_s_per_gb(outcome: &Outcome) -> Option<f64> {
    let cpu = outcome.usage.cpu.filter(|_| outcome.both_ends)?;
    over(cpu.as_secs_f64(), outcome.verified_bytes as f64 / 1e9)
}

fn wait_share(workload: &Workload, sample: &Sample, elapsed: Duration) -> Option<WaitShare> {
    let waits = sample.waits?;
    let total = workload.total_streams() as f64 * elapsed.as_secs_f64();
    let share = |wait: Duration| over(wait.as_secs_f64(), total);
    Some(WaitShare {
        stream_credit: share(waits.stream_credit)?,
        path_window: share(waits.path_window)?,
        pending: share(waits.pending)?,
        pool: share(waits.pool)?,
        key_update: share(waits.key_update)?,
        application: share(waits.application)?,
    })
}

/// `part / whole`; `None` if one of them is not known or there is no whole.
fn ratio(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    over(part? as f64, whole? as f64)
}

/// `part / whole`; `None` instead of what JSON has no number for.
fn over(part: f64, whole: f64) -> Option<f64> {
    Some(part / whole).filter(|quotient| quotient.is_finite())
}

fn shown(path: &Path) -> String {
    if path == Path::new(STANDARD) {
        "standard input or output".to_owned()
    } else {
        path.display().to_string()
    }
}

/// The path that means standard input or output.
const STANDARD: &str = "-";

#[cfg(test)]
mod tests;
