// SPDX-License-Identifier: Apache-2.0

//! One wheel for the deadlines of all streams of a shard: probe, loss, credit and idle timers alike.
//!
//! A stream has one deadline that counts. Moving it later costs nothing: the old entry comes up, is found stale or early, and is put in
//! again. Moving it earlier adds an entry.
//!
//! The one rule: entries are never changed while they are in the wheel. They name their stream by its queue id, so that one
//! that has ended leaves a few bytes behind until the entry's time, and not its state.

use crate::socket::{recv::udp::Receiver, send::wheel::Wheel};
use parking_lot::Mutex;

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

#[derive(Clone, Copy)]
struct Entry {
    queue_id: u64,
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

    /// Has the worker call the stream of this shard with the id `queue_id` at `tick`
    pub(crate) fn insert(&self, queue_id: u64, tick: u64, receiver: &Receiver) {
        let is_earlier = {
            let mut state = self.state.lock();
            state.wheel.insert(Entry { queue_id, tick }, tick);
            tick < state.sleeping_until
        };
        if is_earlier {
            receiver.doorbell.ring();
        }
    }

    /// Takes out an entry that is due: the queue id of its stream, and its tick. The worker is awake from here on.
    pub(crate) fn pop(&self, now: u64) -> Option<(u64, u64)> {
        let mut state = self.state.lock();
        state.sleeping_until = AWAKE;
        let entry = state.wheel.pop(now)?;
        Some((entry.queue_id, entry.tick))
    }

    /// The worker is about to sleep: until when?
    pub(crate) fn sleep(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let next = state.wheel.next_expiry();
        state.sleeping_until = next.unwrap_or(u64::MAX);
        next
    }

    pub(crate) fn clear(&self) {
        drop(self.state.lock().wheel.drain());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A thousand streams a second that are open for more than a moment leave thirty thousand of them behind with an idle timeout of 30 s
    #[test]
    fn what_a_stream_leaves_behind_owns_nothing_and_is_small() {
        assert!(!core::mem::needs_drop::<Entry>());
        assert!(size_of::<Entry>() <= 16);
    }
}
