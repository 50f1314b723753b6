// SPDX-License-Identifier: Apache-2.0

//! A UDP socket of the operating system.
//!
//! The rule: segmentation is an optimisation. When the kernel refuses it, the same bytes go out packet by packet, the socket
//! remembers, and the caller sees a send that worked.

mod kernel;
mod memory;
mod stats;
mod transmit;

pub use self::stats::{Errors, Snapshot, Traffic};

use self::{kernel::Mmsg, transmit::Transmitter};
use crate::{
    msg::{addr::Family, recv},
    socket::io::{Backlog, Gather, Received, Socket},
};
use s2n_quic_platform::syscall::{configure_gro, configure_mtu_disc, configure_tos};
use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
};

/// A non-blocking UDP socket that sends many packets with one call and receives them so.
///
/// Any number of threads may use it at once. A message is at most [`MAX_TOTAL`](crate::msg::segment::MAX_TOTAL) bytes in
/// [`MAX_SEGMENTS`](crate::msg::segment::MAX_SEGMENTS) packets, from as many buffers; more is `InvalidInput`, and so are no
/// bytes at all and an IPv6 peer on an IPv4 socket. A socket bound to an IPv6 address takes IPv4 peers too, unless it was made
/// for IPv6 only.
///
/// If the kernel refuses segmentation (`EIO`, `EMSGSIZE`), the packets of the message are sent one by one. The send succeeds if
/// the first of them went: should a later one fail, it and those behind it count as
/// [`abandoned`](Snapshot::segments_abandoned) and are left to loss recovery, as the caller could not send the message again
/// without duplicating what went. Segmentation then stays off for this socket. It stays on if the first packet failed as well,
/// since then nothing shows that it was segmentation that was refused.
#[derive(Debug)]
pub struct UdpSocket {
    socket: std::net::UdpSocket,
    transmitter: Transmitter<Mmsg>,
    joins_on_receive: bool,
}

impl UdpSocket {
    /// Prepares a bound socket: non-blocking, joining packets on receive, reporting ECN marks, and never fragmenting.
    ///
    /// Fragmentation is ruled out with `IP_PMTUDISC_PROBE`, not `IP_PMTUDISC_DO`. Both set the don't-fragment bit. With `DO` the
    /// kernel also keeps a path MTU of its own and refuses larger packets with `EMSGSIZE`; it learns that MTU from ICMP, which
    /// anybody can forge. The datagram size here is agreed on in the handshake, and RFC 8899 §4.5 asks that the network
    /// layer keep out.
    ///
    /// A kernel without receive joining, ECN reports or MTU control is put up with. Fails if the socket is not bound or cannot be
    /// made non-blocking.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let family = Family::of(&socket.local_addr()?);

        // the functions that set these options want another socket type, which takes the descriptor and gives it back
        let socket = socket.into();
        let joins_on_receive = configure_gro(&socket);
        configure_tos(&socket);
        configure_mtu_disc(&socket);

        Ok(Self {
            socket: socket.into(),
            transmitter: Transmitter::new(Mmsg, family),
            joins_on_receive,
        })
    }

    /// Whether the kernel joins packets that it receives. If not, every receive yields one packet.
    pub fn joins_on_receive(&self) -> bool {
        self.joins_on_receive
    }

    /// What the socket has done so far. Counters of one moment may be a call apart from each other.
    pub fn stats(&self) -> Snapshot {
        self.transmitter.stats().snapshot()
    }

    /// The same socket with a descriptor of its own, for what waits until it is ready
    #[cfg(feature = "tokio")]
    pub(crate) fn try_clone(&self) -> io::Result<std::net::UdpSocket> {
        self.socket.try_clone()
    }

    /// The socket's counters, which can be read while it is in use and after it is closed.
    pub fn traffic(&self) -> Traffic {
        Traffic::new(self.transmitter.stats().clone())
    }
}

impl Socket for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn send(&self, message: &Gather<'_>) -> io::Result<()> {
        self.transmitter.send(self.as_fd(), message)
    }

    fn send_many(&self, messages: &[Gather<'_>]) -> (usize, Option<io::Error>) {
        self.transmitter.send_many(self.as_fd(), messages)
    }

    fn recv(&self, payload: &mut [u8]) -> io::Result<Received> {
        let result = recv::receive(self.as_fd(), payload);
        self.transmitter.stats().on_receive(&result);
        result
    }

    fn backlog(&self) -> Option<Backlog> {
        memory::backlog(self.as_fd())
    }

    fn max_segments(&self) -> usize {
        self.transmitter.max_segments()
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
