// SPDX-License-Identifier: Apache-2.0

//! How far the peer may send: MAX_DATA, widened as the application drains.
//!
//! The window starts at what the handshake said. It doubles whenever the application drains a whole window in less time than
//! a few round trips would take, because then it is the window that limits the stream.
//!
//! The one rule: the limit never falls below what was promised, and promises are repeated until the peer is seen to know them.

use core::time::Duration;
use s2n_quic_core::time::Timestamp;

/// The largest window of one stream: what is in flight on a path, and as much again that waits for the application
const MAX_SIZE: u64 = 4 << 20;

/// A window that is drained faster than this is too small: a few round trips of a datacenter, and the time that an application needs
/// to be scheduled
const FAST_DRAIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Window {
    /// What the peer was told, or assumes from the handshake; no packet beyond it is accepted
    promised: u64,
    /// What the peer is known to know
    confirmed: u64,
    size: u64,
    consumed: u64,
    /// When the window was last resized, and what had been consumed by then
    epoch: Option<(Timestamp, u64)>,
}

impl Window {
    /// `size`: bytes to start with; `promised`: the furthest that the peer may believe it can send already
    pub(crate) fn new(size: u64, promised: u64) -> Self {
        Self {
            promised,
            confirmed: size.min(promised),
            size,
            consumed: 0,
            epoch: None,
        }
    }

    /// Whether a packet that ends at `end` keeps to what was promised
    pub(crate) fn accepts(&self, end: u64) -> bool {
        end <= self.promised.max(self.limit())
    }

    /// The application has taken everything below `consumed`; true if the peer should hear of the new limit soon
    pub(crate) fn on_consumed(&mut self, consumed: u64, now: Timestamp) -> bool {
        self.consumed = consumed;
        let (since, from) = *self.epoch.get_or_insert((now, 0));
        if consumed - from >= self.size {
            if now.saturating_duration_since(since) < FAST_DRAIN {
                self.size = (self.size * 2).min(MAX_SIZE.max(self.size));
            }
            self.epoch = Some((now, consumed));
        }
        self.limit().saturating_sub(self.confirmed) >= self.size / 2
            && self.limit().saturating_sub(self.promised) >= self.size / 4
    }

    /// The limit to put into a control packet
    pub(crate) fn promise(&mut self) -> u64 {
        self.promised = self.promised.max(self.limit());
        self.promised.max(self.confirmed)
    }

    /// The peer has seen a control packet with this limit
    pub(crate) fn on_confirmed(&mut self, limit: u64) {
        self.confirmed = self.confirmed.max(limit);
    }

    /// Whether the peer may be waiting for a promise that did not reach it, having sent up to `end`
    pub(crate) fn may_block(&self, end: u64, datagram_len: u64) -> bool {
        self.promised > self.confirmed && end + datagram_len >= self.confirmed
    }

    fn limit(&self) -> u64 {
        self.consumed + self.size
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        crate::clock::at_tick((1000 + millis) * 1000)
    }

    #[test]
    fn nothing_beyond_the_promise_is_accepted() {
        let window = Window::new(1000, 1000);
        assert!(window.accepts(1000));
        assert!(!window.accepts(1001));
    }

    #[test]
    fn the_limit_follows_what_the_application_takes() {
        let mut window = Window::new(1000, 1000);
        assert!(!window.on_consumed(100, at(0)), "too little to talk about");
        assert!(window.on_consumed(600, at(100)));
        assert_eq!(window.promise(), 1600);
        assert!(window.accepts(1600));
    }

    #[test]
    fn a_window_that_drains_fast_doubles_and_a_slow_one_stays() {
        let mut window = Window::new(1000, 1000);
        window.on_consumed(0, at(0));
        window.on_consumed(1000, at(1));
        assert_eq!(window.promise(), 1000 + 2000);
        window.on_consumed(3000, at(500));
        assert_eq!(window.promise(), 3000 + 2000);
    }

    #[test]
    fn the_window_stops_growing() {
        let mut window = Window::new(1000, 1000);
        let mut consumed = 0;
        window.on_consumed(0, at(0));
        for _ in 0..100 {
            consumed += 16 << 20;
            window.on_consumed(consumed, at(0));
        }
        assert_eq!(window.promise(), consumed + MAX_SIZE);
    }

    #[test]
    fn a_promise_is_open_until_it_is_confirmed() {
        let mut window = Window::new(1000, 1000);
        window.on_consumed(1000, at(100));
        let limit = window.promise();
        assert!(window.may_block(1000, 100), "the peer has sent all it may");
        assert!(!window.may_block(500, 100), "the peer has room left");
        window.on_confirmed(limit);
        assert!(!window.may_block(1000, 100));
    }
}
