// SPDX-License-Identifier: Apache-2.0

//! A client and a server that handshake for real and talk over loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::{Bytes, BytesMut};
use s2n_quic::provider::{event::disabled::Subscriber as Quiet, tls::default as tls};
use s2n_quic_core::{buffer::writer::Storage, time::StdClock};
use s2n_quic_dc::{
    event::disabled::Subscriber,
    path::secret::{stateless_reset::Signer, HandshakeKind, Map},
    psk,
    stream::{
        application::Stream,
        client::{
            rpc::InMemoryResponse,
            tokio::{self as client, Client},
        },
        server::tokio::{self as server, Server},
    },
};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};

/// More than one write can take: it exceeds the windows that a handshake grants.
const LARGE: usize = 3 << 20;

#[tokio::test]
async fn a_stream_carries_bytes_both_ways() {
    let pair = Pair::new().await;

    // nothing has been written yet, and still the server learns of the stream
    let mut stream = pair.connect().await.unwrap();
    let (mut accepted, info, peer_addr) = pair.server.accept_with_info().await.unwrap();
    assert_eq!(peer_addr, stream.local_addr().unwrap());
    assert_eq!(accepted.path_secret_id(), stream.path_secret_id());
    assert!(info.app_queue_sojourn_time < TIMEOUT);

    stream.write_all_from_fin(&mut &b"hello"[..]).await.unwrap();
    assert_eq!(read_to_end(&mut accepted).await.unwrap(), b"hello");
    accepted
        .write_all_from_fin(&mut &b"goodbye"[..])
        .await
        .unwrap();
    assert_eq!(read_to_end(&mut stream).await.unwrap(), b"goodbye");
}

#[tokio::test]
async fn a_stream_that_is_only_opened_is_announced_by_its_first_write() {
    let pair = Pair::new().await;

    let (handshake_addr, acceptor_addr) = (pair.handshake_addr(), pair.acceptor_addr());
    let opening = pair.client.open_udp(handshake_addr, acceptor_addr, name());
    let mut stream = opening.await.unwrap();
    assert_eq!(pair.client.metrics().packets_sent, 0);
    let mut announced = pair.connect().await.unwrap();
    assert_eq!(pair.client.metrics().packets_sent, 1);
    let (mut accepted, _) = pair.server.accept().await.unwrap();
    assert_eq!(accepted.path_secret_id(), announced.path_secret_id());
    announced.write_all_from_fin(&mut &b""[..]).await.unwrap();
    assert_eq!(read_to_end(&mut accepted).await.unwrap(), b"");

    stream.write_all_from_fin(&mut &b"hello"[..]).await.unwrap();
    let (mut accepted, _) = pair.server.accept().await.unwrap();
    assert_eq!(read_to_end(&mut accepted).await.unwrap(), b"hello");
}

#[tokio::test]
async fn failing_fast_succeeds_once_the_secret_is_cached() {
    let pair = Pair::with(client::Builder::default().with_fail_fast_on_missing_psk(true)).await;

    let error = pair.connect().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);

    let addr = pair.server.handshake_addr().unwrap();
    pair.client.handshake_with(addr, name()).await.unwrap();
    pair.connect().await.unwrap();
    let kind = pair.client.handshake_with(addr, name()).await.unwrap();
    assert!(matches!(kind, HandshakeKind::Cached));

    pair.client.drop_state();
    assert!(!pair.client.handshake_state().map().contains(&addr));
    let error = pair.connect().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_call_carries_a_request_larger_than_one_write() {
    let pair = Pair::new().await;
    pair.serve(|mut stream| async move {
        let request = read_to_end(&mut stream).await.unwrap();
        let answer = format!(
            "{} {}",
            request.len(),
            request.iter().all(|byte| *byte == 7)
        );
        stream
            .write_all_from_fin(&mut answer.as_bytes())
            .await
            .unwrap();
    });

    let response = pair
        .call(Bytes::from(vec![7; LARGE]), BytesMut::new())
        .await;

    assert_eq!(response.unwrap(), format!("{LARGE} true").as_bytes());
}

