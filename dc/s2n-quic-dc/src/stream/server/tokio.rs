// SPDX-License-Identifier: Apache-2.0

//! The server for tokio.
//!
//! The one rule: a server is one address, one environment and one accept queue, which its clones share and the last
//! of them closes.

use crate::{
    event,
    stream::{
        application::{AcceptInfo, Stream},
        environment::{
            tokio::{self as env, Environment},
            udp,
        },
        metrics::Metrics,
        server::accept,
        Protocol,
    },
};
use ::tokio::runtime::{self, Runtime};
use s2n_quic_platform::socket::options::Options;
use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    num::{NonZeroU16, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

pub use published_dc::stream::server::tokio::Handshake;

/// How many streams may wait to be accepted, unless [`Builder::with_backlog`] says otherwise.
///
/// The value is Linux's `SOMAXCONN`: what a service that listens for TCP connections is used to.
pub const DEFAULT_BACKLOG: u16 = 4096;

/// Accepts streams.
///
/// Clones share the address, the threads and the accept queue: each stream is accepted by one of them. When the last
/// one is dropped, streams that still wait are refused.
///
/// The futures of [`accept`](Self::accept) and [`accept_with_info`](Self::accept_with_info) are `Send` if the
/// handshake is `Sync`.
#[derive(Clone)]
pub struct Server<H: Handshake + Clone, S: event::Subscriber + Clone> {
    handshake: H,
    acceptor: Arc<Acceptor<S>>,
}

/// What the clones of a server share. The fields are dropped in order: the streams that wait are refused while the
/// environment can still say so.
struct Acceptor<S: event::Subscriber + Clone> {
    streams: accept::Receiver<S>,
    addr: SocketAddr,
    runtime: BackgroundRuntime,
    /// Serves the sockets for as long as it is held.
    env: Environment<S>,
}

impl<H: Handshake + Clone, S: event::Subscriber + Clone> Server<H, S> {
    /// Creates a server on `acceptor_addr`, with the defaults of [`Builder`] for the rest.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new(acceptor_addr: SocketAddr, handshake: H, subscriber: S) -> io::Result<Self> {
        Self::builder()
            .with_address(acceptor_addr)
            .build(handshake, subscriber)
    }

    /// Configures a server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Forgets every path secret: clients have to handshake before they can open another stream.
    pub fn drop_state(&self) {
        self.handshake.map().drop_state();
    }

    /// The handshake that this server was built with.
    pub fn handshake_state(&self) -> &H {
        &self.handshake
    }

    /// What the server's sockets, pool and streams have done so far.
    pub fn metrics(&self) -> Metrics {
        self.acceptor.env.metrics().unwrap_or_default()
    }

    /// Moves the ceiling of the memory that the server's streams share, in bytes: 256 MiB at first.
    ///
    /// # Errors
    ///
    /// As [`Environment::set_pool_ceiling`].
    pub fn set_pool_ceiling(&self, bytes: usize) -> io::Result<()> {
        self.acceptor.env.set_pool_ceiling(bytes)
    }

    /// A runtime for small tasks, such as handing accepted streams on to another one.
    ///
    /// It ends with the last clone of the server: its tasks are dropped at their next await. Work that takes long, or
    /// that must be completed, belongs on a runtime of the application's.
    pub fn acceptor_rt(&self) -> runtime::Handle {
        self.acceptor.runtime.handle.clone()
    }

    /// Waits for the next stream, oldest first, and returns it with its client's address.
    ///
    /// The stream has not been read from: what is wrong with it shows on the first read.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] once no stream waits and the environment of the server is gone. What goes wrong
    /// with one stream is never returned here.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a stream leaves the queue only when it is returned.
    pub async fn accept(&self) -> io::Result<(Stream<S>, SocketAddr)> {
        let (stream, _info, peer_addr) = self.accept_with_info().await?;
        Ok((stream, peer_addr))
    }

    /// As [`Self::accept`], and also says how long the stream took to get here.
    ///
    /// # Errors
    ///
    /// As [`Self::accept`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a stream leaves the queue only when it is returned.
    pub async fn accept_with_info(&self) -> io::Result<(Stream<S>, AcceptInfo, SocketAddr)> {
        self.acceptor.streams.next().await
    }

    /// The address that streams are opened to, with the port that was chosen at bind.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn acceptor_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.acceptor.addr)
    }

    /// The address that handshakes are made with.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn handshake_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.handshake.local_addr())
    }
}

/// Configures a [`Server`].
///
/// By default: UDP on port 4444 of every address, one socket per available core, [`DEFAULT_BACKLOG`] streams in the
/// accept queue, and the system's socket buffers.
pub struct Builder {
    acceptor_addr: SocketAddr,
    udp: bool,
    /// Another protocol that was asked for.
    unsupported: Option<Protocol>,
    backlog: usize,
    workers: Option<NonZeroUsize>,
    send_buffer: Option<usize>,
    recv_buffer: Option<usize>,
    reuse_addr: bool,
    tuning: Option<udp::Tuning>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            acceptor_addr: SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)),
            udp: true,
            unsupported: None,
            backlog: DEFAULT_BACKLOG.into(),
            workers: None,
            send_buffer: None,
            recv_buffer: None,
            reuse_addr: false,
            tuning: None,
        }
    }
}

