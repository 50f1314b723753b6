// SPDX-License-Identifier: Apache-2.0

//! The sizes of a pool, and what is a valid choice of them.
//!
//! The one rule: a pool is only ever made from a configuration that passed [`Config::validate`].

use std::{ops::RangeInclusive, time::Duration};

/// Sizes of a [`Pool`](super::Pool), in bytes, and how fast it shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Capacity of a [`Packet`](super::Class::Packet) descriptor: the path's datagram size, rounded up.
    pub packet_len: usize,
    /// Capacity of a [`Burst`](super::Class::Burst) descriptor: the largest coalesced receive, rounded up.
    pub burst_len: usize,
    /// Ceiling of what the pool takes from the system, over both classes and all purposes. Can be moved later, by
    /// [`Pool::set_max_bytes`](super::Pool::set_max_bytes).
    pub max_bytes: usize,
    /// The part of `max_bytes` that [`Purpose::Data`](super::Purpose::Data) may never use.
    pub reserve_bytes: usize,
    /// Half of the memory that was idle for so long is given back to the system, and then half of the rest: see
    /// [`Trimmer`](super::Trimmer). From a millisecond to an hour.
    ///
    /// Longer than the time between two bursts of load, the second finds the memory of the first.
    pub trim_interval: Duration,
}

impl Config {
    /// Checks every field against the range that the others leave it.
    ///
    /// # Errors
    ///
    /// The first field that is out of range, with its value and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check(
            "packet_len",
            self.packet_len,
            MIN_PACKET_LEN..=MAX_BURST_LEN,
        )?;
        check("burst_len", self.burst_len, self.packet_len..=MAX_BURST_LEN)?;
        check(
            "max_bytes",
            self.max_bytes,
            self.burst_len.saturating_mul(2)..=MAX_BYTES,
        )?;
        // both sides must be able to hold their largest descriptor, or its waiters would wait for ever
        let largest_reserve = self.max_bytes - self.burst_len;
        check(
            "reserve_bytes",
            self.reserve_bytes,
            self.burst_len..=largest_reserve,
        )?;
        let micros = usize::try_from(self.trim_interval.as_micros()).unwrap_or(usize::MAX);
        check("trim_interval in µs", micros, TRIM_INTERVAL_MICROS)
    }

    /// Checks a new `max_bytes` against the range that the other fields leave it.
    ///
    /// # Errors
    ///
    /// It is out of range.
    pub(super) fn check_ceiling(&self, max_bytes: usize) -> Result<(), ConfigError> {
        // data must be able to hold its largest descriptor; this cannot overflow, for it was the ceiling or less
        let smallest = self.reserve_bytes + self.burst_len;
        check("max_bytes", max_bytes, smallest..=MAX_BYTES)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // holds the 1472 bytes of a 1500 byte MTU; a path with jumbo frames wants 9216
            packet_len: 2048,
            burst_len: MAX_BURST_LEN,
            // 4096 bursts in flight: 20 Gbit/s over 100 ms
            max_bytes: 256 << 20,
            // 64 coalesced receives, or 2048 ACKs
            reserve_bytes: 4 << 20,
            // longer than the pauses of a busy service, shorter than anybody watches a graph; otherwise arbitrary
            trim_interval: Duration::from_secs(1),
        }
    }
}

/// A field of a [`Config`] that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pool {field} is {value}, allowed are {} to {}", allowed.start(), allowed.end())]
pub struct ConfigError {
    /// The name of the field.
    pub field: &'static str,
    /// The value it was given.
    pub value: usize,
    /// The values it may have, given the other fields.
    pub allowed: RangeInclusive<usize>,
}

fn check(
    field: &'static str,
    value: usize,
    allowed: RangeInclusive<usize>,
) -> Result<(), ConfigError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        field,
        value,
        allowed,
    })
}

/// A control packet with its header and tag fits into 64 bytes; anything less holds nothing useful.
const MIN_PACKET_LEN: usize = 64;

/// The largest UDP payload is 65 507 bytes over IPv4 and 65 527 over IPv6, and a coalesced receive is no longer than
/// 65 535: the next multiple of a page.
const MAX_BURST_LEN: usize = 1 << 16;

/// No Rust allocation, and so no sum that is worth accounting for, is larger.
const MAX_BYTES: usize = isize::MAX as usize;

/// Shorter would be work for nothing, and longer is as good as never.
const TRIM_INTERVAL_MICROS: RangeInclusive<usize> = 1_000..=3_600_000_000;
