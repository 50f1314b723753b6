// SPDX-License-Identifier: Apache-2.0

//! The receiving thread of a flood.
//!
//! The one rule: what is counted as received was compared, byte by byte, at its place in the flow.

use super::{
    flight::{Flight, PATIENCE},
    packet::{self, Layout, Opener, HEADER},
};
use crate::train::{self, Train};
use nix::{
    errno::Errno,
    sys::{
        socket::{setsockopt, sockopt, MsgFlags},
        time::TimeVal,
    },
};
use s2n_quic_dc_perf::pattern::Pattern;
use std::{io, net::UdpSocket, time::Instant};

/// What was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// Bytes of data that were right.
    pub(super) bytes: u64,
    /// Datagrams that were right and came in order. One that comes after a later one counts as lost.
    pub(super) packets: u64,
    /// Datagrams with something wrong in them.
    pub(super) wrong: u64,
    /// System calls that received something.
    pub(super) calls: u64,
    /// When the last of it came.
    pub(super) last: Option<Instant>,
}

/// Receives a flood.
pub(super) struct Receiver {
    layout: Layout,
    opener: Opener,
    pattern: Pattern,
    socket: UdpSocket,
    /// The datagrams of one receive.
    batch: Vec<u8>,
    /// What the application reads into: the data of one receive.
    data: Vec<u8>,
    /// The packet after the last that arrived.
    next: u64,
    received: Received,
}

impl Receiver {
    /// Receives from `socket`.
    ///
    /// # Errors
    ///
    /// If the socket refuses its options.
    pub(super) fn new(
        layout: Layout,
        opener: Opener,
        pattern: Pattern,
        socket: UdpSocket,
    ) -> io::Result<Self> {
        setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
        let patience = TimeVal::new(0, i64::from(PATIENCE.subsec_micros()));
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        Ok(Self {
            layout,
            opener,
            pattern,
            socket,
            batch: vec![0; train::MAX_LEN],
            data: vec![0; train::MAX_LEN],
            next: 0,
            received: Received::default(),
        })
    }

    /// Receives until all that was sent arrived, or nothing comes after the sender is through.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub(super) fn run(mut self, flight: &Flight) -> io::Result<Received> {
        let _abandons = AbandonOnDrop(flight);
        loop {
            let total = flight.total();
            if total.is_some_and(|total| self.next >= total) {
                return Ok(self.received);
            }
            match train::receive(&self.socket, &mut self.batch, MsgFlags::empty()) {
                Ok(train) => {
                    self.take(train);
                    flight.set_arrived(self.next);
                }
                Err(Errno::EINTR) => {}
                // the sender was through before the wait, so what is missing was lost
                Err(Errno::EAGAIN) if total.is_some() => return Ok(self.received),
                Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the datagrams of a receive apart, opens what is closed, and compares.
    fn take(&mut self, train: Train<()>) {
        self.received.calls += 1;
        let mut space = &mut self.data[..];
        for datagram in self.batch[..train.len].chunks(train.segment) {
            let Some(number) = packet::number(datagram).filter(|number| *number >= self.next)
            else {
                continue;
            };
            self.next = number.saturating_add(1);
            let data = match &self.opener {
                Opener::Plain => Some(&datagram[HEADER..]),
                Opener::Aes(key) => {
                    // one behind the other, as a reader wants them
                    let opened = packet::open(key, number, datagram, space).unwrap_or(0);
                    let (data, rest) = space.split_at_mut(opened);
                    space = rest;
                    (opened > 0).then_some(&*data)
                }
            };
            let offset = self.layout.offset(number);
            match data {
                Some(data) if self.pattern.first_difference(offset, data).is_none() => {
                    self.received.bytes += data.len() as u64;
                    self.received.packets += 1;
                }
                _ => self.received.wrong += 1,
            }
        }
        #[expect(clippy::disallowed_methods, reason = "the outermost edge")]
        let now = Instant::now();
        self.received.last = Some(now);
    }
}

/// Tells the sender, however receiving ends.
struct AbandonOnDrop<'a>(&'a Flight);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
