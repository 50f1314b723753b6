// SPDX-License-Identifier: Apache-2.0

//! What a socket's buffers hold, as the kernel accounts for it.
//!
//! The rule: it is what the kernel goes by when it drops a packet, not what was asked for when the buffer was set up.

use crate::socket::io::Backlog;
use nix::{getsockopt_impl, libc, sockopt_impl, sys::socket::GetSockOpt};
use std::os::fd::BorrowedFd;

sockopt_impl!(
    /// The first of the values that the kernel has: the memory of what was received and not taken, and how much that may be
    MemInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 2]
);

/// How much of the receive buffer is in use
pub(super) fn backlog(fd: BorrowedFd<'_>) -> Option<Backlog> {
    let [held, capacity] = MemInfo.get(&fd).ok()?;
    Some(Backlog {
        held: held as usize,
        capacity: capacity as usize,
    })
}
