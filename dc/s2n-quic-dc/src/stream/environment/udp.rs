// SPDX-License-Identifier: Apache-2.0

//! The configuration of an environment's sockets, pool and streams.
//!
//! The one rule: a value out of range is an error that names the field, the value and the range; nothing is clamped in silence.

use super::core::Settings;
use crate::{
    path::secret::Map,
    socket::pool,
    stream::{server::accept::Flavor, DEFAULT_IDLE_TIMEOUT},
};
use std::{io, ops::RangeInclusive};

pub use published_dc::sync::mpsc::Capacity;

/// The default of [`Config::max_in_flight_transmissions`]
///
/// The smallest value within 3 % of the best for one stream alone, which is what the limit matters for: see the sweep in
/// docs/status.md and benches/sweep.csv.
const DEFAULT_MAX_IN_FLIGHT_TRANSMISSIONS: usize = 16;

/// The default of [`Config::max_receive_window_bytes`]
///
/// Sixteen windows of the largest size, or a thousand of 256 KiB, beside what handshakes have promised. It is what the descriptor
/// pool may take as well, so that neither direction dwarfs the other; otherwise arbitrary.
const DEFAULT_MAX_RECEIVE_WINDOW_BYTES: usize = 256 << 20;

/// The largest value of [`Config::max_receive_window_bytes`]: no process can address more
const MAX_RECEIVE_WINDOW_BYTES: usize = isize::MAX as usize;

/// How an environment is set up
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Whether the workers that receive have threads of their own, as those that send always have
    ///
    /// If not, which is the default, they are tasks of the multi-threaded tokio runtime in whose context the environment is built. Calls are
    /// answered in half the time, since no thread has to be woken between a packet and its reader. Such a runtime must not be
    /// blocked: what keeps its threads busy for long also keeps acknowledgements from leaving. When it shuts down, threads go on. Without such
    /// a runtime, or with one without IO or timers, they have threads from the start. (Tokio says that it lacks them
    /// by a panic, which is caught: with `panic = "abort"`, set this.)
    ///
    /// A runtime that always has something to run looks at its sockets every 61 turns of tasks, which for bulk are milliseconds. Where calls are made
    /// beside bulk, `event_interval(4)` of its [builder](tokio::runtime::Builder::event_interval) shortens the slowest of them by a quarter, and costs
    /// nothing that could be measured.
    pub blocking: bool,
    /// All sockets share one port, and the kernel spreads clients over them
    pub reuse_port: bool,
    /// Ignored: what waits for a stream is bounded by its window
    pub stream_queue: Capacity,
    /// Ignored: control packets are taken in as they come
    pub control_queue: Capacity,
    /// Ignored: receive buffers hold the longest train that the kernel joins
    pub max_packet_size: u16,
    /// Ignored: descriptors are allocated on demand, up to `pool.max_bytes`
    pub packet_count: usize,
    /// Which end of the accept queue new streams go to
    pub accept_flavor: Flavor,
    /// Sockets, each with two workers; the number of threads of the environment if `None`
    pub workers: Option<usize>,
    /// The secrets of the peers
    pub map: Map,
    /// The descriptor pool that streams, acknowledgements and receiving share
    pub pool: pool::Config,
    /// Transmissions of data, each of at most one GSO batch, that one stream may have in the wheel
    ///
    /// Fewer keep the queue short, more keep the socket busy when the application is scheduled late.
    pub max_in_flight_transmissions: usize,
    /// Bytes of UDP payload that leave to one peer per second at most, over all streams; without a limit if `None`
    ///
    /// 125 000 (1 Mbit/s) to 125 000 000 000 (1 Tbit/s). What the network and the peer take may be less, and is found out in any case.
    pub max_bytes_per_second: Option<usize>,
    /// Bytes that the receive windows of all streams together may grow by, beyond what the handshakes have promised
    ///
    /// A window follows what its application drains in a round trip, up to 16 MiB. When less is free here, a stream may hold no
    /// more than what is left free, so that a few cannot take all. When nothing is left, windows stay as they are: streams are
    /// slower on long paths, and nothing fails. With 0, every window stays as the handshake has it.
    pub max_receive_window_bytes: usize,
}

/// A change to a [`Config`] that is made when everything else is known
pub(crate) type Tuning = Box<dyn FnOnce(&mut Config) + Send>;

