// SPDX-License-Identifier: Apache-2.0

//! Datagrams of one size that leave as one send.
//!
//! The one rule: datagrams leave in the order in which they were made; one of another size sends those before it.

use super::packet::Type;
use crate::train;
use std::{io, net::UdpSocket};

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Datagrams that were made, those that a test left out among them.
    pub(super) datagrams: u64,
    /// System calls.
    pub(super) calls: u64,
    /// Datagrams that a test left out or changed.
    pub(super) tampered: u64,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Client,
    Server,
}

/// What a test has go wrong: one in `every` of the datagrams of a kind and an end.
#[derive(Clone, Copy)]
pub(super) struct Tamper {
    pub(super) of: (By, Type),
    pub(super) every: u64,
    /// Makes another datagram of it, and says how many of its bytes are sent. None: it is left out.
    pub(super) with: fn(&mut [u8]) -> usize,
}

/// Collects the datagrams of one kind.
pub(super) struct Outbox<'a> {
    socket: &'a UdpSocket,
    bytes: Vec<u8>,
    /// Bytes that wait.
    len: usize,
    /// Bytes of each datagram that waits.
    segment: usize,
    tamper: Option<Tamper>,
    sent: Sent,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(socket: &'a UdpSocket, of: (By, Type), tamper: Option<Tamper>) -> Self {
        Self {
            socket,
            bytes: vec![0; MOST],
            len: 0,
            segment: 0,
            tamper: tamper.filter(|tamper| tamper.of == of),
            sent: Sent::default(),
        }
    }

    /// Has `write` make a datagram of `len` bytes, at most [`MOST`].
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub(super) fn push(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let is_full = self.len + len > MOST || self.len >= MOST_SEGMENTS * self.segment;
        if self.len > 0 && (len != self.segment || is_full) {
            self.flush()?;
        }
        let datagram = &mut self.bytes[self.len..self.len + len];
        write(datagram);
        self.sent.datagrams += 1;
        let is_due = |tamper: &Tamper| self.sent.datagrams.is_multiple_of(tamper.every);
        let len = match self.tamper.filter(is_due) {
            None => len,
            Some(tamper) => {
                self.sent.tampered += 1;
                (tamper.with)(datagram).min(len)
            }
        };
        if len > 0 {
            self.segment = len;
            self.len += len;
        }
        Ok(())
    }

    /// Sends what waits.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.len > 0 {
            train::send(self.socket, &self.bytes[..self.len], self.segment, None)?;
            self.sent.calls += 1;
            self.len = 0;
        }
        Ok(())
    }

    pub(super) const fn sent(&self) -> Sent {
        self.sent
    }
}

/// Bytes that one send takes at most.
const MOST: usize = train::MOST_PAYLOAD as usize;

/// Datagrams in a send at most: the kernel's limit (`UDP_MAX_SEGMENTS`) for long.
const MOST_SEGMENTS: usize = 64;
