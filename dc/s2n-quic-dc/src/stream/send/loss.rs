// SPDX-License-Identifier: Apache-2.0

//! Whether a packet is lost (RFC 9002, section 6.1).
//!
//! The one rule: only what departed before the newest acknowledged packet can be lost, so a packet that waits in the wheel never is.

use s2n_quic_core::{recovery::reordering::Thresholds, time::Timestamp};

/// The newest packet that the peer has acknowledged
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    pub(crate) sequence: u64,
    pub(crate) departed: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Lost,
    /// It is lost if nothing is heard of it until then; `None` while nothing newer is acknowledged
    NotLostYet(Option<Timestamp>),
}

/// `sequence` and `departed` are the packet's own
pub(crate) fn detect(
    sequence: u64,
    departed: Timestamp,
    newest: Newest,
    thresholds: Thresholds,
    now: Timestamp,
) -> Outcome {
    if sequence >= newest.sequence || departed > newest.departed {
        return Outcome::NotLostYet(None);
    }
    if newest.sequence - sequence >= thresholds.packets {
        return Outcome::Lost;
    }
    let deadline = departed + thresholds.time;
    if deadline <= now {
        return Outcome::Lost;
    }
    Outcome::NotLostYet(Some(deadline))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::time::Duration;

    const THRESHOLDS: Thresholds = Thresholds {
        packets: 3,
        time: Duration::from_micros(900),
        others: Duration::MAX,
    };

    fn at(micros: u64) -> Timestamp {
        crate::clock::at_tick(1_000_000 + micros)
    }

    fn newest(sequence: u64, micros: u64) -> Newest {
        Newest {
            sequence,
            departed: at(micros),
        }
    }

    #[test]
    fn a_packet_is_lost_when_three_later_ones_are_known() {
        assert_eq!(
            detect(7, at(0), newest(10, 1), THRESHOLDS, at(2)),
            Outcome::Lost
        );
        assert_eq!(
            detect(8, at(0), newest(10, 1), THRESHOLDS, at(2)),
            Outcome::NotLostYet(Some(at(900)))
        );
    }

    #[test]
    fn a_tail_is_lost_when_its_time_is_up() {
        assert_eq!(
            detect(9, at(0), newest(10, 1), THRESHOLDS, at(899)),
            Outcome::NotLostYet(Some(at(900)))
        );
        assert_eq!(
            detect(9, at(0), newest(10, 1), THRESHOLDS, at(900)),
            Outcome::Lost
        );
    }

    #[test]
    fn what_departed_later_is_never_lost_whatever_its_number() {
        // made first, but held back in the wheel while a retransmission overtook it
        assert_eq!(
            detect(1, at(50), newest(10, 1), THRESHOLDS, at(60_000)),
            Outcome::NotLostYet(None)
        );
    }

    #[test]
    fn what_was_made_later_is_never_lost() {
        assert_eq!(
            detect(11, at(0), newest(10, 1), THRESHOLDS, at(60_000)),
            Outcome::NotLostYet(None)
        );
    }
}
