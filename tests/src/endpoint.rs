// SPDX-License-Identifier: Apache-2.0

//! Clients and servers of both implementations behind one type each.
//!
//! The rule: nothing is decided here. Each method is the method of the wrapped type, so that a test which passes a
//! [`Side`] exercises that implementation's own API. Secrets come from a real handshake over loopback.

mod stream;

pub use stream::{Reader, Stream, Writer};

use crate::cert;
use bytes::Bytes;
use published_dc::{
    event::disabled,
    path::secret::{stateless_reset::Signer, Map},
    psk,
    stream::Protocol,
};
use s2n_quic::provider::event::disabled::Subscriber as QuicSubscriber;
use s2n_quic_core::time::StdClock;
use s2n_quic_dc as new;
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};

use published_dc as old;

/// The events are the published crate's on both sides.
pub type Subscriber = disabled::Subscriber;
/// The published client.
pub type OldClient = old::stream::client::tokio::Client<psk::client::Provider, Subscriber>;
/// The client of this tree.
pub type NewClient = new::stream::client::tokio::Client<psk::client::Provider, Subscriber>;
/// The published server.
pub type OldServer = old::stream::server::tokio::Server<psk::server::Provider, Subscriber>;
/// The server of this tree.
pub type NewServer = new::stream::server::tokio::Server<psk::server::Provider, Subscriber>;

/// Which implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The published crate.
    Old,
    /// The crate of this tree.
    New,
}

/// Who talks to whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pairing {
    /// The side that opens streams.
    pub client: Side,
    /// The side that accepts them.
    pub server: Side,
}

impl Pairing {
    /// A published client and a new server.
    pub const OLD_TO_NEW: Self = Self {
        client: Side::Old,
        server: Side::New,
    };
    /// A new client and a published server.
    pub const NEW_TO_OLD: Self = Self {
        client: Side::New,
        server: Side::Old,
    };
    /// Both ends new.
    pub const NEW_TO_NEW: Self = Self {
        client: Side::New,
        server: Side::New,
    };
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} to {:?}", self.client, self.server)
    }
}

/// What can be set for both ends. `None` is the library's own default.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The local address of all sockets.
    pub ip: IpAddr,
    /// The largest datagram with its IP and UDP headers, in bytes.
    pub mtu: Option<u16>,
    /// How long a stream may hear nothing.
    pub idle_timeout: Option<Duration>,
    /// The length of the server's accept queue, in streams.
    pub backlog: Option<NonZeroU16>,
    /// How many sockets each end has.
    pub sockets: Option<NonZeroUsize>,
    /// Whether the client gives up at once when it has no secret yet.
    pub fail_fast: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            mtu: None,
            idle_timeout: None,
            backlog: None,
            sockets: None,
            fail_fast: false,
        }
    }
}

impl Config {
    /// One socket at each end, so that all streams share an address.
    pub fn with_one_socket(self) -> Self {
        Self {
            sockets: Some(NonZeroUsize::MIN),
            ..self
        }
    }

    /// Streams give up after hearing nothing for `timeout`.
    pub fn with_idle_timeout(self, timeout: Duration) -> Self {
        Self {
            idle_timeout: Some(timeout),
            ..self
        }
    }
}

/// A client and a server that can reach each other.
pub struct Network {
    /// The opening end.
    pub client: Client,
    /// The accepting end.
    pub server: Server,
}

impl Network {
    /// Starts both ends.
    ///
    /// # Errors
    ///
    /// Whatever keeps a socket or a thread from being made.
    pub async fn start(pairing: Pairing, config: Config) -> io::Result<Self> {
        let server = Server::start(pairing.server, config).await?;
        let client = Client::start(pairing.client, config)?;
        Ok(Self { client, server })
    }

    /// Opens a stream directly.
    ///
    /// # Errors
    ///
    /// Those of the client's `connect`.
    pub async fn connect(&self) -> io::Result<Stream> {
        self.client
            .connect(&self.server, self.server.acceptor_addr()?)
            .await
    }

    /// Opens a stream and accepts it. For a server that accepts nothing else at the time.
    ///
    /// # Errors
    ///
    /// Those of the client's `connect` and of the server's `accept`.
    pub async fn pair(&self) -> io::Result<(Stream, Stream)> {
        let client = self.connect().await?;
        let (server, _peer) = self.server.accept().await?;
        Ok((client, server))
    }
}

/// A client of either implementation.
#[derive(Clone)]
pub enum Client {
    /// The published one.
    Old(OldClient),
    /// The one of this tree.
    New(NewClient),
}

impl Client {
    /// Starts a client that trusts the servers of this process.
    ///
    /// # Errors
    ///
    /// Whatever keeps a socket or a thread from being made.
    pub fn start(side: Side, config: Config) -> io::Result<Self> {
        let handshake = client_handshake(config)?;
        Ok(match side {
            Side::Old => {
                let mut builder =
                    OldClient::builder().with_fail_fast_on_missing_psk(config.fail_fast);
                if let Some(sockets) = config.sockets {
                    builder = builder.with_background_threads(sockets.get());
                }
                Self::Old(builder.build(handshake, Subscriber::default())?)
            }
            Side::New => {
                let mut builder =
                    NewClient::builder().with_fail_fast_on_missing_psk(config.fail_fast);
                if let Some(sockets) = config.sockets {
                    builder = builder.with_background_threads(sockets.get());
                }
                Self::New(builder.build(handshake, Subscriber::default())?)
            }
        })
    }

