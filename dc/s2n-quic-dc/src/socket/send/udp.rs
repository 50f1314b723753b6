// SPDX-License-Identifier: Apache-2.0

//! The socket worker: owns the wheels of one socket and sends what is due.
//!
//! Streams only append to one hand-off queue; the worker sorts it into a wheel per priority, takes out what is due, coalesces across
//! streams what shares destination, mark and packet size, stamps the time just before the system call, and completes every
//! transmission: sent, failed or cancelled. Sends are all or nothing: what would block stays in front of the wheel as it is,
//! any other error completes as failed and loss recovery sends it again.
//!
//! Whoever submits and finds the worker asleep takes its place for a few rounds: its thread is awake, and what it has made is in its
//! processor's cache. And while whoever receives has woken several streams on one runtime, what they submit waits for all of them, to leave
//! together.
//!
//! The one rule: every transmission that was submitted is completed exactly once, and one worker's departures never go back in time.

use super::{
    completion::Outcome,
    transmission::{Priority, Transmission},
    wheel::Wheel,
};
use crate::{
    clock::{at_tick, ticks},
    counter::{Counter, Gauge},
    socket::io::{Extent, Gather, Socket},
    stream::{metrics::LatenessCounters, path::Departed},
    sync::{doorbell::Doorbell, handoff::Handoff, patience::Patience},
};
use core::{
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
    time::Duration,
};
use s2n_quic_core::time::Timestamp;
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, OnceLock, Weak},
};

/// Bytes after which a round of sends ends: the time of the next one is then measured afresh
const ROUND_BYTES: usize = 65_487;

/// Messages that one `sendmmsg` takes at most; small ones gain from company, and 32 of them take about 100 µs
const ROUND_MESSAGES: usize = 32;

/// Flushes that wait for company before one sends for all: what makes a round worth while, and little enough to be made soon
const MAX_PATIENT: u32 = 16;

/// What is longer does not wait for company: it is half a batch by itself, and its receiver could be at it already
const MAX_PATIENT_LEN: usize = 32 << 10;

/// Buffers of one round that are listed without an allocation; more only if messages are very short
const INLINE_BUFFERS: usize = 64;

/// What streams hold of the worker
pub(crate) struct Sender {
    submissions: Handoff<Transmission>,
    pub(crate) doorbell: Doorbell,
    pub(crate) metrics: Metrics,
    is_finishing: AtomicBool,
    deputy: OnceLock<Weak<dyn Deputy>>,
    /// Whoever receives flushes for others
    patience: Patience,
    /// Whether short data waits for company, and not only control packets
    holds_data: AtomicBool,
}

/// Lets another thread than the worker's do a round of its work
pub(crate) trait Deputy: Send + Sync {
    /// Does a few rounds, or leaves them to somebody who is at it; returns whether the worker may sleep on
    fn stand_in(&self) -> bool;
}

/// What the worker counts
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Transmissions that wait for their time
    pub(crate) depth: Gauge,
    pub(crate) sent: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) failed: Counter,
    pub(crate) would_block: Counter,
    /// Of what is paced: control packets depart at once
    pub(crate) lateness: LatenessCounters,
}

/// When to call [`Worker::poll`] again
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once: more is due
    Now,
    /// When the doorbell rings, and at this time if there is one
    At(Option<Timestamp>),
    /// When the socket is writable or the doorbell rings
    Writable,
}

pub(crate) struct Worker<S: Socket> {
    socket: Arc<S>,
    sender: Arc<Sender>,
    wheels: [Wheel<Transmission>; Priority::COUNT],
    /// Due and not sent: what did not fit the last round, or would have blocked. Goes before the wheels.
    held: VecDeque<Transmission>,
    incoming: Vec<Transmission>,
    /// Empty between rounds
    round: Round,
    wakers: Vec<Waker>,
    /// How early a transmission may leave: by so much or more a sleep ends late
    resolution: Duration,
}

impl Sender {
    pub(crate) fn new(doorbell: Doorbell) -> Arc<Self> {
        Arc::new(Self {
            submissions: Handoff::new(),
            doorbell,
            metrics: Metrics::default(),
            is_finishing: AtomicBool::new(false),
            deputy: OnceLock::new(),
            patience: Patience::new(MAX_PATIENT),
            holds_data: AtomicBool::new(false),
        })
    }

    /// From now on a round of the worker may be done by whoever flushes
    pub(crate) fn appoint(&self, deputy: Weak<dyn Deputy>) {
        let _ = self.deputy.set(deputy);
    }

