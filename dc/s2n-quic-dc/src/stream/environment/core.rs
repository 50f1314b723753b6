// SPDX-License-Identifier: Apache-2.0

//! What an environment is made of, whatever the runtime: the descriptor pool, the paths, and a shard per socket.
//!
//! A stream belongs to one shard for its life; queue ids name the shard, so a packet finds its stream whichever socket it came in
//! by.
//!
//! The one rule: routes keep streams alive until all is said, and [`Guard`]s keep the workers alive. When the last guard goes,
//! the workers finish what they can in a bounded time and let everything go.

use super::{
    receipts::Watch,
    routes::{Due, Over, Routes, NOBODY},
    timers::{Lane, Timers},
};
use crate::{
    clock::{ticks, Clock},
    counter::Counter,
    credentials::{self, Credentials},
    msg::segment,
    path::secret::Map,
    socket::{pool::Pool, recv::udp::Receiver, send::udp::Sender, udp::Traffic},
    stream::{
        keys::{idle::IdleKeys, offers::Offers},
        metrics::WaitCounters,
        path::{self, Path, Wakes},
        recv::{self, budget::Budget},
        shared::{Body, Shared, MAX_SPARES},
    },
    sync::{doorbell::Doorbell, few::Few, spares::Spares},
};
use core::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use hashbrown::HashMap;
use parking_lot::Mutex;
use s2n_quic_core::time::Timestamp;
use std::{net::SocketAddr, sync::Arc};

/// Paths that nobody uses are kept, with what they know of the network, up to this many
const MAX_IDLE_PATHS: usize = 1024;

/// How often grants are looked for that nobody came for, while writers wait
const RECLAIM_PERIOD: Duration = Duration::from_millis(100);

pub(crate) struct Core {
    pub(crate) pool: Pool,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) map: Map,
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) counters: Counters,
    pub(crate) settings: Settings,
    /// What receive windows grow into
    pub(crate) budget: Arc<Budget>,
    /// What streams are made in
    pub(crate) spares: Spares<Body>,
    /// What streams that were opened here have left to the next ones
    pub(crate) idle_keys: IdleKeys,
    /// The same of those that were accepted
    pub(crate) offers: Offers,
    pub(crate) acceptor: Option<Box<dyn Acceptor>>,
    /// Ids of streams by credentials, for packets of clients that do not know their queue yet
    openings: Mutex<HashMap<Credentials, u64>>,
    paths: Mutex<HashMap<credentials::Id, Arc<Path>>>,
    /// The shard of the newest stream
    last_shard: AtomicUsize,
    is_closing: AtomicBool,
}

/// What streams are made with
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Transmissions of data that one stream may have in the wheel
    pub(crate) max_pending: usize,
    /// Bytes per second that leave to one peer at most
    pub(crate) max_rate: Option<u64>,
    /// Bytes that the receive windows of all streams may grow by
    pub(crate) max_receive_window_bytes: usize,
}

/// One socket, and the streams that use it
pub(crate) struct Shard {
    pub(crate) local_addr: SocketAddr,
    pub(crate) sender: Arc<Sender>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) routes: Routes,
    pub(crate) timers: Timers,
    /// A timer entry of [`NOBODY`] is set, because writers wait for their paths
    is_watching_paths: AtomicBool,
    pub(super) watch: Watch,
    /// What the streams that use it waited for
    pub(crate) waits: WaitCounters,
    /// What the socket counts
    pub(crate) traffic: Traffic,
}

impl Shard {
    /// `bells` wake who sends and who receives
    pub(crate) fn new(
        local_addr: SocketAddr,
        routes: Routes,
        bells: [Doorbell; 2],
        traffic: Traffic,
        now: Timestamp,
    ) -> Arc<Self> {
        let [sending, receiving] = bells;
        Arc::new(Self {
            local_addr,
            sender: Sender::new(sending),
            receiver: Receiver::new(receiving),
            routes,
            timers: Timers::new(ticks(now)),
            is_watching_paths: AtomicBool::new(false),
            watch: Watch::default(),
            waits: WaitCounters::default(),
            traffic,
        })
    }
}

/// What an environment counts; everything that is dropped is counted by reason
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) dropped: Dropped,
    pub(crate) duplicates: Counter,
    pub(crate) packets_sent: Counter,
    pub(crate) packets_lost: Counter,
    pub(crate) spurious_losses: Counter,
    pub(crate) packets_retransmitted: Counter,
    pub(crate) probes: Counter,
    pub(crate) control_packets: Counter,
    pub(crate) streams_opened: Counter,
    pub(crate) streams_accepted: Counter,
    /// Streams among both that go on with the keys of another
    pub(crate) streams_continued: Counter,
    pub(crate) segments_received: Counter,
    /// Receives out of a buffer that was nearly full
    pub(crate) crowded: Counter,
}

