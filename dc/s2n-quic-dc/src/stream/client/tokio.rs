// SPDX-License-Identifier: Apache-2.0

//! The client for tokio.
//!
//! The one rule: a `Client` is a handshake and an environment. The handshake shares a secret with the peer, the
//! environment opens streams under it, and nothing else is kept here.

use crate::{
    event,
    path::secret,
    stream::{
        application::Stream,
        client::{error, rpc as call},
        endpoint,
        environment::{
            tokio::{self as env, Environment},
            udp,
        },
        metrics::Metrics,
        Protocol,
    },
};
use s2n_quic_core::{application::ServerName as Name, buffer::reader::storage::Empty};
use s2n_quic_platform::socket::options::Options;
use std::{
    future::{ready, Future},
    io,
    net::SocketAddr,
    time::Duration,
};

pub use published_dc::stream::client::tokio::Handshake;

/// The traits of a request and its response.
pub mod rpc {
    pub use crate::stream::client::rpc::{InMemoryResponse, Request, Response};
}

/// Opens streams to servers.
///
/// Clones share the sockets, the threads and the path secrets; they end with the last clone and the last stream.
///
/// The futures of [`connect`](Self::connect), [`rpc`](Self::rpc) and their variants are `Send` if those of the
/// handshake are.
#[derive(Clone)]
pub struct Client<H: Handshake + Clone, S: event::Subscriber + Clone> {
    env: Environment<S>,
    handshake: H,
    default_protocol: Protocol,
    fail_fast_on_missing_psk: bool,
}

