// SPDX-License-Identifier: Apache-2.0

//! What all handles and all descriptors of one pool share: idle descriptors, the account of bytes, and the line.
//!
//! The one rule: all of it changes under one lock, and wakers and memory are dropped outside of it.
//!
//! The account, always true while the lock is free:
//! * `stats.in_use_bytes` is what descriptors that are out hold, plus what is granted to waiters and not yet taken
//! * `stats.allocated_bytes <= config.max_bytes`, and `stats.in_use_bytes <= config.max_bytes`
//! * `stats.data_bytes <= config.max_bytes - config.reserve_bytes`
//!
//! While anyone is in line, the front does not fit, or the thread that made it fit is on its way to serve it.

use super::{
    descriptor::Idle,
    waiters::{Key, Place, Waiters},
    Class, Config, Purpose, Stats,
};
use crate::sync::primitive::Mutex;
use std::{task::Poll, task::Waker};

pub(super) struct Shared {
    config: Config,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            state: Mutex::new(State::default()),
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
            state.credit(idle.class(), idle.purpose(), &self.config);
            state.idle_mut(idle.class()).push(idle);
            state.serve(&self.config)
        };
        self.wake(woken);
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
    /// Descriptors at home. Last in, first out: the next user gets the one that is still in the cache.
    idle_packets: Vec<Idle>,
    idle_bursts: Vec<Idle>,
    waiters: Waiters,
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
    fn idle_mut(&mut self, class: Class) -> &mut Vec<Idle> {
        match class {
            Class::Packet => &mut self.idle_packets,
            Class::Burst => &mut self.idle_bursts,
        }
    }

    /// Whether one more descriptor may be out. Nothing here can overflow: all are sums of what is allocated.
    fn fits(&self, class: Class, purpose: Purpose, config: &Config) -> bool {
        let len = class.capacity(config);
        let fits_total = self.stats.in_use_bytes + len <= config.max_bytes;
        match purpose {
            Purpose::Control => fits_total,
            Purpose::Data => {
                fits_total && self.stats.data_bytes + len <= config.max_bytes - config.reserve_bytes
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
        if let Some(idle) = self.idle_mut(class).pop() {
            self.stats.hits += 1;
            return Supply::Idle(idle);
        }
        self.stats.misses += 1;
        let len = class.capacity(config);
        let other = class.other();
        let mut evicted = Vec::new();
        // Idle memory of the other class must not keep this one from its share. What is out and not idle fits beside
        // it, for that has been charged, so this ends with room.
        while self.stats.allocated_bytes + len > config.max_bytes {
            let Some(idle) = self.idle_mut(other).pop() else {
                break;
            };
            self.stats.allocated_bytes -= other.capacity(config);
            evicted.push(idle);
        }
        self.stats.allocated_bytes += len;
        self.stats.peak_allocated_bytes = self
            .stats
            .peak_allocated_bytes
            .max(self.stats.allocated_bytes);
        Supply::New { evicted }
    }
}
