// SPDX-License-Identifier: Apache-2.0

//! The ends of a simulation, of both implementations behind one type.
//!
//! The rule: as in [`endpoint`](crate::endpoint), nothing is decided here. Secrets come without a handshake, and are the same in
//! every run.

use crate::endpoint::{Side, Stream, Subscriber};
use published_dc as old;
use published_dc::path::secret::{map::Peer, Map};
use s2n_quic_core::buffer::reader::storage::Empty;
use s2n_quic_dc::{self as new, testing::secrets};
use s2n_quic_dc::{
    socket::{Options, ReusePort},
    stream::metrics::Metrics,
    testing::secrets::Agreement,
};
use std::{
    future::ready,
    io,
    net::{Ipv4Addr, SocketAddr},
};

/// How the environment of an end is set up; the published one has only the count.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// The most packets that one send carries.
    pub max_segments: usize,
    /// Whether packets that arrived together are received together.
    pub joins: bool,
    /// How many sockets each end has. More than one share a port.
    pub count: usize,
    /// Bytes per second that leave at most; of a new end.
    pub max_bytes_per_second: Option<usize>,
    /// Bytes that the receive windows of an end may grow by; the environment's default if `None`.
    pub max_receive_window_bytes: Option<usize>,
    /// Whether even a single one shares its port, so that the socket of a process that is gone is not in the way of the next one.
    pub shares_port: bool,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            max_segments: new::msg::segment::MAX_SEGMENTS,
            joins: true,
            count: 1,
            max_bytes_per_second: None,
            max_receive_window_bytes: None,
            shares_port: false,
        }
    }
}

/// A client or server.
#[derive(Clone)]
pub struct Endpoint {
    map: Map,
    addr: SocketAddr,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Old {
        env: old::stream::environment::bach::Environment<Subscriber>,
        streams: old::stream::server::accept::Receiver<Subscriber>,
        stats: old::stream::server::stats::Sender,
    },
    New {
        env: new::stream::environment::bach::Environment<Subscriber>,
        streams: new::stream::server::accept::Receiver<Subscriber>,
        stats: new::stream::server::stats::Sender,
    },
}

impl Endpoint {
    /// Binds sockets in the group of the task that calls it; they accept streams as well.
    ///
    /// # Errors
    ///
    /// Those of the environment's builder.
    pub fn bind(side: Side, port: u16, socket: Socket) -> Result<Self, String> {
        let map = secrets::map();
        let mut options = Options::new((Ipv4Addr::UNSPECIFIED, port).into());
        options.gro = socket.joins;
        if socket.shares_port {
            options.reuse_port = ReusePort::BeforeBind;
        }
        let reuse_port = socket.shares_port || socket.count > 1;
        let (kind, addr) = match side {
            Side::Old => {
                use old::stream::{
                    environment::{bach::Builder, udp::Config},
                    server::{accept, stats},
                };
                let (sender, streams) = accept::channel(BACKLOG);
                let mut config = Config::new(map.clone());
                config.reuse_port = reuse_port;
                let env = Builder::new(Subscriber::default())
                    .with_threads(socket.count)
                    .with_socket_options(options)
                    .with_pool(config)
                    .with_acceptor(sender)
                    .build();
                let env = env.map_err(|error| error.to_string())?;
                let addr = env.pool_addr();
                let (stats, _worker, _estimate) = stats::channel();
                (
                    Kind::Old {
                        env,
                        streams,
                        stats,
                    },
                    addr,
                )
            }
            Side::New => {
                use new::stream::{
                    environment::{bach::Builder, udp::Config},
                    server::{accept, stats},
                };
                let (sender, streams) = accept::channel(BACKLOG);
                let mut config = Config::new(map.clone());
                config.max_bytes_per_second = socket.max_bytes_per_second;
                if let Some(bytes) = socket.max_receive_window_bytes {
                    config.max_receive_window_bytes = bytes;
                }
                config.reuse_port = reuse_port;
                let env = Builder::new(Subscriber::default())
                    .with_threads(socket.count)
                    .with_max_segments(socket.max_segments)
                    .with_socket_options(options)
                    .with_pool(config)
                    .with_acceptor(sender)
                    .build();
                let env = env.map_err(|error| error.to_string())?;
                let addr = env.pool_addr();
                let (stats, _worker, _estimate) = stats::channel();
                (
                    Kind::New {
                        env,
                        streams,
                        stats,
                    },
                    addr,
                )
            }
        };
        let addr = addr.ok_or("an environment without sockets")?;
        Ok(Self { map, addr, kind })
    }

    /// The address of the first socket.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Has both ends know the same secret, this one as the server. `number` tells the clients of a server apart.
    pub fn share_secret(&self, client: &Self, number: u8, agreed: &Agreement) {
        secrets::share(
            SECRET.wrapping_add(number),
            (&client.map, client.addr),
            (&self.map, self.addr),
            agreed,
        );
    }

    /// Opens a stream and announces it.
    ///
    /// # Errors
    ///
    /// Those of the wrapped functions.
    pub async fn connect(&self, server: SocketAddr) -> io::Result<Stream> {
        let peer = ready(self.peer(server));
        match &self.kind {
            Kind::Old { env, .. } => {
                let mut stream = old::stream::client::bach::connect_udp(peer, server, env).await?;
                stream.write_from(&mut Empty).await?;
                Ok(Stream::Old(stream))
            }
            Kind::New { env, .. } => {
                let mut stream = new::stream::client::bach::connect_udp(peer, server, env).await?;
                stream.write_from(&mut Empty).await?;
                Ok(Stream::New(stream))
            }
        }
    }

    fn peer(&self, server: SocketAddr) -> io::Result<Peer> {
        let peer = self.map.get_untracked(server);
        peer.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no secret is shared"))
    }

    /// Waits for the next stream.
    ///
    /// # Errors
    ///
    /// Those of the wrapped function.
    pub async fn accept(&self) -> io::Result<Stream> {
        match &self.kind {
            Kind::Old { streams, stats, .. } => {
                let (stream, ..) = old::stream::server::accept::accept(streams, stats).await?;
                Ok(Stream::Old(stream))
            }
            Kind::New { streams, stats, .. } => {
                let (stream, ..) = new::stream::server::accept::accept(streams, stats).await?;
                Ok(Stream::New(stream))
            }
        }
    }

    /// What a new end has counted.
    pub fn metrics(&self) -> Option<Metrics> {
        match &self.kind {
            Kind::Old { .. } => None,
            Kind::New { env, .. } => env.metrics(),
        }
    }

    /// How often the workers of a new end woke up.
    pub fn turns(&self) -> u64 {
        match &self.kind {
            Kind::Old { .. } => 0,
            Kind::New { env, .. } => env.turns(),
        }
    }
}

/// Of every client, which has an address of its own.
pub const CLIENT_PORT: u16 = 50_000;

/// Of the server.
pub const SERVER_PORT: u16 = 4433;

/// The library's default: streams that wait to be accepted.
const BACKLOG: usize = 4096;

/// The secret of the first client; arbitrary.
const SECRET: u8 = 0x5a;