    /// Hands a transmission to the worker, which learns of it by the [`flush`](Self::flush) that must follow. After the worker has
    /// ended, it is completed as cancelled.
    pub(crate) fn submit(&self, transmission: Transmission) {
        if !self.is_patient(&transmission) {
            self.patience.end();
        }
        drop(self.submissions.push(transmission));
    }

    fn is_patient(&self, transmission: &Transmission) -> bool {
        transmission.priority == Priority::Control
            || self.holds_data.load(Ordering::Relaxed)
                && transmission.message.payload().len() <= MAX_PATIENT_LEN
    }

    /// Has what was submitted sent: here and now if the worker sleeps; to be called with no lock held
    pub(crate) fn flush(&self) {
        // one that is awake looks before it sleeps
        if !self.doorbell.is_armed() || self.patience.take() {
            return;
        }
        let deputy = self.deputy.get().and_then(Weak::upgrade);
        if !deputy.is_some_and(|deputy| deputy.stand_in()) {
            self.doorbell.ring();
        }
    }

    /// The caller has woken streams that are about to submit, and calls [`flush_for_all`](Self::flush_for_all) after they had their turn
    ///
    /// Data only waits with `holds_data`, if several are to make some that is short.
    pub(crate) fn expect_company(&self, holds_data: bool) {
        self.holds_data.store(holds_data, Ordering::Relaxed);
        self.patience.grant();
    }

    /// Has everything sent that waits for company
    pub(crate) fn flush_for_all(&self) {
        self.patience.end();
        self.flush();
    }

    /// Has the worker end once everything that was submitted has left
    pub(crate) fn finish(&self) {
        self.is_finishing.store(true, Ordering::Release);
        self.doorbell.ring();
    }

    /// Refuses what comes from now on and cancels what is there
    fn close(&self) {
        drop(self.submissions.close());
    }
}

impl<S: Socket> Worker<S> {
    /// `resolution` is that of the timers that the worker sleeps by
    pub(crate) fn new(
        socket: Arc<S>,
        sender: Arc<Sender>,
        resolution: Duration,
        now: Timestamp,
    ) -> Self {
        let tick = ticks(now);
        Self {
            socket,
            sender,
            wheels: core::array::from_fn(|_| Wheel::new(tick)),
            held: VecDeque::new(),
            incoming: Vec::new(),
            round: Round::default(),
            wakers: Vec::new(),
            resolution,
        }
    }

    pub(crate) fn sender(&self) -> &Arc<Sender> {
        &self.sender
    }

    /// Nobody submits any more, and everything has left
    pub(crate) fn is_done(&mut self) -> bool {
        if !self.sender.is_finishing.load(Ordering::Acquire) {
            return false;
        }
        // what was submitted since the last poll has not left
        self.accept();
        self.is_empty()
    }

    /// Whether transmissions wait for their time
    #[cfg(feature = "testing")]
    pub(crate) fn has_work(&self) -> bool {
        !self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.wheels.iter().all(Wheel::is_empty)
    }

    /// Sends one round of what is due
    pub(crate) fn poll(&mut self, now: Timestamp) -> Next {
        self.accept();
        let mut round = core::mem::take(&mut self.round);
        self.fill(&mut round, now);
        let next = if round.transmissions.is_empty() {
            Next::At(self.next_departure())
        } else {
            self.send(&mut round, now)
        };
        self.round = round;
        let depth = self.held.len() + self.wheels.iter().map(Wheel::len).sum::<usize>();
        self.sender.metrics.depth.set(depth as u64);
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        next
    }

    /// Sorts what the streams have handed over
    fn accept(&mut self) {
        self.sender.submissions.drain_into(&mut self.incoming);
        for transmission in self.incoming.drain(..) {
            let deadline = ticks(transmission.departure);
            self.wheels[transmission.priority as usize].insert(transmission, deadline);
        }
    }

    /// Takes out what is due, in order of priority, until the round is full
    fn fill(&mut self, round: &mut Round, now: Timestamp) {
        let tick = ticks(now + self.resolution);
        let max_segments = self.socket.max_segments();
        loop {
            let next = self
                .held
                .pop_front()
                .or_else(|| self.wheels.iter_mut().find_map(|wheel| wheel.pop(tick)));
            let Some(transmission) = next else { return };
            if !transmission.is_wanted() {
                self.sender.metrics.cancelled.add(1);
                self.complete(transmission, Outcome::Cancelled);
                continue;
            }
            if let Err(transmission) = round.push(transmission, max_segments) {
                self.held.push_front(transmission);
                return;
            }
        }
    }

    fn next_departure(&self) -> Option<Timestamp> {
        let tick = self.wheels.iter().filter_map(Wheel::next_expiry).min()?;
        let departure = at_tick(tick);
        Some(departure.checked_sub(self.resolution).unwrap_or(departure))
    }

