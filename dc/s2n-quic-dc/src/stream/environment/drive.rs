// SPDX-License-Identifier: Apache-2.0

//! Turns of the socket workers, from waking up to going to sleep, whether a thread or a task takes them.
//!
//! The one rule: a worker ends only when nothing is left for it to do, or when the time for that is up.

use crate::socket::{
    io::Socket,
    recv::udp::Worker as ReceiveWorker,
    send::udp::{Next, Worker as SendWorker},
};
use core::time::Duration;
use s2n_quic_core::time::Timestamp;

/// How long workers without an environment try to deliver what is left
const LINGER: Duration = Duration::from_secs(10);

/// How a turn ended
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The bell is armed: sleep until it rings, or for what the worker waits for; never [`Next::Now`]
    Sleep(Next),
    Done,
}

/// The sending worker between its sleeps
pub(super) struct Sending<S: Socket> {
    worker: SendWorker<S>,
}

impl<S: Socket> Sending<S> {
    pub(super) fn new(worker: SendWorker<S>) -> Self {
        Self { worker }
    }

    /// Sends until nothing more is due
    pub(super) fn turn(&mut self, now: impl Fn() -> Timestamp) -> Turn {
        loop {
            if self.worker.poll(now()) == Next::Now {
                continue;
            }
            self.worker.doorbell().arm();
            // what came before the bell was armed rang in vain: look again
            let next = self.worker.poll(now());
            if next == Next::Now {
                self.worker.doorbell().disarm();
                continue;
            }
            if self.worker.is_done() {
                return Turn::Done;
            }
            return Turn::Sleep(next);
        }
    }

    /// To be called after every sleep
    pub(super) fn wake_up(&self) {
        self.worker.doorbell().disarm();
    }

    /// Whether transmissions wait for their time
    #[cfg(feature = "testing")]
    pub(super) fn has_work(&self) -> bool {
        self.worker.has_work()
    }
}

/// The receiving worker between its sleeps
pub(super) struct Receiving<S: Socket> {
    worker: ReceiveWorker<S>,
    /// Set once the environment is gone
    give_up: Option<Timestamp>,
}

impl<S: Socket> Receiving<S> {
    pub(super) fn new(worker: ReceiveWorker<S>) -> Self {
        Self {
            worker,
            give_up: None,
        }
    }

    /// Receives and runs timers until nothing more is there
    pub(super) fn turn(&mut self, now: impl Fn() -> Timestamp) -> Turn {
        loop {
            let start = now();
            if self.worker.poll(start) == Next::Now {
                continue;
            }
            if self.worker.core().is_closing() {
                let give_up = *self.give_up.get_or_insert(start + LINGER);
                if self.worker.shard().routes.is_empty() || start >= give_up {
                    return Turn::Done;
                }
            }
            self.worker.shard().receiver.doorbell.arm();
            let next = self.worker.poll(now());
            let has_just_closed = self.worker.core().is_closing() && self.give_up.is_none();
            if next == Next::Now || has_just_closed {
                self.wake_up();
                continue;
            }
            return Turn::Sleep(match (self.give_up, next) {
                (Some(give_up), Next::At(at)) => {
                    Next::At(Some(at.map_or(give_up, |at| at.min(give_up))))
                }
                (_, next) => next,
            });
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

    /// Lets every stream go, and has the sender end after what it still has
    pub(super) fn finish(self) {
        let sender = self.worker.shard().sender.clone();
        drop(self.worker);
        sender.finish();
    }
}
