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
    /// For each key id that is being taken, the smallest that it can be
    taking: Vec<u64>,
    /// Those of the unconfirmed that have something to say
    speaking: u64,
    waiters: VecDeque<(u64, Waker)>,
    next_ticket: u64,
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
    key_id: u64,
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
        self.0.next_waker(&self.0.state.lock())
    }

    /// Waits until a stream may be opened. Cancel safe: a waiter that is dropped leaves the queue.
    pub(crate) fn open(&self) -> Opening {
        Opening {
            admission: self.clone(),
            ticket: None,
        }
    }

    /// Key ids taken and not yet confirmed, and opens that wait
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        let open = state.unconfirmed.len() + state.taking.len();
        (open, state.waiters.len())
    }

    fn release(&self, key_id: u64, is_speaking: bool) -> Option<Waker> {
        self.0.change(|state| {
            state.unconfirmed.remove(&key_id);
            state.speaking -= u64::from(is_speaking);
        })
    }
}

impl Gate {
    fn has_room(&self, state: &State) -> bool {
        let oldest = state.unconfirmed.first().into_iter().chain(&state.taking);
        let next = state.next + state.taking.len() as u64;
        let is_near = oldest
            .min()
            .is_none_or(|oldest| next.saturating_sub(*oldest) < MAX_DISTANCE);
        is_near && state.speaking < self.max_speaking.load(Ordering::Relaxed)
    }

    /// Changes what may make room. Returns whom to wake.
    fn change(&self, change: impl FnOnce(&mut State)) -> Option<Waker> {
        let mut state = self.state.lock();
        change(&mut state);
        self.next_waker(&state)
    }

    /// The waker of the open whose turn it is, if it may go on
    fn next_waker(&self, state: &State) -> Option<Waker> {
        if !self.has_room(state) {
            return None;
        }
        state.waiters.front().map(|(_, waker)| waker.clone())
    }
}

pub(crate) struct Opening {
    admission: Admission,
    ticket: Option<u64>,
}

impl Future for Opening {
    type Output = Place;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        let this = self.get_mut();
        let (place, waker) = {
            let gate = &*this.admission.0;
            let mut guard = gate.state.lock();
            let state = &mut *guard;
            let is_next = match state.waiters.front() {
                None => true,
                Some((first, _)) => Some(*first) == this.ticket,
            };
            if !is_next || !gate.has_room(state) {
                match state
                    .waiters
                    .iter_mut()
                    .find(|(ticket, _)| Some(*ticket) == this.ticket)
                {
                    Some((_, waker)) => waker.clone_from(cx.waker()),
                    None => {
                        let ticket = state.next_ticket;
                        state.next_ticket += 1;
                        this.ticket = Some(ticket);
                        state.waiters.push_back((ticket, cx.waker().clone()));
                    }
                }
                return Poll::Pending;
            }
            if this.ticket.take().is_some() {
                state.waiters.pop_front();
            }
            let least = state.next;
            state.taking.push(least);
            let place = Place {
                admission: Some(this.admission.clone()),
                least,
            };
            (place, gate.next_waker(state))
        };
        // the next one may go on as well: each waiter passes the turn, so a release wakes one and not all
        if let Some(waker) = waker {
            waker.wake();
        }
        Poll::Ready(place)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let waker = self.admission.0.change(|state| {
            state.waiters.retain(|(waiting, _)| *waiting != ticket);
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Place {
    /// The key id that was taken for it
    pub(crate) fn fill(mut self, key_id: u64) -> Permit {
        let admission = self.leave(|state| {
            state.next = state.next.max(key_id + 1);
            state.unconfirmed.insert(key_id);
        });
        Permit {
            admission,
            key_id,
            is_speaking: false,
        }
    }

    fn leave(&mut self, change: impl FnOnce(&mut State)) -> Option<Admission> {
        let admission = self.admission.take()?;
        let waker = admission.0.change(|state| {
            if let Some(index) = state.taking.iter().position(|least| *least == self.least) {
                state.taking.swap_remove(index);
            }
            change(state);
        });
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(admission)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave(|_| {});
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
