// SPDX-License-Identifier: Apache-2.0

//! Who may open a stream now.
//!
//! A receiver accepts a key id only within 896 of the highest that it has authenticated. A path therefore opens a new stream only
//! while the distance from the oldest key id that the peer has not confirmed to the next one stays well below that; further opens
//! wait in order. A confirmation, a failure or a drop frees the place.
//!
//! Of those that have something to say only so many are opened as the path can have on the way: more would not be served sooner, and whoever
//! opens, keeps and ends a thousand streams at once finds each of them cold. Streams of which nothing was written do not count, so
//! that an application may open some before it writes to any.
//!
//! Each place that becomes free is given to the open that has waited longest, before that is polled: those for whom one batch of packets has made room
//! then open side by side, and what they send leaves together. Each passed the turn to the next before, which cost a thousand calls a tenth.
//!
//! Keys are derived with no lock held: a [`Place`] is taken first, and filled with the key id once that is known.
//!
//! The one rule: until it is filled, a place counts twice, as the next key id and as the smallest that can be taken for it. So the distance
//! is never larger than it was when there was room.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
};

/// How far the next key id may be from the oldest unconfirmed one
///
/// A little over half of the receiver's window of 896: the rest is left to other users of the same secret and to openers that the
/// network reorders.
pub(super) const MAX_DISTANCE: u64 = 512;

#[derive(Clone)]
pub(crate) struct Admission(Arc<Gate>);

struct Gate {
    state: Mutex<State>,
    /// Streams that may be [speaking](Permit::speak) at once; changed with the round trip, and read under the lock
    max_speaking: AtomicU64,
}

#[derive(Default)]
struct State {
    /// One more than the largest key id that was taken
    next: u64,
    unconfirmed: BTreeSet<u64>,
    /// Streams that are not confirmed and took no key id
    keyless: usize,
    /// For each key id that is being taken, the smallest that it can be
    taking: Vec<u64>,
    /// Those of the unconfirmed that have something to say
    speaking: u64,
    /// In the order of their tickets
    waiters: VecDeque<(u64, Waker)>,
    next_ticket: u64,
    /// Opens that were given a place and have not been polled since: ticket and smallest key id, in the order of the tickets
    granted: VecDeque<(u64, u64)>,
}

/// Room for one more stream; dropping it gives the room back
#[must_use]
pub(crate) struct Place {
    /// `None` once it was filled
    admission: Option<Admission>,
    /// The smallest key id that can be taken for it
    least: u64,
}

/// A stream's place; dropping it confirms the key id or gives it up, which frees the place either way
#[must_use]
pub(crate) struct Permit {
    /// `None` once the place is free
    admission: Option<Admission>,
    /// `None` if no key was taken for it
    key_id: Option<u64>,
    is_speaking: bool,
}

impl Admission {
    /// At most `max_speaking` streams that are written to may be unconfirmed
    pub(crate) fn new(max_speaking: u64) -> Self {
        Self(Arc::new(Gate {
            state: Mutex::default(),
            max_speaking: AtomicU64::new(max_speaking),
        }))
    }

    /// The path has become shorter or longer. Returns whom to wake.
    pub(crate) fn set_max_speaking(&self, max_speaking: u64) -> Option<Waker> {
        // most calls change nothing
        if self.0.max_speaking.load(Ordering::Relaxed) == max_speaking {
            return None;
        }
        self.0.max_speaking.store(max_speaking, Ordering::Relaxed);
        // after the change: an open either is seen to wait, or has seen it
        self.0.change(|_| {})
    }

    /// Waits until a stream may be opened. Cancel safe: a waiter that is dropped leaves the queue.
    pub(crate) fn open(&self) -> Opening {
        Opening {
            admission: self.clone(),
            ticket: None,
        }
    }

    /// Streams that were opened and not yet confirmed, and opens that wait
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        let open = state.unconfirmed.len() + state.keyless + state.taking.len();
        (open, state.waiters.len())
    }

    fn release(&self, key_id: Option<u64>, is_speaking: bool) -> Option<Waker> {
        self.0.change(|state| {
            match key_id {
                Some(key_id) => {
                    state.unconfirmed.remove(&key_id);
                }
                None => state.keyless -= 1,
            }
            state.speaking -= u64::from(is_speaking);
        })
    }
}

impl Gate {
    /// Whether there is room for one more stream, if as many as are `about_to_speak` do so
    fn has_room(&self, state: &State, about_to_speak: u64) -> bool {
        let oldest = state.unconfirmed.first().into_iter().chain(&state.taking);
        let taking = state.taking.len() as u64;
        let next = state.next + taking;
        let is_near = oldest
            .min()
            .is_none_or(|oldest| next.saturating_sub(*oldest) < MAX_DISTANCE);
        // nearly all that are being opened will be written to at once
        let speaking = state.speaking + taking + about_to_speak;
        is_near && speaking < self.max_speaking.load(Ordering::Relaxed)
    }

