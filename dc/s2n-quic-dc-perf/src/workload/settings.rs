// SPDX-License-Identifier: Apache-2.0

//! What a person set of a workload, and how the rest is filled in.
//!
//! The one rule: the command line and the configuration both end here, so that they have the same defaults, ranges and messages,
//! and what was set and does nothing is refused instead of ignored.

use super::{
    limits::{self, within, WorkloadError},
    CallSize, Fanout, Kind, Losers, Workload,
};
use crate::{size::Size, time::TimeError};
use serde::{de::Error as _, Deserialize, Deserializer};
use std::{borrow::Cow, time::Duration};

/// The fields of a workload before they are checked; `None` is what was not set. Numbers are signed so that a negative one gets
/// the same message as others out of range.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // those of `Workload`, `CallSize` and `Fanout`
pub struct Settings {
    #[serde(default)]
    pub name: Option<String>,
    pub kind: Kind,
    #[serde(default)]
    pub streams: Option<i64>,
    #[serde(default, deserialize_with = "size_text")]
    pub bytes: Option<Size>,
    #[serde(default, deserialize_with = "duration_text")]
    pub duration: Option<Duration>,
    #[serde(default)]
    pub calls: Option<i64>,
    #[serde(default, deserialize_with = "size_text")]
    pub request: Option<Size>,
    #[serde(default, deserialize_with = "size_text")]
    pub response: Option<Size>,
    #[serde(default)]
    pub mix: Option<Vec<CallSettings>>,
    #[serde(default)]
    pub clients: Option<i64>,
    #[serde(default)]
    pub peers: Option<i64>,
    #[serde(default)]
    pub quorum: Option<i64>,
    #[serde(default, deserialize_with = "hedge_after_text")]
    pub hedge_after: Option<Duration>,
    #[serde(default)]
    pub losers: Option<Losers>,
    #[serde(default)]
    pub mtu: Option<i64>,
    #[serde(default, deserialize_with = "timeout_text")]
    pub timeout: Option<Duration>,
}

/// An entry of a mix before it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // those of `CallSize`
pub struct CallSettings {
    #[serde(default = "one")]
    pub weight: i64,
    #[serde(deserialize_with = "required_size_text")]
    pub request: Size,
    #[serde(deserialize_with = "required_size_text")]
    pub response: Size,
}

