// SPDX-License-Identifier: Apache-2.0

//! What to run: a kind of traffic with its numbers.
//!
//! The one rule: a workload that [`Workload::validate`] let pass is within its ranges, so what runs it does not check again.

pub mod limits;
pub mod settings;
#[cfg(test)]
mod tests;

use crate::{pattern, size::Size, time::Human};
use clap::ValueEnum;
use limits::{within, WorkloadError};
use serde::Deserialize;
use settings::Settings;
use std::{fmt, time::Duration};

/// What moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Clients write, servers verify.
    Upload,
    /// Servers write, clients verify.
    Download,
    /// Requests and responses; each slot makes one call after the other.
    Rpc,
    /// Uploads, with calls beside them.
    Mixed,
    /// Uploads of many clients to one server.
    Fanin,
}

impl Kind {
    /// The name on the command line, in a configuration and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Rpc => "rpc",
            Self::Mixed => "mixed",
            Self::Fanin => "fanin",
        }
    }

    /// Whether calls are made.
    #[must_use]
    pub const fn has_calls(self) -> bool {
        matches!(self, Self::Rpc | Self::Mixed)
    }

    /// Whether there are streams of [`Workload::bytes`].
    #[must_use]
    pub const fn has_bulk(self) -> bool {
        !matches!(self, Self::Rpc)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The sizes of a call, and how often they are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSize {
    /// The share of calls that have these sizes, relative to the other weights.
    pub weight: u32,
    /// Bytes that go to the peer.
    pub request: Size,
    /// Bytes that come back.
    pub response: Size,
}

/// What becomes of the calls to the peers beyond the quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Losers {
    /// They go on beside later calls until they are answered.
    #[default]
    Finish,
    /// They are given up when the call is complete.
    Cancel,
}

/// To how many peers a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fanout {
    /// The peers that are asked. Each one is a server.
    pub peers: u32,
    /// How many answers make a call complete: `1 <= quorum <= peers`.
    pub quorum: u32,
    /// The peers beyond the quorum are asked only if the call is not complete after this; `None`: all are asked at once.
    pub hedge_after: Option<Duration>,
    /// What becomes of the calls that are not needed any more.
    pub losers: Losers,
}

impl Fanout {
    /// A call to one peer.
    pub const NONE: Self = Self {
        peers: 1,
        quorum: 1,
        hedge_after: None,
        losers: Losers::Finish,
    };
}

/// A kind of traffic with its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Shown in tables: the name in the configuration, or what [`Workload::described`] says.
    pub name: String,
    /// What moves.
    pub kind: Kind,
    /// Bulk streams at once over all clients (fanin: of each client); for rpc calls at once over all clients.
    pub streams: u32,
    /// Bytes of each bulk stream. Means nothing for rpc.
    pub bytes: Size,
    /// Streams are opened anew until this is over; `None`: each runs once. Always set for rpc.
    pub duration: Option<Duration>,
    /// Calls at once beside the bulk streams. Zero but for mixed.
    pub calls: u32,
    /// The sizes of calls, drawn by weight. Empty if the kind has no calls.
    pub mix: Vec<CallSize>,
    /// Clients, each with a path of its own.
    pub clients: u32,
    /// To how many peers a call goes. [`Fanout::NONE`] but for rpc.
    pub fanout: Fanout,
    /// Bytes of UDP payload of the largest datagrams.
    pub mtu: u16,
    /// What is not finished when this much time went by has failed. See [`Workload::deadline`].
    pub timeout: Duration,
}

impl Workload {
    /// Checks every number against its range and against the others.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] for the first field that is wrong.
    pub fn validate(&self) -> Result<(), WorkloadError> {
        limits::check_name(&self.name)?;
        within("streams", self.streams, &limits::STREAMS)?;
        within("clients", self.clients, &limits::CLIENTS)?;
        within("mtu", self.mtu, &limits::MTU)?;
        limits::time_within("timeout", self.timeout, &limits::TIMEOUT)?;
        if let Some(duration) = self.duration {
            limits::time_within("duration", duration, &limits::DURATION)?;
        } else if self.kind == Kind::Rpc {
            return Err(WorkloadError::Missing("duration"));
        }
        self.validate_calls()?;
        self.validate_fanout()?;
        if self.kind != Kind::Fanin && self.clients > self.streams {
            return Err(WorkloadError::OutOfRange {
                field: "clients",
                value: self.clients.to_string(),
                allowed: format!("1 to {}, since each needs a stream", self.streams),
            });
        }
        let total = self.total_streams();
        if total > u64::from(*limits::STREAMS.end()) {
            return Err(WorkloadError::OutOfRange {
                field: "streams",
                value: format!("{total} over all clients, peers and calls"),
                allowed: limits::show(&limits::STREAMS),
            });
        }
        Ok(())
    }

    fn validate_calls(&self) -> Result<(), WorkloadError> {
        let unused = |field| WorkloadError::unused(field, self.kind);
        match (self.kind, self.calls) {
            (Kind::Mixed, calls) => {
                within("calls", calls, &limits::CALLS)?;
            }
            (_, 0) => {}
            (_, _) => return Err(unused("calls")),
        }
        if !self.kind.has_calls() {
            return if self.mix.is_empty() {
                Ok(())
            } else {
                Err(unused("mix"))
            };
        }
        limits::check_mix(&self.mix)
    }

