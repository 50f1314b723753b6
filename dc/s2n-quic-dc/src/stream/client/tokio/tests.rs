// SPDX-License-Identifier: Apache-2.0

//! Configuration, failing fast, and what holds without a server.

use super::*;
use crate::{
    event::disabled::Subscriber,
    path::secret::{map::Peer, stateless_reset::Signer, HandshakeKind, Map},
};
use bytes::BytesMut;
use s2n_quic_core::time::StdClock;
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

#[test]
fn the_defaults_are_udp_and_waiting_for_the_handshake() {
    let client = Client::new(Offline::default(), Subscriber::default()).unwrap();

    assert!(client.default_protocol.is_udp());
    assert!(!client.fail_fast_on_missing_psk);

    let options = Builder::default().socket_options(HANDSHAKE_ADDR);
    assert!(options.gro);
    assert_eq!(options.send_buffer, None);
    assert_eq!(options.recv_buffer, None);
}

#[test]
fn the_sockets_get_the_buffers_of_the_builder_and_a_port_of_their_own() {
    let options = Builder::default()
        .with_send_buffer(1 << 20)
        .with_recv_buffer(1 << 21)
        .with_linger(Duration::from_secs(1))
        .socket_options(HANDSHAKE_ADDR);

    assert_eq!(options.addr.ip(), HANDSHAKE_ADDR.ip());
    assert_eq!(options.addr.port(), 0);
    assert_eq!(options.send_buffer, Some(1 << 20));
    assert_eq!(options.recv_buffer, Some(1 << 21));
}

#[test]
fn the_sockets_are_bound_to_the_address_of_the_handshake() {
    let client = client(Builder::default());

    let addr = client.env.pool_addr().unwrap();
    assert_eq!(addr.ip(), HANDSHAKE_ADDR.ip());
    assert_ne!(addr.port(), 0);
}

#[test]
fn zero_background_threads_are_refused() {
    let error = Builder::default()
        .with_background_threads(0)
        .build(Offline::default(), Subscriber::default())
        .map(drop)
        .unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "background_threads is 0; at least 1 is needed to serve the sockets"
    );
}

#[tokio::test]
async fn connect_and_rpc_refuse_another_default_protocol_by_name() {
    let tcp = "the client's default protocol Tcp is not supported: streams run over Udp";
    let other =
        "the client's default protocol Other(\"uds\") is not supported: streams run over Udp";

    for (builder, message) in [
        (Builder::default().with_default_protocol(Protocol::Tcp), tcp),
        (Builder::default().with_tcp(true), tcp),
        (Builder::default().with_udp(false), tcp),
        (
            Builder::default().with_default_protocol(Protocol::Other("uds")),
            other,
        ),
    ] {
        let client = client(builder);

        for error in [connect_error(&client).await, rpc_error(&client).await] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), message);
        }
        // refused before anything was done about it
        assert_eq!(client.handshake.counts(), (0, 0));
    }
}

#[tokio::test]
async fn udp_works_by_name_whatever_the_default_protocol() {
    let client = client(Builder::default().with_tcp(true));

    let error = client
        .connect_udp(PEER, PEER, server_name())
        .await
        .map(drop)
        .unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
}

#[tokio::test]
async fn a_stream_waits_for_the_handshake_and_returns_its_error() {
    let client = client(Builder::default().with_tcp(true).with_udp(true));

    for error in [connect_error(&client).await, rpc_error(&client).await] {
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
    }
    assert_eq!(client.handshake.counts(), (2, 0));
}

#[tokio::test]
async fn failing_fast_leaves_the_handshake_to_the_background() {
    let client = client(Builder::default().with_fail_fast_on_missing_psk(true));

    for error in [connect_error(&client).await, rpc_error(&client).await] {
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(matches!(
            error::Kind::from_io(&error),
            Some(error::Kind::PeerPskMissing)
        ));
    }
    assert_eq!(client.handshake.counts(), (0, 2));
}

