// SPDX-License-Identifier: Apache-2.0

//! When a stream is looked after, and when it is let go.
//!
//! The one rule: a stream has one deadline that counts, the earliest of its halves' and of its idle timeout. Whoever changes what it waits
//! for arms the timer, or [settles](Shared::settle) it.

use super::{Shared, DISARMED};
use crate::{
    clock::{at_tick, ticks},
    stream::{
        environment::{routes::Over, timers::Lane},
        path::Wakes,
        recv, send,
    },
};
use core::{sync::atomic::Ordering, time::Duration};
use s2n_quic_core::time::Timestamp;
use std::sync::Arc;

/// How soon a stream that is over looks whether its last transmissions have left
const COMPLETION_RETRY: Duration = Duration::from_millis(10);

/// Timers that are due are served again no sooner than this, so that a deadline in the past cannot keep the worker busy
const MIN_TIMER: Duration = Duration::from_millis(1);

/// How soon a stream is looked after that was opened here, whatever it waits for: before its first packet is probed for, so that this arms nothing
/// more. Most calls are over by then, and each would leave an entry for its idle timeout behind. One that was accepted may owe the acknowledgement
/// of its first packet, which waits for no longer than any other.
const FIRST_LOOK: Duration = Duration::from_millis(4);

impl Shared {
    /// Called by the worker when a timer entry of `tick` comes up
    pub(crate) fn on_timer(self: &Arc<Self>, tick: u64, now: Timestamp) {
        if self
            .armed
            .compare_exchange(tick, DISARMED, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        let mut wakes = Wakes::default();
        // what the sending half is about to ask for may have come, and wait for the reader with data
        let scope = match self.send().try_lock() {
            Some(send) if send.is_due(now) => recv::worker::Scope::All,
            _ => recv::worker::Scope::Overdue,
        };
        let turn = recv::worker::on_timer(self, scope, now, &mut wakes);
        let send_timeout = {
            let Some(mut send) = self.send().try_lock() else {
                // a writer that encrypts reads what the peer says, and with that finds what is lost
                wakes.wake();
                self.arm(now + MIN_TIMER);
                return;
            };
            send.on_timer(self, now);
            wakes.append(send.take_wakes());
            match turn {
                // `settle` asks both halves
                recv::worker::Turn::Taken => None,
                recv::worker::Turn::Busy => send.next_timeout(now),
            }
        };
        wakes.wake();
        if turn == recv::worker::Turn::Busy {
            // the receiving half has armed the timer, and packets are coming in
            self.arm_send(send_timeout.map(|at| at.max(now + MIN_TIMER)));
            return;
        }
        if self.is_idle(now) {
            self.fail(
                send::ErrorKind::IdleTimeout,
                recv::ErrorKind::IdleTimeout,
                now,
            );
        }
        self.settle(now);
    }

    /// Has the worker look after a new stream from now on
    pub(crate) fn begin(&self, now: Timestamp) {
        let first_look = match self.is_accepted {
            true => recv::worker::READER_GRACE,
            false => FIRST_LOOK,
        };
        if let Some(tick) = self.bring_forward(now + first_look) {
            let timers = &self.shard.timers;
            timers.append(Lane::New, self.queue_id, tick, &self.shard.receiver);
        }
    }

    /// Arms the timer for what comes next, or lets the stream go once all is said
    pub(crate) fn settle(self: &Arc<Self>, now: Timestamp) {
        let (send_timeout, send_is_over, send_is_quiet, peer_is_answered) = {
            let mut send = self.send().lock();
            send.on_completions(self);
            (
                send.next_timeout(now),
                send.is_terminal(),
                send.is_quiet(),
                send.peer_is_answered(),
            )
        };
        let is_over = send_is_quiet && self.is_let_go();
        if is_over && self.end(peer_is_answered, now) {
            return;
        }
        let (recv_timeout, recv_is_over) = {
            let recv = self.recv().lock();
            (recv.next_timeout(self, now), recv.is_terminal())
        };
        if recv_timeout == recv::state::Timeout::Done && send_is_quiet {
            self.release();
            return;
        }
        let recv_timeout = match recv_timeout {
            recv::state::Timeout::At(at) => Some(at),
            recv::state::Timeout::Idle | recv::state::Timeout::Done => None,
        };
        // once both halves are over, nothing is expected of the peer; only the application's handles may still be there
        let idle = match (recv_is_over, send_is_over) {
            (true, true) if send_is_quiet => None,
            (true, true) => Some(now + COMPLETION_RETRY),
            _ => Some(self.last_heard() + self.terms.idle_timeout),
        };
        let next = [recv_timeout, send_timeout, idle]
            .into_iter()
            .flatten()
            .min();
        if let Some(next) = next {
            self.arm(next.max(now + MIN_TIMER));
        }
    }

    /// Lets the stream go, if its receiving half has nothing to do but to answer repetitions; `peer_is_answered` says that none can come
    fn end(&self, peer_is_answered: bool, now: Timestamp) -> bool {
        let mut recv = self.recv().lock();
        if !recv.may_linger(self) {
            return false;
        }
        let kept = self.leave_keys(&mut recv, now);
        let lingering = match peer_is_answered {
            true => None,
            false => recv.linger(self),
        };
        drop(recv);
        if let Some(lingering) = lingering {
            let time_wait = self.path.time_wait();
            let end = now + self.terms.idle_timeout.max(time_wait);
            let over = Over::new(lingering, time_wait, end, now);
            self.core.linger(self, over);
        } else {
            self.release();
        }
        if let Some(kept) = kept {
            self.core.idle_keys.put(kept, now);
        }
        true
    }

    /// Has the worker call [`Shared::on_timer`] no later than at `deadline`
    pub(crate) fn arm(&self, deadline: Timestamp) {
        if let Some(tick) = self.bring_forward(deadline) {
            let timers = &self.shard.timers;
            timers.insert(self.queue_id, tick, &self.shard.receiver);
        }
    }

    /// The tick to set a timer entry for, unless an earlier one is set
    fn bring_forward(&self, deadline: Timestamp) -> Option<u64> {
        let tick = ticks(deadline);
        (self.armed.fetch_min(tick, Ordering::AcqRel) > tick).then_some(tick)
    }

    /// Has the sending half look at once what to make of silence
    pub(crate) fn look_now(&self) {
        let now = self.now();
        self.send().lock().look_at(now);
        self.arm(now);
    }

    /// Arms the timer for what the sending half waits for
    pub(crate) fn arm_send(&self, deadline: Option<Timestamp>) {
        if let Some(deadline) = deadline {
            self.arm(deadline);
        }
    }

    pub(crate) fn last_heard(&self) -> Timestamp {
        at_tick(self.last_activity.load(Ordering::Relaxed))
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        now >= self.last_heard() + self.terms.idle_timeout
            && !(self.recv().lock().is_terminal() && self.send().lock().is_terminal())
    }

    /// Takes the stream out of the routes: nothing is left to send or to answer
    fn release(&self) {
        self.core.remove(self);
    }
}