    /// Opens a stream to `server`, whose acceptor is told to be at `acceptor`: its own address, or that of a relay.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn connect(&self, server: &Server, acceptor: SocketAddr) -> io::Result<Stream> {
        let handshake = server.handshake_addr()?;
        let name = cert::NAME.into();
        Ok(match self {
            Self::Old(client) => Stream::Old(client.connect(handshake, acceptor, name).await?),
            Self::New(client) => Stream::New(client.connect(handshake, acceptor, name).await?),
        })
    }

    /// Sends `request` on a stream of its own and gives the whole response.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn rpc(
        &self,
        server: &Server,
        acceptor: SocketAddr,
        request: Bytes,
    ) -> io::Result<Vec<u8>> {
        let handshake = server.handshake_addr()?;
        let name = cert::NAME.into();
        // the traits and the response are the published ones on both sides
        let response = old::stream::client::rpc::InMemoryResponse::from(Vec::new());
        match self {
            Self::Old(client) => {
                client
                    .rpc(handshake, acceptor, request, response, name)
                    .await
            }
            Self::New(client) => {
                client
                    .rpc(handshake, acceptor, request, response, name)
                    .await
            }
        }
    }

    /// The handshakes and, by them, the secrets of this client.
    pub fn handshake_state(&self) -> &psk::client::Provider {
        match self {
            Self::Old(client) => client.handshake_state(),
            Self::New(client) => client.handshake_state(),
        }
    }
}

/// A server of either implementation. Clones share one accept queue.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a test has a handful of servers")]
pub enum Server {
    /// The published one.
    Old(OldServer),
    /// The one of this tree.
    New(NewServer),
}

impl Server {
    /// Starts a server on ports that the system chooses.
    ///
    /// # Errors
    ///
    /// Whatever keeps a socket or a thread from being made.
    pub async fn start(side: Side, config: Config) -> io::Result<Self> {
        let handshake = server_handshake(config).await?;
        let address = SocketAddr::new(config.ip, 0);
        Ok(match side {
            Side::Old => {
                let mut builder = OldServer::builder()
                    .with_address(address)
                    .with_protocol(Protocol::Udp);
                if let Some(backlog) = config.backlog {
                    builder = builder.with_backlog(backlog);
                }
                if let Some(sockets) = config.sockets {
                    builder = builder.with_workers(sockets);
                }
                Self::Old(builder.build(handshake, Subscriber::default())?)
            }
            Side::New => {
                let mut builder = NewServer::builder()
                    .with_address(address)
                    .with_protocol(Protocol::Udp);
                if let Some(backlog) = config.backlog {
                    builder = builder.with_backlog(backlog);
                }
                if let Some(sockets) = config.sockets {
                    builder = builder.with_workers(sockets);
                }
                Self::New(builder.build(handshake, Subscriber::default())?)
            }
        })
    }

    /// The next stream, and the address that it came from.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        Ok(match self {
            Self::Old(server) => {
                let (stream, peer) = server.accept().await?;
                (Stream::Old(stream), peer)
            }
            Self::New(server) => {
                let (stream, peer) = server.accept().await?;
                (Stream::New(stream), peer)
            }
        })
    }

    /// Where streams go to.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn acceptor_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Old(server) => server.acceptor_addr(),
            Self::New(server) => server.acceptor_addr(),
        }
    }

    /// Where handshakes go to.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn handshake_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Old(server) => server.handshake_addr(),
            Self::New(server) => server.handshake_addr(),
        }
    }

    /// Forgets all secrets, as a restart does.
    pub fn drop_state(&self) {
        match self {
            Self::Old(server) => server.drop_state(),
            Self::New(server) => server.drop_state(),
        }
    }
}

/// Starts the handshaking end of a client.
///
/// # Errors
///
/// Whatever keeps the socket or the thread from being made.
pub fn client_handshake(config: Config) -> io::Result<psk::client::Provider> {
    let mut builder = psk::client::Provider::builder()
        // a test that makes the server forget its secrets wants the next handshake now, not in a minute
        .with_success_jitter(Duration::ZERO)
        .with_error_jitter(Duration::ZERO);
    if let Some(mtu) = config.mtu {
        builder = builder.with_mtu(mtu);
    }
    if let Some(timeout) = config.idle_timeout {
        builder = builder.with_max_idle_timeout(timeout);
    }
    builder
        .start(
            SocketAddr::new(config.ip, 0),
            map(),
            cert::Tls,
            QuicSubscriber,
            cert::NAME.into(),
        )
        .map_err(io::Error::other)
}

/// Starts the handshaking end of a server.
///
/// # Errors
///
/// Whatever keeps the socket or the thread from being made.
pub async fn server_handshake(config: Config) -> io::Result<psk::server::Provider> {
    let mut builder = psk::server::Provider::builder();
    if let Some(mtu) = config.mtu {
        builder = builder.with_mtu(mtu);
    }
    if let Some(timeout) = config.idle_timeout {
        builder = builder.with_max_idle_timeout(timeout);
    }
    builder
        .start(
            SocketAddr::new(config.ip, 0),
            cert::Tls,
            QuicSubscriber,
            map(),
        )
        .await
        .map_err(io::Error::other)
}

/// A map of its own for each endpoint, with a signer of its own: as in two processes.
fn map() -> Map {
    Map::new(
        Signer::random(),
        1000,
        false,
        StdClock::default(),
        Subscriber::default(),
    )
}
