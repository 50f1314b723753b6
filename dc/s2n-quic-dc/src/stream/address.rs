// SPDX-License-Identifier: Apache-2.0

//! Where the packets of a stream go, and what they say about where answers go.
//!
//! A client starts with the acceptor's address and queue 0, and learns the server's port and queue from the first authenticated answer. Both
//! ends name their own queue in every packet until the peer has shown that it knows it.
//!
//! The one rule: only authenticated packets change anything in here, and once the peer's queue is known nothing does.

use crate::packet::stream;
use core::sync::atomic::{AtomicU16, AtomicU64, AtomicU8, Ordering};
use s2n_quic_core::varint::VarInt;
use std::net::SocketAddr;

/// The peer's queue is not known, or our own need not be said any more
const NONE: u64 = u64::MAX;

/// A client that has heard nothing
const CLIENT_INIT: u8 = 0;
/// A client that was answered without being told the server's queue
const CLIENT_ANSWERED: u8 = 1;
/// A server whose client has not been seen to know its queue
const SERVER_INIT: u8 = 2;
/// Both ends know each other's queue
const CONFIRMED: u8 = 3;

#[derive(Debug)]
pub(crate) struct Address {
    remote: SocketAddr,
    remote_port: AtomicU16,
    remote_queue_id: AtomicU64,
    /// Said in every packet until the peer is known to know it
    source_queue_id: AtomicU64,
    state: AtomicU8,
}

impl Address {
    pub(crate) fn client(acceptor: SocketAddr, queue_id: u64) -> Self {
        Self {
            remote: acceptor,
            remote_port: AtomicU16::new(acceptor.port()),
            remote_queue_id: AtomicU64::new(0),
            source_queue_id: AtomicU64::new(queue_id),
            state: AtomicU8::new(CLIENT_INIT),
        }
    }

    /// A client that does not name its queue is answered at queue 0
    pub(crate) fn server(
        client: SocketAddr,
        remote_queue_id: Option<VarInt>,
        queue_id: u64,
    ) -> Self {
        Self {
            remote: client,
            remote_port: AtomicU16::new(client.port()),
            remote_queue_id: AtomicU64::new(remote_queue_id.map_or(0, |id| id.as_u64())),
            source_queue_id: AtomicU64::new(queue_id),
            state: AtomicU8::new(SERVER_INIT),
        }
    }

    /// Where the client has opened the stream
    pub(crate) fn acceptor(&self) -> SocketAddr {
        self.remote
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        let mut remote = self.remote;
        remote.set_port(self.remote_port.load(Ordering::Relaxed));
        remote
    }

    /// What a packet says: our own queue if that is still needed, the peer's, and where it goes
    pub(crate) fn for_packet(&self) -> (Option<VarInt>, stream::Id, SocketAddr) {
        let source = self.source_queue_id.load(Ordering::Relaxed);
        let source = if source == NONE {
            None
        } else {
            VarInt::new(source).ok()
        };
        let id = VarInt::new(self.remote_queue_id.load(Ordering::Relaxed))
            .ok()
            .and_then(stream::Id::normal)
            .or_else(|| stream::Id::normal(VarInt::ZERO))
            .expect("ids that cannot be encoded are refused where they come in, and zero can");
        (source, id, self.remote())
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CONFIRMED
    }

    /// Whether control packets can reach the peer: a client's cannot before it knows the server's queue
    pub(crate) fn can_send_control(&self) -> bool {
        !matches!(
            self.state.load(Ordering::Relaxed),
            CLIENT_INIT | CLIENT_ANSWERED
        )
    }

    /// Takes in what an authenticated packet says; false if it names a queue that no packet can be sent to
    pub(crate) fn on_authenticated(
        &self,
        from: SocketAddr,
        source_queue_id: Option<VarInt>,
    ) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        if state != CLIENT_INIT && state != CLIENT_ANSWERED {
            return true;
        }
        // the answer shows that the server knows our queue, and it may come from a port of its own
        self.source_queue_id.store(NONE, Ordering::Relaxed);
        self.remote_port.store(from.port(), Ordering::Relaxed);
        let next = match source_queue_id {
            None => CLIENT_ANSWERED,
            Some(id) if stream::Id::normal(id).is_some() => {
                self.remote_queue_id.store(id.as_u64(), Ordering::Relaxed);
                CONFIRMED
            }
            Some(_) => return false,
        };
        self.state.store(next, Ordering::Relaxed);
        true
    }

    /// The peer acknowledged something that we sent, so it knows our queue
    pub(crate) fn on_answered(&self) {
        if self.state.load(Ordering::Relaxed) == SERVER_INIT {
            self.source_queue_id.store(NONE, Ordering::Relaxed);
            self.state.store(CONFIRMED, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn queue(id: u32) -> Option<VarInt> {
        Some(VarInt::from_u32(id))
    }

    #[test]
    fn a_client_learns_the_servers_port_and_queue_from_the_first_answer_only() {
        let address = Address::client(addr(4433), 7);
        let (source, id, to) = address.for_packet();
        assert_eq!((source, to), (queue(7), addr(4433)));
        assert_eq!(id.into_varint(), VarInt::from_u8(3));
        assert!(!address.can_send_control());

        assert!(address.on_authenticated(addr(5000), queue(9)));
        let (source, id, to) = address.for_packet();
        assert_eq!((source, to), (None, addr(5000)));
        assert_eq!(id.into_varint(), VarInt::from_u8(9 * 4 + 3));
        assert!(address.can_send_control());

        assert!(address.on_authenticated(addr(6000), queue(11)));
        assert_eq!(address.remote(), addr(5000));
    }

    #[test]
    fn an_answer_without_a_queue_leaves_the_client_at_queue_zero() {
        let address = Address::client(addr(4433), 7);
        assert!(address.on_authenticated(addr(5000), None));
        let (source, id, _) = address.for_packet();
        assert_eq!((source, id.into_varint()), (None, VarInt::from_u8(3)));
        assert!(!address.can_send_control());
        assert!(address.on_authenticated(addr(5000), queue(9)));
        assert!(address.is_confirmed());
    }

    #[test]
    fn a_queue_that_cannot_be_encoded_is_refused() {
        let address = Address::client(addr(4433), 7);
        assert!(!address.on_authenticated(addr(5000), Some(VarInt::MAX)));
        assert!(!address.is_confirmed());
    }

    #[test]
    fn a_server_names_its_queue_until_it_is_answered() {
        let address = Address::server(addr(1000), queue(0), 5);
        assert!(address.can_send_control());
        assert_eq!(address.for_packet().0, queue(5));
        assert!(address.on_authenticated(addr(2000), queue(3)));
        assert_eq!(address.for_packet().0, queue(5));
        assert_eq!(address.remote(), addr(1000));
        address.on_answered();
        assert_eq!(address.for_packet().0, None);
        assert!(address.is_confirmed());
    }
}
