// SPDX-License-Identifier: Apache-2.0

//! The environment in a simulation: sockets and time are bach's, everything else is what services run.
//!
//! Streams, pool, wheels and both socket workers are the same as on real sockets. The workers are tasks of the simulation, which are
//! woken as their threads would be: by their bells, by their socket, and when the time has come that they wait for.
//!
//! The one rule: what happens depends on the simulation alone, so that a run with the same seed repeats it byte for byte.

use super::{
    started::{Running, Started},
    udp::{check, Config},
};
use crate::{
    clock::bach::Clock,
    counter::Counter,
    event,
    msg::segment::MAX_SEGMENTS,
    stream::{endpoint, metrics::Metrics, server::accept},
};
use s2n_quic_platform::{features, socket::options::Options};
use std::{io, net::SocketAddr, sync::Arc};

mod clock;
mod pool;
mod socket;
mod task;

/// Sets an environment up
pub struct Builder<Sub: event::Subscriber> {
    subscriber: Sub,
    threads: usize,
    pool: Option<Config>,
    socket_options: Options,
    acceptor: Option<accept::Sender<Sub>>,
    max_segments: usize,
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
            threads: 1,
            pool: None,
            socket_options: Options::default(),
            acceptor: None,
            max_segments: MAX_SEGMENTS,
        }
    }

    /// The number of sockets, each with two workers; one if not set
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets up sockets and the descriptor pool; has to be called
    pub fn with_pool(mut self, config: Config) -> Self {
        self.pool = Some(config);
        self
    }

    /// Address and flags of the sockets
    ///
    /// An unspecified address is that of the task's group. With `gro`, the default, a socket joins packets that it has received
    /// as the kernel does. There are no buffer sizes in the simulation.
    pub fn with_socket_options(mut self, socket_options: Options) -> Self {
        self.socket_options = socket_options;
        self
    }

    /// Where streams go that peers open; without it, none are accepted
    pub fn with_acceptor(mut self, sender: accept::Sender<Sub>) -> Self {
        self.acceptor = Some(sender);
        self
    }

    /// The most packets that one send carries, [`MAX_SEGMENTS`] if not set; 1 is a kernel that does not segment
    ///
    /// However many they are, each of them is a datagram of its own on the network.
    pub fn with_max_segments(mut self, max_segments: usize) -> Self {
        self.max_segments = max_segments;
        self
    }

    /// Binds the sockets and spawns the workers, in the group of the task that calls it
    ///
    /// # Errors
    ///
    /// `InvalidInput` without a pool and for a value out of range, with a [`ConfigError`](super::udp::ConfigError) as its source;
    /// otherwise what the simulation said to the sockets: an address that is taken, or none because there is no simulation.
    ///
    /// # Panics
    ///
    /// Outside of a simulation, where there is no time to read.
    pub fn build(self) -> io::Result<Environment<Sub>> {
        let clock = Clock::default();
        let Some(config) = self.pool else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an environment in a simulation needs a pool, see with_pool",
            ));
        };
        config.validate()?;
        check("threads", self.threads, 1..=256)?;
        check("max_segments", self.max_segments, 1..=MAX_SEGMENTS)?;
        let acceptor = self.acceptor.map(|sender| endpoint::Accepting {
            sender,
            flavor: config.accept_flavor,
            subscriber: self.subscriber.clone(),
        });
        let turns = Arc::<Counter>::default();
        let started = pool::start(pool::Setup {
            sockets: config.workers.unwrap_or(self.threads),
            config,
            options: self.socket_options,
            max_segments: self.max_segments,
            acceptor,
            turns: turns.clone(),
        })?;
        Ok(Environment {
            clock,
            subscriber: self.subscriber,
            started,
            max_segments: self.max_segments,
            turns,
        })
    }
}

/// Sockets, workers and memory that streams share. Clones share all of it.
///
/// The workers end when the last clone and the last stream are gone, after what is still to be delivered has been, or after a bounded
/// time. Until then they hold the simulation open, as primary tasks do, but not for longer than they have something to deliver.
#[derive(Clone)]
pub struct Environment<Sub> {
    clock: Clock,
    subscriber: Sub,
    started: Started,
    max_segments: usize,
    turns: Arc<Counter>,
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

    /// Whether it has sockets: always
    pub fn has_recv_pool(&self) -> bool {
        true
    }

    /// The address of the first socket, which is that of all if they share a port
    pub fn pool_addr(&self) -> Option<SocketAddr> {
        self.started.local_addr()
    }

    /// What its sockets, pool and streams have done so far
    pub fn metrics(&self) -> Option<Metrics> {
        Some(self.started.metrics())
    }

    /// Moves the ceiling of its descriptor pool, as on real sockets
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a value out of range, with a [`ConfigError`](crate::socket::pool::ConfigError) as its source.
    pub fn set_pool_ceiling(&self, bytes: usize) -> io::Result<()> {
        self.started.set_pool_ceiling(bytes)
    }

    /// How often its workers woke up, for whatever reason: in an environment that has come to rest, this stays as it is
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }
}

impl<Sub> Running for Environment<Sub>
where
    Sub: event::Subscriber + Clone,
{
    fn started(&self) -> Option<&Started> {
        Some(&self.started)
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
        let max_segments = features::gso::MaxSegments::try_from(self.max_segments);
        max_segments.unwrap_or_default().into()
    }
}
