// SPDX-License-Identifier: Apache-2.0

//! When the next transmission of a path may leave, and how large it should be.
//!
//! The plain algorithm is the virtual clock of Carousel (SIGCOMM 2017, section 4): every transmission takes
//! `length / rate` of the line's time, and the next one departs when that time has passed. The one departure from it: what a path
//! did not use while it idled is kept, up to one burst, as in a token bucket of that depth. A batch, or some small packets, then leave at once,
//! a long silence never adds up to a flood, and no time of one burst ever holds more than two.
//!
//! The one rule: departures of one path never decrease, whatever the rates passed in.

use core::time::Duration;
use published_core::time::Timestamp;

pub use published_core::recovery::bandwidth::*;

/// The line's time that one burst takes at most: what a queue on the way has to hold for it
const BURST_TIME: Duration = Duration::from_micros(250);

/// Bursts that take the line for as long as packets wait on the way anyway
const BURSTS_PER_QUEUE: u32 = 4;

/// What a [`Timestamp`] can tell apart, in nanoseconds; departures are rounded up to it
const TICK: u64 = 1000;

/// A transmission takes the line for this long, however short it is: no host sends ten million of them in a second, and more of them
/// would only pile up at one time
const MIN_INTERVAL: u64 = 100;

/// The schedule of one path
///
/// Costs five words. Nanoseconds are kept internally, because at 25 Gbit/s a 1450-byte packet takes 464 ns and rounding each
/// to the microsecond of [`Timestamp`] would halve the rate. `u64` nanoseconds since the clock's epoch last
/// 584 years; the largest product below, 2^32 bytes times 10^9, is computed in 128 bits.
#[derive(Clone, Copy, Debug)]
pub struct Departures {
    /// The time, in nanoseconds of the clock, at which everything so far has passed the line
    free: u64,
    /// The last departure, in nanoseconds of the clock
    last: u64,
    datagram: u32,
    max_burst: u32,
    burst_time: Duration,
}

impl Departures {
    /// A schedule of datagrams of up to `datagram` bytes, of which one send can carry `max_burst` bytes
    pub const fn new(datagram: u32, max_burst: u32) -> Self {
        Self {
            free: 0,
            last: 0,
            datagram,
            max_burst,
            burst_time: BURST_TIME,
        }
    }

    /// Says how long packets wait on the way: by so much the usual round trip is longer than the shortest
    ///
    /// What waits in a queue may come there at once. It has to where many paths end at one host: each has a low rate then, and if it is for want of
    /// processor, then the many sends of small bursts make it lower yet. Linux has larger ones at low rates as well (`tcp_tso_rtt_log`), to peers
    /// that are near; but of those paths none may ever have seen how near its peer is.
    pub fn set_queueing(&mut self, queueing: Duration) {
        self.burst_time = (queueing / BURSTS_PER_QUEUE).max(BURST_TIME);
    }

    /// Bytes that may leave at once: whole datagrams, as many as take the line for a short time, so that a queue on the way need not be
    /// long
    ///
    /// As Linux sizes what it segments late (`tcp_tso_autosize`), with a shorter time, unless packets [wait](Self::set_queueing) anyway. At
    /// least two, so that the loss of the first shows by the second; as many as one send carries without a rate.
    pub fn burst(&self, bytes_per_second: Option<u64>) -> u32 {
        let Some(rate) = bytes_per_second else {
            return self.max_burst;
        };
        let datagram = u128::from(self.datagram.max(1));
        let datagrams = u128::from(rate) * self.burst_time.as_nanos() / 1_000_000_000 / datagram;
        let bytes = datagrams.max(2) * datagram;
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max_burst)
    }

    /// The departure time of a transmission of `len` bytes, and the start of the next one's wait
    ///
    /// `bytes_per_second` is the controller's rate at this moment; `None` before its first sample, and then everything
    /// departs now. A changed rate applies to what is scheduled next, not to what has its time already.
    pub fn schedule(
        &mut self,
        len: u32,
        bytes_per_second: Option<u64>,
        now: Timestamp,
    ) -> Timestamp {
        let start = self.free.max(nanos(now));
        let (end, departure) = match bytes_per_second.filter(|rate| *rate > 0) {
            None => (start, start),
            Some(rate) => {
                let end = start.saturating_add(line_time(len, rate).max(MIN_INTERVAL));
                // whatever is less than a burst has no need to wait for the line
                (
                    end,
                    end.saturating_sub(line_time(self.burst(Some(rate)), rate)),
                )
            }
        };
        self.free = end;
        self.last = self.last.max(departure);
        later(now, self.last)
    }
}

/// `now`, or the first tick that is not before `nanos_since_epoch`
fn later(now: Timestamp, nanos_since_epoch: u64) -> Timestamp {
    let ticks = nanos_since_epoch.saturating_sub(nanos(now)).div_ceil(TICK);
    now + Duration::from_micros(ticks)
}