#[tokio::test]
async fn failing_fast_names_the_missing_secret_even_if_no_handshake_can_start() {
    let handshake = Offline {
        background_fails: true,
        ..Offline::default()
    };
    let client = Builder::default()
        .with_background_threads(1)
        .with_fail_fast_on_missing_psk(true)
        .build(handshake, Subscriber::default())
        .unwrap();

    let error = connect_error(&client).await;

    assert!(matches!(
        error::Kind::from_io(&error),
        Some(error::Kind::PeerPskMissing)
    ));
}

#[test]
fn the_futures_of_a_client_are_send() {
    fn is_send<T: Send>(_: T) {}
    fn check(client: &Client<crate::psk::client::Provider, Subscriber>) {
        is_send(client.handshake_with(PEER, server_name()));
        is_send(client.connect(PEER, PEER, server_name()));
        is_send(client.connect_udp(PEER, PEER, server_name()));
        is_send(client.rpc(PEER, PEER, &b"?"[..], response(), server_name()));
        is_send(client.rpc_udp(PEER, PEER, &b"?"[..], response(), server_name()));
        is_send(connect_udp(std::future::pending(), PEER, &client.env));
    }
    fn is_send_and_sync<T: Send + Sync>() {}

    let _: fn(&Client<_, _>) = check;
    is_send_and_sync::<Client<crate::psk::client::Provider, Subscriber>>();
}

/// A handshake that finds nobody, and counts how often it was asked.
#[derive(Clone)]
struct Offline {
    map: Map,
    foreground: Arc<AtomicUsize>,
    background: Arc<AtomicUsize>,
    background_fails: bool,
}

impl Offline {
    /// How many handshakes were asked for in the foreground and in the background.
    fn counts(&self) -> (usize, usize) {
        (
            self.foreground.load(Ordering::SeqCst),
            self.background.load(Ordering::SeqCst),
        )
    }
}

impl Default for Offline {
    fn default() -> Self {
        let subscriber = Subscriber::default();
        Self {
            map: Map::new(Signer::random(), 8, false, StdClock::default(), subscriber),
            foreground: Arc::default(),
            background: Arc::default(),
            background_fails: false,
        }
    }
}

impl Handshake for Offline {
    async fn handshake_with_entry(
        &self,
        _: SocketAddr,
        _: Name,
    ) -> io::Result<(Peer, HandshakeKind)> {
        self.foreground.fetch_add(1, Ordering::SeqCst);
        Err(io::ErrorKind::HostUnreachable.into())
    }

    fn background_handshake_with(&self, _: SocketAddr, _: Name) -> io::Result<HandshakeKind> {
        self.background.fetch_add(1, Ordering::SeqCst);
        if self.background_fails {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        Ok(HandshakeKind::Fresh)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(HANDSHAKE_ADDR)
    }

    fn map(&self) -> &Map {
        &self.map
    }
}

fn client(builder: Builder) -> Client<Offline, Subscriber> {
    builder
        .with_background_threads(1)
        .build(Offline::default(), Subscriber::default())
        .unwrap()
}

async fn connect_error(client: &Client<Offline, Subscriber>) -> io::Error {
    let result = client.connect(PEER, PEER, server_name()).await;
    result.map(drop).unwrap_err()
}

async fn rpc_error(client: &Client<Offline, Subscriber>) -> io::Error {
    let result = client.rpc(PEER, PEER, &b"?"[..], response(), server_name());
    result.await.map(drop).unwrap_err()
}

fn response() -> rpc::InMemoryResponse<BytesMut> {
    BytesMut::new().into()
}

fn server_name() -> Name {
    Name::from("localhost")
}

/// Taken by no socket: it only stands for the address of a handshake.
const HANDSHAKE_ADDR: SocketAddr = localhost(4433);

const PEER: SocketAddr = localhost(9);

const fn localhost(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}
