// SPDX-License-Identifier: Apache-2.0

//! How much is under way, as the two threads of a flood tell each other.
//!
//! The one rule: nobody waits for ever. A sender that hears nothing for its patience gives up all that is under way; a receiver
//! looks up as often as [`PATIENCE`] says, to see whether the sender is through.
//!
//! Packets are counted by the highest number that arrived: loopback keeps the order, so what is missing below it is lost.

use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        Condvar, Mutex, PoisonError,
    },
    time::Duration,
};

/// How long silence lasts until what is under way counts as lost: far longer than a thread waits for a processor.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// What both threads know. Packets are named by their numbers, from 0 on.
pub(super) struct Flight {
    /// Packets under way at most, at least 1.
    limit: u64,
    /// How long the sender waits in silence.
    patience: Duration,
    /// The packet after the last that arrived.
    arrived: AtomicU64,
    /// `arrived` must be this for the sender to go on, or [`NOBODY`] waits. Set by the sender alone.
    wake_at: AtomicU64,
    /// How many packets there are, or [`UNKNOWN`].
    total: AtomicU64,
    is_abandoned: AtomicBool,
    /// Held by the sender from its last look at `arrived` until it sleeps, and by whoever wakes it.
    sleep: Mutex<()>,
    wake: Condvar,
}

impl Flight {
    /// At most `limit` packets are under way, or 1; the sender gives them up after `patience` of silence.
    pub(super) fn new(limit: usize, patience: Duration) -> Self {
        Self {
            limit: (limit as u64).max(1),
            patience,
            arrived: AtomicU64::new(0),
            wake_at: AtomicU64::new(NOBODY),
            total: AtomicU64::new(UNKNOWN),
            is_abandoned: AtomicBool::new(false),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Waits until `batch` packets may follow the `next` packets before them; false if nobody receives any more.
    ///
    /// `given_up` are the packets that are no longer waited for; it is raised when there is silence.
    pub(super) fn wait_for_room(&self, next: u64, batch: u64, given_up: &mut u64) -> bool {
        loop {
            let arrived = self.arrived.load(SeqCst);
            if self.is_abandoned.load(SeqCst) {
                return false;
            }
            let under_way = next - arrived.max(*given_up).min(next);
            // a batch that is larger than the limit goes alone
            if under_way == 0 || under_way + batch <= self.limit {
                return true;
            }
            // half the limit, because waking somebody costs as much as a batch
            if self.sleep_until(arrived.max(next - under_way / 2)) == Woken::ByTime
                && self.arrived.load(SeqCst) == arrived
            {
                *given_up = next;
            }
        }
    }

    fn sleep_until(&self, arrived: u64) -> Woken {
        self.wake_at.store(arrived, SeqCst);
        let guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early =
            |_: &mut ()| self.arrived.load(SeqCst) < arrived && !self.is_abandoned.load(SeqCst);
        let (_guard, waited) = self
            .wake
            .wait_timeout_while(guard, self.patience, is_early)
            .unwrap_or_else(PoisonError::into_inner);
        self.wake_at.store(NOBODY, SeqCst);
        if waited.timed_out() {
            Woken::ByTime
        } else {
            Woken::ByReceiver
        }
    }

    /// All packets before `next` arrived, or never will.
    pub(super) fn set_arrived(&self, next: u64) {
        self.arrived.store(next, SeqCst);
        if next >= self.wake_at.load(SeqCst) {
            self.wake();
        }
    }

    /// Nobody receives any more.
    pub(super) fn abandon(&self) {
        self.is_abandoned.store(true, SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // the sender either has not looked yet, or sleeps
        drop(self.sleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// No packets follow the `total` ones that were sent.
    pub(super) fn finish(&self, total: u64) {
        self.total.store(total, SeqCst);
    }

    /// How many packets were sent, once the last was.
    pub(super) fn total(&self) -> Option<u64> {
        let total = self.total.load(SeqCst);
        (total != UNKNOWN).then_some(total)
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    ByReceiver,
    ByTime,
}

/// No packet has this number.
const NOBODY: u64 = u64::MAX;

/// Nor are there ever so many.
const UNKNOWN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Longer than any thread is held up.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_batch_waits_until_it_fits_under_the_limit() {
        let flight = Flight::new(10, LONG);
        let mut given_up = 0;
        assert!(flight.wait_for_room(0, 5, &mut given_up));
        assert!(flight.wait_for_room(5, 5, &mut given_up));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut given_up = 0;
                (flight.wait_for_room(10, 5, &mut given_up), given_up)
            });
            flight.set_arrived(4);
            assert!(!waiting.is_finished());
            flight.set_arrived(5);
            assert_eq!(waiting.join().unwrap(), (true, 0));
        });
    }

    #[test]
    fn silence_gives_up_what_is_under_way() {
        let flight = Flight::new(10, Duration::from_millis(1));
        flight.set_arrived(3);
        let mut given_up = 0;
        assert!(flight.wait_for_room(10, 5, &mut given_up));
        assert_eq!(given_up, 10);
    }

    #[test]
    fn a_batch_above_the_limit_goes_alone() {
        let flight = Flight::new(0, LONG);
        let mut given_up = 0;
        assert!(flight.wait_for_room(0, 44, &mut given_up));
        flight.set_arrived(44);
        assert!(flight.wait_for_room(44, 44, &mut given_up));
        assert_eq!(given_up, 0);
    }

    #[test]
    fn a_sender_without_receiver_is_told() {
        let flight = Flight::new(10, LONG);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| flight.wait_for_room(10, 5, &mut 0));
            flight.abandon();
            assert!(!waiting.join().unwrap());
        });
        assert!(!flight.wait_for_room(0, 1, &mut 0));
    }

    #[test]
    fn the_total_is_known_once_it_is_said() {
        let flight = Flight::new(1, LONG);
        assert_eq!(flight.total(), None);
        flight.finish(0);
        assert_eq!(flight.total(), Some(0));
    }
}
