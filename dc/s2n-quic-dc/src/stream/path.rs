// SPDX-License-Identifier: Apache-2.0

//! The path that all streams to one peer share: one round-trip estimate, one congestion controller, one schedule of departures
//! and one window.
//!
//! A stream takes window before it fills a descriptor, and gives it back when the packet is acknowledged, discarded or cancelled. The
//! socket worker reports what left, in the order in which it left, so that rate samples belong to the path's own
//! sequence and not to one stream's.
//!
//! The one rule: no waker is woken while the path is locked. Methods that may hand out window return the wakers.

use crate::{
    clock::ticks, socket::send::udp::Sender, stream::control_keys::PathSecret, sync::few::Few,
};
use control::Control;
use core::{
    sync::atomic::{AtomicU64, Ordering},
    task::{Poll, Waker},
    time::Duration,
};
use parking_lot::Mutex;
use receipts::Receipts;
use s2n_quic_core::{
    recovery::{
        congestion::Signal,
        reordering::Thresholds,
        window::{FlowId, Window},
    },
    time::Timestamp,
};
use std::sync::Arc;

pub(crate) mod admission;
mod ceiling;
mod control;
pub(crate) mod receipts;

pub(crate) use admission::Admission;
pub(crate) use control::{Limits, Verdict, MAX_TIME_WAIT};

/// What a path is sized for until the handshake's agreement is known
const DATAGRAM_LEN: u16 = 1450;

/// How long no acknowledgement of several packets waits for an answer, after one that came late. Who answers late always keeps a window from being
/// used for a millisecond of that.
const LATE_PERIOD: Duration = Duration::from_millis(100);

/// The departure of one transmission, as the socket worker saw it
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departed {
    /// Taken just before the system call, never earlier than that of the transmission before it
    pub(crate) time: Timestamp,
}

/// What one control packet acknowledged
pub(crate) struct Acknowledged {
    /// Bytes of packets
    pub(crate) bytes: u64,
    /// Bytes of window that are free again
    pub(crate) released: u64,
    /// The departure of the newest packet among them
    pub(crate) departed: Departed,
    /// Whether this is the largest number of its space and newly acknowledged: then it gives a round-trip sample
    pub(crate) is_rtt_sample: bool,
    /// How long the peer has waited before it said so
    pub(crate) delay: Duration,
}

/// What a stream wants of the window
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    pub(crate) bytes: u64,
    /// Nothing was sent yet
    pub(crate) is_opening: bool,
    /// It is short, nothing is on the way, and no more was ever written at once: it converses
    pub(crate) is_message: bool,
}

/// What a stream has taken of the window
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance {
    pub(crate) bytes: u64,
    /// How much of it one transmission may have
    pub(crate) batch: u64,
}

pub(crate) struct Path {
    state: Mutex<State>,
    pub(crate) admission: Admission,
    pub(crate) receipts: Receipts,
    pub(crate) secret: PathSecret,
    /// Microseconds of the clock at which a call of the peer was last answered
    last_answer: AtomicU64,
    /// Microseconds of the clock until which no acknowledgement of several packets waits for an answer
    late_until: AtomicU64,
}

struct State {
    window: Window<Waker>,
    control: Control,
    /// Streams that want to know when the peer is heard of
    holding: Wakes,
}

/// What is to be done once every lock is released: the wakers to wake, and the sockets that have something to send
#[must_use]
#[derive(Default)]
pub(crate) struct Wakes {
    wakers: Few<Waker>,
    senders: Few<Arc<Sender>>,
}

impl Wakes {
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.wakers.push_back(waker);
        }
    }

    /// Something was submitted to `sender`
    pub(crate) fn flush(&mut self, sender: &Arc<Sender>) {
        if !self.flushes(sender) {
            self.senders.push_back(sender.clone());
        }
    }

    fn flushes(&self, sender: &Arc<Sender>) -> bool {
        self.senders.iter().any(|known| Arc::ptr_eq(known, sender))
    }

    /// Whether more than one is to be woken
    pub(crate) fn has_many(&self) -> bool {
        self.wakers.len() > 1
    }

    pub(crate) fn append(&mut self, mut other: Wakes) {
        other.wakers.drain(|waker| self.wakers.push_back(waker));
        other.senders.drain(|sender| {
            if !self.flushes(&sender) {
                self.senders.push_back(sender);
            }
        });
    }

    pub(crate) fn wake(mut self) {
        self.wake_all();
    }

    /// As [`Wakes::wake`], and keeps the memory for more
    pub(crate) fn wake_all(&mut self) {
        self.wakers.drain(Waker::wake);
        self.senders.drain(|sender| sender.flush());
    }
}

