// SPDX-License-Identifier: Apache-2.0

//! One wheel for the deadlines of all streams of a shard: probe, loss, credit and idle timers alike.
//!
//! A stream has one deadline that counts. Moving it later costs nothing: the old entry comes up, is found stale or early, and is put in
//! again. Moving it earlier adds an entry.
//!
//! The one rule: entries are never changed while they are in the wheel.

use crate::{
    socket::{recv::udp::Receiver, send::wheel::Wheel},
    stream::shared::Shared,
};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// The worker is awake and will look before it sleeps
const AWAKE: u64 = 0;

pub(crate) struct Timers {
    state: Mutex<State>,
}

struct State {
    wheel: Wheel<Entry>,
    /// When the worker wakes up by itself
    sleeping_until: u64,
}

pub(crate) struct Entry {
    stream: Weak<Shared>,
    tick: u64,
}

impl Timers {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            state: Mutex::new(State {
                wheel: Wheel::new(now),
                sleeping_until: AWAKE,
            }),
        }
    }

    /// Has the worker call the stream at `tick`
    pub(crate) fn insert(&self, stream: &Arc<Shared>, tick: u64, receiver: &Receiver) {
        let is_earlier = {
            let mut state = self.state.lock();
            let stream = Arc::downgrade(stream);
            state.wheel.insert(Entry { stream, tick }, tick);
            tick < state.sleeping_until
        };
        if is_earlier {
            receiver.doorbell.ring();
        }
    }

    /// Takes out what is due, at most `limit` entries; the worker is awake from here on
    pub(crate) fn expire(&self, now: u64, limit: usize, due: &mut Vec<(Arc<Shared>, u64)>) {
        let mut stale = Vec::new();
        let mut state = self.state.lock();
        state.sleeping_until = AWAKE;
        while due.len() < limit {
            let Some(entry) = state.wheel.pop(now) else {
                break;
            };
            match entry.stream.upgrade() {
                Some(stream) => due.push((stream, entry.tick)),
                None => stale.push(entry),
            }
        }
        drop(state);
        drop(stale);
    }

    /// The worker is about to sleep: until when?
    pub(crate) fn sleep(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let next = state.wheel.next_expiry();
        state.sleeping_until = next.unwrap_or(u64::MAX);
        next
    }

    pub(crate) fn clear(&self) -> Vec<Entry> {
        self.state.lock().wheel.drain().collect()
    }
}
