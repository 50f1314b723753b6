// SPDX-License-Identifier: Apache-2.0

//! quinn: one connection from each client to each server, and a bidirectional stream on it for each stream of the workload.
//!
//! The one rule: only documented settings are changed from their defaults, and [`settings`] lists them all.

mod socket;

use super::inbox::Inbox;
use crate::{
    buffers,
    settings::{Settings, StartError},
    tls,
};
use quinn::{
    congestion::CubicConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    ClientConfig, Connection, Endpoint, EndpointConfig, Runtime as _, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use s2n_quic_dc_perf::{
    measure::Sample,
    transport::{self, len_of, poll_read_from, write_to, Ends, Probe},
};
use socket::Limited;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

/// Starts servers and clients, and connects each client to each server.
///
/// # Errors
///
/// [`StartError`] says which step failed.
pub async fn start(settings: &Settings) -> Result<(Ends<Client>, Vec<Inbox<Stream>>), StartError> {
    let connections = Connections::default();
    let transport = transport(settings)?;
    let tls = tls::server(&[tls::PROTOCOL]).map_err(StartError::at("server"))?;
    let tls = QuicServerConfig::try_from(tls).map_err(StartError::at("server"))?;
    let mut server_config = ServerConfig::with_crypto(Arc::new(tls));
    server_config.transport_config(transport.clone());

    let mut servers = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..settings.peers {
        let endpoint = endpoint(settings, Some(server_config.clone()))?;
        addresses.push(endpoint.local_addr()?);
        servers.push(accept(endpoint, connections.clone()));
    }

    let tls = tls::client(&[tls::PROTOCOL]).map_err(StartError::at("client"))?;
    let tls = QuicClientConfig::try_from(tls).map_err(StartError::at("client"))?;
    let mut client_config = ClientConfig::new(Arc::new(tls));
    client_config.transport_config(transport);

    let mut clients = Vec::new();
    for _ in 0..settings.clients {
        let endpoint = endpoint(settings, None)?;
        let mut peers = Vec::new();
        for address in &addresses {
            let connection = endpoint
                .connect_with(client_config.clone(), *address, tls::NAME)
                .map_err(StartError::at("connect"))?
                .await
                .map_err(StartError::at("handshake"))?;
            connections.add(connection.clone());
            peers.push(Client {
                connection,
                _endpoint: endpoint.clone(),
            });
        }
        clients.push(peers);
    }
    let ends = Ends {
        clients,
        probe: Box::new(connections),
        both_ends: true,
    };
    Ok((ends, servers))
}

/// What differs from the defaults, for people.
#[must_use]
pub fn settings() -> Vec<(String, String)> {
    [
        ("version", "0.11, one connection per client"),
        ("crypto", "rustls with aws-lc-rs, AES-128-GCM"),
        ("congestion control", "cubic (default)"),
        ("path MTU discovery", "off, starts at the MTU"),
        ("stream window", "8 MiB, receive"),
        (
            "connection window",
            "unlimited (default), receive; 64 MiB, send",
        ),
        (
            "GSO and GRO",
            "on, at most 10 datagrams a send (default), or as many as 64 KB hold",
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn transport(settings: &Settings) -> Result<Arc<TransportConfig>, StartError> {
    if settings.mtu < LEAST_MTU {
        return Err(StartError::Mtu {
            mtu: settings.mtu,
            least: LEAST_MTU,
            most: u16::MAX,
        });
    }
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(settings.streams))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(SEND_WINDOW)
        .initial_mtu(settings.mtu)
        .min_mtu(settings.mtu)
        .mtu_discovery_config(None)
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    Ok(Arc::new(config))
}

fn endpoint(settings: &Settings, server: Option<ServerConfig>) -> Result<Endpoint, StartError> {
    let socket = buffers::socket(settings.socket_buffer)?;
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(settings.mtu.max(DEFAULT_PAYLOAD))
        .map_err(StartError::at("mtu"))?;
    let socket = Limited::new(TokioRuntime.wrap_udp_socket(socket)?, settings.mtu);
    Ok(Endpoint::new_with_abstract_socket(
        config,
        server,
        Arc::new(socket),
        Arc::new(TokioRuntime),
    )?)
}

/// Hands the streams of all connections of an endpoint to one queue.
fn accept(endpoint: Endpoint, connections: Connections) -> Inbox<Stream> {
    Inbox::fill(|sender| async move {
        while let Some(incoming) = endpoint.accept().await {
            let (sender, connections) = (sender.clone(), connections.clone());
            tokio::spawn(async move {
                // what goes wrong with a connection is seen, and told, by its client
                let Ok(connection) = incoming.await else {
                    return;
                };
                connections.add(connection.clone());
                while let Ok((send, recv)) = connection.accept_bi().await {
                    if sender.send(Stream::new(send, recv)).await.is_err() {
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
    connection: Connection,
    /// Kept, because the endpoint's last handle closes its connections.
    _endpoint: Endpoint,
}

impl transport::Client for Client {
    type Stream = Stream;

    async fn open(&self) -> io::Result<Stream> {
        let (send, recv) = self.connection.open_bi().await?;
        Ok(Stream::new(send, recv))
    }
}

/// A bidirectional stream.
pub struct Stream {
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    is_finished: bool,
}

impl Stream {
    fn new(send: quinn::SendStream, recv: quinn::RecvStream) -> Self {
        Self {
            send,
            recv,
            is_finished: false,
        }
    }
}

impl transport::Stream for Stream {
    /// Both slices are copied into the connection's buffer, which is sent when the connection's task has its turn
    async fn write(&mut self, data: [&[u8]; 2], is_fin: bool) -> io::Result<usize> {
        let len = write_to(&mut self.send, data).await?;
        if is_fin && len == len_of(data) {
            self.send.finish()?;
            self.is_finished = true;
        }
        Ok(len)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read_from(&mut self.recv, cx, buffer)
    }
}

impl Drop for Stream {
    /// A stream that is dropped would end as if it were whole.
    fn drop(&mut self) {
        if !self.is_finished {
            // refused only by a stream that is closed already
            let _ = self.send.reset(VarInt::from_u32(0));
        }
    }
}

/// All connections of both ends, for their counters.
#[derive(Clone, Default)]
struct Connections(Arc<Mutex<Vec<Connection>>>);

impl Connections {
    fn add(&self, connection: Connection) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(connection);
    }
}

impl Probe for Connections {
    /// quinn counts all packets that it sends, acknowledgements among them, but neither those that repeat something nor the
    /// calls that receive.
    fn sample(&self) -> Sample {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = [0; 5];
        for connection in all.iter() {
            let stats = connection.stats();
            let counts = [
                stats.path.sent_packets,
                stats.path.lost_packets,
                stats.udp_tx.ios,
                stats.udp_tx.datagrams,
                stats.udp_rx.datagrams,
            ];
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        let [sent, lost, send_calls, segments_sent, segments_received] = total;
        Sample {
            packets_sent: Some(sent),
            packets_lost: Some(lost),
            send_calls: Some(send_calls),
            segments_sent: Some(segments_sent),
            segments_received: Some(segments_received),
            ..Sample::default()
        }
    }
}

/// The least that QUIC allows, in bytes of UDP payload (RFC 9000, section 14).
const LEAST_MTU: u16 = 1200;

/// The payload that quinn accepts unless told otherwise, in bytes.
const DEFAULT_PAYLOAD: u16 = 1472;

/// Bytes that a stream may be ahead of its reader. Eight times the default, so that a stream is never held up by it on a path
/// of a few milliseconds.
const STREAM_WINDOW: u32 = 8 << 20;

/// Bytes that a connection keeps until they are acknowledged: several streams' windows.
const SEND_WINDOW: u64 = 64 << 20;
