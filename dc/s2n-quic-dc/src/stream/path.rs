// SPDX-License-Identifier: Apache-2.0

//! The path that all streams to one peer share: one round-trip estimate, one congestion controller, one schedule of departures
//! and one window.
//!
//! A stream takes window before it fills a descriptor, and gives it back when the packet is acknowledged, discarded or cancelled. The
//! socket worker reports what left, in the order in which it left, so that rate samples belong to the path's own
//! sequence and not to one stream's.
//!
//! The one rule: no waker is woken while the path is locked. Methods that may hand out window return the wakers.

use core::{
    task::{Poll, Waker},
    time::Duration,
};
use parking_lot::Mutex;
use s2n_quic_core::{
    packet::number::PacketNumberSpace,
    recovery::{
        bandwidth::Departures,
        congestion::{self, Congestion},
        window::{FlowId, Window},
        RttEstimator,
    },
    time::Timestamp,
};
use std::sync::Arc;

pub(crate) mod admission;

pub(crate) use admission::Admission;

/// Before the first sample: a datacenter's round trip, so that the first probe goes out after 6 ms (RFC 9002, section 6.2.2, asks for 333 ms
/// on the internet)
const INITIAL_RTT: Duration = Duration::from_millis(2);

/// A probe earlier than this would be answered by nothing but the peer's scheduling delay
const MIN_PTO: Duration = Duration::from_millis(4);

/// Backing off stops here, unless the round trip itself is longer: a peer of a datacenter that has not answered for this long is
/// either gone, or every packet was lost, and then only another one helps
const MAX_PTO: Duration = Duration::from_millis(250);

/// The window of a new path: ten datagrams, as RFC 9002, section 7.2, has it, of the largest size; it doubles with each round trip
const INITIAL_WINDOW: u64 = 10 * 8950;

/// Bytes that may always be outstanding: some datagrams of the largest size, so that the loss of one shows by those behind it
const MIN_WINDOW: u64 = 4 * 8950;

/// Bytes that are never exceeded: about what a receive buffer of the system's usual 4 MiB limit holds once the kernel's
/// bookkeeping is counted
const MAX_WINDOW: u64 = 2 << 20;

/// How much faster than the window per round trip packets leave: the window stays in charge (RFC 9002, section 7.7)
const PACING_GAIN: (u64, u64) = (5, 4);

/// The same while the window doubles, because its packets are sent before the round trip that it is measured by
const SLOW_START_GAIN: (u64, u64) = (2, 1);

/// The departure of one transmission, as the socket worker saw it
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departed {
    /// Taken just before the system call, never earlier than that of the transmission before it
    pub(crate) time: Timestamp,
}

/// What one control packet acknowledged
pub(crate) struct Acknowledged {
    /// Bytes of window that are free again
    pub(crate) bytes: u64,
    /// The departure of the newest packet among them
    pub(crate) departed: Departed,
    /// Whether this is the largest number of its space and newly acknowledged: then it gives a round-trip sample
    pub(crate) is_rtt_sample: bool,
}

pub(crate) struct Path {
    state: Mutex<State>,
    pub(crate) admission: Admission,
    quantum: u64,
}

struct State {
    window: Window<Waker>,
    departures: Departures,
    rtt: RttEstimator,
    congestion: Congestion,
}

