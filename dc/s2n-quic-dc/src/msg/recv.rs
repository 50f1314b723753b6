// SPDX-License-Identifier: Apache-2.0

//! Receives one message: a datagram, or a train of them that the kernel has joined.
//!
//! The rule: what did not fit is an error. A datagram without its tail would fail to authenticate, and a train without its
//! ancillary data would be cut in the wrong places.

use crate::{
    msg::{
        addr,
        cmsg::{Ancillary, Buffer},
    },
    socket::io::{Received, Truncated},
};
use nix::{
    errno::Errno,
    sys::socket::{recvmsg, MsgFlags, SockaddrStorage},
};
use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, BorrowedFd},
};

/// Takes the next message off the socket, which does not block, without allocating.
pub(crate) fn receive(fd: BorrowedFd<'_>, payload: &mut [u8]) -> io::Result<Received> {
    let mut buffer = Buffer::new();
    let mut payload = [IoSliceMut::new(payload)];

    let message = loop {
        let control = Some(buffer.as_mut_slice());
        match recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut payload, control, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            result => break result?,
        }
    };

    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        return Err(Truncated.into());
    }
    // fails only when the control messages were cut off
    let Ok(control) = message.cmsgs() else {
        return Err(Truncated.into());
    };
    let Ancillary { ecn, segment_len } = Ancillary::decode(control);

    let addr = message.address.as_ref().and_then(socket_addr);
    let addr = addr.ok_or(io::ErrorKind::InvalidData)?;
    let len = message.bytes;
    Ok(Received {
        len,
        segment_len: segment_len.unwrap_or(len).min(len).max(1),
        addr: addr::unmapped(addr),
        ecn,
    })
}

fn socket_addr(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddrV6::from(*v6).into())
}
