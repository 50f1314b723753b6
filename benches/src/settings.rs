// SPDX-License-Identifier: Apache-2.0

//! What all systems are configured with, and why one may not start.
//!
//! The one rule: a system takes its numbers from here and from nowhere else, so that two systems differ only in what they are.

use crate::buffers;
use s2n_quic_dc_perf::workload::Workload;
use std::{error::Error, io};

/// The numbers that every system gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Independent clients, each with its own sockets, or connections.
    pub clients: u32,
    /// Independent servers, each of which every client can reach.
    pub peers: u32,
    /// Streams that one connection may have open at once: all there can be.
    pub streams: u32,
    /// Bytes of UDP payload of a datagram.
    pub mtu: u16,
    /// Bytes to ask for as each socket's send and receive buffer.
    pub socket_buffer: usize,
}

impl Settings {
    /// What `workload` needs.
    #[must_use]
    pub fn new(workload: &Workload) -> Self {
        let calls_each = workload.fanout.peers.max(1);
        Self {
            clients: workload.clients.max(1),
            peers: calls_each,
            // twice: a stream that is through is only let go of after its acknowledgement
            streams: workload
                .streams
                .saturating_add(workload.calls)
                .saturating_mul(calls_each)
                .saturating_mul(2)
                .max(MIN_STREAMS),
            mtu: workload.mtu,
            socket_buffer: buffers::ASKED,
        }
    }
}

/// Why a system could not be started, or not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system has no such thing.
    #[error("does not apply")]
    DoesNotApply,
    /// The datagram size is not one that the system can use.
    #[error("mtu: {mtu} is not within {least}..={most}")]
    Mtu {
        /// What was asked for, in bytes of UDP payload.
        mtu: u16,
        /// The least that is possible.
        least: u16,
        /// The most.
        most: u16,
    },
    /// The path's datagram size was not found in time.
    #[error("mtu: the handshake found datagrams of {found} bytes instead of {wanted}")]
    MtuDiscovery {
        /// Bytes of UDP payload that both ends know to pass.
        found: u16,
        /// Bytes that should have passed.
        wanted: u16,
    },
    /// A socket could not be set up.
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    /// A setting was refused, or a handshake failed.
    #[error("{step}: {source}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// What the peer's library says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StartError {
    /// Names the step that an error belongs to.
    pub fn at<E: Into<Box<dyn Error + Send + Sync>>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Step {
            step,
            source: source.into(),
        }
    }
}

/// Room for a few streams even when the workload has one: what peers' defaults have.
const MIN_STREAMS: u32 = 100;
