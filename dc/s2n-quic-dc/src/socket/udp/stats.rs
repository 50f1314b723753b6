// SPDX-License-Identifier: Apache-2.0

//! Counters of one socket.
//!
//! The rule: what went wrong is counted by what it was, and apart for the two directions, because would-block ends every drain of
//! a receive buffer and means nothing there.

use crate::{
    msg::segment,
    socket::io::{Gather, Received},
};
use nix::errno::Errno;
use std::{
    io,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
};

/// The counters at one moment, all since the socket was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// System calls that sent at least one message.
    pub sends: u64,
    /// Packets that were handed to the network.
    pub segments_sent: u64,
    /// Bytes of payload in those packets.
    pub bytes_sent: u64,
    /// Packets that were given up because an earlier packet of their message had already gone when one failed.
    pub segments_abandoned: u64,
    /// System calls that failed to send, by reason.
    pub send_errors: Errors,
    /// System calls that received something.
    pub recvs: u64,
    /// Packets that were received.
    pub segments_received: u64,
    /// Bytes of payload in those packets.
    pub bytes_received: u64,
    /// System calls that failed to receive, by reason.
    pub recv_errors: Errors,
}

/// Failed system calls by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// `EAGAIN`: the socket's buffer was full, or empty when receiving.
    pub would_block: u64,
    /// `ENOBUFS`: the device's queue was full.
    pub no_buffers: u64,
    /// `EPERM`: a firewall refused.
    pub not_permitted: u64,
    /// `EMSGSIZE`: a packet exceeded the interface's MTU.
    pub too_large: u64,
    /// `EIO`: the interface cannot segment.
    pub io: u64,
    /// `ECONNREFUSED`: an earlier packet found nobody listening.
    pub refused: u64,
    /// Everything else, received datagrams that did not fit among them.
    pub other: u64,
}

/// The counters of one socket, to be read while others use it.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Stats>);

impl Traffic {
    pub(super) fn new(stats: Arc<Stats>) -> Self {
        Self(stats)
    }

    /// The counters now. Counters of one moment may be a call apart from each other.
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    /// Counts what a simulated socket sent: calls to it stand for system calls.
    #[cfg(feature = "testing")]
    pub(crate) fn on_send(&self, message: &Gather<'_>, result: &io::Result<()>) {
        match result {
            Ok(()) => self.0.on_sent(std::slice::from_ref(message)),
            Err(error) => self.0.on_send_error(error),
        }
    }

    /// Counts what a simulated socket received.
    #[cfg(feature = "testing")]
    pub(crate) fn on_receive(&self, result: &io::Result<Received>) {
        self.0.on_receive(result);
    }
}

#[derive(Debug, Default)]
pub(super) struct Stats {
    sends: AtomicU64,
    segments_sent: AtomicU64,
    bytes_sent: AtomicU64,
    segments_abandoned: AtomicU64,
    send_errors: ErrorCounters,
    recvs: AtomicU64,
    segments_received: AtomicU64,
    bytes_received: AtomicU64,
    recv_errors: ErrorCounters,
}

impl Stats {
    /// Counts one call that has sent `messages`.
    pub(super) fn on_sent(&self, messages: &[Gather<'_>]) {
        let (mut segments, mut bytes) = (0, 0);
        for message in messages {
            segments += message.segments() as u64;
            bytes += message.total_len() as u64;
        }
        self.sends.fetch_add(1, Relaxed);
        self.segments_sent.fetch_add(segments, Relaxed);
        self.bytes_sent.fetch_add(bytes, Relaxed);
    }

    pub(super) fn on_send_error(&self, error: &io::Error) {
        self.send_errors.count(error);
    }

    pub(super) fn on_abandoned(&self, segments: usize) {
        self.segments_abandoned.fetch_add(segments as u64, Relaxed);
    }

    pub(super) fn on_receive(&self, result: &io::Result<Received>) {
        match result {
            Ok(received) => {
                // an empty datagram is a packet as well
                let segments = segment::count(received.len, received.segment_len).max(1);
                self.recvs.fetch_add(1, Relaxed);
                self.segments_received.fetch_add(segments as u64, Relaxed);
                self.bytes_received.fetch_add(received.len as u64, Relaxed);
            }
            Err(error) => self.recv_errors.count(error),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            sends: self.sends.load(Relaxed),
            segments_sent: self.segments_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            segments_abandoned: self.segments_abandoned.load(Relaxed),
            send_errors: self.send_errors.snapshot(),
            recvs: self.recvs.load(Relaxed),
            segments_received: self.segments_received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            recv_errors: self.recv_errors.snapshot(),
        }
    }
}

#[derive(Debug, Default)]
struct ErrorCounters {
    would_block: AtomicU64,
    no_buffers: AtomicU64,
    not_permitted: AtomicU64,
    too_large: AtomicU64,
    io: AtomicU64,
    refused: AtomicU64,
    other: AtomicU64,
}

impl ErrorCounters {
    fn count(&self, error: &io::Error) {
        let counter = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN) => &self.would_block,
            Some(Errno::ENOBUFS) => &self.no_buffers,
            Some(Errno::EPERM) => &self.not_permitted,
            Some(Errno::EMSGSIZE) => &self.too_large,
            Some(Errno::EIO) => &self.io,
            Some(Errno::ECONNREFUSED) => &self.refused,
            _ => &self.other,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn snapshot(&self) -> Errors {
        Errors {
            would_block: self.would_block.load(Relaxed),
            no_buffers: self.no_buffers.load(Relaxed),
            not_permitted: self.not_permitted.load(Relaxed),
            too_large: self.too_large.load(Relaxed),
            io: self.io.load(Relaxed),
            refused: self.refused.load(Relaxed),
            other: self.other.load(Relaxed),
        }
    }
}
