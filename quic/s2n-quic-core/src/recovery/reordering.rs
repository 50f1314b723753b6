// SPDX-License-Identifier: Apache-2.0

//! How much later packets may arrive than those sent after them, before they count as lost.
//!
//! A path starts with the thresholds of RFC 9002, section 6.1: three packets, and 9/8 of a round trip. When a packet that was called lost is
//! acknowledged after all, the network has reordered, and the threshold that was wrong grows to what was seen, as section 6.1.1 suggests
//! and RACK does (RFC 8985, section 3.3.2 and appendix B.2). After some rounds of losses that were real, it falls back.
//!
//! Packets of other flows of the path are a third measure, because a flow that sends one burst now and then has none of its own to compare with. Their
//! acknowledgements come when another reader at the peer was scheduled, so the time is doubled with each mistake: on a busy host they
//! soon say nothing, and behind a full queue they tell a loss after one round trip.
//!
//! The one rule: thresholds are bounded, so that a peer that acknowledges what it likes can delay recovery by one round
//! trip at most.

use core::time::Duration;

/// RFC 9002, section 6.1.1
const PACKETS: u64 = 3;

/// More than a GSO batch: two paths that take turns by batch reorder by this
const MAX_PACKETS: u64 = 128;

/// RFC 9002, section 6.1.2, in eighths of a round trip
const EIGHTHS: u32 = 9;
const MAX_EIGHTHS: u32 = 16;

/// How often the time given to other flows' packets may double
const MAX_SKEW: u32 = 6;

/// Real losses, counted once per round trip, until the thresholds fall back (RFC 8985, section 6.2, step 4)
const PERSISTENCE: u8 = 16;

/// How far behind a packet of one path may be
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reordering {
    packets: u64,
    eighths: u32,
    skew: u32,
    persistence: u8,
}

impl Default for Reordering {
    fn default() -> Self {
        Self {
            packets: PACKETS,
            eighths: EIGHTHS,
            skew: 0,
            persistence: 0,
        }
    }
}

/// What makes a packet count as lost
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// A packet sent so many packets later was acknowledged
    pub packets: u64,
    /// A packet sent later was acknowledged, and so much time has passed since this one left
    pub time: Duration,
    /// A packet of another flow, sent later, was acknowledged, and so much time has passed since this one left
    pub others: Duration,
}

/// What is known of the path's round trips
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    /// The larger of the smoothed and the latest one
    pub time: Duration,
    /// What timers can tell apart
    pub granularity: Duration,
}

impl Reordering {
    /// What holds for a path with these round trips
    pub fn thresholds(&self, rtt: RoundTrip) -> Thresholds {
        let time = (rtt.time * self.eighths / 8).max(rtt.granularity);
        Thresholds {
            packets: self.packets,
            time,
            others: time.saturating_mul(1 << self.skew),
        }
    }

    /// A packet that was called lost has arrived, after others that were made up to `distance` packets later, and `age` after it left
    pub fn on_spurious_loss(&mut self, distance: u64, age: Duration, rtt: RoundTrip) {
        let thresholds = self.thresholds(rtt);
        self.packets = self.packets.max((distance + 1).min(MAX_PACKETS));
        if age > thresholds.time {
            self.eighths = (self.eighths + 1).min(MAX_EIGHTHS);
        }
        if age > thresholds.others {
            self.skew = (self.skew + 1).min(MAX_SKEW);
        }
        self.persistence = PERSISTENCE;
    }

    /// The losses of a round trip were real, as far as is known
    pub fn on_loss(&mut self) {
        self.persistence = self.persistence.saturating_sub(1);
        if self.persistence == 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(8);
    const RTT: RoundTrip = RoundTrip {
        time: TIME,
        granularity: Duration::from_millis(1),
    };

    fn thresholds(reordering: &Reordering) -> Thresholds {
        reordering.thresholds(RTT)
    }

    #[test]
    fn a_new_path_has_the_thresholds_of_the_standard() {
        let expected = Thresholds {
            packets: 3,
            time: Duration::from_millis(9),
            others: Duration::from_millis(9),
        };
        assert_eq!(thresholds(&Reordering::default()), expected);
        let short = Reordering::default().thresholds(RoundTrip {
            time: Duration::from_micros(80),
            ..RTT
        });
        assert_eq!(short.time, Duration::from_millis(1));
    }

    #[test]
    fn a_packet_that_was_overtaken_by_fifty_raises_the_threshold_above_fifty() {
        let mut reordering = Reordering::default();
        reordering.on_spurious_loss(50, TIME, RTT);
        assert_eq!(thresholds(&reordering).packets, 51);
        assert_eq!(thresholds(&reordering).time, Duration::from_millis(9));
        reordering.on_spurious_loss(10, TIME, RTT);
        assert_eq!(thresholds(&reordering).packets, 51, "it does not shrink");
    }

    #[test]
    fn a_packet_that_was_late_raises_the_time() {
        let mut reordering = Reordering::default();
        reordering.on_spurious_loss(1, Duration::from_millis(11), RTT);
        assert_eq!(
            thresholds(&reordering),
            Thresholds {
                packets: 3,
                time: Duration::from_millis(10),
                others: Duration::from_millis(20),
            }
        );
    }

    #[test]
    fn each_mistake_doubles_the_time_that_other_flows_packets_are_given() {
        let mut reordering = Reordering::default();
        // beside the eighth of a round trip that each adds
        for expected in [10 * 2, 11 * 4, 12 * 8] {
            let late = thresholds(&reordering).others + Duration::from_millis(1);
            reordering.on_spurious_loss(1, late, RTT);
            let others = thresholds(&reordering).others;
            assert_eq!(others, Duration::from_millis(expected));
        }
    }

    #[test]
    fn nothing_raises_them_beyond_the_bounds() {
        let mut reordering = Reordering::default();
        for _ in 0..100 {
            reordering.on_spurious_loss(u64::MAX - 1, Duration::MAX, RTT);
        }
        assert_eq!(
            thresholds(&reordering),
            Thresholds {
                packets: 128,
                time: 2 * TIME,
                others: 64 * 2 * TIME,
            }
        );
    }

    #[test]
    fn real_losses_bring_them_back_after_a_while() {
        let mut reordering = Reordering::default();
        reordering.on_spurious_loss(50, 2 * TIME, RTT);
        for _ in 0..15 {
            reordering.on_loss();
        }
        assert_eq!(thresholds(&reordering).packets, 51);
        reordering.on_loss();
        assert_eq!(reordering, Reordering::default());
    }
}
