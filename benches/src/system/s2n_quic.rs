// SPDX-License-Identifier: Apache-2.0

//! s2n-quic: one connection from each client to each server, and a bidirectional stream on it for each stream of the workload.
//!
//! The one rule: only documented settings are changed from their defaults, and [`settings`] lists them all.

use super::inbox::Inbox;
use crate::{
    settings::{Settings, StartError},
    tls::{self, Tls},
};
use s2n_quic::{
    client::Connect,
    connection::Handle,
    provider::{
        event::{self, events, ConnectionInfo, ConnectionMeta},
        io as io_provider,
        limits::Limits,
    },
    stream::BidirectionalStream,
};
use s2n_quic_dc_perf::{
    measure::Sample,
    transport::{self, len_of, poll_read_from, write_to, Ends, Probe},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    task::{Context, Poll},
};

/// Starts servers and clients, and connects each client to each server.
///
/// # Errors
///
/// [`StartError`] says which step failed.
pub async fn start(settings: &Settings) -> Result<(Ends<Client>, Vec<Inbox<Stream>>), StartError> {
    let packets = Packets::default();
    let mut servers = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..settings.peers {
        let server = s2n_quic::Server::builder()
            .with_tls(Tls)
            .map_err(StartError::at("tls"))?
            .with_limits(limits(settings)?)
            .map_err(StartError::at("limits"))?
            .with_event(packets.clone())
            .map_err(StartError::at("events"))?
            .with_io(io(settings)?)
            .map_err(StartError::at("io"))?
            .start()
            .map_err(StartError::at("server"))?;
        addresses.push(server.local_addr()?);
        servers.push(accept(server));
    }

    let mut clients = Vec::new();
    for _ in 0..settings.clients {
        let client = s2n_quic::Client::builder()
            .with_tls(Tls)
            .map_err(StartError::at("tls"))?
            .with_limits(limits(settings)?)
            .map_err(StartError::at("limits"))?
            .with_event(packets.clone())
            .map_err(StartError::at("events"))?
            .with_io(io(settings)?)
            .map_err(StartError::at("io"))?
            .start()
            .map_err(StartError::at("client"))?;
        let mut peers = Vec::new();
        for address in &addresses {
            let connect = Connect::new(*address).with_server_name(tls::NAME);
            let mut connection = client
                .connect(connect)
                .await
                .map_err(StartError::at("handshake"))?;
            connection
                .keep_alive(true)
                .map_err(StartError::at("keep alive"))?;
            peers.push(Client {
                handle: connection.handle(),
                _client: client.clone(),
                _connection: Arc::new(connection),
            });
        }
        clients.push(peers);
    }
    let ends = Ends {
        clients,
        probe: Box::new(packets),
        both_ends: true,
    };
    Ok((ends, servers))
}

