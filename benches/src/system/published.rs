// SPDX-License-Identifier: Apache-2.0

//! The published s2n-quic-dc over UDP: its own client and server, with a real handshake between them.
//!
//! The one rule: nothing is used that a service could not use.

use super::psk::{loopback, Handshakes};
use crate::{
    settings::{Settings, StartError},
    tls,
};
use bytes::Bytes;
use published_dc::{
    event::{
        self,
        api::{ConnectionInfo, ConnectionMeta, StreamPacketLost, StreamPacketTransmitted},
    },
    psk,
    stream::{application, client, server, Protocol},
};
use s2n_quic_core::buffer::reader::storage;
use s2n_quic_dc_perf::{
    measure::Sample,
    transport::{self, poll_read_from, Ends, Probe},
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    task::{Context, Poll},
};

type DcClient = client::tokio::Client<psk::client::Provider, Packets>;
type DcServer = server::tokio::Server<psk::server::Provider, Packets>;

/// Starts servers and clients, and makes the handshake of each pair.
///
/// # Errors
///
/// [`StartError`] says which step failed.
pub async fn start(settings: &Settings) -> Result<(Ends<Client>, Vec<Server>), StartError> {
    let packets = Packets::default();
    let handshakes = Handshakes::new(settings)?;
    let mut servers = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..settings.peers {
        let handshake = handshakes.server(packets.clone()).await?;
        let server = DcServer::builder()
            .with_address(loopback())
            .with_protocol(Protocol::Udp)
            .with_send_buffer(settings.socket_buffer)
            .with_recv_buffer(settings.socket_buffer)
            .build(handshake, packets.clone())?;
        addresses.push((server.handshake_addr()?, server.acceptor_addr()?));
        servers.push(Server { server });
    }
    let mut clients = Vec::new();
    for _ in 0..settings.clients {
        let client = DcClient::builder()
            .with_send_buffer(settings.socket_buffer)
            .with_recv_buffer(settings.socket_buffer)
            .build(handshakes.client(packets.clone())?, packets.clone())?;
        let mut peers = Vec::new();
        for (handshake, acceptor) in &addresses {
            client
                .handshake_with(*handshake, tls::NAME.into())
                .await
                .map_err(StartError::at("handshake"))?;
            peers.push(Client {
                client: client.clone(),
                handshake: *handshake,
                acceptor: *acceptor,
            });
        }
        clients.push(peers);
    }
    handshakes
        .settle(settings.clients.saturating_mul(settings.peers))
        .await?;
    let ends = Ends {
        clients,
        probe: Box::new(packets),
        both_ends: true,
    };
    Ok((ends, servers))
}

/// What differs from the defaults, for people.
#[must_use]
pub fn settings(mtu: u16) -> Vec<(String, String)> {
    let mut lines = vec![
        ("version".to_owned(), "0.91 over UDP".to_owned()),
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
    stream: application::Stream<Packets>,
}

impl transport::Stream for Stream {
    async fn write(&mut self, data: [&[u8]; 2], is_fin: bool) -> io::Result<usize> {
        let mut data = storage::IoSlice::new(&data);
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

/// Counts packets of both ends: an addition for each, and everything else of an event is left unused and so is not even built.
#[derive(Clone, Default)]
pub struct Packets(Arc<Counts>);

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    retransmitted: AtomicU64,
    lost: AtomicU64,
}

impl event::Subscriber for Packets {
    type ConnectionContext = ();

    fn create_connection_context(&self, _meta: &ConnectionMeta, _info: &ConnectionInfo) {}

    fn on_stream_packet_transmitted(
        &self,
        (): &(),
        _meta: &ConnectionMeta,
        event: &StreamPacketTransmitted,
    ) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
        if event.is_retransmission {
            self.0.retransmitted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_stream_packet_lost(&self, (): &(), _meta: &ConnectionMeta, _event: &StreamPacketLost) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }
}

impl Probe for Packets {
    fn sample(&self) -> Sample {
        Sample {
            packets_sent: Some(self.0.sent.load(Ordering::Relaxed)),
            packets_retransmitted: Some(self.0.retransmitted.load(Ordering::Relaxed)),
            packets_lost: Some(self.0.lost.load(Ordering::Relaxed)),
            ..Sample::default()
        }
    }
}
