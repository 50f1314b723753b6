// SPDX-License-Identifier: Apache-2.0

//! An environment in a simulation: what it is built of, and how it ends.

use s2n_quic_dc::{
    event::{self, api, disabled::Subscriber},
    path::secret::Map,
    socket::Options,
    stream::{
        application::Stream,
        client,
        environment::{
            bach::{Builder, Environment},
            udp::{Config, ConfigError},
        },
        server::{accept, stats},
    },
    testing::{ext::*, secrets, sim},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

const LEN: usize = 300_000;

fn builder() -> Builder<Subscriber> {
    Builder::new(Subscriber::default())
}

fn bind<Sub: event::Subscriber + Clone>(
    subscriber: Sub,
    map: &Map,
    sockets: usize,
) -> (Environment<Sub>, accept::Receiver<Sub>) {
    let (sender, streams) = accept::channel(16);
    let env = Builder::new(subscriber)
        .with_socket_options(Options::new((Ipv4Addr::UNSPECIFIED, 0).into()))
        .with_threads(sockets)
        .with_pool(Config::new(map.clone()))
        .with_acceptor(sender)
        .build();
    (env.expect("build"), streams)
}

/// A server that reads everything of every stream, and a client's environment
struct World {
    env: Environment<Subscriber>,
    map: Map,
    server: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl World {
    async fn new() -> Self {
        Self::with(Subscriber::default(), 1).await
    }

    /// `subscriber` is the server's, and the client has so many `sockets`
    async fn with(subscriber: impl event::Subscriber + Clone, sockets: usize) -> Self {
        let (map, server_map) = (secrets::map(), secrets::map());
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let (bytes, at_server) = (received.clone(), server_map.clone());
        let server = async move {
            let (env, streams) = bind(subscriber, &at_server, 1);
            let addr = env.pool_addr().expect("a socket");
            let serve = async move {
                // held for as long as the simulation lasts
                let _env = env;
                let (stats, ..) = stats::channel();
                while let Ok((mut stream, ..)) = accept::accept(&streams, &stats).await {
                    loop {
                        let mut chunk = Vec::<u8>::with_capacity(100_000);
                        if !matches!(stream.read_into(&mut chunk).await, Ok(1..)) {
                            break;
                        }
                        bytes.lock().expect("not poisoned").extend(chunk);
                    }
                }
            };
            serve.spawn();
            addr
        };
        let server = server.group("server").await;
        let at_client = map.clone();
        let (env, _) = async move { bind(Subscriber::default(), &at_client, sockets) }
            .group("client")
            .await;
        secrets::share(
            1,
            (&map, env.pool_addr().expect("a socket")),
            (&server_map, server),
            &secrets::Agreement::default(),
        );
        Self {
            env,
            map,
            server,
            received,
        }
    }

    async fn connect(&self) -> Stream<Subscriber> {
        let peer = self.map.get_untracked(self.server);
        let peer = ready(peer.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let stream = client::bach::connect_udp(peer, self.server, &self.env).await;
        stream.expect("open")
    }
}

#[test]
fn an_environment_without_a_pool_is_refused() {
    sim(|| {
        let error = builder().build().err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("with_pool"), "{error}");
    });
}

#[test]
fn a_value_out_of_range_is_an_error_that_says_which() {
    sim(|| {
        let build = |builder: Builder<Subscriber>| {
            let error = builder.with_pool(Config::new(secrets::map())).build();
            let error = error.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let source = error.get_ref().unwrap().downcast_ref::<ConfigError>();
            source.unwrap().field
        };
        assert_eq!(build(builder().with_threads(0)), "threads");
        assert_eq!(build(builder().with_max_segments(0)), "max_segments");
        assert_eq!(build(builder().with_max_segments(45)), "max_segments");
    });
}

#[test]
fn what_was_written_is_delivered_after_the_writer_and_its_environment_are_gone() {
    let received = Arc::<Mutex<Arc<Mutex<Vec<u8>>>>>::default();
    let slot = received.clone();
    sim(|| {
        async move {
            let world = World::new().await;
            *slot.lock().unwrap() = world.received.clone();
            let mut stream = world.connect().await;
            stream.write_all_from_fin(&mut &[7; LEN][..]).await.unwrap();
        }
        .primary()
        .spawn();
    });
    let received = received.lock().unwrap().lock().unwrap().clone();
    assert_eq!(received.len(), LEN);
    assert!(received.iter().all(|byte| *byte == 7));
}

/// Where the bytes of each packet begin, and how many they are
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<(u64, usize)>>>);

impl event::Subscriber for Listener {
    type ConnectionContext = ();

    fn create_connection_context(&self, _: &api::ConnectionMeta, _: &api::ConnectionInfo) {}

    fn on_stream_packet_received(
        &self,
        _context: &(),
        _meta: &api::ConnectionMeta,
        event: &api::StreamPacketReceived,
    ) {
        let heard = (event.stream_offset, event.payload_len);
        self.0.lock().expect("not poisoned").push(heard);
    }
}

#[test]
fn who_listens_hears_of_each_packet() {
    let listener = Listener::default();
    let at_server = listener.clone();
    sim(|| {
        async move {
            let world = World::with(at_server, 1).await;
            let mut stream = world.connect().await;
            stream.write_all_from_fin(&mut &[7; LEN][..]).await.unwrap();
        }
        .primary()
        .spawn();
    });
    let mut heard = listener.0.lock().unwrap().clone();
    heard.retain(|(_, len)| *len > 0);
    assert!(heard.len() > LEN / 1450);
    let mut end = 0;
    for (offset, len) in heard {
        assert_eq!(offset, end);
        end += len as u64;
    }
    assert_eq!(end, LEN as u64);
}

#[test]
fn streams_are_spread_over_the_sockets_while_they_are_open() {
    sim(|| {
        async move {
            let world = World::with(Subscriber::default(), 3).await;
            let port = |stream: &Stream<Subscriber>| stream.local_addr().expect("open").port();
            for round in 0..2 {
                let mut open = Vec::new();
                for _ in 0..6 {
                    open.push(world.connect().await);
                }
                let mut counts = BTreeMap::new();
                for stream in &open {
                    *counts.entry(port(stream)).or_insert(0) += 1;
                }
                assert!(counts.into_values().eq([2; 3]), "round {round}");
                for mut stream in open {
                    stream.write_all_from_fin(&mut &[7; 10][..]).await.unwrap();
                }
                1.s().sleep().await;
            }
            let mut ports = BTreeSet::new();
            for _ in 0..6 {
                let mut stream = world.connect().await;
                ports.insert(port(&stream));
                stream.write_all_from_fin(&mut &[7; 10][..]).await.unwrap();
                drop(stream);
                1.s().sleep().await;
            }
            assert_eq!(ports.len(), 1, "one after the other");
        }
        .primary()
        .spawn();
    });
}

#[test]
fn a_stream_may_outlive_its_simulation() {
    let stream = Arc::<Mutex<Option<Stream<Subscriber>>>>::default();
    let slot = stream.clone();
    sim(|| {
        async move {
            let world = World::new().await;
            let mut stream = world.connect().await;
            stream.write_from(&mut &[7; 10][..]).await.unwrap();
            *slot.lock().unwrap() = Some(stream);
        }
        .primary()
        .spawn();
    });
    let stream = stream.lock().unwrap().take();
    assert!(stream.unwrap().peer_addr().is_ok());
}