impl Builder {
    /// The address to bind, by default `[::]:4444`. With port 0, the system chooses one.
    pub fn with_address(mut self, addr: SocketAddr) -> Self {
        self.acceptor_addr = addr;
        self
    }

    /// Accepts streams over `protocol` only. [`Self::build`] refuses any but [`Protocol::Udp`], which is the default.
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.udp = protocol.is_udp();
        self.unsupported = (!protocol.is_udp()).then_some(protocol);
        self
    }

    /// Whether streams are accepted over UDP; [`Self::build`] refuses a server without.
    pub fn with_udp(mut self, enabled: bool) -> Self {
        self.udp = enabled;
        self
    }

    /// Whether streams would be accepted over TCP, which is not supported.
    ///
    /// [`Self::build`] refuses a server with TCP and no UDP. One with both is served over UDP alone, and says so in
    /// the log.
    pub fn with_tcp(mut self, enabled: bool) -> Self {
        self.unsupported = enabled.then_some(Protocol::Tcp);
        self
    }

    /// How many streams may wait to be accepted, by default [`DEFAULT_BACKLOG`]. One more, and the oldest is refused.
    pub fn with_backlog(mut self, backlog: NonZeroU16) -> Self {
        self.backlog = backlog.get().into();
        self
    }

    /// How many threads serve the server's sockets, by default the available parallelism. More than one share the
    /// address with `SO_REUSEPORT`.
    pub fn with_workers(mut self, workers: NonZeroUsize) -> Self {
        self.workers = Some(workers);
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

    /// Accepted and ignored: lingering (`SO_LINGER`) has no meaning for UDP, where a closed stream is delivered in the
    /// background.
    pub fn with_linger(self, _linger: Duration) -> Self {
        self
    }

    /// Changes what has no method of its own here, such as the limits of memory, of transmissions in flight and of the rate to one peer
    ///
    /// `tune` is called by [`Self::build`], which then checks the result, and sets what has a method.
    pub fn with_tuning(mut self, tune: impl FnOnce(&mut udp::Config) + Send + 'static) -> Self {
        self.tuning = Some(Box::new(tune));
        self
    }

    /// Whether the address may be bound while another socket with this option holds it (`SO_REUSEADDR`).
    ///
    /// On Linux, the socket that was bound last receives what is sent to the address.
    pub fn with_reuse_addr(mut self, enabled: bool) -> Self {
        self.reuse_addr = enabled;
        self
    }

    /// Binds the server's sockets and starts to take in streams.
    ///
    /// # Errors
    ///
    /// * [`io::ErrorKind::InvalidInput`] if UDP is not enabled, or what was [tuned](Self::with_tuning) is out of range.
    /// * [`io::ErrorKind::AddrInUse`] and whatever else keeps the sockets from being bound or the threads from being
    ///   started.
    pub fn build<H: Handshake + Clone, S: event::Subscriber + Clone>(
        self,
        handshake: H,
        subscriber: S,
    ) -> io::Result<Server<H, S>> {
        self.check_protocols()?;

        let workers = self.workers.map_or_else(default_workers, NonZeroUsize::get);
        let options = self.socket_options();

        let mut pool = udp::Config::new(handshake.map().clone());
        if let Some(tune) = self.tuning {
            tune(&mut pool);
        }
        pool.reuse_port = workers > 1;

        let (sender, streams) = accept::channel(self.backlog);

        let env = env::Builder::new(subscriber)
            .with_threads(workers)
            .with_socket_options(options)
            .with_pool(pool)
            .with_acceptor(sender)
            .build()?;

        let addr = env.pool_addr().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "the environment was built without a socket to accept from",
            )
        })?;

        Ok(Server {
            handshake,
            acceptor: Arc::new(Acceptor {
                streams,
                addr,
                runtime: BackgroundRuntime::new(workers.min(MAX_RUNTIME_THREADS))?,
                env,
            }),
        })
    }

    fn socket_options(&self) -> Options {
        let mut options = Options::new(self.acceptor_addr);
        options.send_buffer = self.send_buffer;
        options.recv_buffer = self.recv_buffer;
        options.reuse_address = self.reuse_addr;
        options
    }

    fn check_protocols(&self) -> io::Result<()> {
        let message = match (self.udp, self.unsupported) {
            (true, None) => return Ok(()),
            (true, Some(protocol)) => {
                tracing::warn!(?protocol, "the server accepts streams over Udp only");
                return Ok(());
            }
            (false, Some(protocol)) => {
                format!("the server's protocol {protocol:?} is not supported: streams run over Udp")
            }
            (false, None) => {
                "the server has no protocol enabled; it needs Udp, which streams run over"
                    .to_owned()
            }
        };

        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// A runtime that may be dropped anywhere: its threads are left to end by themselves.
///
/// Tokio panics if a runtime is dropped the plain way by a task, and the last clone of a server often is.
struct BackgroundRuntime {
    handle: runtime::Handle,
    /// Taken on drop only.
    runtime: Option<Runtime>,
}

impl BackgroundRuntime {
    fn new(threads: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("dc_quic::acceptor")
            .worker_threads(threads)
            .build()?;

        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for BackgroundRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The published server's.
const DEFAULT_PORT: u16 = 4444;

/// Enough for tasks that only hand streams on; the sockets have what the environment has.
const MAX_RUNTIME_THREADS: usize = 4;

#[cfg(test)]
mod tests;
