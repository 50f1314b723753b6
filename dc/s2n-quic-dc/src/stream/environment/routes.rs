// SPDX-License-Identifier: Apache-2.0

//! Streams by queue id, and what [answers](Lingering) in place of those that are over.
//!
//! The one rule: ids are never used twice, so a packet that comes late finds nobody rather than somebody else's stream.

use crate::{
    clock::ticks,
    credentials::Credentials,
    stream::{
        path::MAX_TIME_WAIT,
        recv::lingering::Lingering,
        shared::{Shared, MAX_SPARES},
    },
    sync::spares::{Reused, Spares},
};
use core::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};
use hashbrown::{hash_map::Entry, HashMap};
use parking_lot::Mutex;
use s2n_quic_core::time::Timestamp;
use std::{net::SocketAddr, sync::Arc};

/// The queue id of no stream: what a client says before it knows the server's
pub(crate) const NOBODY: u64 = 0;

/// In the place of a stream in a timer entry: receipts are to be looked after. No stream gets this far.
pub(crate) const RECEIPTS: u64 = u64::MAX;

/// The streams of one shard
pub(crate) struct Routes {
    streams: Mutex<HashMap<u64, Slot>>,
    /// How many of them are live; changed under the lock
    open: AtomicUsize,
    next: AtomicU64,
    /// Ids of a shard are congruent to its index modulo the number of shards
    stride: u64,
    /// Memory of those that do not answer any more: streams end on other threads than those that forget them
    spares: Spares<Over>,
}

enum Slot {
    Live(Arc<Shared>),
    Over {
        /// The tick of the timer entry that counts, here because entries come up when the rest is in no cache any more
        armed: u64,
        over: Reused<Over>,
    },
}

/// A stream that is over, and how long it answers
pub(crate) struct Over {
    lingering: Lingering,
    /// When to be gone, whatever comes: repetitions are not authenticated any more
    end: Timestamp,
    /// Answers until this tick, unless repetitions come
    until: u64,
}

/// A stream that a timer entry names
pub(crate) enum Due {
    Live(Arc<Shared>),
    /// It still answers: to be asked again at this tick
    Again(u64),
    /// It does not answer any more; its credentials
    Over(Credentials),
    /// The entry is of no interest
    Gone,
}

impl Over {
    pub(crate) fn new(
        lingering: Lingering,
        time_wait: Duration,
        end: Timestamp,
        now: Timestamp,
    ) -> Self {
        let until = ticks((now + time_wait).min(end));
        Self {
            lingering,
            end,
            until,
        }
    }

    /// The peer has repeated something, so an answer was lost, and it waits longer before it does so again
    fn prolong(&mut self, now: Timestamp) {
        self.until = ticks((now + MAX_TIME_WAIT).min(self.end));
    }
}

impl Routes {
    pub(crate) fn new(index: usize, shards: usize) -> Self {
        // above `NOBODY`
        Self {
            streams: Mutex::default(),
            open: AtomicUsize::new(0),
            next: AtomicU64::new((index + shards) as u64),
            stride: shards as u64,
            spares: Spares::new(MAX_SPARES),
        }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next.fetch_add(self.stride, Ordering::Relaxed)
    }

    pub(crate) fn insert(&self, shared: &Arc<Shared>) {
        let slot = Slot::Live(shared.clone());
        let mut streams = self.streams.lock();
        let replaced = streams.insert(shared.queue_id, slot);
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(streams);
        debug_assert!(replaced.is_none(), "an id was used twice");
    }