/// What differs from the defaults, for people.
#[must_use]
pub fn settings() -> Vec<(String, String)> {
    [
        ("version", "1.91, one connection per client"),
        (
            "crypto",
            "s2n-tls with aws-lc, its default cipher (AES-128-GCM)",
        ),
        ("congestion control", "cubic (default)"),
        ("path MTU discovery", "off, starts at the MTU"),
        ("stream window", "8 MiB, receive; 8 MiB, send"),
        ("connection window", "64 MiB, receive"),
        ("GSO and GRO", "on (default)"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn limits(settings: &Settings) -> Result<Limits, StartError> {
    let streams = u64::from(settings.streams);
    Limits::new()
        .with_data_window(CONNECTION_WINDOW)
        .and_then(|limits| limits.with_bidirectional_local_data_window(STREAM_WINDOW.into()))
        .and_then(|limits| limits.with_bidirectional_remote_data_window(STREAM_WINDOW.into()))
        .and_then(|limits| limits.with_max_send_buffer_size(STREAM_WINDOW))
        .and_then(|limits| limits.with_max_open_local_bidirectional_streams(streams))
        .and_then(|limits| limits.with_max_open_remote_bidirectional_streams(streams))
        .map_err(StartError::at("limits"))
}

fn io(settings: &Settings) -> Result<io_provider::Default, StartError> {
    // the library counts the headers of IP and UDP in
    let mtu = settings
        .mtu
        .checked_add(HEADERS)
        .filter(|mtu| *mtu >= LEAST_MTU + HEADERS)
        .ok_or(StartError::Mtu {
            mtu: settings.mtu,
            least: LEAST_MTU,
            most: u16::MAX - HEADERS,
        })?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    io_provider::Default::builder()
        .with_receive_address(address)?
        .with_send_buffer_size(settings.socket_buffer)?
        .with_recv_buffer_size(settings.socket_buffer)?
        .with_max_mtu(mtu)?
        .with_initial_mtu(mtu)?
        .with_base_mtu(mtu)?
        .build()
        .map_err(StartError::from)
}

/// Hands the streams of all connections of a server to one queue.
fn accept(mut server: s2n_quic::Server) -> Inbox<Stream> {
    Inbox::fill(|sender| async move {
        while let Some(mut connection) = server.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                // what goes wrong with a connection is seen, and told, by its client
                while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
                    if sender.send(Stream { stream }).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

/// A connection to one server.
#[derive(Clone)]
pub struct Client {
    handle: Handle,
    /// Kept, because the last handles of connection and client close them.
    _connection: Arc<s2n_quic::Connection>,
    _client: s2n_quic::Client,
}

impl transport::Client for Client {
    type Stream = Stream;

    async fn open(&self) -> io::Result<Stream> {
        let stream = self.handle.clone().open_bidirectional_stream().await?;
        Ok(Stream { stream })
    }
}

/// A bidirectional stream. The library resets one that is dropped before its end.
pub struct Stream {
    stream: BidirectionalStream,
}

impl transport::Stream for Stream {
    /// Both slices are copied into the connection's buffer, which is sent when the connection's task has its turn
    async fn write(&mut self, data: [&[u8]; 2], is_fin: bool) -> io::Result<usize> {
        let len = write_to(&mut self.stream, data).await?;
        if is_fin && len == len_of(data) {
            self.stream.finish()?;
        }
        Ok(len)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read_from(&mut self.stream, cx, buffer)
    }
}

/// Counts packets of both ends: two additions, where everything else of an event is left unused and so is not even built.
#[derive(Clone, Default)]
struct Packets(Arc<Counts>);

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    lost: AtomicU64,
}

impl event::Subscriber for Packets {
    type ConnectionContext = ();

    fn create_connection_context(&mut self, _meta: &ConnectionMeta, _info: &ConnectionInfo) {}

    fn on_packet_sent(
        &mut self,
        _context: &mut (),
        _meta: &ConnectionMeta,
        _event: &events::PacketSent,
    ) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn on_packet_lost(
        &mut self,
        _context: &mut (),
        _meta: &ConnectionMeta,
        _event: &events::PacketLost,
    ) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }
}

impl Probe for Packets {
    /// All packets, acknowledgements among them.
    fn sample(&self) -> Sample {
        Sample {
            packets_sent: Some(self.0.sent.load(Ordering::Relaxed)),
            packets_lost: Some(self.0.lost.load(Ordering::Relaxed)),
            ..Sample::default()
        }
    }
}

/// The least that QUIC allows, in bytes of UDP payload (RFC 9000, section 14).
const LEAST_MTU: u16 = 1200;

/// Bytes of the headers of IPv4 and UDP.
const HEADERS: u16 = 20 + 8;

/// Bytes that a stream may be ahead of its reader, and that it keeps until they are acknowledged. As with quinn.
const STREAM_WINDOW: u32 = 8 << 20;

/// Bytes that all streams of a connection together may be ahead of their readers: several streams' windows.
const CONNECTION_WINDOW: u64 = 64 << 20;
