// SPDX-License-Identifier: Apache-2.0

//! An environment whose workers run, whatever drives them.
//!
//! The one rule: what opens, accepts or measures streams asks for this and not for a runtime.

use super::{
    core::{Core, Guard, Parts, Settings, Shard},
    Environment,
};
use crate::{
    clock::Clock,
    event,
    path::secret::Map,
    socket::pool::Pool,
    stream::{endpoint::Accepting, metrics::Metrics},
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

/// An environment that has workers, unless it was built without a pool
///
/// Only the environments of this crate implement it.
pub(crate) trait Running: Environment {
    /// `None` if it was built without a pool
    fn started(&self) -> Option<&Started>;
}

/// Running workers
#[derive(Clone)]
pub(crate) struct Started {
    pub(crate) core: Arc<Core>,
    pub(crate) guard: Guard,
}

/// What is there once the sockets are bound
pub(crate) struct Standing<Sub: event::Subscriber> {
    pub(crate) pool: Pool,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) map: Map,
    pub(crate) settings: Settings,
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) acceptor: Option<Accepting<Sub>>,
}

impl Started {
    /// To be called before any worker runs, which could accept a stream
    pub(crate) fn new<Sub>(standing: Standing<Sub>) -> Self
    where
        Sub: event::Subscriber + Clone,
    {
        let slot = Arc::new(OnceLock::new());
        let core = Core::new(Parts {
            pool: standing.pool,
            clock: standing.clock,
            map: standing.map,
            shards: standing.shards,
            settings: standing.settings,
            acceptor: standing
                .acceptor
                .map(|accepting| accepting.into_acceptor(slot.clone())),
        });
        let guard = Guard::new(core.clone());
        let _ = slot.set(guard.downgrade());
        Self { core, guard }
    }

    /// The address of the first socket, which is that of all if they share a port
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        Some(self.core.shards.first()?.local_addr)
    }

    /// See [`super::tokio::Environment::set_pool_ceiling`]
    pub(super) fn set_pool_ceiling(&self, bytes: usize) -> io::Result<()> {
        self.core
            .pool
            .set_max_bytes(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    pub(super) fn metrics(&self) -> Metrics {
        Metrics::of(&self.core)
    }
}
