// SPDX-License-Identifier: Apache-2.0

//! What all handles and all descriptors of one pool share: idle descriptors, the account of bytes, and the line.
//!
//! The one rule: all of it changes under one lock, and wakers and memory are dropped outside of it.
//!
//! The account, always true while the lock is free:
//! * `stats.in_use_bytes` is what descriptors that are out hold, plus what is granted to waiters and not yet taken
//! * `stats.allocated_bytes` is at most the larger of `stats.max_bytes` and `stats.in_use_bytes`
//! * `stats.in_use_bytes <= stats.max_bytes`, and `stats.data_bytes <= stats.max_bytes - config.reserve_bytes`,
//!   unless the ceiling was lowered below what was in use; then `data_bytes` only falls, and the rest of
//!   `in_use_bytes` only falls or is within the reserve, until they are true again
//!
//! While anyone is in line, the front does not fit, or the thread that made it fit is on its way to serve it.
//!
//! While the keeper's waker is here, nothing is idle; see [`trim`](super::trim).

use super::{
    descriptor::Idle,
    shelf::Shelf,
    trim::{surplus, Surplus},
    waiters::{Key, Place, Waiters},
    Class, Config, ConfigError, Purpose, Stats,
};
use crate::sync::primitive::Mutex;
use std::{collections::VecDeque, task::Poll, task::Waker};

pub(super) struct Shared {
    /// As the pool was made. The ceiling of now is in the stats.
    config: Config,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        let state = State {
            stats: Stats {
                max_bytes: config.max_bytes,
                ..Stats::default()
            },
            ..State::default()
        };
        Self {
            config,
            state: Mutex::new(state),
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.state.lock();
        Stats {
            waiters: state.waiters.len(),
            ..state.stats
        }
    }

    /// Takes a descriptor now or not at all. Data does not overtake those in line; control does.
    pub(super) fn alloc(&self, class: Class, purpose: Purpose) -> Option<Idle> {
        let supply = {
            let mut state = self.state.lock();
            let overtakes = purpose == Purpose::Data && state.waiters.len() > 0;
            if overtakes || !state.fits(class, purpose, &self.config) {
                state.stats.exhausted += 1;
                return None;
            }
            state.charge(class, purpose, &self.config);
            state.supply(class, &self.config)
        };
        Some(self.obtain(supply, class))
    }

    /// Takes a descriptor for data, or joins the line and says where.
    pub(super) fn alloc_or_join(&self, class: Class, waker: &Waker) -> Result<Idle, Key> {
        let supply = {
            let mut state = self.state.lock();
            if state.waiters.len() > 0 || !state.fits(class, Purpose::Data, &self.config) {
                state.stats.exhausted += 1;
                return Err(state.waiters.join(class, waker.clone()));
            }
            state.charge(class, Purpose::Data, &self.config);
            state.supply(class, &self.config)
        };
        Ok(self.obtain(supply, class))
    }

    /// Takes what was granted to `key`, whose entry is then gone, or has `waker` woken instead of the last one.
    ///
    /// An error says that the place is for another class: it is unchanged.
    pub(super) fn take_grant(
        &self,
        key: Key,
        class: Class,
        waker: &Waker,
    ) -> Result<Poll<Idle>, WrongClass> {
        // dropped after the lock
        let _replaced: Waker;
        let supply = {
            let mut state = self.state.lock();
            match state.waiters.place(key) {
                Some(Place::InLine(wanted, current)) if *wanted == class => {
                    if !current.will_wake(waker) {
                        _replaced = std::mem::replace(current, waker.clone());
                    }
                    return Ok(Poll::Pending);
                }
                Some(Place::Granted(granted)) if *granted == class => {
                    state.waiters.remove(key);
                    state.supply(class, &self.config)
                }
                _ => return Err(WrongClass),
            }
        };
        Ok(Poll::Ready(self.obtain(supply, class)))
    }

    /// Leaves the line. What was granted and not taken passes on.
    pub(super) fn leave(&self, key: Key) {
        let (_place, woken) = {
            let mut state = self.state.lock();
            let place = state.waiters.remove(key);
            if let Some(Place::Granted(class)) = place {
                state.credit(class, Purpose::Data, &self.config);
            }
            (place, state.serve(&self.config))
        };
        self.wake(woken);
    }

    /// Takes a descriptor back from its last user.
    pub(super) fn put_back(&self, idle: Idle) {
        let woken = {
            let mut state = self.state.lock();
            if state.keeper.is_some() || state.is_above_ceiling() {
                drop(state);
                return self.put_back_and_tell(idle);
            }
            state.credit(idle.class(), idle.purpose(), &self.config);
            state.shelf_mut(idle.class()).push(idle);
            state.serve(&self.config)
        };
        self.wake(woken);
    }