fn nanos(time: Timestamp) -> u64 {
    // SAFETY: reading a timestamp as the duration since the clock's epoch has no precondition; the function is
    // marked unsafe upstream to discourage mixing clocks, and a path only ever sees one
    let since_epoch = unsafe { time.as_duration() };
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

fn line_time(len: u32, bytes_per_second: u64) -> u64 {
    let nanos = u128::from(len) * 1_000_000_000 / u128::from(bytes_per_second.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: u32 = 63_800;

    fn at(micros: u64) -> Timestamp {
        // SAFETY: the tests use one made-up clock
        unsafe { Timestamp::from_duration(Duration::from_micros(1_000_000 + micros)) }
    }

    #[test]
    fn without_a_rate_everything_departs_now() {
        let mut departures = Departures::new(1450, BATCH);
        for _ in 0..10 {
            assert_eq!(departures.schedule(BATCH, None, at(5)), at(5));
        }
    }

    #[test]
    fn one_burst_leaves_at_once_after_idling_and_no_more() {
        let mut departures = Departures::new(1450, BATCH);
        // one batch takes exactly a tenth of a millisecond
        let rate = Some(u64::from(BATCH) * 10_000);
        for start in [0, 60_000_000] {
            // a minute of silence is worth one burst, and not six hundred thousand
            for late in [0, 100, 200] {
                let departure = departures.schedule(BATCH, rate, at(start));
                assert_eq!(departure, at(start + late));
            }
        }
    }

    #[test]
    fn small_transmissions_leave_at_once_until_they_are_a_burst() {
        let mut departures = Departures::new(1450, 10 * 1450);
        // a packet in 10 µs
        let rate = Some(145_000_000);
        for departure in [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 20, 30] {
            assert_eq!(departures.schedule(1450, rate, at(0)), at(departure));
        }
    }

    #[test]
    fn the_rate_over_many_small_packets_is_exact() {
        let mut departures = Departures::new(1450, 0);
        // 25 Gbit/s and 1450 bytes: 464 ns each
        let rate = Some(25_000_000_000 / 8);
        let mut last = at(0);
        for _ in 0..1_000_000 {
            let next = departures.schedule(1450, rate, at(0));
            assert!(next >= last);
            last = next;
        }
        let expected = Duration::from_nanos(464 * 999_999);
        let measured = last - at(0);
        assert!(
            measured.abs_diff(expected) <= Duration::from_micros(1),
            "{measured:?} instead of {expected:?}"
        );
    }

    #[test]
    fn a_rate_change_applies_to_what_is_scheduled_next() {
        let mut departures = Departures::new(1000, 1000);
        assert_eq!(departures.schedule(1000, Some(1_000_000), at(0)), at(0));
        // this one waits for the first at the old rate
        assert_eq!(departures.schedule(1000, Some(100_000), at(0)), at(1000));
        // and this one for the second at the new rate
        assert_eq!(departures.schedule(1000, Some(100_000), at(0)), at(11_000));
    }

    #[test]
    fn a_burst_takes_the_line_for_a_short_time() {
        let departures = Departures::new(1450, BATCH);
        assert_eq!(departures.burst(None), BATCH);
        assert_eq!(departures.burst(Some(1_000_000)), 2900);
        assert_eq!(departures.burst(Some(125_000_000)), 21 * 1450);
        assert_eq!(departures.burst(Some(1_250_000_000)), BATCH);
        assert_eq!(departures.burst(Some(u64::MAX)), BATCH);
    }

    #[test]
    fn bursts_are_larger_where_packets_wait_anyway() {
        let mut departures = Departures::new(1450, BATCH);
        let rate = Some(14_500_000);
        assert_eq!(departures.burst(rate), 2 * 1450);
        // no longer than a burst takes without a queue
        departures.set_queueing(Duration::from_millis(1));
        assert_eq!(departures.burst(rate), 2 * 1450);
        departures.set_queueing(Duration::from_millis(4));
        assert_eq!(departures.burst(rate), 10 * 1450);
        departures.set_queueing(Duration::MAX);
        assert_eq!(departures.burst(rate), BATCH);
        departures.set_queueing(Duration::ZERO);
        assert_eq!(departures.burst(rate), 2 * 1450);
    }

    #[test]
    fn many_small_transmissions_do_not_pile_up_at_one_time() {
        let mut departures = Departures::new(1450, 0);
        let mut last = at(0);
        for _ in 0..10_000 {
            last = departures.schedule(1, Some(u64::MAX), at(0));
        }
        assert_eq!(last, at(1000));
    }

    #[test]
    fn departures_never_decrease_whatever_the_rates() {
        bolero::check!()
            .with_type::<Vec<(u16, Option<u32>, u16)>>()
            .with_iterations(2000)
            .for_each(|steps| {
                let mut departures = Departures::new(1450, BATCH);
                let mut now = 0;
                let mut last = at(0);
                for (len, rate, step) in steps {
                    now += u64::from(*step);
                    let next = departures.schedule(u32::from(*len), rate.map(u64::from), at(now));
                    assert!(next >= last, "{next} before {last}");
                    assert!(next >= at(now));
                    last = next;
                }
            });
    }
}
