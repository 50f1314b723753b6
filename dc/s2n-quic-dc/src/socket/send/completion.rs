// SPDX-License-Identifier: Apache-2.0

//! The way back from the socket worker to the stream: what became of each transmission.
//!
//! The one rule: a submission completes exactly once. A [`Ticket`] is consumed by [`Ticket::complete`], and its drop
//! completes it as cancelled, so the types allow neither a second completion nor none.
//!
//! Tickets hold the queue weakly: a stream that ends frees its state at once, whatever is still in the wheel, and
//! what completes after that is dropped.

// `Weak` has no counterpart in loom; the lock inside is loom's all the same
use crate::sync::primitive::Mutex;
use smallvec::SmallVec;
use std::{
    fmt,
    sync::{Arc, Weak},
    task::Waker,
};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

/// What became of a transmission. `S` is the time sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<S> {
    /// The socket took all of it, at this time.
    Sent(S),
    /// The socket refused it, and nothing of it was sent.
    Failed {
        /// The system's number for the reason, as [`std::io::Error::raw_os_error`] gives it.
        errno: Option<i32>,
    },
    /// It was never given to the socket.
    Cancelled,
}

/// The end of one transmission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion<T, S> {
    /// What was given to [`Queue::ticket`].
    pub token: T,
    /// How it ended.
    pub outcome: Outcome<S>,
}

/// A list of completions, in the order of completing. The first is kept in place, which is enough for a stream of one
/// transmission.
pub type Batch<T, S> = SmallVec<[Completion<T, S>; 1]>;

/// The completions of one half of a stream. That half owns it; tickets only know of it.
pub struct Queue<T, S> {
    state: Mutex<State<T, S>>,
}

impl<T, S> Queue<T, S> {
    /// An empty queue without tickets. It allocates nothing more until the first completion.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                entries: Batch::new(),
                phase: Phase::Open(None),
                is_abandoned: false,
                outstanding: 0,
                dropped: 0,
            }),
        })
    }

    /// Registers a submission. Its one completion arrives here, in the order of completing.
    pub fn ticket(self: &Arc<Self>, token: T) -> Ticket<T, S> {
        self.state.lock().outstanding += 1;
        Ticket {
            queue: Arc::downgrade(self),
            token: Some(token),
        }
    }

    /// Moves all completions to the end of `out`.
    ///
    /// If `out` is empty the two lists change places, so a caller that clears and reuses one allocates nothing once
    /// both are large enough.
    pub fn drain_into(&self, out: &mut Batch<T, S>) {
        let mut state = self.state.lock();
        state.outstanding -= state.entries.len();
        if out.is_empty() {
            std::mem::swap(&mut state.entries, out);
        } else {
            out.append(&mut state.entries);
        }
    }

    /// Arranges for `waker` to be woken when the queue is next not empty, in place of any waker before it.
    ///
    /// Returns false, having registered nothing, if something is queued already: drain again. A registration serves
    /// for one wake-up, so whoever returns pending registers each time.
    #[must_use = "if false, nothing was registered and the queue is to be drained"]
    pub fn register(&self, waker: &Waker) -> bool {
        // dropped after the lock
        let _replaced: Option<Waker>;
        let mut state = self.state.lock();
        if !state.entries.is_empty() {
            return false;
        }
        match &mut state.phase {
            Phase::Open(Some(current)) if current.will_wake(waker) => {}
            Phase::Open(current) => _replaced = current.replace(waker.clone()),
            // nothing will ever come
            Phase::Closed => {}
        }
        drop(state);
        true
    }

    /// Submissions that were not drained yet: still on their way, or queued.
    pub fn outstanding(&self) -> usize {
        self.state.lock().outstanding
    }

    /// Completions that came after the close.
    pub fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    /// Drops and counts what completes from now on. What is queued can still be drained. Nobody is woken any more.
    pub fn close(&self) {
        let _waker = {
            let mut state = self.state.lock();
            std::mem::replace(&mut state.phase, Phase::Closed)
        };
    }

    /// Has what is still waiting not be sent: [`Ticket::is_alive`] says no from now on. Completions arrive all the same.
    pub fn abandon(&self) {
        self.state.lock().is_abandoned = true;
    }

    /// Takes a completion in, or gives it back to be dropped unlocked.
    fn push(&self, completion: Completion<T, S>) -> Result<Option<Waker>, Completion<T, S>> {
        let mut state = self.state.lock();
        match &mut state.phase {
            Phase::Open(waker) => {
                let waker = waker.take();
                state.entries.push(completion);
                Ok(waker)
            }
            Phase::Closed => {
                state.outstanding -= 1;
                state.dropped += 1;
                Err(completion)
            }
        }
    }

    fn is_wanted(&self) -> bool {
        let state = self.state.lock();
        matches!(state.phase, Phase::Open(_)) && !state.is_abandoned
    }
}

impl<T, S> fmt::Debug for Queue<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Queue")
            .field("queued", &state.entries.len())
            .field("outstanding", &state.outstanding)
            .field("dropped", &state.dropped)
            .finish()
    }
}

/// The duty to say what became of one submission. Dropping it says that it was cancelled, and wakes the stream.
pub struct Ticket<T, S> {
    queue: Weak<Queue<T, S>>,
    /// None once completed, which only a drop can see.
    token: Option<T>,
}

impl<T, S> Ticket<T, S> {
    /// Whether anyone will look at the completion. What nobody waits for need not be sent, unless the peer does.
    ///
    /// The answer may be outdated at once, in one direction: a dead stream stays dead.
    pub fn is_alive(&self) -> bool {
        self.queue.upgrade().is_some_and(|queue| queue.is_wanted())
    }

    /// What was submitted.
    pub fn token(&self) -> &T {
        self.token
            .as_ref()
            .expect("only `complete` takes the token, and it consumes the ticket")
    }

    /// What was submitted, to be changed before it completes.
    pub fn token_mut(&mut self) -> &mut T {
        self.token
            .as_mut()
            .expect("only `complete` takes the token, and it consumes the ticket")
    }

    /// Says how it ended. The waker that comes back is to be woken, after the batch and with no lock held: it will
    /// not be given out again for this batch.
    #[must_use = "the stream sleeps until this waker is woken"]
    pub fn complete(mut self, outcome: Outcome<S>) -> Option<Waker> {
        self.finish(outcome)
    }

    fn finish(&mut self, outcome: Outcome<S>) -> Option<Waker> {
        let token = self.token.take()?;
        let completion = Completion { token, outcome };
        let queue = self.queue.upgrade()?;
        queue.push(completion).ok().flatten()
    }
}

impl<T, S> Drop for Ticket<T, S> {
    fn drop(&mut self) {
        if let Some(waker) = self.finish(Outcome::Cancelled) {
            waker.wake();
        }
    }
}

impl<T: fmt::Debug, S> fmt::Debug for Ticket<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("token", &self.token)
            .finish()
    }
}

struct State<T, S> {
    entries: Batch<T, S>,
    phase: Phase,
    /// Nobody wants what was submitted to be sent any more
    is_abandoned: bool,
    /// `entries.len() <= outstanding`; the rest are tickets
    outstanding: usize,
    dropped: u64,
}

enum Phase {
    /// With the waker for the next completion. There is one only while `entries` is empty.
    Open(Option<Waker>),
    Closed,
}
