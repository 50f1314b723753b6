// SPDX-License-Identifier: Apache-2.0

//! How many bytes a path may have outstanding.
//!
//! The plain algorithm is BIC (Xu, Harfoush and Rhee, "Binary Increase Congestion Control for Fast Long-Distance Networks",
//! INFOCOM 2004): after a loss, the window is searched between what was too much and what is left by halving the
//! distance once per round trip, and beyond what was too much by doubling the step. Before the first loss it is the slow start of RFC 9002,
//! section 7.3.1.
//!
//! Why not a model of the path's rate: in a datacenter the round trip is that of the hosts. It is tens of microseconds when they are
//! idle and milliseconds when a processor is busy, so a window of rate times smallest round trip is smaller than one batch,
//! and with small batches the rate is really as low as the model believes. Losses are rare there and mean what they say.
//!
//! The departures from BIC: steps are in shares of the window instead of packets, because a window of a batch and one of megabytes
//! share a path; and a window that is not used does not grow (RFC 9002, section 7.8).
//!
//! The one rule: the window shrinks at most once per round trip, and only for packets that were sent after the last time.

use published_core::time::Timestamp;

/// The window after a loss, as a share of that before: BIC's 0.8
const DECREASE: Share = Share(4, 5);

/// The largest step of one round trip. With more, the search overshoots into a short queue; with less, it takes too many round trips.
const MAX_STEP: Share = Share(1, 8);

/// The smallest step of one round trip, so that a search ends and probing beyond begins
const MIN_STEP: Share = Share(1, 128);

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

/// The window of one path
#[derive(Clone, Debug)]
pub struct Congestion {
    limits: Limits,
    window: u64,
    phase: Phase,
    /// Bytes acknowledged that have not yet grown the window by one
    remainder: u64,
    /// Losses of what was sent before this are those that the window has shrunk for
    since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Doubling with each round trip
    SlowStart,
    /// Searching for the largest window without loss; `target` is where the last search ended
    Search { target: u64 },
}

impl Congestion {
    /// A path about which nothing is known
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            window: limits.initial.clamp(limits.min, limits.max),
            phase: Phase::SlowStart,
            remainder: 0,
            since: None,
        }
    }

    /// Bytes that may be outstanding
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Whether the window was never too large so far
    pub fn is_slow_start(&self) -> bool {
        self.phase == Phase::SlowStart
    }

    /// `bytes` were acknowledged. `is_limiting`: whether the window is what kept more from being sent.
    pub fn on_acknowledged(&mut self, bytes: u64, is_limiting: bool) {
        if !is_limiting {
            return;
        }
        let step = match self.phase {
            Phase::SlowStart => self.window,
            Phase::Search { target } => self.step(target),
        };
        // a whole window of acknowledgements is a round trip, and grows it by one step
        self.remainder += bytes.min(self.window) * step;
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

    /// Something that was sent at `sent` was lost, or arrived with a mark of congestion
    pub fn on_congestion(&mut self, sent: Timestamp, now: Timestamp) {
        if self.since.is_some_and(|since| sent <= since) {
            return;
        }
        self.since = Some(now);
        let reduced = DECREASE.of(self.window);
        let target = match self.phase {
            // below the last target: somebody else wants a share, and gets it sooner if the search ends lower ("fast convergence")
            Phase::Search { target } if self.window < target => (self.window + reduced) / 2,
            Phase::SlowStart | Phase::Search { .. } => self.window,
        };
        self.phase = Phase::Search { target };
        self.window = reduced.max(self.limits.min);
        self.remainder = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const LIMITS: Limits = Limits {
        initial: 15_000,
        min: 6_000,
        max: 2_000_000,
    };

    fn at(millis: u64) -> Timestamp {
        // SAFETY: the tests use one made-up clock
        unsafe { Timestamp::from_duration(Duration::from_millis(1 + millis)) }
    }

    /// A whole window is acknowledged, packet by packet
    fn round(congestion: &mut Congestion) {
        let mut left = congestion.window();
        while left > 0 {
            let bytes = left.min(1450);
            congestion.on_acknowledged(bytes, true);
            left -= bytes;
        }
    }

    #[test]
    fn slow_start_doubles_with_each_round_trip_up_to_the_limit() {
        let mut congestion = Congestion::new(LIMITS);
        for doubling in 1..7 {
            round(&mut congestion);
            let expected = 15_000 << doubling;
            let window = congestion.window();
            assert!(
                window.abs_diff(expected) < expected / 3,
                "{window} {expected}"
            );
        }
        for _ in 0..10 {
            round(&mut congestion);
        }
        assert_eq!(congestion.window(), LIMITS.max);
        assert!(congestion.is_slow_start());
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new(LIMITS);
        congestion.on_acknowledged(1_000_000, false);
        assert_eq!(congestion.window(), LIMITS.initial);
    }

    #[test]
    fn the_losses_of_one_round_trip_shrink_the_window_once() {
        let mut congestion = Congestion::new(Limits {
            initial: 100_000,
            ..LIMITS
        });
        congestion.on_congestion(at(0), at(10));
        congestion.on_congestion(at(5), at(11));
        congestion.on_congestion(at(10), at(12));
        assert_eq!(congestion.window(), 80_000);
        congestion.on_congestion(at(11), at(20));
        assert_eq!(congestion.window(), 64_000);
    }

    #[test]
    fn a_search_halves_the_distance_and_then_doubles_its_steps_beyond() {
        let mut congestion = Congestion::new(Limits {
            initial: 1_000_000,
            ..LIMITS
        });
        congestion.on_congestion(at(0), at(10));
        let mut windows = vec![congestion.window()];
        for _ in 0..16 {
            round(&mut congestion);
            windows.push(congestion.window());
        }
        let steps: Vec<u64> = windows.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // slower and slower up to what was too much, and faster and faster from there
        let slowest = steps
            .iter()
            .enumerate()
            .min_by_key(|(_, step)| **step)
            .unwrap()
            .0;
        assert!(windows[slowest].abs_diff(1_000_000) < 40_000, "{windows:?}");
        assert!(steps[..=slowest].is_sorted_by(|a, b| a >= b), "{steps:?}");
        assert!(steps[slowest..].is_sorted(), "{steps:?}");
        assert!(steps[0] > 8 * steps[slowest], "{steps:?}");
        assert!(
            windows.iter().any(|window| *window > 1_200_000),
            "{windows:?}"
        );
    }

    #[test]
    fn a_loss_below_the_target_lowers_it() {
        let mut congestion = Congestion::new(Limits {
            initial: 1_000_000,
            ..LIMITS
        });
        congestion.on_congestion(at(0), at(10));
        congestion.on_congestion(at(11), at(20));
        assert_eq!(congestion.phase, Phase::Search { target: 720_000 });
    }

    #[test]
    fn the_window_stays_within_its_limits_whatever_happens() {
        bolero::check!()
            .with_type::<Vec<(u8, u32)>>()
            .with_iterations(5000)
            .for_each(|steps| {
                let mut congestion = Congestion::new(LIMITS);
                for (now, (kind, amount)) in steps.iter().enumerate() {
                    let now = now as u64;
                    match kind % 4 {
                        0 => congestion.on_congestion(at(now), at(now)),
                        1 => congestion.on_congestion(at(now / 2), at(now)),
                        kind => congestion.on_acknowledged(u64::from(*amount), kind == 2),
                    }
                    let window = congestion.window();
                    assert!((LIMITS.min..=LIMITS.max).contains(&window), "{window}");
                }
            });
    }
}
