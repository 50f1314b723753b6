// SPDX-License-Identifier: Apache-2.0

//! How many bytes a path may have outstanding.
//!
//! The plain algorithm is BIC (Xu, Harfoush and Rhee, "Binary Increase Congestion Control for Fast Long-Distance Networks",
//! INFOCOM 2004): after a loss, the window is searched between what was too much and what is left by halving the
//! distance once per round trip, and beyond what was too much by doubling the step. Before the first loss it doubles, until the delay says that a
//! queue builds up (HyStart++, RFC 9406, in `slow_start`).
//!
//! Why not a model of the path's rate: in a datacenter the round trip is that of the hosts. It is tens of microseconds when they are
//! idle and milliseconds when a processor is busy, so a window of rate times smallest round trip is smaller than one batch,
//! and with small batches the rate is really as low as the model believes. Losses are rare there and mean what they say.
//!
//! The departures from BIC: steps are in shares of the window instead of packets, because a window of a batch and one of megabytes
//! share a path; a window that is not used does not grow (RFC 9002, section 7.8); and when all losses of a round trip turn out to
//! have been reordering, the window is what it was before them (as RFC 4015 does for TCP).
//!
//! The one rule: the window shrinks at most once per round trip, and only for packets that were sent after the last time.

use super::slow_start::{Growth, SlowStart};
use core::time::Duration;
use published_core::time::Timestamp;

/// The window after a loss, as a share of that before: BIC's 0.8
const DECREASE: Share = Share(4, 5);

/// The same while the window doubled: half is what was sent without a loss one round trip ago
const DECREASE_OF_DOUBLING: Share = Share(1, 2);

/// The largest step of one round trip. With more, the search overshoots into a short queue; with less, it takes too many round trips.
const MAX_STEP: Share = Share(1, 8);

/// The smallest step of one round trip, so that a search ends and probing beyond begins
const MIN_STEP: Share = Share(1, 512);

/// A loss at this share of the target or above says no more than the last one: the search ended where it should. To lower the target for it
/// would have the next search pass the same point with a large step.
const NEAR: Share = Share(15, 16);

/// Growth per round trip in the conservative part of slow start (RFC 9406, section 4.3)
const CONSERVATIVE_STEP: Share = Share(1, 4);

#[derive(Clone, Copy, Debug)]
struct Share(u64, u64);

impl Share {
    fn of(self, value: u64) -> u64 {
        value * self.0 / self.1
    }
}

/// What the window may be, in bytes
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The window before anything is known of the path
    pub initial: u64,
    /// Never less: a few datagrams, so that losses can be told by what arrives behind them
    pub min: u64,
    /// Never more: what the peer's receive buffer holds
    pub max: u64,
}

/// What an acknowledgement says about the path
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Bytes that are not outstanding any more
    pub bytes: u64,
    /// When the newest packet among them left
    pub sent: Timestamp,
    /// How long the newest took, if it was not known before
    pub rtt: Option<Duration>,
    /// Whether the window is what kept more from being sent
    pub is_limiting: bool,
}

/// What tells that the window was too large
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A packet was lost, which may turn out to be wrong
    Loss,
    /// A packet arrived with a mark of congestion (RFC 3168)
    Mark,
}

/// The window of one path
#[derive(Clone, Debug)]
pub struct Congestion {
    limits: Limits,
    window: u64,
    phase: Phase,
    /// Bytes acknowledged that have not yet grown the window by one
    remainder: u64,
    episode: Option<Episode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Doubling with each round trip
    SlowStart {
        delay: SlowStart,
        is_conservative: bool,
    },
    /// Searching for the largest window without loss; `target` is where the last search ended
    Search { target: u64 },
}

/// The packets that the window has shrunk for last: those that left after `from`, up to `until`
#[derive(Clone, Copy, Debug)]
struct Episode {
    from: Option<Timestamp>,
    until: Timestamp,
    /// How many of them were lost
    losses: u64,
    /// What to return to if none really was
    before: Option<(u64, Phase)>,
}

impl Episode {
    fn has(&self, sent: Timestamp) -> bool {
        sent <= self.until && self.from.is_none_or(|from| sent > from)
    }
}

