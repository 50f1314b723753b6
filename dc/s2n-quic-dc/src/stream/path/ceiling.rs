// SPDX-License-Identifier: Apache-2.0

//! The largest window of a path: what may wait at its end, and what is on the way.
//!
//! On a short path all of the window may wait in front of the receiver, or of a processor that both ends share, and whatever comes next waits for
//! it: so much is the round trip of everybody (Little's law). Bulk alone has nothing of a short one, and is faster with turns that are each long
//! enough to find their streams warm. Where short messages are sent beside it, they pay for that: beside ten uploads, calls
//! took 0.56 of the time at the 99th percentile with half of the window, which cost the uploads 6 %.
//!
//! The one rule: what is on the way counts in full, so that a long path is as fast in company.

use core::time::Duration;
use s2n_quic_core::time::Timestamp;

/// Bytes that may wait, which is four turns: a receive buffer of the system's usual 4 MiB limit holds that of eight paths
pub(super) const WAITING: u64 = 1 << 20;

/// The same while whatever waits is through [soon](SOON): then nobody else's waits there, and acknowledgements may be fewer
const WAITING_ALONE: u64 = WAITING + WAITING / 2;

/// At least twice as long as a path of its own takes for so much
const SOON: Duration = Duration::from_millis(1);

/// The same while short messages are sent beside bulk
const WAITING_IN_COMPANY: u64 = WAITING / 2;

/// A path that is longer than this holds more, by as much as it is longer: what is on the way is in nobody's buffer
const SHORT_PATH: Duration = Duration::from_micros(500);

/// Bytes that are never exceeded on any path
const MAX_WINDOW: u64 = 64 << 20;

/// How long after a short message others are expected: the window needs some round trips to grow again, and a service that makes ten calls a second
/// wants all of them to be fast
const COMPANY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Ceiling {
    /// When a short message was last sent beside bulk
    message: Option<Timestamp>,
}

impl Ceiling {
    /// A short message is sent while bulk holds the window
    pub(super) fn on_message(&mut self, now: Timestamp) {
        self.message = Some(now);
    }

    /// The largest window of a path whose shortest round trip is `min_rtt`, where packets wait for `queueing` besides
    pub(super) fn window(&self, min_rtt: Duration, queueing: Duration, now: Timestamp) -> u64 {
        let is_in_company = self.message.is_some_and(|message| now < message + COMPANY);
        let waiting = match is_in_company {
            true => WAITING_IN_COMPANY,
            false if queueing < SOON => WAITING_ALONE,
            false => WAITING,
        };
        let short = SHORT_PATH.as_micros() as u64;
        let longer = (min_rtt.as_micros() as u64).saturating_sub(short);
        (WAITING.saturating_mul(longer) / short)
            .saturating_add(waiting)
            .min(MAX_WINDOW)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn at(millis: u32) -> Timestamp {
        crate::clock::at_tick(1) + millis * MILLISECOND
    }

    #[test]
    fn only_a_long_path_may_hold_more_than_a_receive_buffer() {
        let window = |rtt| Ceiling::default().window(rtt, SOON, at(0));
        assert_eq!(window(Duration::ZERO), 1 << 20);
        assert_eq!(window(MILLISECOND / 2), 1 << 20);
        assert_eq!(window(MILLISECOND), 2 << 20);
        assert_eq!(window(5 * MILLISECOND), 10 << 20);
        assert_eq!(window(300 * MILLISECOND), 64 << 20);
        assert_eq!(window(Duration::MAX), 64 << 20);
    }

    #[test]
    fn less_waits_for_a_while_after_a_short_message() {
        let mut ceiling = Ceiling::default();
        let window = |ceiling: &Ceiling, now| ceiling.window(Duration::ZERO, SOON, now);
        ceiling.on_message(at(10));
        assert_eq!(window(&ceiling, at(10)), 1 << 19);
        assert_eq!(window(&ceiling, at(109)), 1 << 19);
        assert_eq!(window(&ceiling, at(110)), 1 << 20);
        ceiling.on_message(at(120));
        assert_eq!(window(&ceiling, at(120)), 1 << 19);
        assert_eq!(
            ceiling.window(Duration::ZERO, Duration::ZERO, at(120)),
            1 << 19
        );
        // of a long path most is on the way
        assert_eq!(
            ceiling.window(5 * MILLISECOND, SOON, at(120)),
            (10 << 20) - (1 << 19)
        );
        assert_eq!(ceiling.window(Duration::MAX, SOON, at(120)), 64 << 20);
    }

    #[test]
    fn more_waits_where_nobody_else_does() {
        let window = |queueing| Ceiling::default().window(Duration::ZERO, queueing, at(0));
        assert_eq!(window(Duration::ZERO), 3 << 19);
        assert_eq!(window(SOON - Duration::from_micros(1)), 3 << 19);
        assert_eq!(window(SOON), 1 << 20);
        let long = Ceiling::default().window(5 * MILLISECOND, Duration::ZERO, at(0));
        assert_eq!(long, (9 << 20) + (3 << 19));
    }
}