impl Path {
    /// A path about which nothing is known
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let control = Control::new(DATAGRAM_LEN, limits);
        Arc::new(Self {
            admission: Admission::new(control.max_openings()),
            receipts: Receipts::default(),
            secret: PathSecret::default(),
            last_answer: AtomicU64::new(0),
            late_until: AtomicU64::new(0),
            state: Mutex::new(State {
                window: Window::default(),
                control,
                holding: Wakes::default(),
            }),
        })
    }

    /// Whether messages of several packets are answered soon enough for their acknowledgements to wait for that
    pub(crate) fn answers_soon(&self, now: Timestamp) -> bool {
        self.late_until.load(Ordering::Relaxed) <= ticks(now)
    }

    /// An acknowledgement has waited for an answer in vain, while the peer could not send as much to others
    pub(crate) fn on_late_answer(&self, now: Timestamp) {
        let until = ticks(now + LATE_PERIOD);
        self.late_until.store(until, Ordering::Relaxed);
    }

    /// A call of the peer is being answered; returns how long that is after the last one
    pub(crate) fn on_answer(&self, now: Timestamp) -> Duration {
        let now = ticks(now);
        let last = self.last_answer.swap(now, Ordering::Relaxed);
        Duration::from_micros(now.saturating_sub(last))
    }

    /// To be called before a stream sends: packets have up to `datagram_len` bytes. The path's first stream decides.
    pub(crate) fn prepare(&self, datagram_len: u16) {
        self.state.lock().control.prepare(datagram_len);
    }

    pub(crate) fn insert_flow(&self) -> FlowId {
        self.state.lock().window.insert()
    }

    /// Gives the flow's number and what was granted to it back
    pub(crate) fn remove_flow(&self, flow: FlowId, now: impl FnOnce() -> Timestamp) {
        let wakes = {
            let mut state = self.state.lock();
            state.window.remove(flow);
            match state.window.waiters() {
                0 => Wakes::default(),
                _ => state.grants(now()),
            }
        };
        wakes.wake();
    }

    /// Takes between one and all of the bytes that are wanted for one or more transmissions, or has the flow wait its turn
    ///
    /// The first packet of a stream does not wait on a silent path: the peer may be back and know nothing of those who hold the window.
    pub(crate) fn poll_take(
        &self,
        flow: FlowId,
        demand: Demand,
        waker: &Waker,
        now: Timestamp,
    ) -> (Poll<Allowance>, Wakes) {
        let want = demand.bytes;
        let mut state = self.state.lock();
        let batch = state.control.batch();
        if demand.is_opening && state.control.is_silent() {
            let bytes = want.min(state.control.datagram_len());
            state.window.cancel(flow);
            state.window.take_unchecked(bytes);
            return (Poll::Ready(Allowance { bytes, batch }), Wakes::default());
        }
        let (turn, limit) = (state.control.turn(), state.control.window());
        let is_beside_bulk = state.window.outstanding() > limit / 2;
        if demand.is_message && is_beside_bulk {
            state.control.on_message(now);
        }
        let in_a_row = state.control.turns_in_a_row(state.window.waiters());
        state.window.set_turns_in_a_row(in_a_row);
        let bytes = state.window.take(flow, want, turn, limit);
        if bytes == 0 {
            state.window.wait(flow, want, turn, waker.clone());
            // there may be room for whoever is first in line, if only nobody came to ask
            return (Poll::Pending, state.grants(now));
        }
        (Poll::Ready(Allowance { bytes, batch }), Wakes::default())
    }

    /// The flow's writer reports what it has and waits no longer
    pub(crate) fn cancel(&self, flow: FlowId, now: Timestamp) -> Wakes {
        let mut state = self.state.lock();
        state.window.cancel(flow);
        state.grants(now)
    }

    /// Takes back grants that nobody came for; and whether anybody waits
    pub(crate) fn reclaim(&self, now: Timestamp) -> (Wakes, bool) {
        let mut state = self.state.lock();
        (state.grants(now), state.window.waiters() > 0)
    }

    /// Takes `bytes` whether or not there is room: for a packet that says something and carries no data
    pub(crate) fn take_unchecked(&self, bytes: u64) {
        self.state.lock().window.take_unchecked(bytes);
    }

    /// A transmission of `len` bytes was filled with what was taken as `taken`: settles the difference and gives the departure time
    pub(crate) fn commit(&self, taken: u64, len: u32, now: Timestamp) -> (Timestamp, Wakes) {
        let mut state = self.state.lock();
        state.window.take_unchecked(u64::from(len));
        state.window.release(taken);
        let departure = state.control.schedule(len, now);
        (departure, state.grants(now))
    }

    /// The departure time of a retransmission of `len` bytes, which holds window already
    pub(crate) fn schedule(&self, len: u32, now: Timestamp) -> Timestamp {
        self.state.lock().control.schedule(len, now)
    }

    /// Gives back what was taken and not sent
    pub(crate) fn release(&self, bytes: u64, now: Timestamp) -> Wakes {
        let mut state = self.state.lock();
        state.window.release(bytes);
        state.grants(now)
    }

    pub(crate) fn on_ack(&self, acknowledged: Acknowledged, now: Timestamp) -> Wakes {
        let mut state = self.state.lock();
        let released = acknowledged.released;
        let is_rtt_sample = acknowledged.is_rtt_sample;
        let is_limiting = state.is_window_limiting();
        state
            .control
            .on_acknowledged(acknowledged, is_limiting, now);
        state.window.release(released);
        let mut wakes = state.grants(now);
        wakes.append(core::mem::take(&mut state.holding));
        let max_openings = is_rtt_sample.then(|| state.control.max_openings());
        drop(state);
        let next = max_openings.and_then(|max| self.admission.set_max_speaking(max));
        wakes.push(next);
        wakes
    }

    /// Wakes `waker` when the peer has acknowledged something, of whatever stream
    pub(crate) fn hold(&self, waker: Waker) {
        self.state.lock().holding.push(Some(waker));
    }

    /// A packet that left at `departed` was lost, or was marked by the network; the window it holds goes over to its
    /// retransmission
    pub(crate) fn on_congestion(&self, signal: Signal, departed: Departed, now: Timestamp) {
        let mut state = self.state.lock();
        state.control.on_congestion(signal, departed, now);
    }

    /// A packet that was called lost has arrived after all: `distance` packets that were made later are known to have arrived first
    pub(crate) fn on_spurious_loss(&self, departed: Departed, distance: u64, now: Timestamp) {
        let mut state = self.state.lock();
        state.control.on_spurious_loss(departed, distance, now);
    }

    /// How long to wait for an acknowledgement before probing
    pub(crate) fn pto_period(&self, backoff: u32) -> Duration {
        self.state.lock().control.pto_period(backoff)
    }

    /// A packet of the peer was lost, as its repetition shows
    pub(crate) fn note_loss(&self) {
        self.state.lock().control.note_loss();
    }

    /// How long a stream that has received everything still answers to repetitions
    pub(crate) fn time_wait(&self) -> Duration {
        self.state.lock().control.time_wait()
    }

    /// How long to wait for an acknowledgement before looking what to make of it
    pub(crate) fn probe_period(&self, backoff: u32) -> Duration {
        self.state.lock().control.probe_period(backoff)
    }

    /// Whether the peer has left a probe without an answer
    pub(crate) fn is_silent(&self) -> bool {
        self.state.lock().control.is_silent()
    }

    /// What a stream makes of silence, whose newest packet left at `departed`
    pub(crate) fn on_silence(&self, departed: Timestamp, backoff: u32, now: Timestamp) -> Verdict {
        let mut state = self.state.lock();
        state.control.on_silence(departed, backoff, now)
    }

    /// From when on a packet counts as lost
    pub(crate) fn loss_thresholds(&self) -> Thresholds {
        self.state.lock().control.thresholds()
    }

    /// Bytes queued and in flight, and the window that holds them
    pub(crate) fn usage(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.window.outstanding(), state.control.window())
    }
}

impl State {
    /// Whether more would have been sent if the window were larger
    fn is_window_limiting(&self) -> bool {
        self.window.waiters() > 0 || 2 * self.window.outstanding() > self.control.window()
    }

    fn grants(&mut self, now: Timestamp) -> Wakes {
        let (turn, limit) = (self.control.turn(), self.control.window());
        let mut wakes = Wakes::default();
        while let Some(waker) = self.window.grant(turn, limit, now) {
            wakes.push(Some(waker));
        }
        wakes
    }
}