impl Congestion {
    /// A path about which nothing is known
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            window: limits.initial.clamp(limits.min, limits.max),
            phase: Phase::SlowStart {
                delay: SlowStart::default(),
                is_conservative: false,
            },
            remainder: 0,
            episode: None,
        }
    }

    /// Bytes that may be outstanding
    pub fn window(&self) -> u64 {
        self.window
    }

    /// The path can hold `max` bytes, now that more is known about it
    pub fn set_max(&mut self, max: u64) {
        self.limits.max = max.max(self.limits.min);
        self.window = self.window.min(self.limits.max);
    }

    /// Whether the window doubles with each round trip
    pub fn is_doubling(&self) -> bool {
        matches!(
            self.phase,
            Phase::SlowStart {
                is_conservative: false,
                ..
            }
        )
    }

    /// The peer has said something new
    pub fn on_acknowledged(&mut self, acknowledged: Acknowledged, now: Timestamp) {
        if !acknowledged.is_limiting {
            return;
        }
        if let (
            Phase::SlowStart {
                delay,
                is_conservative,
            },
            Some(rtt),
        ) = (&mut self.phase, acknowledged.rtt)
        {
            match delay.on_sample(acknowledged.sent, rtt, now) {
                Growth::Doubling => *is_conservative = false,
                Growth::Conservative => *is_conservative = true,
                Growth::Over => {
                    self.phase = Phase::Search {
                        target: self.window,
                    }
                }
            }
        }
        let step = match self.phase {
            Phase::SlowStart {
                is_conservative: false,
                ..
            } => self.window,
            Phase::SlowStart { .. } => CONSERVATIVE_STEP.of(self.window),
            Phase::Search { target } => self.step(target),
        };
        // a whole window of acknowledgements is a round trip, and grows it by one step
        self.remainder += acknowledged.bytes.min(self.window) * step;
        let growth = self.remainder / self.window;
        self.remainder %= self.window;
        self.window = (self.window + growth).min(self.limits.max);
    }

    fn step(&self, target: u64) -> u64 {
        let distance = if self.window < target {
            (target - self.window) / 2
        } else {
            self.window - target
        };
        let (min, max) = (MIN_STEP.of(self.window), MAX_STEP.of(self.window));
        distance.clamp(min.max(1), max.max(1))
    }

    /// Something that was sent at `sent` was lost, or arrived with a mark of congestion; true if the window shrinks for it
    pub fn on_congestion(&mut self, signal: Signal, sent: Timestamp, now: Timestamp) -> bool {
        if let Some(episode) = &mut self.episode {
            if sent <= episode.until {
                match signal {
                    Signal::Loss if episode.has(sent) => episode.losses += 1,
                    Signal::Loss => {}
                    Signal::Mark => episode.before = None,
                }
                return false;
            }
        }
        self.episode = Some(Episode {
            from: self.episode.map(|episode| episode.until),
            until: now,
            losses: 1,
            before: (signal == Signal::Loss).then_some((self.window, self.phase)),
        });
        let decrease = if self.is_doubling() {
            DECREASE_OF_DOUBLING
        } else {
            DECREASE
        };
        let reduced = decrease.of(self.window);
        let target = match self.phase {
            // far below the last target: somebody else wants a share, and gets it sooner if the search ends lower ("fast convergence")
            Phase::Search { target } if self.window < NEAR.of(target) => {
                (self.window + reduced) / 2
            }
            Phase::SlowStart { .. } | Phase::Search { .. } => self.window,
        };
        self.phase = Phase::Search { target };
        self.window = reduced.max(self.limits.min);
        self.remainder = 0;
        true
    }

    /// A packet that was sent at `sent` and called lost has arrived after all
    pub fn on_spurious_loss(&mut self, sent: Timestamp) {
        let Some(episode) = &mut self.episode else {
            return;
        };
        if !episode.has(sent) {
            return;
        }
        episode.losses = episode.losses.saturating_sub(1);
        if episode.losses > 0 {
            return;
        }
        if let Some((window, phase)) = episode.before.take() {
            self.window = self.window.max(window);
            self.phase = phase;
            self.remainder = 0;
        }
    }
}

#[cfg(test)]
mod tests;