#[tokio::test]
async fn a_call_without_a_request_is_answered() {
    let pair = Pair::new().await;
    pair.serve(|mut stream| async move {
        let request = read_to_end(&mut stream).await.unwrap();
        assert!(request.is_empty());
        stream.write_all_from_fin(&mut &b"hello"[..]).await.unwrap();
    });

    let response = pair.call(Bytes::new(), BytesMut::new()).await;

    assert_eq!(response.unwrap(), &b"hello"[..]);
}

#[tokio::test]
async fn a_response_may_fill_its_storage_exactly() {
    let pair = Pair::new().await;
    pair.serve(answer_hello);

    let mut storage = [0; 5];
    pair.call(Bytes::from_static(b"?"), &mut storage[..])
        .await
        .unwrap();

    assert_eq!(&storage, b"hello");
}

#[tokio::test]
async fn a_response_that_exceeds_its_storage_is_an_error() {
    let pair = Pair::new().await;
    pair.serve(answer_hello);

    for capacity in [0, 1, 4] {
        let mut storage = vec![0; capacity];
        let error = pair
            .call(Bytes::from_static(b"?"), &mut storage[..])
            .await
            .map(drop)
            .unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert_eq!(
            error.to_string(),
            format!(
                "the response storage ran out of capacity after {capacity} bytes, \
                 before the end of the response"
            )
        );
    }
}

#[tokio::test]
async fn an_answer_counts_even_if_the_rest_of_the_request_is_refused() {
    let pair = Pair::new().await;
    pair.serve(|stream| async move {
        let (mut reader, mut writer) = stream.into_split();
        // reads the start, refuses the rest, and answers when the client has long noticed
        reader.read_into(&mut BytesMut::new()).await.unwrap();
        drop(reader);
        tokio::time::sleep(Duration::from_millis(100)).await;
        writer
            .write_all_from_fin(&mut &b"too large"[..])
            .await
            .unwrap();
    });

    let response = pair
        .call(Bytes::from(vec![7; LARGE]), BytesMut::new())
        .await;

    assert_eq!(response.unwrap(), &b"too large"[..]);
}