/// The wakers to wake once every lock is released
#[must_use]
#[derive(Default)]
pub(crate) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }

    pub(crate) fn append(&mut self, mut other: Wakes) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn wake(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

impl Path {
    /// `quantum`: bytes of one turn at most, a GSO batch
    pub(crate) fn new(quantum: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                window: Window::default(),
                departures: Departures::new(quantum),
                rtt: RttEstimator::new(INITIAL_RTT),
                congestion: Congestion::new(congestion::Limits {
                    initial: INITIAL_WINDOW,
                    min: MIN_WINDOW,
                    max: MAX_WINDOW,
                }),
            }),
            admission: Admission::default(),
            quantum: u64::from(quantum),
        })
    }

    pub(crate) fn insert_flow(&self) -> FlowId {
        self.state.lock().window.insert()
    }

    /// Gives the flow's number and what was granted to it back
    pub(crate) fn remove_flow(&self, flow: FlowId, now: Timestamp) {
        let wakes = {
            let mut state = self.state.lock();
            state.window.remove(flow);
            state.grants(self.quantum, now)
        };
        wakes.wake();
    }

    /// Takes between one and `want` bytes, or has the flow wait its turn
    pub(crate) fn poll_take(
        &self,
        flow: FlowId,
        want: u64,
        waker: &Waker,
        now: Timestamp,
    ) -> (Poll<u64>, Wakes) {
        let mut state = self.state.lock();
        let limit = state.limit();
        let taken = state
            .window
            .take(flow, want, turn(self.quantum, limit), limit);
        if taken == 0 {
            state.window.wait(flow, waker.clone());
            // there may be room for whoever is first in line, if only nobody came to ask
            return (Poll::Pending, state.grants(self.quantum, now));
        }
        (Poll::Ready(taken), Wakes::default())
    }

    /// The flow's writer reports what it has and waits no longer
    pub(crate) fn cancel(&self, flow: FlowId, now: Timestamp) -> Wakes {
        let mut state = self.state.lock();
        state.window.cancel(flow);
        state.grants(self.quantum, now)
    }

    /// Takes back grants that nobody came for
    pub(crate) fn reclaim(&self, now: Timestamp) -> Wakes {
        self.state.lock().grants(self.quantum, now)
    }

    /// Takes `bytes` whether or not there is room: probes, and the few bytes by which a last packet exceeds its grant
    pub(crate) fn take_unchecked(&self, bytes: u64) {
        self.state.lock().window.take_unchecked(bytes);
    }

    /// A transmission of `len` bytes was filled with what was taken as `taken`: settles the difference and gives the departure time
    pub(crate) fn commit(&self, taken: u64, len: u32, now: Timestamp) -> (Timestamp, Wakes) {
        let mut state = self.state.lock();
        state.window.take_unchecked(u64::from(len));
        state.window.release(taken);
        let rate = state.pacing_rate();
        let departure = state.departures.schedule(len, rate, now);
        (departure, state.grants(self.quantum, now))
    }

    /// The departure time of a retransmission of `len` bytes, which holds window already
    pub(crate) fn schedule(&self, len: u32, now: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        let rate = state.pacing_rate();
        state.departures.schedule(len, rate, now)
    }

    /// Gives back what was taken and not sent
    pub(crate) fn release(&self, bytes: u64, now: Timestamp) -> Wakes {
        let mut state = self.state.lock();
        state.window.release(bytes);
        state.grants(self.quantum, now)
    }

    pub(crate) fn on_ack(&self, acknowledged: Acknowledged, now: Timestamp) -> Wakes {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let time_sent = acknowledged.departed.time;
        if acknowledged.is_rtt_sample {
            state.rtt.update_rtt(
                Duration::ZERO,
                now.saturating_duration_since(time_sent)
                    .max(Duration::from_micros(1)),
                now.max(time_sent),
                true,
                PacketNumberSpace::ApplicationData,
            );
        }
        let is_limiting = state.is_window_limiting();
        state
            .congestion
            .on_acknowledged(acknowledged.bytes, is_limiting);
        state.window.release(acknowledged.bytes);
        state.grants(self.quantum, now)
    }

    /// A packet that left at `departed` was lost, or was marked by the network; the window it holds goes over to its
    /// retransmission
    pub(crate) fn on_congestion(&self, departed: Departed, now: Timestamp) {
        self.state
            .lock()
            .congestion
            .on_congestion(departed.time, now);
    }

    /// How long to wait for an acknowledgement before probing
    pub(crate) fn pto_period(&self, backoff: u32) -> Duration {
        let state = self.state.lock();
        let period = state
            .rtt
            .pto_period(1, PacketNumberSpace::ApplicationData)
            .max(MIN_PTO);
        period.saturating_mul(backoff).min(period.max(MAX_PTO))
    }

    /// How much older than the newest acknowledged packet a lost one is (RFC 9002, section 6.1.2)
    pub(crate) fn loss_time_threshold(&self) -> Duration {
        self.state.lock().rtt.loss_time_threshold()
    }

    /// Bytes queued and in flight, and the window that holds them
    pub(crate) fn usage(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.window.outstanding(), state.limit())
    }
}

impl State {
    fn limit(&self) -> u64 {
        self.congestion.window()
    }

    /// Whether more would have been sent if the window were larger
    fn is_window_limiting(&self) -> bool {
        self.window.has_waiters() || 2 * self.window.outstanding() > self.limit()
    }

    /// The window per round trip with some headroom; nothing before the first round trip was measured
    fn pacing_rate(&self) -> Option<u64> {
        self.rtt.first_rtt_sample()?;
        let (gain, divisor) = match self.congestion.is_slow_start() {
            true => SLOW_START_GAIN,
            false => PACING_GAIN,
        };
        let nanos = self.rtt.smoothed_rtt().as_nanos().max(1);
        let per_second = u128::from(self.limit() * gain / divisor) * 1_000_000_000 / nanos;
        u64::try_from(per_second).ok()
    }

    fn grants(&mut self, quantum: u64, now: Timestamp) -> Wakes {
        let limit = self.limit();
        let quantum = turn(quantum, limit);
        let mut wakes = Wakes::default();
        while let Some(waker) = self.window.grant(quantum, limit, now) {
            wakes.0.push(waker);
        }
        wakes
    }
}

/// Bytes of one turn: a whole batch if the window holds some of them
fn turn(quantum: u64, limit: u64) -> u64 {
    quantum.min(limit / 4)
}