impl Settings {
    /// Nothing is set but the kind.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            name: None,
            kind,
            streams: None,
            bytes: None,
            duration: None,
            calls: None,
            request: None,
            response: None,
            mix: None,
            clients: None,
            peers: None,
            quorum: None,
            hedge_after: None,
            losers: None,
            mtu: None,
            timeout: None,
        }
    }

    /// Fills in what was not set, and checks all of it.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] for the first field that is out of its range or does nothing.
    pub fn build(self) -> Result<Workload, WorkloadError> {
        self.refuse_unused()?;
        let kind = self.kind;
        let defaults = Defaults::of(kind);
        let fanout = self.fanout()?;
        let calls = match kind {
            Kind::Mixed => within("calls", self.calls.unwrap_or(1), &limits::CALLS)?,
            _ => 0,
        };
        let mut workload = Workload {
            name: String::new(),
            kind,
            streams: within(
                "streams",
                self.streams.unwrap_or(defaults.streams),
                &limits::STREAMS,
            )?,
            bytes: self.bytes.unwrap_or(defaults.bytes),
            duration: self.duration.or(defaults.duration),
            calls,
            mix: self.calls_mix()?,
            clients: within(
                "clients",
                self.clients.unwrap_or(defaults.clients),
                &limits::CLIENTS,
            )?,
            fanout,
            mtu: within(
                "mtu",
                self.mtu.unwrap_or(limits::DEFAULT_MTU.into()),
                &limits::MTU,
            )?,
            timeout: self.timeout.unwrap_or(limits::DEFAULT_TIMEOUT),
        };
        workload.name = self.name.unwrap_or_else(|| workload.described());
        workload.validate()?;
        Ok(workload)
    }

    /// The fields of which one is set, by their names in a configuration, without name and kind.
    #[must_use]
    pub fn set_fields(&self) -> Vec<&'static str> {
        let fields = [
            ("streams", self.streams.is_some()),
            ("bytes", self.bytes.is_some()),
            ("duration", self.duration.is_some()),
            ("calls", self.calls.is_some()),
            ("request", self.request.is_some()),
            ("response", self.response.is_some()),
            ("mix", self.mix.is_some()),
            ("clients", self.clients.is_some()),
            ("peers", self.peers.is_some()),
            ("quorum", self.quorum.is_some()),
            ("hedge_after", self.hedge_after.is_some()),
            ("losers", self.losers.is_some()),
            ("mtu", self.mtu.is_some()),
            ("timeout", self.timeout.is_some()),
        ];
        let set = fields.into_iter().filter(|(_, is_set)| *is_set);
        set.map(|(field, _)| field).collect()
    }

    fn refuse_unused(&self) -> Result<(), WorkloadError> {
        for field in self.set_fields() {
            let is_used = match field {
                "bytes" => self.kind.has_bulk(),
                "calls" => self.kind == Kind::Mixed,
                "request" | "response" | "mix" => self.kind.has_calls(),
                "peers" | "quorum" | "hedge_after" | "losers" => self.kind == Kind::Rpc,
                _ => true,
            };
            if !is_used {
                return Err(WorkloadError::unused(field, self.kind));
            }
        }
        Ok(())
    }

    fn fanout(&self) -> Result<Fanout, WorkloadError> {
        let peers = within("peers", self.peers.unwrap_or(1), &limits::PEERS)?;
        let quorum = within("quorum", self.quorum.unwrap_or(peers.into()), &(1..=peers))?;
        if quorum == peers {
            if self.hedge_after.is_some() {
                return Err(WorkloadError::no_peer_beyond_quorum("hedge_after"));
            }
            if self.losers.is_some() {
                return Err(WorkloadError::no_peer_beyond_quorum("losers"));
            }
        }
        Ok(Fanout {
            peers,
            quorum,
            hedge_after: self.hedge_after,
            losers: self.losers.unwrap_or_default(),
        })
    }

    fn calls_mix(&self) -> Result<Vec<CallSize>, WorkloadError> {
        let Some(mix) = &self.mix else {
            if !self.kind.has_calls() {
                return Ok(Vec::new());
            }
            return Ok(vec![CallSize {
                weight: 1,
                request: self.request.unwrap_or(DEFAULT_CALL.request),
                response: self.response.unwrap_or(DEFAULT_CALL.response),
            }]);
        };
        for (field, is_set) in [
            ("request", self.request.is_some()),
            ("response", self.response.is_some()),
        ] {
            if is_set {
                return Err(WorkloadError::Both {
                    field,
                    other: "mix",
                });
            }
        }
        let checked = mix.iter().map(|entry| {
            limits::call_within("mix.request", entry.request)?;
            limits::call_within("mix.response", entry.response)?;
            Ok(CallSize {
                weight: within("mix.weight", entry.weight, &limits::WEIGHT)?,
                request: entry.request,
                response: entry.response,
            })
        });
        checked.collect()
    }
}

/// A call whose sizes were not given: small enough that its time is that of the path, not of the bytes.
pub(super) const DEFAULT_CALL: CallSize = CallSize {
    weight: 1,
    request: size(1 << 10),
    response: size(1 << 10),
};

/// What a kind has where nothing was set: the middle one of the default set, and for fanin more bytes at once than a receive
/// buffer holds.
struct Defaults {
    streams: i64,
    bytes: Size,
    duration: Option<Duration>,
    clients: i64,
}

impl Defaults {
    const fn of(kind: Kind) -> Self {
        let (streams, bytes, duration, clients) = match kind {
            Kind::Upload | Kind::Download | Kind::Mixed => (10, size(100_000_000), None, 1),
            // the bytes mean nothing; the least does least harm to what counts them by mistake
            Kind::Rpc => (100, size(1), Some(Duration::from_secs(5)), 1),
            Kind::Fanin => (1, size(10_000_000), None, 32),
        };
        Self {
            streams,
            bytes,
            duration,
            clients,
        }
    }
}

/// A size that is known when compiling; one out of range does not compile.
pub(super) const fn size(bytes: u64) -> Size {
    match Size::new(bytes) {
        Ok(size) => size,
        Err(_) => panic!("a default size is out of range"),
    }
}

const fn one() -> i64 {
    1
}

fn required_size_text<'de, D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
    let text = Cow::<str>::deserialize(from)?;
    text.parse()
        .map_err(|error| D::Error::custom(format_args!("`{text}`: {error}")))
}

fn size_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Size>, D::Error> {
    required_size_text(from).map(Some)
}

fn time_text<'de, D: Deserializer<'de>>(
    from: D,
    parse: fn(&str) -> Result<Duration, TimeError>,
) -> Result<Option<Duration>, D::Error> {
    let text = Cow::<str>::deserialize(from)?;
    let time = parse(&text);
    time.map(Some)
        .map_err(|error| D::Error::custom(format_args!("`{text}`: {error}")))
}

fn duration_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    time_text(from, limits::duration)
}

fn hedge_after_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    time_text(from, limits::hedge_after)
}

fn timeout_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    time_text(from, limits::timeout)
}