/// Why a packet was dropped
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// Not a packet of this protocol, or cut short
    pub(crate) undecodable: Counter,
    /// Of a kind that streams have no use for
    pub(crate) unexpected: Counter,
    /// For a queue that does not exist (any more)
    pub(crate) unroutable: Counter,
    /// For the right queue, with the credentials of another stream
    pub(crate) credentials: Counter,
    pub(crate) unauthenticated: Counter,
    /// Or it did not offer the keys, or not lately
    pub(crate) unknown_secret: Counter,
    /// The stream's inbox or the pool was full
    pub(crate) overflow: Counter,
}

/// Turns the first packet of an unknown stream into a stream
pub(crate) trait Acceptor: Send + Sync {
    fn accept(&self, opening: Opening<'_>, core: &Arc<Core>, shard: &Arc<Shard>, now: Timestamp);
}

pub(crate) struct Opening<'a> {
    pub(crate) credentials: Credentials,
    pub(crate) source_queue_id: Option<s2n_quic_core::varint::VarInt>,
    pub(crate) arrival: recv::shared::Incoming,
    /// More packets of the stream have come with it
    pub(crate) is_followed: bool,
    /// Filled with the answer to a client whose secret is unknown here
    pub(crate) answer: &'a mut Vec<u8>,
    /// Gets whom to wake because of it
    pub(crate) wakes: &'a mut Wakes,
}

/// Keeps an environment's workers alive
#[derive(Clone)]
pub(crate) struct Guard(Arc<GuardState>);

pub(crate) struct GuardState {
    core: Arc<Core>,
}

impl Guard {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(Arc::new(GuardState { core }))
    }

    pub(crate) fn downgrade(&self) -> WeakGuard {
        WeakGuard(Arc::downgrade(&self.0))
    }
}

/// What the acceptor holds: it must not keep its own environment alive
#[derive(Clone)]
pub(crate) struct WeakGuard(std::sync::Weak<GuardState>);

impl WeakGuard {
    pub(crate) fn upgrade(&self) -> Option<Guard> {
        self.0.upgrade().map(Guard)
    }
}

impl Drop for GuardState {
    fn drop(&mut self) {
        self.core.is_closing.store(true, Ordering::Release);
        for shard in &self.core.shards {
            shard.receiver.doorbell.ring();
        }
    }
}