    /// As [`Shared::put_back`], for what is rare and would only make that longer: the keeper has to be woken, or the
    /// ceiling was lowered.
    #[cold]
    fn put_back_and_tell(&self, idle: Idle) {
        let class = idle.class();
        let (_freed, keeper, woken) = {
            let mut state = self.state.lock();
            let is_above = state.is_above_ceiling();
            state.credit(class, idle.purpose(), &self.config);
            let (freed, keeper) = if is_above {
                state.disown(class, 1, &self.config);
                (Some(idle), None)
            } else {
                state.shelf_mut(class).push(idle);
                (None, state.keeper.take())
            };
            (freed, keeper, state.serve(&self.config))
        };
        self.wake(woken);
        if let Some(keeper) = keeper {
            keeper.wake();
        }
    }

    /// Moves the ceiling. What is idle above it is freed; those in line who fit under it are served.
    pub(super) fn set_max_bytes(&self, max_bytes: usize) -> Result<(), ConfigError> {
        self.config.check_ceiling(max_bytes)?;
        let (evicted, woken) = {
            let mut state = self.state.lock();
            state.stats.max_bytes = max_bytes;
            // bursts first: it takes the fewest of them
            let mut evicted = Vec::new();
            state.evict(Class::Burst, 0, &self.config, &mut evicted);
            state.evict(Class::Packet, 0, &self.config, &mut evicted);
            (evicted, state.serve(&self.config))
        };
        drop(evicted);
        self.wake(woken);
        Ok(())
    }

    /// Ends one interval and begins the next: what of the idle descriptors is to be freed.
    pub(super) fn begin_trim(&self) -> Surplus {
        let mut state = self.state.lock();
        let found = Surplus {
            packets: surplus(state.packets.untouched()),
            bursts: surplus(state.bursts.untouched()),
        };
        state.packets.mark();
        state.bursts.mark();
        state.stats.trims += u64::from(found != Surplus::default());
        found
    }

    /// Frees some of `surplus`, at most `max_bytes` or one descriptor. What was taken since is spared. Returns the rest.
    pub(super) fn free_batch(&self, surplus: Surplus, max_bytes: usize) -> Surplus {
        let (freed, rest) = {
            let mut state = self.state.lock();
            if surplus.bursts > 0 {
                let (freed, bursts) =
                    state.free(Class::Burst, surplus.bursts, max_bytes, &self.config);
                (freed, Surplus { bursts, ..surplus })
            } else {
                let (freed, packets) =
                    state.free(Class::Packet, surplus.packets, max_bytes, &self.config);
                (freed, Surplus { packets, ..surplus })
            }
        };
        drop(freed);
        rest
    }

    /// Whether there is anything to trim, now or later. If not, `waker` is woken when there is.
    pub(super) fn has_idle_or_watch(&self, waker: &Waker) -> bool {
        // dropped after the lock
        let _replaced: Option<Waker>;
        let mut state = self.state.lock();
        if !state.packets.is_empty() || !state.bursts.is_empty() {
            return true;
        }
        let is_known = |keeper: &Waker| keeper.will_wake(waker);
        if !state.keeper.as_ref().is_some_and(is_known) {
            _replaced = state.keeper.replace(waker.clone());
        }
        false
    }

    /// There is no keeper any more.
    pub(super) fn unwatch(&self) {
        let keeper = self.state.lock().keeper.take();
        drop(keeper);
    }

    /// Wakes one waiter that was served, then serves and wakes those for whom there is still room: the bytes of one
    /// burst can serve many packets.
    fn wake(&self, mut woken: Option<Waker>) {
        while let Some(waker) = woken {
            waker.wake();
            woken = self.state.lock().serve(&self.config);
        }
    }

    fn obtain(&self, supply: Supply, class: Class) -> Idle {
        match supply {
            Supply::Idle(idle) => idle,
            Supply::New { evicted } => {
                // first, so that the process never holds more than the account says
                drop(evicted);
                Idle::new(class, class.capacity(&self.config))
            }
        }
    }
}

/// A waiter has a place for a descriptor of another class than it now asks for.
pub(super) struct WrongClass;

#[derive(Default)]
struct State {
    packets: Shelf,
    bursts: Shelf,
    waiters: Waiters,
    /// To be woken when something is idle. None while the keeper knows, or if there is none.
    keeper: Option<Waker>,
    /// All but `waiters`, which is asked of the line itself.
    stats: Stats,
}

