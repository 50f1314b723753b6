// SPDX-License-Identifier: Apache-2.0

//! Peer addresses as the application knows them and as a socket's family needs them.
//!
//! The rule: outside of this layer an IPv4 peer is always `SocketAddr::V4`. Only a dual-stack socket sees it mapped into IPv6.

use std::{
    io,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// The address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The family that a socket bound to `local` has.
    pub(crate) fn of(local: &SocketAddr) -> Self {
        match local {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }

    /// `peer` in the form that a socket of this family sends to. A mapped and a plain IPv4 address mean the same peer.
    ///
    /// Fails with `InvalidInput` for an IPv6 peer on an IPv4 socket.
    pub(crate) fn for_send(self, peer: SocketAddr) -> io::Result<SocketAddr> {
        match (self, unmapped(peer)) {
            (Self::V4, SocketAddr::V6(_)) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an IPv4 socket cannot send to an IPv6 address",
            )),
            (Self::V6, SocketAddr::V4(peer)) => {
                let ip = peer.ip().to_ipv6_mapped();
                Ok(SocketAddrV6::new(ip, peer.port(), 0, 0).into())
            }
            (_, peer) => Ok(peer),
        }
    }
}

/// `addr` with an IPv4 address that was mapped into IPv6 taken out of it.
pub(crate) fn unmapped(addr: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = addr {
        if let Some(ip) = v6.ip().to_ipv4_mapped() {
            return SocketAddrV4::new(ip, v6.port()).into();
        }
    }
    addr
}

/// The family of the packets that go to `addr`, whichever socket sends them.
pub(crate) fn on_the_wire(addr: SocketAddr) -> Family {
    Family::of(&unmapped(addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("a socket address")
    }

    #[test]
    fn a_v6_socket_sends_to_v4_peers_by_mapping_them() {
        for peer in ["192.0.2.1:7", "[::ffff:192.0.2.1]:7"] {
            let mapped = Family::V6.for_send(addr(peer)).expect("mappable");
            assert_eq!(mapped, addr("[::ffff:192.0.2.1]:7"));
            assert_eq!(on_the_wire(mapped), Family::V4);
        }
        let peer = addr("[2001:db8::1]:7");
        assert_eq!(Family::V6.for_send(peer).expect("same family"), peer);
        assert_eq!(on_the_wire(peer), Family::V6);
    }

    #[test]
    fn a_v4_socket_accepts_both_forms_of_v4_and_no_v6() {
        for peer in ["192.0.2.1:7", "[::ffff:192.0.2.1]:7"] {
            let plain = Family::V4.for_send(addr(peer)).expect("an IPv4 peer");
            assert_eq!(plain, addr("192.0.2.1:7"));
        }
        let error = Family::V4.for_send(addr("[2001:db8::1]:7"));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn loopback_v6_is_not_taken_for_a_mapped_address() {
        assert_eq!(unmapped(addr("[::1]:7")), addr("[::1]:7"));
        assert_eq!(unmapped(addr("[::127.0.0.1]:7")), addr("[::127.0.0.1]:7"));
    }
}
