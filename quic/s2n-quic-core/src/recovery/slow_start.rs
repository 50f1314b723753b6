// SPDX-License-Identifier: Apache-2.0

//! When the doubling of a new path's window ends, before losses end it.
//!
//! The plain algorithm is HyStart++ (RFC 9406): when the smallest round-trip time of a round is noticeably above that of the round
//! before, a queue builds up. The window then grows by a quarter per round instead of doubling, and either the delay goes
//! away again and doubling is resumed, or it stays for some rounds and slow start is over.
//!
//! The departure from it: what counts as noticeable starts at 250 µs instead of 4 ms. A datacenter's queue is often
//! shorter than 4 ms, and then would never be noticed.
//!
//! The one rule: only round trips of a path that is limited by its window are looked at. Those of an application that sends little
//! say nothing about the window.

use core::time::Duration;
use published_core::time::Timestamp;

/// Samples of a round before it is compared (RFC 9406 asks for 8; a round here may have no more than four acknowledgements)
const MIN_SAMPLES: u32 = 4;

/// How much longer a round trip has to be, at least and at most; in between an eighth of the one before (RFC 9406, section 4.3)
const MIN_THRESHOLD: Duration = Duration::from_micros(250);
const MAX_THRESHOLD: Duration = Duration::from_millis(16);

/// Rounds of slower growth before slow start is over (RFC 9406, section 4.3)
const CONSERVATIVE_ROUNDS: u8 = 5;

/// How the window grows now
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// By what was acknowledged
    Doubling,
    /// By a quarter of what was acknowledged
    Conservative,
    /// Slow start has ended
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SlowStart {
    round: Option<Round>,
    /// The smallest round trip of the round before
    before: Option<Duration>,
    conservative: Option<Conservative>,
}

/// From a departure until something that left later is acknowledged
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    began: Timestamp,
    min: Duration,
    samples: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conservative {
    /// Doubling is resumed below this
    baseline: Duration,
    rounds_left: u8,
}

impl SlowStart {
    /// Something that left at `sent` was acknowledged at `now`, after `rtt`
    pub(super) fn on_sample(&mut self, sent: Timestamp, rtt: Duration, now: Timestamp) -> Growth {
        let round = match self.round {
            Some(round) if sent < round.began => round,
            ended => {
                if let Some(ended) = ended {
                    self.before = Some(ended.min);
                    if let Some(conservative) = &mut self.conservative {
                        conservative.rounds_left -= 1;
                        if conservative.rounds_left == 0 {
                            return Growth::Over;
                        }
                    }
                }
                Round {
                    began: now,
                    min: Duration::MAX,
                    samples: 0,
                }
            }
        };
        let round = Round {
            min: round.min.min(rtt),
            samples: round.samples.saturating_add(1),
            ..round
        };
        self.round = Some(round);
        if round.samples >= MIN_SAMPLES {
            self.compare(round.min);
        }
        match self.conservative {
            Some(_) => Growth::Conservative,
            None => Growth::Doubling,
        }
    }

    fn compare(&mut self, min: Duration) {
        match self.conservative {
            Some(Conservative { baseline, .. }) if min < baseline => self.conservative = None,
            Some(_) => {}
            None => {
                let Some(before) = self.before else { return };
                let threshold = (before / 8).clamp(MIN_THRESHOLD, MAX_THRESHOLD);
                if min >= before + threshold {
                    self.conservative = Some(Conservative {
                        baseline: min,
                        rounds_left: CONSERVATIVE_ROUNDS,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        // SAFETY: the tests use one made-up clock
        unsafe { Timestamp::from_duration(Duration::from_micros(1_000_000 + micros)) }
    }

    /// Rounds of eight samples each with the same round trip, one after the other
    fn rounds(rtts: &[u64]) -> Vec<Growth> {
        let mut slow_start = SlowStart::default();
        let mut now = 0;
        let mut growths = Vec::new();
        for rtt in rtts {
            let mut growth = Growth::Doubling;
            for sample in 0..8 {
                let sent = at(now + sample);
                let time = Duration::from_micros(*rtt);
                growth = slow_start.on_sample(sent, time, sent + time);
                if growth == Growth::Over {
                    break;
                }
            }
            growths.push(growth);
            now += rtt + 8;
        }
        growths
    }

    #[test]
    fn a_steady_round_trip_doubles_for_ever() {
        assert!(rounds(&[1000; 50])
            .iter()
            .all(|growth| *growth == Growth::Doubling));
    }

    #[test]
    fn a_longer_round_trip_slows_growth_and_ends_it_if_it_stays() {
        use Growth::{Conservative, Doubling, Over};
        assert_eq!(
            rounds(&[1000, 1000, 1300, 1400, 1500, 1600, 1700, 1800]),
            [
                Doubling,
                Doubling,
                Conservative,
                Conservative,
                Conservative,
                Conservative,
                Conservative,
                Over
            ]
        );
    }

    #[test]
    fn a_delay_that_goes_away_resumes_the_doubling() {
        use Growth::{Conservative, Doubling};
        assert_eq!(
            rounds(&[1000, 1300, 1290, 1000]),
            [Doubling, Conservative, Doubling, Doubling]
        );
    }

    #[test]
    fn noise_below_the_threshold_is_none() {
        let growths = rounds(&[100, 300, 340, 200, 440, 500]);
        assert!(growths.iter().all(|growth| *growth == Growth::Doubling));
        // and with longer round trips, an eighth is
        let growths = rounds(&[20_000, 22_400, 24_700]);
        assert!(growths.iter().all(|growth| *growth == Growth::Doubling));
        assert_eq!(rounds(&[20_000, 22_500])[1], Growth::Conservative);
    }

    #[test]
    fn single_samples_of_a_round_decide_nothing() {
        let mut slow_start = SlowStart::default();
        for (sent, rtt) in [(0, 1000), (1000, 5000), (6000, 9000), (15_000, 20_000)] {
            let growth = slow_start.on_sample(at(sent), Duration::from_micros(rtt), at(sent + rtt));
            assert_eq!(growth, Growth::Doubling);
        }
    }
}
