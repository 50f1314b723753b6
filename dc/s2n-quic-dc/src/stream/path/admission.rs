// SPDX-License-Identifier: Apache-2.0

//! Who may open a stream now.
//!
//! A receiver accepts a key id only within 896 of the highest that it has authenticated. A path therefore opens a new stream only
//! while the distance from the oldest key id that the peer has not confirmed to the next one stays well below that; further opens
//! wait in order. A confirmation, a failure or a drop frees the place.
//!
//! The one rule: the key id is taken under the same lock that checks the distance, so ids are handed out in the order of the waiters.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// How far the next key id may be from the oldest unconfirmed one
///
/// A little over half of the receiver's window of 896: the rest is left to other users of the same secret and to openers that the
/// network reorders.
const MAX_DISTANCE: u64 = 512;

#[derive(Clone, Default)]
pub(crate) struct Admission {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// One more than the largest key id that was taken
    next: u64,
    unconfirmed: BTreeSet<u64>,
    waiters: VecDeque<(u64, Waker)>,
    next_ticket: u64,
}

/// A stream's place; dropping it confirms the key id or gives it up, which frees the place either way
#[must_use]
pub(crate) struct Permit {
    /// `None` once the place is free
    admission: Option<Admission>,
    key_id: u64,
}

impl Admission {
    /// Waits until a stream may be opened, then has `take` take a key id
    ///
    /// `take` returns the id beside whatever came with it, or an error that is passed on. Cancel safe: a waiter that is dropped
    /// leaves the queue, and nothing was taken for it.
    pub(crate) fn open<T, E, F>(&self, take: F) -> Opening<F>
    where
        F: FnMut() -> Result<(T, u64), E> + Unpin,
    {
        Opening {
            admission: self.clone(),
            ticket: None,
            take,
        }
    }

    /// Key ids taken and not yet confirmed, and opens that wait
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.unconfirmed.len(), state.waiters.len())
    }

    fn release(&self, key_id: u64) -> Option<Waker> {
        let mut state = self.state.lock();
        state.unconfirmed.remove(&key_id);
        state.next_waker()
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.unconfirmed
            .first()
            .is_none_or(|oldest| self.next.saturating_sub(*oldest) < MAX_DISTANCE)
    }

    /// The waker of the open whose turn it is, if it may go on
    fn next_waker(&self) -> Option<Waker> {
        if !self.has_room() {
            return None;
        }
        self.waiters.front().map(|(_, waker)| waker.clone())
    }
}

pub(crate) struct Opening<F> {
    admission: Admission,
    ticket: Option<u64>,
    take: F,
}

impl<F, T, E> Future for Opening<F>
where
    F: FnMut() -> Result<(T, u64), E> + Unpin,
{
    type Output = Result<(T, Permit), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (result, waker) = {
            let mut guard = this.admission.state.lock();
            let state = &mut *guard;
            let is_next = match state.waiters.front() {
                None => true,
                Some((first, _)) => Some(*first) == this.ticket,
            };
            if !is_next || !state.has_room() {
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
            let result = (this.take)().map(|(value, key_id)| {
                state.next = state.next.max(key_id + 1);
                state.unconfirmed.insert(key_id);
                let admission = Some(this.admission.clone());
                (value, Permit { admission, key_id })
            });
            (result, state.next_waker())
        };
        // the next one may go on as well: each waiter passes the turn, so a release wakes one and not all
        if let Some(waker) = waker {
            waker.wake();
        }
        Poll::Ready(result)
    }
}

impl<F> Drop for Opening<F> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let waker = {
            let mut state = self.admission.state.lock();
            state.waiters.retain(|(waiting, _)| *waiting != ticket);
            state.next_waker()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Permit {
    /// The peer knows the key id. Returns whom to wake, for callers that hold locks.
    pub(crate) fn confirm(mut self) -> Option<Waker> {
        self.free()
    }

    fn free(&mut self) -> Option<Waker> {
        let admission = self.admission.take()?;
        admission.release(self.key_id)
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
