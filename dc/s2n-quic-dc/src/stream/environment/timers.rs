// SPDX-License-Identifier: Apache-2.0

//! The deadlines of all streams of a shard: probe, loss, credit and idle timers alike.
//!
//! They are in one wheel, but for those that every stream has: each kind of these is a constant time away, so they come in the order in which
//! they are due, and a queue of their own does for them what the wheel would do in four pieces of memory.
//!
//! A stream has one deadline that counts. Moving it later costs nothing: the old entry comes up, is found stale or early, and is put in
//! again. Moving it earlier adds an entry.
//!
//! The one rule: entries are never changed while they are in here. They name their stream by its queue id, so that one
//! that has ended leaves a few bytes behind until the entry's time, and not its state.

use crate::socket::{recv::udp::Receiver, send::wheel::Wheel};
use parking_lot::Mutex;
use std::collections::VecDeque;

/// The worker is awake and will look before it sleeps
const AWAKE: u64 = 0;

/// Entries that a lane keeps room for while it has none
const KEPT_CAPACITY: usize = 4096;

/// Deadlines that are as far away for one stream as for the next
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// Receipts wait for a packet; the first, since they are owed to peers
    Receipts,
    /// The first look at a new stream
    New,
    /// A stream that is over answers no more
    Over,
}

pub(crate) struct Timers {
    state: Mutex<State>,
}

struct State {
    wheel: Wheel<Entry>,
    /// In the order in which they are due
    lanes: [VecDeque<Entry>; 3],
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
                lanes: Default::default(),
                sleeping_until: AWAKE,
            }),
        }
    }

    /// Has the worker call the stream of this shard with the id `queue_id` at `tick`
    pub(crate) fn insert(&self, queue_id: u64, tick: u64, receiver: &Receiver) {
        let entry = Entry { queue_id, tick };
        self.change(tick, receiver, |state| state.wheel.insert(entry, tick));
    }

    /// As [`Timers::insert`], for what is due after whatever is in the lane
    pub(crate) fn append(&self, lane: Lane, queue_id: u64, tick: u64, receiver: &Receiver) {
        let entry = Entry { queue_id, tick };
        self.change(tick, receiver, |state| {
            let queue = &mut state.lanes[lane as usize];
            // after a loss, and from one path to the next, the distance is another one
            if queue.back().is_some_and(|last| last.tick > tick) {
                state.wheel.insert(entry, tick);
            } else {
                queue.push_back(entry);
            }
        });
    }

    /// Adds what is due at `tick`
    fn change(&self, tick: u64, receiver: &Receiver, add: impl FnOnce(&mut State)) {
        let is_earlier = {
            let mut state = self.state.lock();
            add(&mut state);
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
        let entry = state.pop_lane(now).or_else(|| state.wheel.pop(now))?;
        Some((entry.queue_id, entry.tick))
    }

    /// The worker is about to sleep: until when?
    pub(crate) fn sleep(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let lanes = state.lanes.iter().filter_map(VecDeque::front);
        let next = lanes.map(|entry| entry.tick).min();
        let next = next.into_iter().chain(state.wheel.next_expiry()).min();
        state.sleeping_until = next.unwrap_or(u64::MAX);
        next
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        drop(state.wheel.drain());
        state.lanes = Default::default();
    }
}

impl State {
    fn pop_lane(&mut self, now: u64) -> Option<Entry> {
        let is_due = |queue: &&mut VecDeque<Entry>| queue.front().is_some_and(|e| e.tick <= now);
        let queue = self.lanes.iter_mut().find(is_due)?;
        let entry = queue.pop_front();
        if queue.is_empty() && queue.capacity() > KEPT_CAPACITY {
            queue.shrink_to(KEPT_CAPACITY);
        }
        entry
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::doorbell::{Doorbell, Wake};
    use std::sync::Arc;

    /// A thousand streams a second that are open for more than a moment leave thirty thousand of them behind with an idle timeout of 30 s
    #[test]
    fn what_a_stream_leaves_behind_owns_nothing_and_is_small() {
        assert!(!core::mem::needs_drop::<Entry>());
        assert!(size_of::<Entry>() <= 16);
    }

    struct Nobody;

    impl Wake for Nobody {
        fn wake(&self) {}
    }

    fn timers() -> (Timers, Arc<Receiver>) {
        (
            Timers::new(0),
            Receiver::new(Doorbell::new(Box::new(Nobody))),
        )
    }

    fn drain(timers: &Timers, now: u64) -> Vec<u64> {
        let mut ticks: Vec<_> = core::iter::from_fn(|| timers.pop(now))
            .map(|(queue_id, tick)| {
                assert_eq!(queue_id, tick + 1);
                tick
            })
            .collect();
        ticks.sort_unstable();
        ticks
    }

    #[test]
    fn whatever_is_due_comes_up_and_nothing_else() {
        let (timers, receiver) = timers();
        // the last of each is due before the one before it
        for tick in [10, 30, 20] {
            timers.append(Lane::New, tick + 1, tick, &receiver);
        }
        for tick in [40, 60, 50] {
            timers.append(Lane::Over, tick + 1, tick, &receiver);
        }
        timers.insert(36, 35, &receiver);
        assert_eq!(timers.sleep(), Some(10));
        assert_eq!(drain(&timers, 9), []);
        assert_eq!(drain(&timers, 20), [10, 20]);
        assert_eq!(timers.sleep(), Some(30));
        assert_eq!(drain(&timers, 34), [30]);
        assert_eq!(timers.sleep(), Some(35));
        assert_eq!(drain(&timers, 55), [35, 40, 50]);
        assert_eq!(timers.sleep(), Some(60));
        timers.clear();
        assert_eq!(timers.sleep(), None);
        assert_eq!(drain(&timers, 100), []);
    }
}