/// Where the memory of a descriptor comes from.
enum Supply {
    Idle(Idle),
    /// From the system, once the idle descriptors of the other class that stood in its way are freed.
    New {
        evicted: Vec<Idle>,
    },
}

impl State {
    fn shelf_mut(&mut self, class: Class) -> &mut Shelf {
        match class {
            Class::Packet => &mut self.packets,
            Class::Burst => &mut self.bursts,
        }
    }

    /// The ceiling was lowered, and not enough has come home since.
    fn is_above_ceiling(&self) -> bool {
        self.stats.allocated_bytes > self.stats.max_bytes
    }

    /// Whether one more descriptor may be out. Nothing here can overflow: all are sums of what is allocated.
    fn fits(&self, class: Class, purpose: Purpose, config: &Config) -> bool {
        let len = class.capacity(config);
        let stats = &self.stats;
        let fits_total = stats.in_use_bytes + len <= stats.max_bytes;
        match purpose {
            // The reserve is there even while data fills more than a ceiling that was lowered: without it, no
            // acknowledgement comes in that would end that. At other times what is within the reserve fits anyway.
            Purpose::Control => {
                fits_total || stats.in_use_bytes - stats.data_bytes + len <= config.reserve_bytes
            }
            Purpose::Data => {
                fits_total && stats.data_bytes + len <= stats.max_bytes - config.reserve_bytes
            }
        }
    }

    fn charge(&mut self, class: Class, purpose: Purpose, config: &Config) {
        let len = class.capacity(config);
        let stats = &mut self.stats;
        stats.in_use_bytes += len;
        stats.peak_in_use_bytes = stats.peak_in_use_bytes.max(stats.in_use_bytes);
        if purpose == Purpose::Data {
            stats.data_bytes += len;
        }
    }

    fn credit(&mut self, class: Class, purpose: Purpose, config: &Config) {
        let len = class.capacity(config);
        self.stats.in_use_bytes -= len;
        if purpose == Purpose::Data {
            self.stats.data_bytes -= len;
        }
    }

    /// Charges the front of the line and grants it its place, if it fits. The caller wakes it, unlocked.
    fn serve(&mut self, config: &Config) -> Option<Waker> {
        let class = self.waiters.front()?;
        if !self.fits(class, Purpose::Data, config) {
            return None;
        }
        self.charge(class, Purpose::Data, config);
        self.waiters.serve_front()
    }

    /// Finds the memory for a descriptor that has been charged.
    fn supply(&mut self, class: Class, config: &Config) -> Supply {
        if let Some(idle) = self.shelf_mut(class).pop() {
            self.stats.hits += 1;
            return Supply::Idle(idle);
        }
        self.stats.misses += 1;
        let len = class.capacity(config);
        let mut evicted = Vec::new();
        // Idle memory of the other class must not keep this one from its share. What is out and not idle fits beside
        // it, for that has been charged, so this ends with room: unless the ceiling was lowered since.
        self.evict(class.other(), len, config, &mut evicted);
        let stats = &mut self.stats;
        stats.allocated_bytes += len;
        stats.peak_allocated_bytes = stats.peak_allocated_bytes.max(stats.allocated_bytes);
        Supply::New { evicted }
    }

    /// Takes idle descriptors out of the account until `len` more bytes fit under the ceiling, or none is left.
    fn evict(&mut self, class: Class, len: usize, config: &Config, evicted: &mut Vec<Idle>) {
        while self.stats.allocated_bytes + len > self.stats.max_bytes {
            let Some(idle) = self.shelf_mut(class).pop_coldest() else {
                break;
            };
            self.disown(class, 1, config);
            evicted.push(idle);
        }
    }

    /// Takes some of `count` idle descriptors out of the account, and says how many are still to come.
    fn free(
        &mut self,
        class: Class,
        count: usize,
        max_bytes: usize,
        config: &Config,
    ) -> (VecDeque<Idle>, usize) {
        let shelf = self.shelf_mut(class);
        // what was taken since the trim began is needed after all
        let count = count.min(shelf.untouched());
        let batch = count.min((max_bytes / class.capacity(config)).max(1));
        let freed = shelf.take_coldest(batch);
        self.disown(class, freed.len(), config);
        (freed, count - batch)
    }

    /// So many descriptors are about to be freed.
    fn disown(&mut self, class: Class, count: usize, config: &Config) {
        let bytes = count * class.capacity(config);
        self.stats.allocated_bytes -= bytes;
        self.stats.returned_bytes += bytes as u64;
    }
}