/// A value of a [`Config`] is out of range
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed are {} to {}", range.start(), range.end())]
pub struct ConfigError {
    /// The field's name
    pub field: &'static str,
    /// What it was set to
    pub value: usize,
    /// What it may be set to
    pub range: RangeInclusive<usize>,
}

impl From<ConfigError> for io::Error {
    fn from(error: ConfigError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

impl Config {
    /// The defaults, with the secrets of `map`
    pub fn new(map: Map) -> Self {
        Self {
            blocking: false,
            reuse_port: false,
            stream_queue: Capacity {
                max: 4096,
                initial: 256,
            },
            control_queue: Capacity { max: 8, initial: 8 },
            max_packet_size: u16::MAX,
            packet_count: 16,
            accept_flavor: Flavor::default(),
            workers: None,
            map,
            pool: pool::Config::default(),
            max_in_flight_transmissions: DEFAULT_MAX_IN_FLIGHT_TRANSMISSIONS,
            max_bytes_per_second: None,
            max_receive_window_bytes: DEFAULT_MAX_RECEIVE_WINDOW_BYTES,
        }
    }

    /// Checks every field that has a range
    ///
    /// # Errors
    ///
    /// [`ConfigError`], or [`pool::ConfigError`] for what belongs to the pool, as the source of an `InvalidInput`.
    pub fn validate(&self) -> io::Result<()> {
        check(
            "max_in_flight_transmissions",
            self.max_in_flight_transmissions,
            1..=1024,
        )?;
        if let Some(rate) = self.max_bytes_per_second {
            check("max_bytes_per_second", rate, 125_000..=125_000_000_000)?;
        }
        check(
            "max_receive_window_bytes",
            self.max_receive_window_bytes,
            0..=MAX_RECEIVE_WINDOW_BYTES,
        )?;
        if let Some(workers) = self.workers {
            check("workers", workers, 1..=256)?;
        }
        self.pool
            .validate()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// What streams are made with
    pub(super) fn settings(&self) -> Settings {
        Settings {
            max_pending: self.max_in_flight_transmissions,
            max_rate: self.max_bytes_per_second.map(|rate| rate as u64),
            max_receive_window_bytes: self.max_receive_window_bytes,
        }
    }
}

pub(super) fn check(
    field: &'static str,
    value: usize,
    range: RangeInclusive<usize>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        field,
        value,
        range,
    })
}

/// The idle timeout of a stream whose handshake agreed on none
pub(crate) const IDLE_TIMEOUT: core::time::Duration = DEFAULT_IDLE_TIMEOUT;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::path::secret::stateless_reset::Signer;

    fn config() -> Config {
        let map = Map::new(
            Signer::random(),
            10,
            false,
            crate::clock::tokio::Clock::default(),
            crate::event::disabled::Subscriber::default(),
        );
        Config::new(map)
    }

    #[test]
    fn the_defaults_are_valid() {
        config().validate().unwrap();
    }

    #[test]
    fn an_error_names_the_field_the_value_and_the_range() {
        let mut config = config();
        config.max_in_flight_transmissions = 0;
        let error = config.validate().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "max_in_flight_transmissions is 0, allowed are 1 to 1024"
        );
        config.max_in_flight_transmissions = 1025;
        assert!(config.validate().is_err());
        config.max_in_flight_transmissions = 1024;
        config.validate().unwrap();
    }

    #[test]
    fn every_field_with_a_range_is_checked() {
        let mut idle = config();
        idle.workers = Some(0);
        assert!(idle.validate().unwrap_err().to_string().contains("workers"));
        let mut slow = config();
        slow.max_bytes_per_second = Some(124_999);
        assert!(slow
            .validate()
            .unwrap_err()
            .to_string()
            .contains("max_bytes_per_second"));
        slow.max_bytes_per_second = Some(125_000);
        slow.validate().unwrap();
        let mut windows = config();
        windows.max_receive_window_bytes = usize::MAX;
        assert!(windows
            .validate()
            .unwrap_err()
            .to_string()
            .contains("max_receive_window_bytes"));
        windows.max_receive_window_bytes = 0;
        windows.validate().unwrap();
        let mut pool = config();
        pool.pool.max_bytes = 1;
        assert!(pool
            .validate()
            .unwrap_err()
            .to_string()
            .contains("max_bytes"));
    }
}