    /// Leaves the round empty
    fn send(&mut self, round: &mut Round, now: Timestamp) -> Next {
        let (groups_sent, error) = round.send(&*self.socket);
        let sent = round
            .groups
            .get(groups_sent)
            .map_or(round.transmissions.len(), |group| group.start);
        let failed_end = round
            .groups
            .get(groups_sent + 1)
            .map_or(round.transmissions.len(), |group| group.start);

        round.groups.clear();
        round.bytes = 0;
        let mut transmissions = round.transmissions.drain(..);
        for transmission in transmissions.by_ref().take(sent) {
            if transmission.priority != Priority::Control {
                let lateness = now.saturating_duration_since(transmission.departure);
                self.sender.metrics.lateness.add(lateness);
            }
            let departed = Departed { time: now };
            self.sender.metrics.sent.add(1);
            self.complete(transmission, Outcome::Sent(departed));
        }

        let mut next = Next::Now;
        match error {
            None => {}
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.sender.metrics.would_block.add(1);
                next = Next::Writable;
            }
            Some(error) => {
                let errno = error.raw_os_error();
                for transmission in transmissions.by_ref().take(failed_end - sent) {
                    self.sender.metrics.failed.add(1);
                    self.complete(transmission, Outcome::Failed { errno });
                }
            }
        }
        // unsent, in their order, before everything else
        for transmission in transmissions.rev() {
            self.held.push_front(transmission);
        }
        next
    }

    fn complete(&mut self, transmission: Transmission, outcome: Outcome<Departed>) {
        if let Some(ticket) = transmission.ticket {
            self.wakers.extend(ticket.complete(outcome));
        }
    }
}

impl<S: Socket> Drop for Worker<S> {
    fn drop(&mut self) {
        // the tickets of what is left complete as cancelled when they are dropped
        self.sender.close();
        self.sender.metrics.depth.set(0);
    }
}

/// What one system call is to send
#[derive(Default)]
struct Round {
    transmissions: Vec<Transmission>,
    groups: Vec<Group>,
    bytes: usize,
}

/// Transmissions that one GSO send carries
struct Group {
    /// The first of its transmissions; the next group's start is its end
    start: usize,
    extent: Extent,
}

impl Round {
    /// Adds the transmission, or gives it back when the round is full
    ///
    /// It joins what was last added for its destination, and may leave before what is for others.
    fn push(
        &mut self,
        transmission: Transmission,
        max_segments: usize,
    ) -> Result<(), Transmission> {
        let extent = transmission.message.extent();
        if !self.groups.is_empty() && self.bytes + extent.total_len > ROUND_BYTES {
            return Err(transmission);
        }
        let goes_there = |group: &Group| group.extent.addr == extent.addr;
        let joined = self.groups.iter().rposition(goes_there).and_then(|index| {
            let joined = self.groups[index].extent.coalesce(&extent, max_segments)?;
            Some((index, joined))
        });
        match joined {
            Some((index, joined)) => {
                self.groups[index].extent = joined;
                let later = &mut self.groups[index + 1..];
                let end = later
                    .first()
                    .map_or(self.transmissions.len(), |next| next.start);
                later.iter_mut().for_each(|group| group.start += 1);
                self.transmissions.insert(end, transmission);
            }
            None if self.groups.len() == ROUND_MESSAGES => return Err(transmission),
            None => {
                self.groups.push(Group {
                    start: self.transmissions.len(),
                    extent,
                });
                self.transmissions.push(transmission);
            }
        }
        self.bytes += extent.total_len;
        Ok(())
    }

    /// How many groups went, and why the next one did not
    fn send<S: Socket>(&self, socket: &S) -> (usize, Option<io::Error>) {
        let buffers: SmallVec<[IoSlice<'_>; INLINE_BUFFERS]> = self
            .transmissions
            .iter()
            .map(|transmission| IoSlice::new(transmission.message.payload()))
            .collect();
        let ends = self
            .groups
            .iter()
            .skip(1)
            .map(|group| group.start)
            .chain([buffers.len()]);
        let messages: SmallVec<[Gather<'_>; ROUND_MESSAGES]> = self
            .groups
            .iter()
            .zip(ends)
            .map(|(group, end)| Gather {
                addr: group.extent.addr,
                ecn: group.extent.ecn,
                segment_len: group.extent.segment_len,
                payload: &buffers[group.start..end],
            })
            .collect();
        match messages.as_slice() {
            [message] => match socket.send(message) {
                Ok(()) => (1, None),
                Err(error) => (0, Some(error)),
            },
            messages => socket.send_many(messages),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
