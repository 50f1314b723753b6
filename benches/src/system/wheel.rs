// SPDX-License-Identifier: Apache-2.0

//! This tree's stack: streams that send through timing wheels, with a real handshake between client and server.
//!
//! The one rule: it gets the settings of the published crate, whose API it has, and nothing on top.

use super::psk::{loopback, Handshakes};
use crate::{
    settings::{Settings, StartError},
    tls,
};
use bytes::Bytes;
use s2n_quic_dc::{
    event::disabled::Subscriber as NoEvents,
    psk,
    stream::{application, client, server},
};
use s2n_quic_dc_perf::{
    measure::Sample,
    transport::{self, poll_read_from, Ends, Probe},
};
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

type DcClient = client::tokio::Client<psk::client::Provider, NoEvents>;
type DcServer = server::tokio::Server<psk::server::Provider, NoEvents>;

/// Starts servers and clients, and makes the handshake of each pair.
///
/// # Errors
///
/// [`StartError`] says which step failed.
pub async fn start(settings: &Settings) -> Result<(Ends<Client>, Vec<Server>), StartError> {
    let events = NoEvents::default();
    let handshakes = Handshakes::new(settings)?;
    let mut servers = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..settings.peers {
        let handshake = handshakes.server(events.clone()).await?;
        let server = DcServer::builder()
            .with_address(loopback())
            .with_send_buffer(settings.socket_buffer)
            .with_recv_buffer(settings.socket_buffer)
            .build(handshake, events.clone())?;
        addresses.push((server.handshake_addr()?, server.acceptor_addr()?));
        servers.push(Server { server });
    }
    let mut counters = Counters {
        clients: Vec::new(),
        servers: servers
            .iter()
            .map(|server: &Server| server.server.clone())
            .collect(),
    };
    let mut clients = Vec::new();
    for _ in 0..settings.clients {
        let client = DcClient::builder()
            .with_send_buffer(settings.socket_buffer)
            .with_recv_buffer(settings.socket_buffer)
            .build(handshakes.client(events.clone())?, events.clone())?;
        let mut peers = Vec::new();
        for (handshake, acceptor) in &addresses {
            client
                .handshake_with(*handshake, tls::NAME.into())
                .await
                .map_err(|error| StartError::at("handshake")(error))?;
            peers.push(Client {
                client: client.clone(),
                handshake: *handshake,
                acceptor: *acceptor,
            });
        }
        clients.push(peers);
        counters.clients.push(client);
    }
    handshakes
        .settle(settings.clients.saturating_mul(settings.peers))
        .await?;
    let ends = Ends {
        clients,
        probe: Box::new(counters),
        both_ends: true,
    };
    Ok((ends, servers))
}

/// What differs from the defaults, for people.
#[must_use]
pub fn settings(mtu: u16) -> Vec<(String, String)> {
    let mut lines = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (
            "crypto".to_owned(),
            "AES-128-GCM by aws-lc, keys from a TLS 1.3 handshake with s2n-tls".to_owned(),
        ),
    ];
    lines.extend(super::psk::settings(mtu));
    lines
}

/// The way to one server.
#[derive(Clone)]
pub struct Client {
    client: DcClient,
    handshake: SocketAddr,
    acceptor: SocketAddr,
}

impl transport::Client for Client {
    type Stream = Stream;

    async fn open(&self) -> io::Result<Stream> {
        let stream = self
            .client
            .connect(self.handshake, self.acceptor, tls::NAME.into())
            .await?;
        Ok(Stream { stream })
    }

    async fn call(&self, request: Bytes, response_len: usize) -> io::Result<Vec<u8>> {
        let response = client::rpc::InMemoryResponse::from(Vec::with_capacity(response_len));
        self.client
            .rpc(
                self.handshake,
                self.acceptor,
                request,
                response,
                tls::NAME.into(),
            )
            .await
    }
}

/// Accepts streams.
pub struct Server {
    server: DcServer,
}

impl transport::Server for Server {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<Stream> {
        let (stream, _peer) = self.server.accept().await?;
        Ok(Stream { stream })
    }
}

/// A stream.
pub struct Stream {
    stream: application::Stream<NoEvents>,
}

impl transport::Stream for Stream {
    async fn write(&mut self, mut data: &[u8], is_fin: bool) -> io::Result<usize> {
        if is_fin {
            self.stream.write_from_fin(&mut data).await
        } else {
            self.stream.write_from(&mut data).await
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read_from(&mut self.stream, cx, buffer)
    }
}

/// The metrics of all ends.
struct Counters {
    clients: Vec<DcClient>,
    servers: Vec<DcServer>,
}

impl Probe for Counters {
    fn sample(&self) -> Sample {
        let clients = self.clients.iter().map(DcClient::metrics);
        Sample::of(clients.chain(self.servers.iter().map(DcServer::metrics)))
    }
}
