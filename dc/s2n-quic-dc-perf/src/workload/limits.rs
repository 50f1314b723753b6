// SPDX-License-Identifier: Apache-2.0

//! The ranges of a workload's numbers, and the error for what is outside of them.
//!
//! The one rule: every message names the field, its value and what is allowed.

use super::{CallSize, Kind};
use crate::{
    endpoint::mtu,
    size::Size,
    time::{parse, Human, TimeError},
};
use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

/// Streams at once, over all clients. The upper end is arbitrary: past it sockets and memory of one process are what is measured.
pub const STREAMS: RangeInclusive<u32> = 1..=100_000;
/// Calls at once beside bulk streams. Arbitrary, as [`STREAMS`].
pub const CALLS: RangeInclusive<u32> = 1..=100_000;
/// Clients, each of which has sockets and workers of its own.
pub const CLIENTS: RangeInclusive<u32> = 1..=1024;
/// Servers that one call goes to.
pub const PEERS: RangeInclusive<u32> = 1..=64;
/// The weight of one entry of a mix. The upper end is arbitrary; the sum of all weights fits 64 bits.
pub const WEIGHT: RangeInclusive<u32> = 1..=1_000_000;
/// Entries of a mix. The upper end is arbitrary.
pub const MIX_ENTRIES: RangeInclusive<usize> = 1..=64;
/// The largest request or response in bytes, 64 MiB: both are held in memory whole.
pub const MAX_CALL_BYTES: u64 = 64 << 20;
/// Bytes of UDP payload of datagrams, over IPv4; over IPv6 20 less, which is checked with the address.
pub const MTU: RangeInclusive<u16> = mtu::range(IpAddr::V4(Ipv4Addr::LOCALHOST));
/// What fits Ethernet's 1500 bytes.
pub const DEFAULT_MTU: u16 = mtu::DEFAULT;
/// How long a workload runs.
pub const DURATION: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(DAY_SECS);
/// How long streams may take beyond that.
pub const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(DAY_SECS);
/// The time-out if none is given.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
/// When further peers are asked. The lower end is about what a call over loopback takes; the upper one is past any useful hedge.
pub const HEDGE_AFTER: RangeInclusive<Duration> =
    Duration::from_micros(10)..=Duration::from_secs(60);
/// Characters of a name. The upper end is what fits a terminal's line beside the figures.
pub const NAME_CHARS: RangeInclusive<usize> = 1..=64;

const DAY_SECS: u64 = 24 * 60 * 60;

/// Why a workload cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// A number is not within its range.
    #[error("{field} is {value}, allowed are {allowed}")]
    OutOfRange {
        /// The field's name in a configuration; entries of a mix are `mix.weight` and so on.
        field: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be, given the other fields.
        allowed: String,
    },
    /// A field was set that changes nothing.
    #[error("{field} does nothing here: {reason}")]
    Unused {
        /// The field's name in a configuration.
        field: &'static str,
        /// Why it changes nothing.
        reason: &'static str,
    },
    /// Two fields were set that mean the same.
    #[error("{field} and {other} exclude each other: both set the sizes of calls")]
    Both {
        /// The field's name in a configuration.
        field: &'static str,
        /// The other field's name.
        other: &'static str,
    },
    /// A field has no value and needs one.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl WorkloadError {
    /// The name of the field, as it is in a configuration.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::OutOfRange { field, .. }
            | Self::Unused { field, .. }
            | Self::Both { field, .. }
            | Self::Missing(field) => field,
        }
    }

    /// `field` was set, and workloads of this `kind` have no use for it.
    pub(super) fn unused(field: &'static str, kind: Kind) -> Self {
        let reason = match (field, kind) {
            ("bytes", _) => "rpc makes calls, whose sizes are request and response",
            ("calls", Kind::Rpc) => "only mixed has it; the calls at once of rpc are its streams",
            ("calls", _) => "only mixed makes calls beside its streams",
            ("peers" | "quorum" | "hedge_after" | "losers", _) => {
                "only rpc goes to more than one peer"
            }
            _ => "only rpc and mixed make calls",
        };
        Self::Unused { field, reason }
    }

    /// `field` is about the peers beyond the quorum, and there are none.
    pub(super) const fn no_peer_beyond_quorum(field: &'static str) -> Self {
        Self::Unused {
            field,
            reason: "the quorum is all of the peers, so none is left over",
        }
    }
}

/// `value` as the field's type if it is within `allowed`.
///
/// # Errors
///
/// [`WorkloadError::OutOfRange`] if it is not.
pub fn within<V, T>(
    field: &'static str,
    value: V,
    allowed: &RangeInclusive<T>,
) -> Result<T, WorkloadError>
where
    V: Copy + Display,
    T: TryFrom<V> + PartialOrd + Display,
{
    match T::try_from(value) {
        Ok(value) if allowed.contains(&value) => Ok(value),
        _ => Err(WorkloadError::OutOfRange {
            field,
            value: value.to_string(),
            allowed: show(allowed),
        }),
    }
}

/// A range as messages show it.
pub fn show<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// Reads a time that a person wrote. See [`parse`].
///
/// # Errors
///
/// Those of [`parse`].
pub fn hedge_after(text: &str) -> Result<Duration, TimeError> {
    parse(text, &HEDGE_AFTER)
}

/// Reads a duration that a person wrote.
///
/// # Errors
///
/// Those of [`parse`].
pub fn duration(text: &str) -> Result<Duration, TimeError> {
    parse(text, &DURATION)
}

/// Reads a time-out that a person wrote.
///
/// # Errors
///
/// Those of [`parse`].
pub fn timeout(text: &str) -> Result<Duration, TimeError> {
    parse(text, &TIMEOUT)
}

pub(super) fn time_within(
    field: &'static str,
    value: Duration,
    allowed: &RangeInclusive<Duration>,
) -> Result<(), WorkloadError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(WorkloadError::OutOfRange {
        field,
        value: Human(value).to_string(),
        allowed: format!("{} to {}", Human(*allowed.start()), Human(*allowed.end())),
    })
}

pub(super) fn call_within(field: &'static str, value: Size) -> Result<(), WorkloadError> {
    if value.bytes() <= MAX_CALL_BYTES {
        return Ok(());
    }
    Err(WorkloadError::OutOfRange {
        field,
        value: value.to_string(),
        allowed: "1 B to 64 MiB".to_owned(),
    })
}

/// Checks the entries of a mix that is used.
pub(super) fn check_mix(mix: &[CallSize]) -> Result<(), WorkloadError> {
    if !MIX_ENTRIES.contains(&mix.len()) {
        return Err(WorkloadError::OutOfRange {
            field: "mix",
            value: format!("{} entries long", mix.len()),
            allowed: show(&MIX_ENTRIES),
        });
    }
    // one entry is what request and response alone make, so its messages should not speak of a mix
    let is_mix = mix.len() > 1;
    let field = |in_mix, alone| if is_mix { in_mix } else { alone };
    for size in mix {
        within("mix.weight", size.weight, &WEIGHT)?;
        call_within(field("mix.request", "request"), size.request)?;
        call_within(field("mix.response", "response"), size.response)?;
    }
    Ok(())
}

/// A name is shown in tables, so it must be one short line.
pub(super) fn check_name(name: &str) -> Result<(), WorkloadError> {
    let is_line = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if is_line && NAME_CHARS.contains(&name.chars().count()) {
        return Ok(());
    }
    Err(WorkloadError::OutOfRange {
        field: "name",
        value: format!("{name:?}"),
        allowed: format!("{} printable characters", show(&NAME_CHARS)),
    })
}