impl<H: Handshake + Clone, S: event::Subscriber + Clone> Client<H, S> {
    /// Creates a client with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new(handshake: H, subscriber: S) -> io::Result<Self> {
        Self::builder().build(handshake, subscriber)
    }

    /// Configures a client.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Forgets every path secret, so that the next stream to any peer starts with a handshake.
    pub fn drop_state(&self) {
        self.handshake.map().drop_state();
    }

    /// The handshake that this client was built with.
    pub fn handshake_state(&self) -> &H {
        &self.handshake
    }

    /// What the client's sockets, pool and streams have done so far.
    pub fn metrics(&self) -> Metrics {
        self.env.metrics().unwrap_or_default()
    }

    /// Moves the ceiling of the memory that the client's streams share, in bytes: 256 MiB at first.
    ///
    /// # Errors
    ///
    /// As [`Environment::set_pool_ceiling`].
    pub fn set_pool_ceiling(&self, bytes: usize) -> io::Result<()> {
        self.env.set_pool_ceiling(bytes)
    }

    /// Makes sure that a secret is shared with the peer, so that the first stream need not wait for a handshake.
    ///
    /// # Errors
    ///
    /// Whatever the handshake returns.
    ///
    /// # Cancel safety
    ///
    /// As the handshake's. The published provider goes on in the background.
    pub async fn handshake_with(
        &self,
        remote_handshake_addr: SocketAddr,
        server_name: Name,
    ) -> io::Result<secret::HandshakeKind> {
        let (_peer, kind) = self
            .handshake
            .handshake_with_entry(remote_handshake_addr, server_name)
            .await?;
        Ok(kind)
    }

    /// Opens a stream over the default protocol.
    ///
    /// # Errors
    ///
    /// As [`Self::connect_udp`]; also [`io::ErrorKind::InvalidInput`] if the default protocol is not UDP.
    ///
    /// # Cancel safety
    ///
    /// As [`Self::connect_udp`].
    pub async fn connect(
        &self,
        handshake_addr: SocketAddr,
        acceptor_addr: SocketAddr,
        server_name: Name,
    ) -> io::Result<Stream<S>> {
        self.check_default_protocol()?;
        self.connect_udp(handshake_addr, acceptor_addr, server_name)
            .await
    }

    /// Makes a call over the default protocol.
    ///
    /// # Errors
    ///
    /// As [`Self::rpc_udp`]; also [`io::ErrorKind::InvalidInput`] if the default protocol is not UDP.
    ///
    /// # Cancel safety
    ///
    /// As [`Self::rpc_udp`].
    pub async fn rpc<Req, Res>(
        &self,
        handshake_addr: SocketAddr,
        acceptor_addr: SocketAddr,
        request: Req,
        response: Res,
        server_name: Name,
    ) -> io::Result<Res::Output>
    where
        Req: rpc::Request,
        Res: rpc::Response,
    {
        self.check_default_protocol()?;
        self.rpc_udp(
            handshake_addr,
            acceptor_addr,
            request,
            response,
            server_name,
        )
        .await
    }

    /// Opens a stream over UDP.
    ///
    /// Takes the secret shared with `handshake_addr`, or handshakes first, and announces the stream to
    /// `acceptor_addr` with one empty packet. It does not wait for the server to accept. An unspecified
    /// acceptor address stands for the loopback address.
    ///
    /// # Errors
    ///
    /// * [`io::ErrorKind::NotFound`] with [`error::Kind::PeerPskMissing`] if no secret is cached and the client was
    ///   built to [fail fast](Builder::with_fail_fast_on_missing_psk).
    /// * [`io::ErrorKind::QuotaExceeded`] if the key ids of the secret are used up.
    /// * Whatever the handshake returns.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future leaves nothing to clean up. A handshake that was started may go on in the
    /// background, and the server may see a stream that ends at once, if the future was dropped while it sent the
    /// first packet.
    pub async fn connect_udp(
        &self,
        handshake_addr: SocketAddr,
        acceptor_addr: SocketAddr,
        server_name: Name,
    ) -> io::Result<Stream<S>> {
        let mut stream = self
            .open_udp(handshake_addr, acceptor_addr, server_name)
            .await?;

        // The server learns of the stream now, and not when the application first writes: it may be the one to
        // talk first, and a key id that stays unseen for long falls out of the peer's replay window.
        stream.write_from(&mut Empty).await?;

        Ok(stream)
    }

    /// Makes a call over UDP: sends `request`, and reads the response into `response`.
    ///
    /// The stream is opened by the first packet of the request. For what happens when the response ends before the
    /// request has been sent, see [`rpc::from_stream`](crate::stream::client::rpc::from_stream).
    ///
    /// # Errors
    ///
    /// As [`Self::connect_udp`] and [`rpc::from_stream`](crate::stream::client::rpc::from_stream).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: see [`rpc::from_stream`](crate::stream::client::rpc::from_stream).
    pub async fn rpc_udp<Req, Res>(
        &self,
        handshake_addr: SocketAddr,
        acceptor_addr: SocketAddr,
        request: Req,
        response: Res,
        server_name: Name,
    ) -> io::Result<Res::Output>
    where
        Req: rpc::Request,
        Res: rpc::Response,
    {
        let stream = self
            .open_udp(handshake_addr, acceptor_addr, server_name)
            .await?;
        call::from_stream(stream, request, response).await
    }

    /// Opens a stream over UDP that the application writes to at once.
    ///
    /// As [`Self::connect_udp`], but nothing is sent yet: the first write announces the stream, and saves the empty packet and its
    /// acknowledgement. A stream that is not written to stays unknown to the server, and a key id that stays unseen while many others are
    /// used falls out of the peer's replay window.
    ///
    /// # Errors
    ///
    /// As [`Self::connect_udp`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future leaves nothing to clean up. A handshake that was started may go on in the background.
    pub async fn open_udp(
        &self,
        handshake_addr: SocketAddr,
        acceptor_addr: SocketAddr,
        server_name: Name,
    ) -> io::Result<Stream<S>> {
        if self.fail_fast_on_missing_psk && !self.handshake.map().contains(&handshake_addr) {
            return Err(self.handshake_later(handshake_addr, server_name));
        }

        // Apart, because in place it would be most of what each task weighs that opens streams, long after it is done.
        let handshake = self
            .handshake
            .handshake_with_entry(handshake_addr, server_name);
        let (peer, _kind) = Box::pin(handshake).await?;

        connect_udp(ready(Ok(peer)), acceptor_addr, &self.env).await
    }

    /// Starts a handshake that a later attempt will profit from, and says why this one fails.
    fn handshake_later(&self, handshake_addr: SocketAddr, server_name: Name) -> io::Error {
        let started = self
            .handshake
            .background_handshake_with(handshake_addr, server_name);

        // The caller is told that the secret is missing either way; why it may stay missing belongs in the log.
        if let Err(error) = started {
            tracing::warn!(%handshake_addr, %error, "could not start a handshake in the background");
        }

        error::Kind::PeerPskMissing.err().into()
    }

    fn check_default_protocol(&self) -> io::Result<()> {
        if self.default_protocol.is_udp() {
            return Ok(());
        }

        Err(invalid_input(format!(
            "the client's default protocol {:?} is not supported: streams run over Udp",
            self.default_protocol,
        )))
    }
}

/// Configures a [`Client`].
///
/// By default: UDP, one socket thread per available core, the system's socket buffers, and streams that wait for a
/// handshake if no secret is cached.
#[derive(Default)]
pub struct Builder {
    default_protocol: Option<Protocol>,
    background_threads: Option<usize>,
    send_buffer: Option<usize>,
    recv_buffer: Option<usize>,
    fail_fast_on_missing_psk: bool,
    tuning: Option<udp::Tuning>,
}

impl Builder {
    /// Prefers TCP if `enabled`, else UDP.
    ///
    /// TCP is not supported: with it, [`Client::connect`] and [`Client::rpc`] return
    /// [`io::ErrorKind::InvalidInput`].
    pub fn with_tcp(self, enabled: bool) -> Self {
        self.with_default_protocol(if enabled {
            Protocol::Tcp
        } else {
            Protocol::Udp
        })
    }

