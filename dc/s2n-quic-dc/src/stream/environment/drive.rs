// SPDX-License-Identifier: Apache-2.0

//! Turns of the socket workers, from waking up to going to sleep, whether a thread or a task takes them.
//!
//! The one rule: a worker ends only when nothing is left for it to do, or when the time for that is up.

use crate::{
    clock::Clock,
    socket::{
        io::Socket,
        recv::udp::{Company, Worker as ReceiveWorker},
        send::udp::{Deputy, Next, Sender, Worker as SendWorker},
    },
    stream::send::application::MAX_BATCHES_PER_POLL,
    sync::desk::Desk,
};
use core::time::Duration;
use s2n_quic_core::time::Timestamp;
use std::sync::{Arc, Weak};

/// How long workers without an environment try to deliver what is left
const LINGER: Duration = Duration::from_secs(10);

/// Rounds that somebody does in the worker's place at most: one for each batch that a poll of a writer makes, and the last one only finds
/// that nothing more is due
const DEPUTY_ROUNDS: usize = MAX_BATCHES_PER_POLL + 1;

/// How often it does so, when others came meanwhile and left it to go on
const DEPUTY_TURNS: usize = 2;

/// How a turn ended
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The bell is armed: sleep until it rings, or for what the worker waits for; never [`Next::Now`]
    Sleep(Next),
    /// There is more to do, and others may have their turn first
    Again,
    /// The same, and those who come to have something to do in that turn may go first as well
    Last,
    Done,
}

/// The sending worker between its sleeps, and in its place those who flush
pub(crate) struct Sending<S: Socket> {
    desk: Desk<Seat<S>>,
    sender: Arc<Sender>,
    clock: Box<dyn Clock>,
}

struct Seat<S: Socket> {
    worker: SendWorker<S>,
    /// What the worker sleeps for, if it sleeps
    asleep: Next,
}

impl<S: Socket> Sending<S> {
    pub(crate) fn new(worker: SendWorker<S>, clock: impl Clock) -> Arc<Self> {
        let this = Arc::new(Self {
            sender: worker.sender().clone(),
            desk: Desk::new(Seat {
                worker,
                asleep: Next::Now,
            }),
            clock: Box::new(clock),
        });
        let deputy: Weak<Self> = Arc::downgrade(&this);
        this.sender.appoint(deputy);
        this
    }

    /// Sends until nothing more is due
    pub(crate) fn turn(&self) -> Turn {
        loop {
            let clock = &*self.clock;
            // notes are of no interest yet: it looks again before it sleeps
            if self.desk.work(|seat| seat.poll(clock)).result == Next::Now {
                continue;
            }
            self.sender.doorbell.arm();
            // what came before the bell was armed rang in vain: look again
            let worked = self.desk.work(|seat| seat.lie_down(clock));
            if worked.result == Turn::Again || worked.has_note {
                self.sender.doorbell.disarm();
                continue;
            }
            return worked.result;
        }
    }

    /// To be called after every sleep
    pub(crate) fn wake_up(&self) {
        self.sender.doorbell.disarm();
    }

    /// Whether transmissions wait for their time
    #[cfg(feature = "testing")]
    pub(crate) fn has_work(&self) -> bool {
        let worked = self.desk.work(|seat| seat.worker.has_work());
        if worked.has_note {
            self.sender.doorbell.ring();
        }
        worked.result
    }
}

impl<S: Socket> Seat<S> {
    fn poll(&mut self, clock: &dyn Clock) -> Next {
        self.worker.poll(clock.get_time())
    }

    /// The worker goes to sleep, unless there is something to send
    fn lie_down(&mut self, clock: &dyn Clock) -> Turn {
        let next = self.poll(clock);
        if next == Next::Now {
            return Turn::Again;
        }
        if self.worker.is_done() {
            return Turn::Done;
        }
        self.asleep = next;
        Turn::Sleep(next)
    }

    /// Sends in the worker's place, and returns whether it may sleep on
    fn stand_in(&mut self, clock: &dyn Clock) -> bool {
        // the worker gets up as soon as the socket takes anything
        if self.asleep == Next::Writable {
            return true;
        }
        for _ in 0..DEPUTY_ROUNDS {
            let next = self.poll(clock);
            return match (next, self.asleep) {
                (Next::Now, _) => continue,
                (Next::At(None), _) => true,
                (Next::At(Some(at)), Next::At(Some(until))) => until <= at,
                // due earlier than the worker knows; or the socket is full, which the worker does not know either
                (Next::At(Some(_)) | Next::Writable, _) => false,
            };
        }
        false
    }
}

impl<S: Socket> Deputy for Sending<S> {
    fn stand_in(&self) -> bool {
        for _ in 0..DEPUTY_TURNS {
            let Some(worked) = self.desk.try_work(|seat| seat.stand_in(&*self.clock)) else {
                return true;
            };
            if !worked.result || !worked.has_note {
                return worked.result;
            }
        }
        false
    }
}

/// The receiving worker between its sleeps
///
/// Dropped, it lets every stream go, and has the sender end after what it still has.
pub(super) struct Receiving<S: Socket> {
    worker: ReceiveWorker<S>,
    /// Set once the environment is gone
    give_up: Option<Timestamp>,
    /// Dropped after the worker, which may still submit
    _farewell: Farewell,
}

/// Ends the sender when it is dropped
struct Farewell(Arc<Sender>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl<S: Socket> Receiving<S> {
    pub(super) fn new(worker: ReceiveWorker<S>) -> Self {
        Self {
            _farewell: Farewell(worker.shard().sender.clone()),
            worker,
            give_up: None,
        }
    }

    /// Receives up to ten trains of 64 KB and runs timers, before others may have their turn
    pub(super) fn turn(&mut self, now: impl Fn() -> Timestamp) -> Turn {
        let start = now();
        self.worker.flush_for_all();
        let next = self.worker.poll(start);
        if let Some(turn) = self.turn_for_others(next) {
            return turn;
        }
        if self.worker.core().is_closing() {
            let give_up = *self.give_up.get_or_insert(start + LINGER);
            if self.worker.shard().routes.is_empty() || start >= give_up {
                return Turn::Done;
            }
        }
        self.worker.shard().receiver.doorbell.arm();
        // what came before the bell was armed rang in vain: look again
        let next = self.worker.poll_streams(now());
        let has_just_closed = self.worker.core().is_closing() && self.give_up.is_none();
        let turn = self.turn_for_others(next);
        if turn.is_some() || has_just_closed {
            self.wake_up();
            return turn.unwrap_or(Turn::Again);
        }
        Turn::Sleep(match (self.give_up, next) {
            (Some(give_up), Next::At(at)) => {
                Next::At(Some(at.map_or(give_up, |at| at.min(give_up))))
            }
            (_, next) => next,
        })
    }

    /// Whether there is more to do once others had their turn
    fn turn_for_others(&self, next: Next) -> Option<Turn> {
        match (self.worker.company(), next) {
            (Company::Talkers, _) => Some(Turn::Last),
            (Company::Several, _) | (Company::Nobody, Next::Now) => Some(Turn::Again),
            (Company::Nobody, _) => None,
        }
    }

    /// To be called after every sleep
    pub(super) fn wake_up(&self) {
        self.worker.shard().receiver.doorbell.disarm();
    }

    /// Whether streams are open, or still answer
    #[cfg(feature = "testing")]
    pub(super) fn has_work(&self) -> bool {
        !self.worker.shard().routes.is_empty()
    }
}
