// SPDX-License-Identifier: Apache-2.0

//! A bounded queue of what waits for the application: many producers, many consumers.
//!
//! The one rule: whatever goes in comes out once, to a consumer or to [`Prune::prune`]. A full queue makes room by
//! pruning its oldest item, and the last consumer prunes what it leaves behind.
//!
//! All state is under one lock, which is held for a few moves of pointers: wakers are called and items are pruned
//! after it is released. A producer calls the waker itself, once it has nothing better to do. The published crate's
//! deque is not used because it loses what it holds when it closes, and the item of a push that comes too late.

use super::{Closed, Flavor};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// An item that has somebody waiting at its other end.
pub(super) trait Prune {
    /// Ends the item, and lets the other end know.
    fn prune(self);
}

/// Creates a queue for up to `capacity` items; a capacity of 0 is taken as 1.
pub(super) fn new<T: Prune>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Queue {
        capacity: capacity.max(1),
        state: Mutex::new(State {
            items: VecDeque::new(),
            waiting: VecDeque::new(),
            next_ticket: 0,
            senders: 1,
            receivers: 1,
        }),
    });

    (Sender(queue.clone()), Receiver(queue))
}

/// The producers' end. The queue ends for consumers once it is empty and the last of these is gone.
pub(super) struct Sender<T: Prune>(Arc<Queue<T>>);

impl<T: Prune> Sender<T> {
    /// Adds `item`; prunes the oldest if there is no room, and `item` itself if no consumer is left. Returns whom to wake.
    pub(super) fn push(&self, flavor: Flavor, item: T) -> Result<Option<Waker>, Closed> {
        let mut state = self.0.state.lock();

        if state.receivers == 0 {
            drop(state);
            item.prune();
            return Err(Closed);
        }

        let is_full = state.items.len() == self.0.capacity;

        // Consumers take from the front: the oldest is first in one flavor, and last in the other.
        let evicted = match flavor {
            Flavor::Fifo => {
                let evicted = if is_full {
                    state.items.pop_front()
                } else {
                    None
                };
                state.items.push_back(item);
                evicted
            }
            Flavor::Lifo => {
                let evicted = if is_full {
                    state.items.pop_back()
                } else {
                    None
                };
                state.items.push_front(item);
                evicted
            }
        };

        let waker = state.take_waker();
        drop(state);

        if let Some(evicted) = evicted {
            evicted.prune();
        }

        Ok(waker)
    }
}

impl<T: Prune> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T: Prune> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        if state.senders > 0 {
            return;
        }

        let waiting = std::mem::take(&mut state.waiting);
        drop(state);

        for waiter in waiting {
            waiter.waker.wake();
        }
    }
}

/// The consumers' end.
pub(super) struct Receiver<T: Prune>(Arc<Queue<T>>);

impl<T: Prune> Receiver<T> {
    /// Waits for the item at the front; [`Closed`] once there is none and no producer is left.
    ///
    /// Cancel safe: the item is taken at the moment it is returned, and a wake-up that a dropped future had received
    /// goes to the next one.
    pub(super) fn pop(&self) -> Pop<'_, T> {
        Pop {
            queue: &self.0,
            ticket: None,
        }
    }
}

impl<T: Prune> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().receivers += 1;
        Self(self.0.clone())
    }
}

impl<T: Prune> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.receivers -= 1;
        if state.receivers > 0 {
            return;
        }

        let items = std::mem::take(&mut state.items);
        drop(state);

        for item in items {
            item.prune();
        }
    }
}

/// The future of [`Receiver::pop`].
pub(super) struct Pop<'a, T: Prune> {
    queue: &'a Queue<T>,
    /// Set once this future has waited: its place in `State::waiting`, unless it has been woken since.
    ticket: Option<u64>,
}

impl<T: Prune> Future for Pop<'_, T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context) -> Poll<Self::Output> {
        let Self { queue, ticket } = self.get_mut();
        let mut state = queue.state.lock();

        let output = match state.items.pop_front() {
            Some(item) => Ok(item),
            None if state.senders == 0 => Err(Closed),
            None => {
                *ticket = Some(state.wait(*ticket, cx.waker()));
                return Poll::Pending;
            }
        };

        if let Some(ticket) = ticket.take() {
            state.forget(ticket);
        }
        Poll::Ready(output)
    }
}

impl<T: Prune> Drop for Pop<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else {
            return;
        };

        let mut state = self.queue.state.lock();
        let was_woken = !state.forget(ticket);
        let waker = if was_woken && !state.items.is_empty() {
            state.take_waker()
        } else {
            None
        };
        drop(state);

        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Queue<T> {
    /// At least 1.
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// `items.len() <= capacity`; empty once `receivers` is 0.
    items: VecDeque<T>,
    /// Consumers that wait, longest first. There are as many as tasks that accept: few.
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
    senders: usize,
    receivers: usize,
}

struct Waiter {
    ticket: u64,
    waker: Waker,
}

impl<T> State<T> {
    /// Remembers a consumer, at the place that `ticket` holds if it still holds one.
    fn wait(&mut self, ticket: Option<u64>, waker: &Waker) -> u64 {
        let waiter = self
            .waiting
            .iter_mut()
            .find(|waiter| Some(waiter.ticket) == ticket);

        if let Some(waiter) = waiter {
            waiter.waker.clone_from(waker);
            return waiter.ticket;
        }

        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(Waiter {
            ticket,
            waker: waker.clone(),
        });
        ticket
    }

    /// Returns whether the consumer was still waiting.
    fn forget(&mut self, ticket: u64) -> bool {
        let position = self
            .waiting
            .iter()
            .position(|waiter| waiter.ticket == ticket);

        match position {
            Some(position) => {
                self.waiting.remove(position);
                true
            }
            None => false,
        }
    }

    fn take_waker(&mut self) -> Option<Waker> {
        self.waiting.pop_front().map(|waiter| waiter.waker)
    }
}

#[cfg(test)]
mod tests;
