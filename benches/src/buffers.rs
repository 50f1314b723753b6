// SPDX-License-Identifier: Apache-2.0

//! Socket buffers: what every system asks for, and what the kernel makes of it.
//!
//! The one rule: all datagram sockets ask for the same; what was granted is read back and shown, never assumed.

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

/// What each datagram socket asks for in each direction, in bytes: twice what the limits of this comparison keep in flight.
pub const ASKED: usize = 4 << 20;

/// What the kernel granted, in bytes. Linux counts its own overhead and so reports twice what may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// `SO_SNDBUF`.
    pub send: usize,
    /// `SO_RCVBUF`.
    pub recv: usize,
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "send {}, receive {}", self.send, self.recv)
    }
}

/// Opens a datagram socket on a free port of the loopback address, with `asked` bytes for each buffer.
///
/// # Errors
///
/// What the system says to the socket. Fewer bytes than asked for are no error.
pub fn socket(asked: usize) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    setsockopt(&socket, sockopt::SndBuf, &asked)?;
    setsockopt(&socket, sockopt::RcvBuf, &asked)?;
    Ok(socket)
}

/// Reads back what `socket` was granted.
///
/// # Errors
///
/// What the system says.
pub fn granted(socket: &UdpSocket) -> io::Result<Granted> {
    Ok(Granted {
        send: getsockopt(socket, sockopt::SndBuf)?,
        recv: getsockopt(socket, sockopt::RcvBuf)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_is_read_back_from_the_socket() {
        let small = granted(&socket(8192).unwrap()).unwrap();
        let large = granted(&socket(ASKED).unwrap()).unwrap();
        assert!(small.recv >= 8192, "{small}");
        assert!(large.recv > small.recv, "{small}; {large}");
        assert!(large.send > small.send, "{small}; {large}");
    }
}
