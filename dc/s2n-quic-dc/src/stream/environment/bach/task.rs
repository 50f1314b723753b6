// SPDX-License-Identifier: Apache-2.0

//! The socket workers as tasks of the simulation.
//!
//! A task takes a turn whenever it was woken. It holds the simulation open for as long as it has something to deliver, so that an
//! application may end as soon as it has written its last byte.
//!
//! The one rule: a worker sleeps in one place only, and registers there for everything that can end the sleep.

use super::{clock::SimClock, socket::SimSocket};
use crate::{
    counter::Counter,
    socket::send::udp::Next,
    stream::environment::drive::{Receiving, Sending, Turn},
    sync::doorbell::Bell,
};
use ::bach::{
    task::primary,
    time::{sleep_until, Sleep},
};
use core::{
    future::{poll_fn, Future as _},
    pin::Pin,
    task::{Context, Poll},
};
use s2n_quic_core::time::Timestamp;
use std::sync::Arc;

/// What a worker's task needs beside the worker
pub(super) struct Surroundings {
    pub(super) socket: Arc<SimSocket>,
    pub(super) bell: Arc<Bell>,
    pub(super) clock: SimClock,
    pub(super) turns: Arc<Counter>,
}

/// Where a worker sleeps
struct Bed {
    surroundings: Surroundings,
    alarm: Option<(Timestamp, Sleep)>,
    /// Held while there is something to deliver
    hold: Option<primary::Guard>,
}

impl Bed {
    fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings,
            alarm: None,
            hold: None,
        }
    }

    fn hold_simulation(&mut self, has_work: bool) {
        if !has_work {
            self.hold = None;
        } else if self.hold.is_none() {
            self.hold = Some(primary::guard());
        }
    }

    /// Ready if the time to wake up has come already
    fn poll_sleep(&mut self, next: Next, cx: &mut Context<'_>) -> Poll<()> {
        self.surroundings.bell.register(cx.waker());
        let at = match next {
            Next::Now => return Poll::Ready(()),
            Next::At(at) => at,
            // the socket wakes the task
            Next::Writable => None,
        };
        let Some(at) = at else {
            self.alarm = None;
            return Poll::Pending;
        };
        let clock = &self.surroundings.clock;
        let alarm = match self.alarm.take() {
            Some((set_to, alarm)) if set_to == at => alarm,
            _ => sleep_until(clock.instant(at)),
        };
        let (_, alarm) = self.alarm.insert((at, alarm));
        let rang = Pin::new(alarm).poll(cx);
        if rang.is_ready() {
            self.alarm = None;
        }
        rang
    }
}

pub(super) async fn send(sending: Arc<Sending<SimSocket>>, surroundings: Surroundings) {
    let mut bed = Bed::new(surroundings);
    poll_fn(|cx| loop {
        bed.surroundings.socket.on_writable(cx.waker());
        bed.surroundings.turns.add(1);
        sending.wake_up();
        let Turn::Sleep(next) = sending.turn() else {
            return Poll::Ready(());
        };
        bed.hold_simulation(sending.has_work());
        if bed.poll_sleep(next, cx).is_pending() {
            return Poll::Pending;
        }
    })
    .await;
}

pub(super) async fn receive(mut receiving: Receiving<SimSocket>, surroundings: Surroundings) {
    let mut bed = Bed::new(surroundings);
    let mut lets_others_pass = false;
    poll_fn(|cx| loop {
        if core::mem::take(&mut lets_others_pass) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        bed.surroundings.socket.on_readable(cx.waker());
        bed.surroundings.turns.add(1);
        receiving.wake_up();
        let clock = &bed.surroundings.clock;
        let next = match receiving.turn(|| clock.now()) {
            Turn::Sleep(next) => next,
            turn @ (Turn::Again | Turn::Last) => {
                lets_others_pass = turn == Turn::Last;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Turn::Done => return Poll::Ready(()),
        };
        // a stream without a timer waits for its application, which can hold the simulation open by itself
        let is_timed = matches!(next, Next::At(Some(_)));
        bed.hold_simulation(receiving.has_work() && is_timed);
        if bed.poll_sleep(next, cx).is_pending() {
            return Poll::Pending;
        }
    })
    .await;
}
