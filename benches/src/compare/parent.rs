// SPDX-License-Identifier: Apache-2.0

//! Starts one process for each run, and makes a record of whatever comes of it.
//!
//! The one rule: a run never holds up the next one, and never goes missing. A child that crashes, hangs or talks nonsense
//! becomes a record with an error, with the last words of its standard error.

use nix::{
    errno::Errno,
    sys::signal::{killpg, Signal},
    unistd::Pid,
};
use s2n_quic_dc_perf::record::Record;
use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::timeout,
};

/// Why a run gave no record.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started, or not be waited for.
    #[error("not started: {0}")]
    Start(#[from] io::Error),
    /// It was killed when its time was over.
    #[error("killed after {} s{last_words}", .limit.as_secs_f64())]
    Hung {
        /// The time it had.
        limit: Duration,
        /// The end of its standard error.
        last_words: LastWords,
    },
    /// A signal ended it, or it ended with a code other than 0.
    #[error("{}{last_words}", .status)]
    Crashed {
        /// How it ended.
        status: Ended,
        /// The end of its standard error.
        last_words: LastWords,
    },
    /// Its standard output is not a record.
    #[error("printed no record: {reason}{last_words}")]
    Nonsense {
        /// What is wrong with it.
        reason: serde_json::Error,
        /// The end of its standard error.
        last_words: LastWords,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It said so itself.
    Code(i32),
    /// The system ended it.
    Signal(i32),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "ended by {signal}"),
                Err(_) => write!(f, "ended by signal {number}"),
            },
        }
    }
}

/// The last lines that a process wrote to its standard error, on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWords(String);

impl LastWords {
    fn of(stderr: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stderr);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let text = last.join(" / ");
        let skipped = text.chars().count().saturating_sub(LAST_CHARS);
        Self(text.chars().skip(skipped).collect())
    }
}

impl std::fmt::Display for LastWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.0)
    }
}

/// Runs `command` in a process group of its own, for `limit` at most, and reads the record that it prints.
///
/// The whole group is killed in the end, whatever happens, so that nothing that it started runs on beside the next one.
///
/// # Errors
///
/// [`ChildError`] says what went wrong.
///
/// # Cancel safety
///
/// Dropping the future kills the group.
pub async fn run(mut command: Command, limit: Duration) -> Result<Record, ChildError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut output, mut errors) = (Tail::new(MOST_OUTPUT), Tail::new(MOST_ERRORS));

    let ended = timeout(limit, async {
        let (status, (), ()) = tokio::join!(child.wait(), output.fill(stdout), errors.fill(stderr));
        status
    })
    .await;
    drop(group);
    let last_words = LastWords::of(&errors.bytes);
    let Ok(status) = ended else {
        // it was killed just now
        child.wait().await?;
        return Err(ChildError::Hung { limit, last_words });
    };
    if let Some(status) = failure(status?) {
        return Err(ChildError::Crashed { status, last_words });
    }
    serde_json::from_slice(&output.bytes)
        .map_err(|reason| ChildError::Nonsense { reason, last_words })
}

/// How a process ended, if not well.
fn failure(status: ExitStatus) -> Option<Ended> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(Ended::Code(code)),
        (None, signal) => Some(Ended::Signal(signal.unwrap_or(0))),
    }
}

/// A process group, which is killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(group) = self.0 else { return };
        match killpg(group, Signal::SIGKILL) {
            // nobody is left, which is the usual case
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => eprintln!("compare: process group {group} was not killed: {error}"),
        }
    }
}

/// The end of what somebody writes.
struct Tail {
    bytes: Vec<u8>,
    most: usize,
}

impl Tail {
    const fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            most,
        }
    }

    /// Reads to the end. What was read stays when the future is dropped.
    async fn fill(&mut self, source: Option<impl AsyncRead + Unpin>) {
        let Some(mut source) = source else { return };
        let mut buffer = vec![0; 4096];
        // what cannot be read is not there: the record, or the last words, will be cut short
        while let Ok(len @ 1..) = source.read(&mut buffer).await {
            self.bytes.extend_from_slice(&buffer[..len]);
            let excess = self.bytes.len().saturating_sub(self.most);
            self.bytes.drain(..excess);
        }
    }
}

/// Bytes of standard output that are kept: a record has about two thousand.
const MOST_OUTPUT: usize = 1 << 20;

/// Bytes of standard error that are kept.
const MOST_ERRORS: usize = 16 << 10;

/// Lines of it that are shown. Arbitrary: a panic has three.
const LAST_LINES: usize = 3;

/// Characters of it that are shown. Arbitrary: what a reader still reads.
const LAST_CHARS: usize = 400;

#[cfg(test)]
mod tests;
