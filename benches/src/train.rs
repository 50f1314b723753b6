// SPDX-License-Identifier: Apache-2.0

//! Trains: datagrams of one sender that the kernel joined into one receive (GRO), and takes apart again in one send (GSO).
//!
//! The one rule: what leaves has the borders of what came. A train never waits for room to be received in: it is the caller's.

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        recvmsg, sendmsg, setsockopt, sockopt, ControlMessage, ControlMessageOwned, MsgFlags,
        SockaddrLike, SockaddrStorage,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::UdpSocket,
    os::fd::AsRawFd as _,
};

/// More than any train has, in bytes.
pub(crate) const MAX_LEN: usize = 1 << 16;

/// The most UDP payload that a packet of IPv4 holds, and so the most that one send takes, in bytes.
pub(crate) const MOST_PAYLOAD: u16 = 65_535 - 20 - 8;

/// What a receive put into the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Train<A> {
    /// Bytes of all datagrams.
    pub(crate) len: usize,
    /// Bytes of each datagram but the last, which may have fewer.
    pub(crate) segment: usize,
    /// Who sent it. `()` does not ask, as the peer of a connected socket is known.
    pub(crate) from: Option<A>,
}

/// Lets `socket` join what arrives, and asks for `bytes` in each of its buffers.
///
/// # Errors
///
/// If the kernel has no GRO for datagrams. Fewer bytes than asked for are no error.
pub(crate) fn prepare(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    setsockopt(socket, sockopt::UdpGroSegment, &true)?;
    // the forced ones need a privilege, the others are cut to the system's limit
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::SndBuf, &bytes)?;
    }
    Ok(())
}

/// Receives a train. Waits for it as long as the socket does, or not at all with [`MsgFlags::MSG_DONTWAIT`].
///
/// # Errors
///
/// [`Errno::EAGAIN`] if there is none, and others of the socket, which may be about what was sent earlier.
pub(crate) fn receive<A: SockaddrLike>(
    socket: &UdpSocket,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<Train<A>> {
    let mut control = cmsg_space!(i32);
    let mut space = [IoSliceMut::new(buffer)];
    let message = recvmsg::<A>(socket.as_raw_fd(), &mut space, Some(&mut control), flags)?;
    let mut segment = message.bytes;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::UdpGroSegments(len) = control {
            segment = usize::try_from(len).unwrap_or(segment);
        }
    }
    Ok(Train {
        len: message.bytes,
        segment: segment.max(1),
        from: message.address,
    })
}

/// Sends `bytes` as datagrams of `segment` bytes, to `to` or to the peer that `socket` is connected with.
///
/// # Errors
///
/// Those of the socket.
pub(crate) fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    segment: usize,
    to: Option<&SockaddrStorage>,
) -> nix::Result<()> {
    let segment = u16::try_from(segment).map_err(|_| Errno::EMSGSIZE)?;
    let segments = [ControlMessage::UdpGsoSegments(&segment)];
    // a lone datagram needs no offload
    let is_train = bytes.len() > usize::from(segment);
    let control = if is_train { &segments[..] } else { &[] };
    let bytes = [IoSlice::new(bytes)];
    loop {
        match sendmsg(socket.as_raw_fd(), &bytes, control, MsgFlags::empty(), to) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