    fn validate_fanout(&self) -> Result<(), WorkloadError> {
        let Fanout {
            peers,
            quorum,
            hedge_after,
            ..
        } = self.fanout;
        if self.kind != Kind::Rpc && self.fanout != Fanout::NONE {
            return Err(WorkloadError::unused("peers", self.kind));
        }
        within("peers", peers, &limits::PEERS)?;
        within("quorum", quorum, &(1..=peers))?;
        if let Some(after) = hedge_after {
            limits::time_within("hedge_after", after, &limits::HEDGE_AFTER)?;
            if quorum == peers {
                return Err(WorkloadError::no_peer_beyond_quorum("hedge_after"));
            }
        }
        Ok(())
    }

    /// The most streams that are open at once, over all clients and peers, calls among them. At most 100 000 if validated.
    #[must_use]
    pub fn total_streams(&self) -> u64 {
        let streams = u64::from(self.streams);
        match self.kind {
            Kind::Upload | Kind::Download => streams,
            Kind::Rpc => streams * u64::from(self.fanout.peers),
            Kind::Mixed => streams + u64::from(self.calls),
            Kind::Fanin => streams * u64::from(self.clients),
        }
    }

    /// Bulk streams at once, over all clients. None for rpc.
    #[must_use]
    pub fn bulk_streams(&self) -> u32 {
        match self.kind {
            Kind::Rpc => 0,
            Kind::Upload | Kind::Download | Kind::Mixed => self.streams,
            Kind::Fanin => self.streams.saturating_mul(self.clients),
        }
    }

    /// Bytes of all bulk streams, each run once.
    #[must_use]
    pub fn bulk_bytes(&self) -> u64 {
        u64::from(self.bulk_streams()).saturating_mul(self.bytes.bytes())
    }

    /// How long after the start what is unfinished has failed: [`timeout`](Self::timeout) after [`duration`](Self::duration).
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.duration.unwrap_or_default() + self.timeout
    }

    /// The sizes of call number `n`, drawn from the mix by weight. The same number always draws the same.
    #[must_use]
    pub fn pick(&self, n: u64) -> CallSize {
        let total: u64 = self.mix.iter().map(|size| u64::from(size.weight)).sum();
        // the upper half of hash times total is within 0..total, and as even as the hash is
        let mut at = ((u128::from(pattern::mix(n)) * u128::from(total)) >> 64) as u64;
        for size in &self.mix {
            let weight = u64::from(size.weight);
            if at < weight {
                return *size;
            }
            at -= weight;
        }
        // only without a mix: the kind has no calls
        settings::DEFAULT_CALL
    }

    /// What the workload is in a few words, such as `upload 10 x 100 MB` or `rpc x 100, 1 KiB / 1 KiB`.
    #[must_use]
    pub fn described(&self) -> String {
        let bulk = format!("{} x {}", self.streams, self.bytes);
        let calls = match &self.mix[..] {
            [only] => format!("{} / {}", only.request, only.response),
            several => format!("mix of {}", several.len()),
        };
        let mut text = match self.kind {
            Kind::Upload | Kind::Download => format!("{} {bulk}", self.kind),
            Kind::Rpc => format!("rpc x {}{}, {calls}", self.streams, self.fanout),
            Kind::Mixed => format!("mixed {bulk} + {} x {calls}", self.calls),
            Kind::Fanin => format!("fanin {} x {bulk}", self.clients),
        };
        if let (Some(duration), true) = (self.duration, self.kind.has_bulk()) {
            text += &format!(" for {}", Human(duration));
        }
        if self.clients > 1 && self.kind != Kind::Fanin {
            text += &format!(", {} clients", self.clients);
        }
        text
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl fmt::Display for Fanout {
    /// Nothing for one peer, otherwise what follows the number of calls: ` to 2 of 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.peers == 1 {
            return Ok(());
        }
        write!(f, " to {} of {}", self.quorum, self.peers)?;
        if let Some(after) = self.hedge_after {
            write!(f, " hedged after {}", Human(after))?;
        }
        Ok(())
    }
}

/// What runs if nothing was asked for: few large streams, many small ones with as much data in all, calls, and both together.
///
/// At 2 Gbit/s all of it takes about 26 s.
#[must_use]
pub fn default_set() -> Vec<Workload> {
    let bulk = |streams, bytes| Settings {
        streams: Some(streams),
        bytes: Some(bytes),
        ..Settings::new(Kind::Upload)
    };
    let calls = |streams| Settings {
        streams: Some(streams),
        duration: Some(Duration::from_secs(5)),
        ..Settings::new(Kind::Rpc)
    };
    let mixed = Settings {
        streams: Some(10),
        bytes: Some(HUNDRED_MEGABYTES),
        calls: Some(1),
        ..Settings::new(Kind::Mixed)
    };
    let settings = [
        bulk(1, GIGABYTE),
        bulk(10, HUNDRED_MEGABYTES),
        bulk(1000, MEGABYTE),
        calls(1),
        calls(100),
        mixed,
    ];
    // all of them are within the ranges; a test says so
    settings.into_iter().flat_map(Settings::build).collect()
}

const MEGABYTE: Size = settings::size(1_000_000);
const HUNDRED_MEGABYTES: Size = settings::size(100_000_000);
const GIGABYTE: Size = settings::size(1_000_000_000);