    /// Prefers UDP if `enabled`, else TCP, which is not supported: see [`Self::with_tcp`].
    pub fn with_udp(self, enabled: bool) -> Self {
        self.with_tcp(!enabled)
    }

    /// The protocol of [`Client::connect`] and [`Client::rpc`]; both return [`io::ErrorKind::InvalidInput`] for any
    /// but [`Protocol::Udp`], which is the default.
    pub fn with_default_protocol(mut self, protocol: Protocol) -> Self {
        self.default_protocol = Some(protocol);
        self
    }

    /// How many threads serve the client's sockets: at least 1, by default the available parallelism.
    pub fn with_background_threads(mut self, threads: usize) -> Self {
        self.background_threads = Some(threads);
        self
    }

    /// The size of each socket's send buffer (`SO_SNDBUF`), in bytes. The system may grant less.
    pub fn with_send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// The size of each socket's receive buffer (`SO_RCVBUF`), in bytes. The system may grant less. Peers are told to slow down while more than two
    /// thirds are in use.
    pub fn with_recv_buffer(mut self, bytes: usize) -> Self {
        self.recv_buffer = Some(bytes);
        self
    }

    /// Changes what has no method of its own here, such as the limits of memory, of transmissions in flight and of the
    /// rate to one peer.
    ///
    /// `tune` is called by [`Self::build`], which then checks the result, and sets what has a method.
    pub fn with_tuning(mut self, tune: impl FnOnce(&mut udp::Config) + Send + 'static) -> Self {
        self.tuning = Some(Box::new(tune));
        self
    }

    /// Whether opening a stream fails at once if no secret is cached for the peer, instead of waiting for a handshake.
    ///
    /// The handshake is then started in the background, for the attempts to come, and the error carries
    /// [`error::Kind::PeerPskMissing`].
    pub fn with_fail_fast_on_missing_psk(mut self, fail_fast_on_missing_psk: bool) -> Self {
        self.fail_fast_on_missing_psk = fail_fast_on_missing_psk;
        self
    }

    /// Accepted and ignored: lingering (`SO_LINGER`) has no meaning for UDP, where a closed stream is delivered in the
    /// background.
    pub fn with_linger(self, _linger: Duration) -> Self {
        self
    }

    /// Binds the client's sockets to the handshake's local IP address, on ports that the system chooses.
    ///
    /// # Errors
    ///
    /// * [`io::ErrorKind::InvalidInput`] if the number of background threads is 0, or what was
    ///   [tuned](Self::with_tuning) is out of range.
    /// * Whatever keeps the sockets from being bound or the threads from being started.
    pub fn build<H: Handshake + Clone, S: event::Subscriber + Clone>(
        self,
        handshake: H,
        subscriber: S,
    ) -> io::Result<Client<H, S>> {
        if self.background_threads == Some(0) {
            return Err(invalid_input(
                "background_threads is 0; at least 1 is needed to serve the sockets".to_owned(),
            ));
        }

        let options = self.socket_options(handshake.local_addr()?);
        let mut config = udp::Config::new(handshake.map().clone());
        if let Some(tune) = self.tuning {
            tune(&mut config);
        }
        let mut env = env::Builder::new(subscriber)
            .with_socket_options(options)
            .with_pool(config);

        if let Some(threads) = self.background_threads {
            env = env.with_threads(threads);
        }

        Ok(Client {
            env: env.build()?,
            handshake,
            default_protocol: self.default_protocol.unwrap_or(Protocol::Udp),
            fail_fast_on_missing_psk: self.fail_fast_on_missing_psk,
        })
    }

    /// Streams leave from the address that handshakes do, and so over the same address family.
    fn socket_options(&self, mut handshake_addr: SocketAddr) -> Options {
        handshake_addr.set_port(0);

        let mut options = Options::new(handshake_addr);
        options.send_buffer = self.send_buffer;
        options.recv_buffer = self.recv_buffer;
        options
    }
}

/// Opens a stream over UDP on an environment that the caller shares between clients.
///
/// Nothing is sent yet. Callers should write at once: a key id is taken here, and one that stays unseen while many
/// others are used falls out of the peer's replay window.
///
/// # Errors
///
/// Whatever `handshake` returns, and [`io::ErrorKind::QuotaExceeded`] if the key ids of the secret are used up.
///
/// # Cancel safety
///
/// Cancel safe if `handshake` is: no stream exists before the future is done.
pub async fn connect_udp<H, Sub>(
    handshake: H,
    acceptor_addr: SocketAddr,
    env: &Environment<Sub>,
) -> io::Result<Stream<Sub>>
where
    H: Future<Output = io::Result<secret::map::Peer>>,
    Sub: event::Subscriber + Clone,
{
    endpoint::open(handshake, acceptor_addr, env).await
}

fn invalid_input(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests;
