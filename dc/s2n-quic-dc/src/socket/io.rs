// SPDX-License-Identifier: Apache-2.0

//! What a socket worker needs from a socket, and the decision which messages share one send.
//!
//! The rule: all or nothing. A message is taken by the socket as a whole or not at all, so that nobody above has to remember how
//! far a send got.

use crate::msg::segment;
use s2n_quic_core::inet::ExplicitCongestionNotification;
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
};

/// A datagram socket that never blocks.
///
/// Simulated sockets and the ones that fail on purpose in tests implement it beside [`UdpSocket`](super::udp::UdpSocket).
pub trait Socket: Send + Sync + 'static {
    /// The address that the socket is bound to.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Sends one message, whole or not at all.
    ///
    /// An error means that no packet of the message was handed to the network. `WouldBlock` asks to try the same message again
    /// once the socket is writable; after any other error the message is lost and loss recovery deals with it.
    fn send(&self, message: &Gather<'_>) -> io::Result<()>;

    /// Sends messages in order, each as [`send`](Self::send) would, and returns how many went and why the next one did not.
    ///
    /// The error is `None` exactly if all were sent.
    fn send_many(&self, messages: &[Gather<'_>]) -> (usize, Option<io::Error>);

    /// Receives one datagram, or several from one peer that the kernel has joined, into the start of `payload`.
    ///
    /// `WouldBlock` if there is none. A datagram that `payload` is too short for is gone and reported as an error for which
    /// [`Truncated::is`] holds; 65 535 bytes are enough for every datagram and every train of them.
    fn recv(&self, payload: &mut [u8]) -> io::Result<Received>;

    /// How much of its receive buffer is in use; `None` if the socket can't tell, or has room for everything.
    ///
    /// A system call, where there is a system.
    fn backlog(&self) -> Option<Backlog> {
        None
    }

    /// The most packets that one message should hold: 1 once the socket has found that it cannot segment.
    ///
    /// A message that was built before it fell may still be sent.
    fn max_segments(&self) -> usize;
}

/// A message to send: bytes of one or more buffers that go to one peer as equal packets, the last of which may be shorter.
#[derive(Clone, Copy, Debug)]
pub struct Gather<'a> {
    /// Where to.
    pub addr: SocketAddr,
    /// The mark that every packet carries.
    pub ecn: ExplicitCongestionNotification,
    /// The length of every packet but the last, in bytes. More than the payload's length means one packet.
    pub segment_len: usize,
    /// The packets' bytes, back to back. Boundaries between buffers mean nothing.
    pub payload: &'a [IoSlice<'a>],
}

impl Gather<'_> {
    /// The bytes of all packets.
    pub fn total_len(&self) -> usize {
        self.payload.iter().map(|buffer| buffer.len()).sum()
    }

    /// The number of packets.
    pub fn segments(&self) -> usize {
        segment::count(self.total_len(), self.segment_len)
    }
}

/// What [`Socket::recv`] has put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The bytes that were written, of all packets together.
    pub len: usize,
    /// The length of every packet but the last, which may be shorter. Never zero, so that it can be divided by: an empty
    /// datagram has 1 here and no packet.
    pub segment_len: usize,
    /// Who sent it. An IPv4 peer is never reported as an IPv6 address.
    pub addr: SocketAddr,
    /// The mark that the packets carried.
    pub ecn: ExplicitCongestionNotification,
}

/// How much of a socket's receive buffer is in use. What does not fit is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes in use, as the system accounts for them: the memory that packets are in, which is more than they are long.
    pub held: usize,
    /// Bytes that it has.
    pub capacity: usize,
}

/// A datagram was longer than the buffer that was to take it. The datagram is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a datagram was longer than the receive buffer")]
pub struct Truncated;

impl Truncated {
    /// Whether `error` says so. Its kind is `InvalidData`, which other receive errors may have too.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl From<Truncated> for io::Error {
    fn from(truncated: Truncated) -> Self {
        Self::new(io::ErrorKind::InvalidData, truncated)
    }
}

/// The outline of a message: all that decides whether another may be appended to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where to.
    pub addr: SocketAddr,
    /// The mark that every packet carries.
    pub ecn: ExplicitCongestionNotification,
    /// The length of every packet but the last, in bytes.
    pub segment_len: usize,
    /// The bytes of all packets.
    pub total_len: usize,
}

impl Extent {
    /// The number of packets.
    pub fn segments(&self) -> usize {
        segment::count(self.total_len, self.segment_len)
    }

    /// Whether the last packet is as long as the others, as it is if there is only one. Only then can more follow: the kernel cuts at
    /// equal distances.
    pub fn ends_full(&self) -> bool {
        let packet_len = self.packet_len();
        packet_len > 0 && self.total_len.is_multiple_of(packet_len)
    }

    /// Appends `next`, if one send can carry both, and returns the outline of the result.
    ///
    /// Both must agree in address and mark, this one must end on a full packet, the packets of `next` must be as long as those of this one,
    /// or one packet that is no longer, and the result must stay within [`segment::MAX_TOTAL`] bytes and `max_segments` packets,
    /// which is [`Socket::max_segments`].
    pub fn coalesce(&self, next: &Self, max_segments: usize) -> Option<Self> {
        let packet_len = self.packet_len();
        let is_alike =
            next.packet_len() == packet_len || next.segments() == 1 && next.total_len <= packet_len;
        if self.addr != next.addr || self.ecn != next.ecn || !is_alike || !self.ends_full() {
            return None;
        }
        let joined = Self {
            segment_len: packet_len,
            total_len: self.total_len.checked_add(next.total_len)?,
            ..*self
        };
        let fits = joined.total_len <= segment::MAX_TOTAL
            && joined.segments() <= max_segments.min(segment::MAX_SEGMENTS);
        fits.then_some(joined)
    }

    /// The length of every packet but the last; of the only one if there is no other, whatever its segment had room for
    fn packet_len(&self) -> usize {
        self.segment_len.min(self.total_len)
    }
}

#[cfg(test)]
mod tests;