    /// Changes what may make room. Returns whom to wake.
    fn change(&self, change: impl FnOnce(&mut State)) -> Option<Waker> {
        let mut state = self.state.lock();
        change(&mut state);
        self.grant(&mut state, 0)
    }

    /// Gives the first of those who wait a place, if there is room. Returns whom to wake.
    fn grant(&self, state: &mut State, about_to_speak: u64) -> Option<Waker> {
        if state.waiters.is_empty() || !self.has_room(state, about_to_speak) {
            return None;
        }
        let (ticket, waker) = state.waiters.pop_front()?;
        let least = state.take();
        state.granted.push_back((ticket, least));
        Some(waker)
    }
}

impl State {
    /// Starts to take a key id. Returns the smallest that it can be.
    fn take(&mut self) -> u64 {
        let least = self.next;
        self.taking.push(least);
        least
    }

    /// Has taken a key id, or none
    fn end_taking(&mut self, least: u64) {
        if let Some(index) = self.taking.iter().position(|taking| *taking == least) {
            self.taking.swap_remove(index);
        }
    }

    /// The place that the open with this ticket was given
    fn collect(&mut self, ticket: u64) -> Option<u64> {
        let index = find(&self.granted, ticket)?;
        self.granted.remove(index).map(|(_, least)| least)
    }

    /// Joins the queue, or stays where it is
    fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        match ticket.and_then(|ticket| find(&self.waiters, ticket)) {
            Some(index) => self.waiters[index].1.clone_from(waker),
            None => {
                self.waiters.push_back((self.next_ticket, waker.clone()));
                *ticket = Some(self.next_ticket);
                self.next_ticket += 1;
            }
        }
    }
}

/// Where in a queue, which is in the order of the tickets, the open with this ticket is
fn find<T>(queue: &VecDeque<(u64, T)>, ticket: u64) -> Option<usize> {
    queue
        .binary_search_by_key(&ticket, |(ticket, _)| *ticket)
        .ok()
}

pub(crate) struct Opening {
    admission: Admission,
    ticket: Option<u64>,
}

impl Future for Opening {
    type Output = Place;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        let this = self.get_mut();
        let (least, waker) = {
            let gate = &*this.admission.0;
            let mut state = gate.state.lock();
            let granted = this.ticket.and_then(|ticket| state.collect(ticket));
            let is_next = state.waiters.is_empty() && gate.has_room(&state, 0);
            let least = match granted {
                Some(least) => least,
                None if is_next => state.take(),
                None => {
                    state.wait(&mut this.ticket, cx.waker());
                    return Poll::Pending;
                }
            };
            this.ticket = None;
            (least, gate.grant(&mut state, 0))
        };
        // a place that becomes free wakes one: where there is room for more, each lets the next one go on
        if let Some(waker) = waker {
            waker.wake();
        }
        Poll::Ready(Place {
            admission: Some(this.admission.clone()),
            least,
        })
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let waker = self.admission.0.change(|state| {
            if let Some(least) = state.collect(ticket) {
                state.end_taking(least);
            } else if let Some(index) = find(&state.waiters, ticket) {
                state.waiters.remove(index);
            }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Place {
    /// The key id that was taken for it
    pub(crate) fn fill(self, key_id: u64) -> Permit {
        self.settle(Some(key_id))
    }

    /// The stream takes no key, because it goes on with those of another
    pub(crate) fn fill_without_key(self) -> Permit {
        self.settle(None)
    }

    fn settle(mut self, key_id: Option<u64>) -> Permit {
        let admission = self.leave(|gate, state| {
            match key_id {
                Some(key_id) => {
                    state.next = state.next.max(key_id + 1);
                    state.unconfirmed.insert(key_id);
                }
                None => state.keyless += 1,
            }
            // most speak at once; the last places that those leave who do not are given away when somebody who does is confirmed
            let has_others = state.speaking > 0 || !state.taking.is_empty();
            gate.grant(state, u64::from(has_others))
        });
        Permit {
            admission,
            key_id,
            is_speaking: false,
        }
    }

    fn leave(
        &mut self,
        change: impl FnOnce(&Gate, &mut State) -> Option<Waker>,
    ) -> Option<Admission> {
        let admission = self.admission.take()?;
        let waker = {
            let gate = &*admission.0;
            let mut state = gate.state.lock();
            state.end_taking(self.least);
            change(gate, &mut state)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(admission)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave(|gate, state| gate.grant(state, 0));
    }
}

impl Permit {
    /// The stream has something to say, and counts until the peer has confirmed it
    pub(crate) fn speak(&mut self) {
        let Some(admission) = self.admission.as_ref().filter(|_| !self.is_speaking) else {
            return;
        };
        self.is_speaking = true;
        admission.0.state.lock().speaking += 1;
    }

    /// The peer knows the key id. Returns whom to wake, for callers that hold locks.
    pub(crate) fn confirm(mut self) -> Option<Waker> {
        self.free()
    }

    fn free(&mut self) -> Option<Waker> {
        let admission = self.admission.take()?;
        admission.release(self.key_id, self.is_speaking)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(waker) = self.free() {
            waker.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
