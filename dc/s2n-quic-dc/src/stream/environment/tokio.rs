// SPDX-License-Identifier: Apache-2.0

//! The environment on real sockets.
//!
//! Streams are polled by whatever tokio runtime the application uses. What is received is handed to them by the runtime that the environment was
//! built on, see [`Config::blocking`]; what they send leaves by threads, because tokio's timers have a resolution of a millisecond and departures need
//! microseconds.
//!
//! The one rule: an environment works the same wherever it is built.

use super::{
    started::{Running, Started},
    udp::{check, Config},
};
use crate::{
    clock::tokio::Clock,
    event,
    stream::{endpoint, server::accept},
};
use s2n_quic_platform::{features, socket::options::Options};
use std::{io, net::SocketAddr};

pub(crate) mod pool;
mod task;
mod threads;

/// Sets an environment up
pub struct Builder<Sub: event::Subscriber> {
    subscriber: Sub,
    thread_name_prefix: String,
    threads: Option<usize>,
    pool: Option<Config>,
    socket_options: Options,
    acceptor: Option<accept::Sender<Sub>>,
}

impl<Sub> Default for Builder<Sub>
where
    Sub: event::Subscriber + Clone + Default,
{
    fn default() -> Self {
        Self::new(Sub::default())
    }
}

impl<Sub> Builder<Sub>
where
    Sub: event::Subscriber + Clone,
{
    /// An environment whose events go to `subscriber`
    pub fn new(subscriber: Sub) -> Self {
        Self {
            subscriber,
            thread_name_prefix: String::from("dc_quic"),
            threads: None,
            pool: None,
            socket_options: Options::default(),
            acceptor: None,
        }
    }

    /// What the names of the worker threads start with; "dc_quic" if not set
    pub fn with_thread_name_prefix(mut self, prefix: String) -> Self {
        self.thread_name_prefix = prefix;
        self
    }

    /// The number of sockets, each with two workers; the number of processors if not set
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets up sockets and the descriptor pool; without it, no stream can be opened
    pub fn with_pool(mut self, config: Config) -> Self {
        self.pool = Some(config);
        self
    }

    /// Address, buffers and flags of the sockets
    pub fn with_socket_options(mut self, socket_options: Options) -> Self {
        self.socket_options = socket_options;
        self
    }

    /// Where streams go that peers open; without it, none are accepted
    pub fn with_acceptor(mut self, sender: accept::Sender<Sub>) -> Self {
        self.acceptor = Some(sender);
        self
    }

    /// Binds the sockets and starts the workers
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a value out of range, with a [`ConfigError`](super::udp::ConfigError) as its source; otherwise what the system
    /// said to the sockets or threads.
    pub fn build(self) -> io::Result<Environment<Sub>> {
        let clock = Clock::default();
        let Some(config) = self.pool else {
            return Ok(Environment {
                clock,
                subscriber: self.subscriber,
                pool: None,
            });
        };
        config.validate()?;
        let threads = self.threads.unwrap_or_else(default_threads);
        check("threads", threads, 1..=256)?;
        let acceptor = self.acceptor.map(|sender| endpoint::Accepting {
            sender,
            flavor: config.accept_flavor,
            subscriber: self.subscriber.clone(),
        });
        let started = pool::start(pool::Setup {
            sockets: config.workers.unwrap_or(threads),
            config,
            options: self.socket_options,
            thread_name_prefix: self.thread_name_prefix,
            clock: clock.clone(),
            acceptor,
        })?;
        Ok(Environment {
            clock,
            subscriber: self.subscriber,
            pool: Some(started),
        })
    }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

/// Sockets, workers and memory that streams share. Clones share all of it.
///
/// The workers end when the last clone and the last stream are gone, after what is still to be delivered has been, or after a bounded
/// time.
#[derive(Clone)]
pub struct Environment<Sub> {
    clock: Clock,
    subscriber: Sub,
    pool: Option<Started>,
}

impl<Sub> Environment<Sub>
where
    Sub: event::Subscriber + Clone + Default,
{
    /// Sets an environment up with the subscriber's default
    pub fn builder() -> Builder<Sub> {
        Builder::default()
    }
}

impl<Sub> Environment<Sub>
where
    Sub: event::Subscriber + Clone,
{
    /// Sets an environment up
    pub fn builder_with_subscriber(subscriber: Sub) -> Builder<Sub> {
        Builder::new(subscriber)
    }

    /// Whether it has sockets, so that streams can be opened
    pub fn has_recv_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// The address of the first socket, which is that of all if they share a port
    pub fn pool_addr(&self) -> Option<SocketAddr> {
        self.pool.as_ref()?.local_addr()
    }

    /// What its sockets, pool and streams have done so far
    pub fn metrics(&self) -> Option<crate::stream::metrics::Metrics> {
        Some(self.pool.as_ref()?.metrics())
    }

    /// Moves the ceiling of its descriptor pool, which was made with [`Config::pool`]`.max_bytes`
    ///
    /// Writers who wait for memory go on at once if it is raised. If it is lowered, idle memory above it is freed, nothing is taken
    /// away that is in use, and writers wait until usage has fallen. [`metrics`](Self::metrics) tells both.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a value out of range, with a [`ConfigError`](crate::socket::pool::ConfigError) as its source; `Unsupported` if the environment was built
    /// without a pool.
    pub fn set_pool_ceiling(&self, bytes: usize) -> io::Result<()> {
        let Some(started) = &self.pool else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the environment has no pool",
            ));
        };
        started.set_pool_ceiling(bytes)
    }
}

impl<Sub> Running for Environment<Sub>
where
    Sub: event::Subscriber + Clone,
{
    fn started(&self) -> Option<&Started> {
        self.pool.as_ref()
    }
}

impl<Sub> super::Environment for Environment<Sub>
where
    Sub: event::Subscriber + Clone,
{
    type Clock = Clock;
    type Subscriber = Sub;

    fn subscriber(&self) -> &Self::Subscriber {
        &self.subscriber
    }

    fn clock(&self) -> Self::Clock {
        self.clock.clone()
    }

    fn gso(&self) -> features::Gso {
        features::gso::MAX_SEGMENTS.into()
    }
}
