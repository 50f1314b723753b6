// SPDX-License-Identifier: Apache-2.0

//! What is measured besides bytes and time: the system's own counters, and what the process used.
//!
//! The one rule: what a system does not count is `None`, never zero.

pub mod process;

use s2n_quic_dc::stream::metrics::{Lateness, Metrics, Waits};
use std::time::Duration;

/// The counters of a system, all since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Packets with stream data that were sent, retransmissions among them.
    pub packets_sent: Option<u64>,
    /// Packets that were sent again.
    pub packets_retransmitted: Option<u64>,
    /// Packets that the sender declared lost.
    pub packets_lost: Option<u64>,
    /// System calls that sent.
    pub send_calls: Option<u64>,
    /// Datagrams that went with them.
    pub segments_sent: Option<u64>,
    /// System calls that received.
    pub recv_calls: Option<u64>,
    /// Datagrams that came with them.
    pub segments_received: Option<u64>,
    /// Bytes of descriptors in use.
    pub pool_bytes: Option<u64>,
    /// Bytes that the pools have taken from the system and not given back.
    pub pool_allocated_bytes: Option<u64>,
    /// The most bytes of descriptors that were in use.
    pub pool_peak_bytes: Option<u64>,
    /// Transmissions in the wheels.
    pub wheel_entries: Option<u64>,
    /// The most transmissions that one wheel held.
    pub wheel_peak_entries: Option<u64>,
    /// What writers waited for, over all streams.
    pub waits: Option<Waits>,
    /// How late transmissions left against their departure times.
    pub lateness: Option<Lateness>,
}

impl Sample {
    /// The counters of several environments of this crate's stack, taken together. Peaks are added up: that they
    /// were at the same time is the worst case.
    #[must_use]
    pub fn of(environments: impl IntoIterator<Item = Metrics>) -> Self {
        let mut sum = Metrics::default();
        for metrics in environments {
            sum.packets_sent += metrics.packets_sent;
            sum.packets_retransmitted += metrics.packets_retransmitted;
            sum.packets_lost += metrics.packets_lost;
            sum.send_calls += metrics.send_calls;
            sum.segments_sent += metrics.segments_sent;
            sum.recv_calls += metrics.recv_calls;
            sum.segments_received += metrics.segments_received;
            sum.pool.in_use_bytes += metrics.pool.in_use_bytes;
            sum.pool.allocated_bytes += metrics.pool.allocated_bytes;
            sum.pool.peak_in_use_bytes += metrics.pool.peak_in_use_bytes;
            sum.wheel_entries += metrics.wheel_entries;
            sum.wheel_peak_entries = sum.wheel_peak_entries.max(metrics.wheel_peak_entries);
            sum.waits += metrics.waits;
            sum.lateness += metrics.lateness;
        }
        Self {
            packets_sent: Some(sum.packets_sent),
            packets_retransmitted: Some(sum.packets_retransmitted),
            packets_lost: Some(sum.packets_lost),
            send_calls: Some(sum.send_calls),
            segments_sent: Some(sum.segments_sent),
            recv_calls: Some(sum.recv_calls),
            segments_received: Some(sum.segments_received),
            pool_bytes: Some(sum.pool.in_use_bytes as u64),
            pool_allocated_bytes: Some(sum.pool.allocated_bytes as u64),
            pool_peak_bytes: Some(sum.pool.peak_in_use_bytes as u64),
            wheel_entries: Some(sum.wheel_entries),
            wheel_peak_entries: Some(sum.wheel_peak_entries),
            waits: Some(sum.waits),
            lateness: Some(sum.lateness),
        }
    }
}

/// What the process used while a workload ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Option<Duration>,
    /// The most memory that was resident, in bytes.
    pub peak_rss_bytes: Option<u64>,
    /// Datagrams of the network namespace.
    pub datagrams: Option<Datagrams>,
}

/// Datagrams of a network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// Delivered to sockets (`InDatagrams`).
    pub delivered: u64,
    /// Dropped because a socket's buffer had no room (`RcvbufErrors`).
    pub dropped: u64,
}
