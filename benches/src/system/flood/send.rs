// SPDX-License-Identifier: Apache-2.0

//! The sending thread of a flood.
//!
//! The one rule: one system call sends a full batch; only the last of a flood is smaller.

use super::{
    flight::Flight,
    packet::{self, Layout, Sealer, HEADER},
    Load,
};
use crate::train;
use s2n_quic_dc_perf::pattern::Pattern;
use std::{
    io,
    net::UdpSocket,
    time::{Duration, Instant},
};

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Bytes of data.
    pub(super) bytes: u64,
    /// Datagrams.
    pub(super) packets: u64,
    /// System calls.
    pub(super) calls: u64,
}

/// Sends a flood.
pub(super) struct Sender {
    layout: Layout,
    sealer: Sealer,
    pattern: Pattern,
    bytes: u64,
    limit: Duration,
    socket: UdpSocket,
    drop_every: Option<u64>,
    /// The datagrams of a batch, one after the other.
    batch: Vec<u8>,
}

impl Sender {
    pub(super) fn new(
        load: &Load,
        sealer: Sealer,
        socket: UdpSocket,
        drop_every: Option<u64>,
    ) -> Self {
        let layout = load.layout;
        Self {
            layout,
            sealer,
            pattern: load.pattern,
            bytes: load.bytes,
            limit: load.limit,
            socket,
            drop_every,
            batch: vec![0; layout.datagram() * layout.segments()],
        }
    }

    /// Sends until everything was sent, time is over, or nobody receives.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub(super) fn run(mut self, start: Instant, flight: &Flight) -> io::Result<Sent> {
        let mut sent = Sent::default();
        let mut given_up = 0;
        while sent.bytes < self.bytes && start.elapsed() < self.limit {
            let left = usize::try_from(self.bytes - sent.bytes).unwrap_or(usize::MAX);
            let len = left.min(self.layout.data() * self.layout.segments());
            let packets = len.div_ceil(self.layout.data()) as u64;
            if !flight.wait_for_room(sent.packets, packets, &mut given_up) {
                break;
            }
            let filled = self.fill(sent.packets, len)?;
            if !self.is_dropped(sent.packets) {
                self.send(filled)?;
            }
            sent.bytes += len as u64;
            sent.packets += packets;
            sent.calls += 1;
        }
        Ok(sent)
    }

    /// Makes the datagrams from packet `first` on, with `len` bytes of data in all; returns their bytes.
    fn fill(&mut self, first: u64, len: usize) -> io::Result<usize> {
        let layout = self.layout;
        let numbers = first..;
        match &self.sealer {
            Sealer::Plain => {
                // the application's buffer is the datagram
                let mut left = len;
                let datagrams = self.batch.chunks_mut(layout.datagram());
                let mut filled = 0;
                for (number, datagram) in numbers.zip(datagrams) {
                    if left == 0 {
                        break;
                    }
                    let data = left.min(layout.data());
                    let (header, space) = datagram.split_at_mut(HEADER);
                    header.copy_from_slice(&number.to_be_bytes());
                    let bytes = self.pattern.bytes(layout.offset(number), data);
                    space[..data].copy_from_slice(bytes);
                    left -= data;
                    filled += layout.len(data);
                }
                Ok(filled)
            }
            Sealer::Aes(key) => {
                // the application's buffer, which is sealed from in place
                let data = self.pattern.bytes(layout.offset(first), len);
                let mut filled = 0;
                let datagrams = self.batch.chunks_mut(layout.datagram());
                for ((number, data), datagram) in
                    numbers.zip(data.chunks(layout.data())).zip(datagrams)
                {
                    let datagram = &mut datagram[..layout.len(data.len())];
                    packet::seal(key, number, data, datagram).map_err(io::Error::other)?;
                    filled += datagram.len();
                }
                Ok(filled)
            }
        }
    }

    fn send(&self, len: usize) -> io::Result<()> {
        let batch = &self.batch[..len];
        Ok(train::send(
            &self.socket,
            batch,
            self.layout.datagram(),
            None,
        )?)
    }

    /// Whether the batch that starts at packet `first` is left out.
    fn is_dropped(&self, first: u64) -> bool {
        let batch = first / self.layout.segments() as u64;
        self.drop_every
            .is_some_and(|every| batch % every == every - 1)
    }
}
