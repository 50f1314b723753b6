// SPDX-License-Identifier: Apache-2.0

//! Configuration, and what holds without a client.

use super::*;
use crate::{
    event::disabled::Subscriber,
    path::secret::{stateless_reset::Signer, Map},
};
use s2n_quic_core::time::StdClock;

#[test]
fn the_defaults_are_udp_on_port_4444_of_every_address() {
    let builder = Server::<Offline, Subscriber>::builder();

    assert_eq!(builder.acceptor_addr, "[::]:4444".parse().unwrap());
    assert_eq!(builder.backlog, 4096);
    assert!(builder.udp);
    assert!(builder.unsupported.is_none());
    assert!(builder.workers.is_none());

    let options = builder.socket_options();
    assert!(!options.reuse_address);
    assert!(options.gro);
    assert_eq!(options.send_buffer, None);
    assert_eq!(options.recv_buffer, None);
}

#[test]
fn the_sockets_get_the_buffers_and_the_reuse_of_the_builder() {
    let options = Builder::default()
        .with_address(LOCALHOST)
        .with_send_buffer(1 << 20)
        .with_recv_buffer(1 << 21)
        .with_reuse_addr(true)
        .socket_options();

    assert_eq!(options.addr, LOCALHOST);
    assert_eq!(options.send_buffer, Some(1 << 20));
    assert_eq!(options.recv_buffer, Some(1 << 21));
    assert!(options.reuse_address);
}

#[test]
fn a_server_without_udp_is_refused_by_the_name_of_what_was_asked_for() {
    let tcp = "the server's protocol Tcp is not supported: streams run over Udp";
    let other = "the server's protocol Other(\"uds\") is not supported: streams run over Udp";
    let none = "the server has no protocol enabled; it needs Udp, which streams run over";

    for (builder, message) in [
        (builder().with_protocol(Protocol::Tcp), tcp),
        (builder().with_tcp(true).with_udp(false), tcp),
        (builder().with_udp(false).with_tcp(true), tcp),
        (builder().with_protocol(Protocol::Other("uds")), other),
        (builder().with_udp(false), none),
    ] {
        let error = builder
            .build(Offline::default(), Subscriber::default())
            .map(drop)
            .unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn tcp_beside_udp_is_served_over_udp() {
    let builder = builder().with_tcp(true).with_linger(Duration::from_secs(1));
    builder
        .build(Offline::default(), Subscriber::default())
        .unwrap();
}

#[test]
fn the_last_choice_of_a_protocol_wins() {
    let builder = builder()
        .with_protocol(Protocol::Tcp)
        .with_protocol(Protocol::Udp);
    assert!(builder.check_protocols().is_ok());
    assert!(builder.unsupported.is_none());
}

#[test]
fn the_port_that_the_system_chose_is_reported() {
    let server = server(NonZeroUsize::MIN);

    let addr = server.acceptor_addr().unwrap();
    assert_eq!(addr.ip(), LOCALHOST.ip());
    assert_ne!(addr.port(), 0);
    assert_eq!(server.handshake_addr().unwrap(), LOCALHOST);
}

#[test]
fn several_workers_share_one_port() {
    let server = server(NonZeroUsize::new(2).unwrap());
    assert_ne!(server.acceptor_addr().unwrap().port(), 0);
}

#[test]
fn an_address_in_use_is_an_error() {
    let holder = std::net::UdpSocket::bind(LOCALHOST).unwrap();

    let error = builder()
        .with_address(holder.local_addr().unwrap())
        .build(Offline::default(), Subscriber::default())
        .map(drop)
        .unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn the_acceptor_runtime_runs_tasks_until_the_last_clone_is_dropped() {
    let server = server(NonZeroUsize::MIN);
    let runtime = server.acceptor_rt();
    let clone = server.clone();

    drop(server);
    assert_eq!(runtime.spawn(async { 7 }).await.unwrap(), 7);

    // dropped inside a task: must not block or panic
    drop(clone);
    assert!(runtime.spawn(async {}).await.unwrap_err().is_cancelled());
}

#[test]
fn the_futures_of_a_server_are_send() {
    fn is_send<T: Send>(_: T) {}
    fn check(server: &Server<crate::psk::server::Provider, Subscriber>) {
        is_send(server.accept());
        is_send(server.accept_with_info());
    }
    fn is_send_and_sync<T: Send + Sync>() {}

    let _: fn(&Server<_, _>) = check;
    is_send_and_sync::<Server<crate::psk::server::Provider, Subscriber>>();
}

/// A handshake that never happens.
#[derive(Clone)]
struct Offline {
    map: Map,
}

impl Default for Offline {
    fn default() -> Self {
        let subscriber = Subscriber::default();
        Self {
            map: Map::new(Signer::random(), 8, false, StdClock::default(), subscriber),
        }
    }
}

impl Handshake for Offline {
    fn local_addr(&self) -> SocketAddr {
        LOCALHOST
    }

    fn map(&self) -> &Map {
        &self.map
    }
}

fn builder() -> Builder {
    Builder::default()
        .with_address(LOCALHOST)
        .with_workers(NonZeroUsize::MIN)
}

fn server(workers: NonZeroUsize) -> Server<Offline, Subscriber> {
    builder()
        .with_workers(workers)
        .build(Offline::default(), Subscriber::default())
        .unwrap()
}

const LOCALHOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
