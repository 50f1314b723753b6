// SPDX-License-Identifier: Apache-2.0

//! A queue from many producers to one consumer that is emptied as a whole.
//!
//! The one rule: the first push after a drain is told so, exactly once, and whoever is told wakes the consumer.
//!
//! A push is an append under a lock, and a drain swaps two vectors under it, so that the consumer sorts and works
//! without keeping producers out. There is no waker in here: consumers park on different things.
//!
//! The consumer drains, and parks if it got nothing, on something that keeps a wake-up that comes before the park: an
//! eventfd, a thread's park token, a registered waker.

use super::primitive::Mutex;
use std::fmt;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

/// Whether the consumer has to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "on the empty edge the consumer must be woken, else it sleeps on a queue that is not empty"]
pub enum Edge {
    /// This call made the queue not empty: wake the consumer, holding no lock.
    WasEmpty,
    /// There is nothing to do: another producer was told, or nothing was pushed.
    NotEmpty,
}

/// A queue that many fill and one empties.
pub struct Handoff<T> {
    state: Mutex<State<T>>,
}

impl<T> Handoff<T> {
    /// An empty queue. Allocates nothing.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                items: Vec::new(),
                phase: Phase::Quiet,
            }),
        }
    }

    /// Appends an item.
    ///
    /// # Errors
    ///
    /// The queue is closed; the item comes back.
    pub fn push(&self, item: T) -> Result<Edge, T> {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return Err(item);
        }
        state.items.push(item);
        Ok(state.edge())
    }

    /// Appends a batch under one lock, with nothing of other producers in between.
    ///
    /// The iterator runs under the lock: it must not use this queue, and should do no more than move items, as
    /// `Vec::drain` does.
    ///
    /// # Errors
    ///
    /// The queue is closed; the items come back.
    pub fn extend(&self, items: impl IntoIterator<Item = T>) -> Result<Edge, Vec<T>> {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            drop(state);
            return Err(items.into_iter().collect());
        }
        state.items.extend(items);
        Ok(state.edge())
    }

    /// Moves all items to the end of `out`, in the order they came.
    ///
    /// If `out` is empty the two vectors change places. A consumer that clears and reuses one vector therefore
    /// allocates nothing once both are large enough.
    pub fn drain_into(&self, out: &mut Vec<T>) {
        let mut state = self.state.lock();
        if out.is_empty() {
            std::mem::swap(&mut state.items, out);
        } else {
            out.append(&mut state.items);
        }
        if state.phase == Phase::Told {
            state.phase = Phase::Quiet;
        }
    }

    /// Refuses all that is pushed from now on, and returns what was.
    pub fn close(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        std::mem::take(&mut state.items)
    }
}

impl<T> Default for Handoff<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Handoff<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Handoff")
            .field("len", &state.items.len())
            .field("phase", &state.phase)
            .finish()
    }
}

struct State<T> {
    items: Vec<T>,
    phase: Phase,
}

/// Who knows what. It is kept apart from the length so that a batch whose iterator panics, leaving items that nobody
/// was told of, is announced by the next push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody was told since the last drain.
    Quiet,
    /// A producer was told to wake the consumer, which has not drained since.
    Told,
    Closed,
}

impl<T> State<T> {
    /// Called after an append to a queue that is not closed.
    fn edge(&mut self) -> Edge {
        if self.phase == Phase::Quiet && !self.items.is_empty() {
            self.phase = Phase::Told;
            return Edge::WasEmpty;
        }
        Edge::NotEmpty
    }
}
