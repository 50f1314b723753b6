// SPDX-License-Identifier: Apache-2.0

//! An environment as services set one up: one pool for all of its sockets, and errors that name what is wrong.

use s2n_quic_dc::{
    clock::tokio::Clock,
    event::disabled::Subscriber,
    path::secret::{stateless_reset::Signer, Map},
    socket::Options,
    stream::environment::{
        tokio::{Builder, Environment},
        udp::{Config, ConfigError},
    },
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

fn config() -> Config {
    let map = Map::new(
        Signer::random(),
        16,
        false,
        Clock::default(),
        Subscriber::default(),
    );
    Config::new(map)
}

fn loopback() -> Options {
    Options::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

fn build(config: Config, threads: usize) -> io::Result<Environment<Subscriber>> {
    Builder::new(Subscriber::default())
        .with_threads(threads)
        .with_socket_options(loopback())
        .with_pool(config)
        .build()
}

#[test]
fn all_sockets_of_an_environment_share_one_pool_with_the_configured_ceiling() {
    let mut config = config();
    config.pool.max_bytes = 8 << 20;
    let environment = build(config, 3).unwrap();
    assert!(environment.has_recv_pool());
    let metrics = environment.metrics().unwrap();
    // at most a receive buffer for each socket so far
    assert!(metrics.pool.allocated_bytes <= 3 * (1 << 16));
    assert!(metrics.pool.allocated_bytes <= 8 << 20);
    assert_eq!(metrics.pool.data_bytes, 0);
    assert_eq!(metrics.streams, 0);
    // clones share it
    let clone = environment.clone();
    drop(environment);
    assert!(clone.metrics().is_some());
}

#[test]
fn an_environment_without_a_pool_has_no_sockets() {
    let environment = Builder::new(Subscriber::default()).build().unwrap();
    assert!(!environment.has_recv_pool());
    assert_eq!(environment.pool_addr(), None);
    assert!(environment.metrics().is_none());
}

#[test]
fn sockets_share_a_port_if_they_are_told_to() {
    let mut config = config();
    config.reuse_port = true;
    config.workers = Some(4);
    let environment = build(config, 1).unwrap();
    let addr = environment.pool_addr().unwrap();
    assert_ne!(addr.port(), 0);
    // the port is taken: a socket that does not share it gets none
    assert!(std::net::UdpSocket::bind(addr).is_err());
}

#[test]
fn a_value_out_of_range_is_an_error_that_says_which() {
    let mut config = config();
    config.max_in_flight_transmissions = 5000;
    let Err(error) = build(config, 1) else {
        panic!("5000 transmissions in flight were accepted");
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let source = error
        .get_ref()
        .and_then(|source| source.downcast_ref::<ConfigError>())
        .expect("a typed error");
    assert_eq!(source.field, "max_in_flight_transmissions");
    assert_eq!(source.value, 5000);
    assert_eq!(source.range, 1..=1024);
}

#[test]
fn no_threads_is_an_error_and_not_a_panic() {
    let Err(error) = build(config(), 0) else {
        panic!("an environment without threads was built");
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "threads is 0, allowed are 1 to 256");
}

#[test]
fn an_address_that_cannot_be_bound_is_an_error() {
    let taken = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let result = Builder::new(Subscriber::default())
        .with_threads(1)
        .with_socket_options(Options::new(taken.local_addr().unwrap()))
        .with_pool(config())
        .build();
    let Err(error) = result else {
        panic!("a taken port was bound");
    };
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn the_ceiling_of_the_pool_can_be_moved_while_it_runs() {
    let mut config = config();
    config.pool.max_bytes = 8 << 20;
    let environment = build(config, 1).unwrap();
    let ceiling = || environment.metrics().unwrap().pool.max_bytes;
    assert_eq!(ceiling(), 8 << 20);
    environment.set_pool_ceiling(16 << 20).unwrap();
    assert_eq!(ceiling(), 16 << 20);
    // clones share it
    environment.clone().set_pool_ceiling(6 << 20).unwrap();
    assert_eq!(ceiling(), 6 << 20);

    let error = environment.set_pool_ceiling(4 << 20).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let source = error
        .get_ref()
        .and_then(|source| source.downcast_ref::<s2n_quic_dc::socket::pool::ConfigError>())
        .expect("a typed error");
    assert_eq!((source.field, source.value), ("max_bytes", 4 << 20));
    // room for the reserve and one burst
    assert_eq!(*source.allowed.start(), (4 << 20) + (1 << 16));
    assert_eq!(ceiling(), 6 << 20);
}

#[test]
fn an_environment_without_a_pool_has_no_ceiling() {
    let environment = Builder::new(Subscriber::default()).build().unwrap();
    let error = environment.set_pool_ceiling(8 << 20).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}