#[tokio::test]
async fn a_request_that_is_refused_without_an_answer_fails() {
    let pair = Pair::new().await;
    pair.serve(|stream| async move {
        let (mut reader, writer) = stream.into_split();
        reader.read_into(&mut BytesMut::new()).await.unwrap();
        drop(reader);
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(writer);
    });

    let error = pair
        .call(Bytes::from(vec![7; LARGE]), BytesMut::new())
        .await
        .map(drop)
        .unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn clones_of_a_server_share_its_streams() {
    let pair = Pair::new().await;
    let clone = pair.server.clone();
    let mut streams = vec![];
    for _ in 0..2 {
        streams.push(pair.connect().await.unwrap());
    }

    let (_first, first_addr) = pair.server.accept().await.unwrap();
    let (_second, second_addr) = clone.accept().await.unwrap();

    let mut accepted = [first_addr, second_addr];
    let mut opened = [0, 1].map(|index: usize| streams[index].local_addr().unwrap());
    accepted.sort_unstable();
    opened.sort_unstable();
    assert_eq!(accepted, opened);
}

#[tokio::test]
async fn the_ceilings_of_client_and_server_are_moved_apart() {
    let pair = Pair::new().await;
    pair.client.set_pool_ceiling(8 << 20).unwrap();
    pair.server.set_pool_ceiling(16 << 20).unwrap();
    assert_eq!(pair.client.metrics().pool.max_bytes, 8 << 20);
    assert_eq!(pair.server.metrics().pool.max_bytes, 16 << 20);
    let error = pair.client.set_pool_ceiling(1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_builder_hands_everything_to_the_tuning() {
    let tuned = client::Builder::default().with_tuning(|config| config.pool.max_bytes = 32 << 20);
    let pair = Pair::with(tuned).await;
    assert_eq!(pair.client.metrics().pool.max_bytes, 32 << 20);

    let client = client::Builder::default()
        .with_tuning(|config| config.max_bytes_per_second = Some(1))
        .build(pair.client.handshake_state().clone(), Subscriber::default());
    let error = client.map(drop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("max_bytes_per_second is 1,"));

    let server = server::Builder::default()
        .with_address(ANY_PORT)
        .with_tuning(|config| config.max_in_flight_transmissions = 0)
        .build(pair.server.handshake_state().clone(), Subscriber::default());
    let error = server.map(drop).unwrap_err();
    assert!(error.to_string().contains("max_in_flight_transmissions"));
}

async fn answer_hello(mut stream: Stream<Subscriber>) {
    read_to_end(&mut stream).await.unwrap();
    // a client without room for the answer may be gone by now
    let _ = stream.write_all_from_fin(&mut &b"hello"[..]).await;
}

struct Pair {
    client: Client<psk::client::Provider, Subscriber>,
    server: Server<psk::server::Provider, Subscriber>,
}

impl Pair {
    async fn new() -> Self {
        Self::with(client::Builder::default()).await
    }

    async fn with(client: client::Builder) -> Self {
        let certificate = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        let chain = certificate.cert.pem();
        let key = certificate.signing_key.serialize_pem();

        let server_tls = tls::Server::builder()
            .with_certificate(chain.as_str(), key.as_str())
            .unwrap()
            .build()
            .unwrap();
        let client_tls = tls::Client::builder()
            .with_certificate(chain.as_str())
            .unwrap()
            .build()
            .unwrap();

        let server_handshake = psk::server::Provider::builder()
            .start(ANY_PORT, server_tls, Quiet, map())
            .await
            .unwrap();
        let client_handshake = psk::client::Provider::builder()
            .with_success_jitter(Duration::ZERO)
            .start(ANY_PORT, map(), client_tls, Quiet, name())
            .unwrap();

        Self {
            server: server::Builder::default()
                .with_address(ANY_PORT)
                .with_workers(NonZeroUsize::MIN)
                .build(server_handshake, Subscriber::default())
                .unwrap(),
            client: client
                .with_background_threads(1)
                .build(client_handshake, Subscriber::default())
                .unwrap(),
        }
    }

    fn handshake_addr(&self) -> SocketAddr {
        self.server.handshake_addr().unwrap()
    }

    fn acceptor_addr(&self) -> SocketAddr {
        self.server.acceptor_addr().unwrap()
    }

    async fn connect(&self) -> io::Result<Stream<Subscriber>> {
        self.client
            .connect(self.handshake_addr(), self.acceptor_addr(), name())
            .await
    }

    async fn call<S: Storage>(&self, request: Bytes, storage: S) -> io::Result<S> {
        let call = self.client.rpc(
            self.handshake_addr(),
            self.acceptor_addr(),
            request,
            InMemoryResponse::from(storage),
            name(),
        );
        tokio::time::timeout(TIMEOUT, call).await.unwrap()
    }

    /// Gives every stream to a task that runs `handler`.
    fn serve<H, F>(&self, handler: H)
    where
        H: Fn(Stream<Subscriber>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let server = self.server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = server.accept().await {
                tokio::spawn(handler(stream));
            }
        });
    }
}

async fn read_to_end(stream: &mut Stream<Subscriber>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    while stream.read_into(&mut bytes).await? > 0 {}
    Ok(bytes)
}

fn map() -> Map {
    let subscriber = Subscriber::default();
    Map::new(Signer::random(), 64, false, StdClock::default(), subscriber)
}

fn name() -> s2n_quic::server::Name {
    NAME.into()
}

const NAME: &str = "localhost";

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Far beyond what any of these takes.
const TIMEOUT: Duration = Duration::from_secs(60);
