// SPDX-License-Identifier: Apache-2.0

//! Keys that wait at a client for the next stream to the same place.
//!
//! The one rule: they wait for less time than the server [keeps them](super::offers).

use super::{kept::KeptKeys, Sweep};
use crate::credentials;
use core::time::Duration;
use hashbrown::HashMap;
use parking_lot::Mutex;
use s2n_quic_core::time::Timestamp;
use std::net::SocketAddr;

/// How long they wait. Who calls less often is not [offered](super::offers) any.
pub(crate) const MAX_IDLE: Duration = Duration::from_secs(1);

/// Of all peers, about six megabytes
const MAX_KEPT: usize = 4096;

#[derive(Default)]
pub(crate) struct IdleKeys(Mutex<State>);

#[derive(Default)]
struct State {
    /// By where streams are opened, in the order in which they were put here
    places: HashMap<Place, Vec<Idle>>,
    len: usize,
    sweep: Sweep,
}

type Place = (credentials::Id, SocketAddr);

struct Idle {
    until: Timestamp,
    keys: KeptKeys,
}

impl IdleKeys {
    pub(crate) fn put(&self, keys: KeptKeys, now: Timestamp) {
        let mut state = self.0.lock();
        let swept = state.sweep(now);
        if state.len < MAX_KEPT {
            let place = (keys.credentials.id, keys.acceptor);
            let until = now + MAX_IDLE;
            let idle = Idle { until, keys };
            state.places.entry(place).or_default().push(idle);
            state.len += 1;
        }
        drop(state);
        drop(swept);
    }

    /// Those that came last, because they are the most likely to be in a cache
    pub(crate) fn take(
        &self,
        id: credentials::Id,
        acceptor: SocketAddr,
        now: Timestamp,
    ) -> Option<KeptKeys> {
        let mut state = self.0.lock();
        let idle = state.places.get_mut(&(id, acceptor))?.pop()?;
        state.len -= 1;
        drop(state);
        (now < idle.until).then_some(idle.keys)
    }

    /// A stream with keys that were kept has failed, and the peer may know none of the others either
    pub(crate) fn forget(&self, id: credentials::Id, acceptor: SocketAddr) {
        let mut state = self.0.lock();
        let forgotten = state.places.remove(&(id, acceptor));
        state.len -= forgotten.as_ref().map_or(0, Vec::len);
        drop(state);
        drop(forgotten);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len
    }
}

impl State {
    /// Those that have waited for too long, to be dropped without the lock
    fn sweep(&mut self, now: Timestamp) -> Vec<Idle> {
        let mut swept = Vec::new();
        if !self.sweep.is_due(now) {
            return swept;
        }
        self.places.retain(|_, place| {
            let over = place.partition_point(|idle| idle.until <= now);
            swept.extend(place.drain(..over));
            !place.is_empty()
        });
        self.len -= swept.len();
        swept
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