/// What [`Core::new`] is given
pub(crate) struct Parts {
    pub(crate) pool: Pool,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) map: Map,
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) settings: Settings,
    pub(crate) acceptor: Option<Box<dyn Acceptor>>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            pool: parts.pool,
            clock: parts.clock,
            map: parts.map,
            shards: parts.shards,
            counters: Counters::default(),
            budget: Budget::new(parts.settings.max_receive_window_bytes),
            settings: parts.settings,
            spares: Spares::new(MAX_SPARES),
            idle_keys: IdleKeys::default(),
            offers: Offers::default(),
            acceptor: parts.acceptor,
            openings: Mutex::default(),
            paths: Mutex::default(),
            last_shard: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// The shard of the next stream: that of the last one, unless the one after it has fewer open streams
    ///
    /// So streams that are open at once are spread. Of calls that follow each other, two sockets would wake the runtime's second thread for
    /// what one can do.
    pub(crate) fn next_shard(&self) -> Option<&Arc<Shard>> {
        let last_index = self.last_shard.load(Ordering::Relaxed);
        let next_index = (last_index + 1).checked_rem(self.shards.len())?;
        let (last, next) = (self.shards.get(last_index)?, self.shards.get(next_index)?);
        if next.routes.open() >= last.routes.open() {
            return Some(last);
        }
        self.last_shard.store(next_index, Ordering::Relaxed);
        Some(next)
    }

    /// The path to the peer with this secret: one for all streams, kept while it is in use and for a while after
    pub(crate) fn path(&self, id: credentials::Id) -> Arc<Path> {
        let mut paths = self.paths.lock();
        if let Some(path) = paths.get(&id) {
            return path.clone();
        }
        if paths.len() >= MAX_IDLE_PATHS {
            paths.retain(|_, path| Arc::strong_count(path) > 1);
        }
        let path = Path::new(path::Limits {
            max_burst: segment::MAX_TOTAL as u32,
            max_rate: self.settings.max_rate,
        });
        paths.insert(id, path.clone());
        path
    }

    /// The path to the peer with this secret, if there is one
    pub(crate) fn known_path(&self, id: &credentials::Id) -> Option<Arc<Path>> {
        self.paths.lock().get(id).cloned()
    }

    pub(crate) fn for_each_path(&self, f: impl FnMut(&Arc<Path>)) {
        self.paths.lock().values().for_each(f);
    }

    /// The stream that a packet's queue id names
    pub(crate) fn stream(&self, queue_id: u64) -> Option<Arc<Shared>> {
        self.shard_of(queue_id)?.routes.get(queue_id)
    }

    /// The shard of the stream with this queue id
    pub(crate) fn shard_of(&self, queue_id: u64) -> Option<&Arc<Shard>> {
        let count = self.shards.len() as u64;
        self.shards.get(queue_id.checked_rem(count)? as usize)
    }

    /// The queue id of the stream that a client has opened already
    pub(crate) fn opened(&self, credentials: &Credentials) -> Option<u64> {
        self.openings.lock().get(credentials).copied()
    }

    pub(crate) fn insert_opened(&self, shared: &Arc<Shared>) {
        self.openings
            .lock()
            .insert(shared.credentials, shared.queue_id);
        shared.shard.routes.insert(shared);
    }

    /// Lets the stream go: nothing is left to send or to answer
    pub(crate) fn remove(&self, shared: &Shared) {
        // dropped after the lock: it may be the last reference
        let routed = shared.shard.routes.remove(shared);
        if routed.is_some() {
            self.remove_opened(&shared.credentials, shared.queue_id);
        }
    }

    /// The stream is over: lets it go, and answers in its place
    pub(crate) fn linger(&self, shared: &Shared, over: Over) {
        let shard = &shared.shard;
        if let Some(tick) = shard.routes.linger(shared, over) {
            let timers = &shard.timers;
            timers.append(Lane::Over, shared.queue_id, tick, &shard.receiver);
        }
    }

    /// The peer has heard that their answers have arrived, so those that are over have nothing more to answer
    pub(crate) fn forget(&self, mut streams: Few<u64>) {
        streams.drain(|queue_id| {
            let shard = self.shard_of(queue_id);
            let credentials = shard.and_then(|shard| shard.routes.forget(queue_id));
            if let Some(credentials) = credentials {
                self.remove_opened(&credentials, queue_id);
            }
        });
    }

    /// The open stream that a timer entry of `tick` is for
    pub(crate) fn expire(
        &self,
        shard: &Shard,
        queue_id: u64,
        tick: u64,
        now: Timestamp,
    ) -> Option<Arc<Shared>> {
        match shard.routes.expire(queue_id, tick, ticks(now)) {
            Due::Live(shared) => return Some(shared),
            Due::Again(tick) => shard.timers.insert(queue_id, tick, &shard.receiver),
            Due::Over(credentials) => self.remove_opened(&credentials, queue_id),
            Due::Gone => {}
        }
        None
    }

    /// A stream that this side opened may have the credentials of one that the peer opened, so it is not enough to look at those
    fn remove_opened(&self, credentials: &Credentials, queue_id: u64) {
        let mut openings = self.openings.lock();
        if openings.get(credentials) == Some(&queue_id) {
            openings.remove(credentials);
        }
    }

    /// A writer of the shard waits for its path: from now on grants that nobody comes for are looked for, until nobody waits
    pub(crate) fn watch_paths(&self, shard: &Shard, now: Timestamp) {
        let is_watching = &shard.is_watching_paths;
        if !is_watching.load(Ordering::Relaxed) && !is_watching.swap(true, Ordering::AcqRel) {
            let tick = ticks(now + RECLAIM_PERIOD);
            shard.timers.insert(NOBODY, tick, &shard.receiver);
        }
    }

    /// Takes back what was granted to writers that do not come
    pub(crate) fn reclaim(&self, shard: &Shard, now: Timestamp) -> Wakes {
        // first, so that a writer which finds the watch going on is seen below
        shard.is_watching_paths.store(false, Ordering::Release);
        let mut paths: Vec<_> = {
            let paths = self.paths.lock();
            paths.iter().map(|(id, path)| (*id, path.clone())).collect()
        };
        // whatever the order of the table is
        paths.sort_unstable_by_key(|(id, _)| *id);
        let mut wakes = Wakes::default();
        let mut has_waiters = false;
        for (_, path) in paths {
            let (more, has) = path.reclaim(now);
            wakes.append(more);
            has_waiters |= has;
        }
        if has_waiters {
            self.watch_paths(shard, now);
        }
        wakes
    }

    /// Lets every stream of a shard go; for a worker that ends
    pub(crate) fn clear(&self, shard: &Shard) {
        for (queue_id, credentials, routed) in shard.routes.clear() {
            self.remove_opened(&credentials, queue_id);
            drop(routed);
        }
        shard.timers.clear();
        shard.forget_receipts();
    }
}
