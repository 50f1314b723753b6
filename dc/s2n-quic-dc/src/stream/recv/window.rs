// SPDX-License-Identifier: Apache-2.0

//! How far the peer may send: MAX_DATA, moved as the application drains, from a window that tunes itself.
//!
//! The window starts at what the handshake said. A receiver has no round-trip estimate, so it measures what it needs with its own
//! promises, as dynamic right-sizing does (Fisk and Feng, "Dynamic right-sizing in TCP", LACSI 2001; `tcp_rcv_space_adjust` in
//! Linux). From saying a MAX_DATA until a packet of the peer shows that it has heard is a trip. The window is kept at
//! [`HEADROOM`] times the most that the application has drained per trip.
//!
//! When the window is what limits the sender, it sends as soon as it hears, so that a trip is the round trip with all that
//! scheduling adds, which is what the window has to cover. The rate is that between the ends of two trips, with all waiting: an
//! application that sleeps and then takes all at once is slow, and so is one whose window is full most of the time.
//!
//! Departures from the originals: a trip needs no full window to end, because every control packet has MAX_DATA and a number,
//! and the peer's packets name the highest number that it has seen. And a trip starts anew when what it promised is used up, or
//! was said again because it may be lost: the sender would answer only to what comes after.
//!
//! The one rule: the limit never falls below what was promised, and promises are repeated until the peer is seen to know them.

use super::budget::Holding;
use core::time::Duration;
use s2n_quic_core::time::Timestamp;

/// The largest window that one stream grows to: 10 Gbit/s over a path of 5 ms each way are 12.5 MB, and a quarter for promises that
/// are on their way
const MAX_SIZE: u64 = 16 << 20;

/// The window over what the application drains per trip
///
/// Two, because as much is in flight as is drained; and twice that, because the figure is a trip old when the peer hears of it, and
/// a sender in slow start sends twice as much by then. Linux has the same two and adds up to four, by how fast the figure grows.
const HEADROOM: u64 = 4;

#[derive(Debug)]
pub(crate) struct Window {
    /// The furthest that a peer may go by any reading of the handshake; packets up to here are accepted even if nothing was promised
    agreed: u64,
    /// What the peer was told, or assumes from the handshake
    promised: u64,
    /// What the peer is known to know
    confirmed: u64,
    size: u64,
    /// The application has taken everything below
    consumed: u64,
    trip: Trip,
    /// When the last trip ended, and what was consumed by then; `None` before the first promise
    mark: Option<(Timestamp, u64)>,
    /// What `size` has grown by; `None` once the stream has ended, and then it grows no more
    holding: Option<Holding>,
}

/// The measurement of how long a promise and its answer take
#[derive(Clone, Copy, Debug)]
enum Trip {
    /// The next promise starts one
    Idle,
    /// The promise of `limit` went out `at`, in the control packet `number`
    Promised {
        number: u64,
        at: Timestamp,
        limit: u64,
    },
    /// The peer was heard to know it; the next read tells what was drained
    Answered { took: Duration },
}

/// What a control packet is to say, and how the stream stands
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promising {
    /// Of the control packet
    pub(crate) number: u64,
    /// One past the last byte that was received
    pub(crate) end: u64,
    pub(crate) datagram_len: u64,
    /// It is said because an earlier promise may be lost
    pub(crate) is_repetition: bool,
}

impl Window {
    /// `size`: bytes to start with, which the peer knows of; `agreed`: the furthest that it may believe it can send; `holding`: takes
    /// what the window grows by
    pub(crate) fn new(size: u64, agreed: u64, holding: Holding) -> Self {
        Self {
            agreed: agreed.max(size),
            promised: size,
            confirmed: size,
            size,
            consumed: 0,
            trip: Trip::Idle,
            mark: None,
            holding: Some(holding),
        }
    }

    /// Whether a packet that ends at `end` keeps to what was promised
    pub(crate) fn accepts(&self, end: u64) -> bool {
        end <= self.promised.max(self.agreed)
    }

    /// The application has taken everything below `consumed`; true if the peer should hear of the new limit soon
    pub(crate) fn on_consumed(&mut self, consumed: u64, now: Timestamp) -> bool {
        self.consumed = self.consumed.max(consumed);
        if let Trip::Answered { took } = self.trip {
            let (since, from) = self.mark.unwrap_or((now, 0));
            let drained = self.consumed.saturating_sub(from);
            let elapsed = now.saturating_duration_since(since);
            self.fit(drained_per_trip(drained, took, elapsed));
            self.trip = Trip::Idle;
            self.mark = Some((now, self.consumed));
        }
        self.limit().saturating_sub(self.confirmed) >= self.size / 2
            && self.limit().saturating_sub(self.promised) >= self.size / 4
    }

    /// The limit to put into a control packet
    pub(crate) fn promise(&mut self, promising: Promising, now: Timestamp) -> u64 {
        self.promised = self.promised.max(self.limit());
        let starts = match self.trip {
            Trip::Idle => true,
            Trip::Promised { limit, .. } => {
                let is_used_up = promising.end.saturating_add(promising.datagram_len) >= limit;
                is_used_up || promising.is_repetition
            }
            Trip::Answered { .. } => false,
        };
        if starts {
            self.trip = Trip::Promised {
                number: promising.number,
                at: now,
                limit: self.promised,
            };
            self.mark.get_or_insert((now, self.consumed));
        }
        self.promised
    }

    /// The largest limit that was promised
    pub(crate) fn promised(&self) -> u64 {
        self.promised
    }

    /// The peer has seen control packet `seen`, and may have seen those before it
    pub(crate) fn on_answered(&mut self, seen: u64, now: Timestamp) {
        if let Trip::Promised { number, at, limit } = self.trip {
            if seen >= number {
                // later control packets promise no less
                self.on_confirmed(limit);
                let took = now.saturating_duration_since(at);
                self.trip = Trip::Answered { took };
            }
        }
    }

    /// The peer has seen a control packet with this limit
    pub(crate) fn on_confirmed(&mut self, limit: u64) {
        self.confirmed = self.confirmed.max(limit);
    }

    /// Whether the peer may be waiting for a promise that did not reach it, having sent up to `end`
    pub(crate) fn may_block(&self, end: u64, datagram_len: u64) -> bool {
        self.promised > self.confirmed && end.saturating_add(datagram_len) >= self.confirmed
    }

    /// Nothing waits for the application any more: gives back what the window has grown by
    pub(crate) fn close(&mut self) {
        self.holding = None;
    }

    fn limit(&self) -> u64 {
        self.consumed.saturating_add(self.size)
    }

    /// Grows as far as a stream that drains so much per trip has use for, and the budget allows
    fn fit(&mut self, drained: u64) {
        let want = target(self.size, drained) - self.size;
        if let Some(holding) = self.holding.as_mut().filter(|_| want > 0) {
            self.size += holding.grow(want);
        }
    }
}

/// The window for a stream whose application drains so many bytes per trip; never less than it is
fn target(size: u64, drained: u64) -> u64 {
    drained.saturating_mul(HEADROOM).min(MAX_SIZE).max(size)
}

/// Of what was drained in `elapsed`, the part that belongs to a trip that `took` no longer than that
///
/// No more than `drained`, so nothing is cut off. A trip of no time, which a clock of 1 µs may show, counts as a whole.
fn drained_per_trip(drained: u64, took: Duration, elapsed: Duration) -> u64 {
    if elapsed <= took {
        return drained;
    }
    let part = u128::from(drained) * took.as_nanos() / elapsed.as_nanos();
    u64::try_from(part).unwrap_or(drained)
}

#[cfg(all(test, not(loom)))]
mod tests;