    /// Streams that are open
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, queue_id: u64) -> Option<Arc<Shared>> {
        match self.streams.lock().get(&queue_id)? {
            Slot::Live(shared) => Some(shared.clone()),
            Slot::Over { .. } => None,
        }
    }

    /// Puts `over` in the stream's place; returns the tick at which a timer is to [ask](Self::expire) for it
    pub(super) fn linger(&self, shared: &Shared, over: Over) -> Option<u64> {
        let armed = over.until;
        let over = Slot::Over {
            armed,
            over: self.spares.place(|| over),
        };
        // dropped after the lock: it may be the last reference
        let _live;
        let mut streams = self.streams.lock();
        let slot = streams.get_mut(&shared.queue_id)?;
        if !slot.is(shared) {
            return None;
        }
        _live = core::mem::replace(slot, over);
        self.open.fetch_sub(1, Ordering::Relaxed);
        drop(streams);
        Some(armed)
    }

    /// The answer to a packet of a stream that is over, in `answer`, and where to send it; `None` if it is not of such a stream
    pub(crate) fn answer(
        &self,
        queue_id: u64,
        packet: &mut [u8],
        now: Timestamp,
        answer: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        self.say_for(queue_id, |over| {
            over.lingering.answer(packet, answer)?;
            over.prolong(now);
            Some(())
        })
    }

    /// Makes `answer` the acknowledgement of all that a stream which is over has received, and returns where to send it; `None` if there is none
    pub(crate) fn acknowledge(&self, queue_id: u64, answer: &mut Vec<u8>) -> Option<SocketAddr> {
        self.say_for(queue_id, |over| over.lingering.acknowledge(answer))
    }

    /// Where to send what `say` makes in the place of a stream that is over
    fn say_for(
        &self,
        queue_id: u64,
        say: impl FnOnce(&mut Over) -> Option<()>,
    ) -> Option<SocketAddr> {
        let mut streams = self.streams.lock();
        let Slot::Over { over, .. } = streams.get_mut(&queue_id)? else {
            return None;
        };
        say(over)?;
        Some(over.lingering.remote)
    }

    /// Whether a stream of this id has been over for a short while
    pub(crate) fn is_over(&self, queue_id: u64) -> bool {
        let streams = self.streams.lock();
        matches!(streams.get(&queue_id), Some(Slot::Over { .. }))
    }

    /// A timer entry of `tick` has come up
    pub(crate) fn expire(&self, queue_id: u64, tick: u64, now: u64) -> Due {
        let mut streams = self.streams.lock();
        let Entry::Occupied(mut entry) = streams.entry(queue_id) else {
            return Due::Gone;
        };
        match entry.get_mut() {
            Slot::Live(shared) => return Due::Live(shared.clone()),
            // left behind by the stream itself
            Slot::Over { armed, .. } if *armed != tick => return Due::Gone,
            Slot::Over { armed, over } if over.until > now => {
                *armed = over.until;
                return Due::Again(over.until);
            }
            Slot::Over { .. } => {}
        }
        let slot = entry.remove();
        drop(streams);
        Due::Over(self.let_go(slot))
    }

    /// Nobody asks a stream any more that is over; its credentials, or `None` if it is not over
    pub(super) fn forget(&self, queue_id: u64) -> Option<Credentials> {
        let mut streams = self.streams.lock();
        let Entry::Occupied(entry) = streams.entry(queue_id) else {
            return None;
        };
        if matches!(entry.get(), Slot::Live(_)) {
            return None;
        }
        let slot = entry.remove();
        drop(streams);
        Some(self.let_go(slot))
    }

    /// Keeps the memory of a stream that does not answer any more; its credentials
    fn let_go(&self, slot: Slot) -> Credentials {
        let credentials = slot.credentials();
        if let Slot::Over { over, .. } = slot {
            self.spares.put(over);
        }
        credentials
    }

    /// Streams that are open, and those that still answer
    pub(crate) fn len(&self) -> usize {
        self.streams.lock().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.lock().is_empty()
    }

    pub(super) fn remove(&self, shared: &Shared) -> Option<Arc<Shared>> {
        let mut streams = self.streams.lock();
        let Entry::Occupied(entry) = streams.entry(shared.queue_id) else {
            return None;
        };
        if !entry.get().is(shared) {
            return None;
        }
        match entry.remove() {
            Slot::Live(shared) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                Some(shared)
            }
            Slot::Over { .. } => None,
        }
    }

    /// Open streams that `f` says, in the order in which they were opened
    pub(super) fn matching(&self, f: impl Fn(&Shared) -> bool) -> Vec<Arc<Shared>> {
        let mut found: Vec<_> = self
            .streams
            .lock()
            .values()
            .filter_map(|slot| match slot {
                Slot::Live(shared) if f(shared) => Some(shared.clone()),
                Slot::Live(_) | Slot::Over { .. } => None,
            })
            .collect();
        // whatever the order of the table is
        found.sort_unstable_by_key(|shared| shared.queue_id);
        found
    }

    /// Lets everything go; returns what is to be dropped, in the order of opening, with its credentials and id
    pub(super) fn clear(&self) -> Vec<(u64, Credentials, Option<Arc<Shared>>)> {
        let mut streams = self.streams.lock();
        self.open.store(0, Ordering::Relaxed);
        let mut cleared: Vec<_> = streams
            .drain()
            .map(|(queue_id, slot)| {
                let credentials = slot.credentials();
                match slot {
                    Slot::Live(shared) => (queue_id, credentials, Some(shared)),
                    Slot::Over { .. } => (queue_id, credentials, None),
                }
            })
            .collect();
        drop(streams);
        cleared.sort_unstable_by_key(|(queue_id, ..)| *queue_id);
        cleared
    }
}

impl Slot {
    fn is(&self, shared: &Shared) -> bool {
        match self {
            Self::Live(live) => core::ptr::eq(Arc::as_ptr(live), shared),
            Self::Over { .. } => false,
        }
    }

    fn credentials(&self) -> Credentials {
        match self {
            Self::Live(shared) => shared.credentials,
            Self::Over { over, .. } => over.lingering.credentials,
        }
    }
}
