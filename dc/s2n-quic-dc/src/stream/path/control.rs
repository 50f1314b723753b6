// SPDX-License-Identifier: Apache-2.0

//! What a path knows of the network: round trips, the window, when packets may leave, what counts as lost and who may probe.
//!
//! All streams of the path contribute to one set of estimates, and are judged by it.
//!
//! The one rule: it is plain data, changed by what happened and when, under the path's lock.

use super::{
    admission::MAX_DISTANCE,
    ceiling::{Ceiling, WAITING},
    Acknowledged, Departed,
};
use crate::{msg::segment, stream::send::application::MAX_BATCHES_PER_POLL};
use core::{ops::RangeInclusive, time::Duration};
use s2n_quic_core::{
    packet::number::PacketNumberSpace,
    recovery::{
        bandwidth::Departures,
        congestion::{self, Congestion, Signal},
        reordering::{Reordering, RoundTrip, Thresholds},
        RttEstimator,
    },
    time::Timestamp,
};

/// Before the first sample: a datacenter's round trip, so that the first probe goes out after 6 ms (RFC 9002, section 6.2.2, asks for 333 ms
/// on the internet)
const INITIAL_RTT: Duration = Duration::from_millis(2);

/// A probe earlier than this would be answered by nothing but the peer's scheduling delay
const MIN_PTO: Duration = Duration::from_millis(4);

/// Backing off stops here, unless the round trip itself is longer: a peer of a datacenter that has not answered for this long is
/// either gone, or every packet was lost, and then only another one helps
const MAX_PTO: Duration = Duration::from_millis(250);

/// How far the path's own probe period is multiplied at most
const MAX_BACKOFF: u32 = 64;

/// Streams that probe a silent path in one period: enough that some get through where half of all packets are lost
const PROBES_PER_ROUND: u32 = 8;

/// Rounds of them without an answer after which the path counts as silent
const SILENT_ROUNDS: u32 = 2;

/// Timers can't tell apart what is closer than this (RFC 9002, section 6.1.2, recommends 1 ms)
const GRANULARITY: Duration = Duration::from_millis(1);

/// Datagrams of a new path's window at least (RFC 9002, section 7.2), but as many as one send carries: in a datacenter most messages fit
/// into that, and are through after one round trip. The window doubles with each.
const INITIAL_DATAGRAMS: u64 = 10;

/// Datagrams that may always be outstanding, so that the loss of one shows by those behind it
const MIN_DATAGRAMS: u64 = 4;

/// Bytes that may always be outstanding: less than any queue of a datacenter holds, and enough that losses without congestion, of which
/// the window knows nothing, do not bring a path to a stop
const MIN_WINDOW: u64 = 16 * 1450;

/// Streams whose first packet may be on the way at once at the least, and while no queue has formed. Of 1000 calls at once on two processors,
/// 16 to 128 that are open make a tenth to a third more in a second than 512.
const OPENINGS: RangeInclusive<u64> = 128..=MAX_DISTANCE;

/// Streams that wait from which on each has several turns in a row: what fewer need to go on stays in the cache
const MANY: usize = 128;

/// Turns in a row at most: what a megabyte takes. Of 1000 uploads of 1 MB, two make a thirtieth more in a second than one, four a twentieth, and five
/// a fifteenth; of 10 000 of 500 kB, two make a tenth more. A message that is not little waits the longer.
const MAX_TURNS_IN_A_ROW: u64 = 5;

/// How long a stream may wait until all others had their turns in a row: well below what a peer takes for silence
const MAX_ROUND: Duration = Duration::from_secs(2);

/// Round trips that are longer than the shortest by this factor say that a queue has formed, on the way or in front of a busy processor
const QUEUEING: u64 = 2;

/// How long a stream that has received everything answers to repetitions of the last packet, at the least: a peer that knows nothing of the path
/// probes after 6 and after 18 ms. At 50 000 calls a second, the streams that end in this time are more than fit into a processor's cache:
/// 50 ms made calls a tenth slower.
const MIN_TIME_WAIT: Duration = Duration::from_millis(20);

/// The same where packets are lost, and at the most: a peer that probes seven times is heard although six of those, or the answers to them,
/// are lost
pub(crate) const MAX_TIME_WAIT: Duration = Duration::from_millis(500);

/// Packets that have to be acknowledged for each that was lost until the path counts as one that loses none
const ACKNOWLEDGED_PER_LOSS: u64 = 100;

/// Losses that are remembered at most
const MAX_LOSSES: u64 = 10;

/// How much faster than the window per round trip packets leave: the window stays in charge (RFC 9002, section 7.7)
const PACING_GAIN: (u64, u64) = (5, 4);

/// The same while the window doubles, because its packets are sent before the round trip that it is measured by
const DOUBLING_GAIN: (u64, u64) = (2, 1);

pub(super) struct Control {
    departures: Departures,
    /// Bytes per second that may leave; a function of the other fields, as the next one, which change once per acknowledgement and are asked
    /// several times
    rate: Option<u64>,
    /// Bytes of one transmission: what may leave in one burst, but some to a window, so that acknowledgements come evenly
    batch: u64,
    rtt: RttEstimator,
    congestion: Congestion,
    reordering: Reordering,
    datagram_len: u16,
    limits: Limits,
    ceiling: Ceiling,
    probing: Probing,
    /// Packets to be acknowledged until the path counts as one that loses none
    loss_debt: u64,
}

/// What the environment sets
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that one send carries
    pub(crate) max_burst: u32,
    /// Bytes of UDP payload that leave per second at most
    pub(crate) max_rate: Option<u64>,
}

/// What a stream does that has heard nothing for a while
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that it has outstanding is lost
    Lost,
    /// It asks
    Probe,
    /// Others ask for all streams
    Hold,
    /// It is too early, until this time
    Wait(Timestamp),
}

/// Who asks when nothing is heard
#[derive(Default)]
struct Probing {
    /// The departure of the newest packet that the peer has acknowledged
    newest: Option<Timestamp>,
    /// When streams were last let through because the whole path was silent, and how many
    round: Option<(Timestamp, u32)>,
    /// Rounds since something was acknowledged; each takes twice as long
    backoff: u32,
}

impl Control {
    pub(super) fn new(datagram_len: u16, limits: Limits) -> Self {
        // whole datagrams, as many as one send really carries
        let datagrams = segment::fitting(limits.max_burst as usize, usize::from(datagram_len));
        let max_burst = datagrams.max(1) as u32 * u32::from(datagram_len);
        let len = u64::from(datagram_len);
        let mut this = Self {
            departures: Departures::new(u32::from(datagram_len), max_burst),
            rate: None,
            batch: 0,
            rtt: RttEstimator::new(INITIAL_RTT),
            congestion: Congestion::new(congestion::Limits {
                initial: (INITIAL_DATAGRAMS * len).max(u64::from(max_burst)),
                min: (MIN_DATAGRAMS * len).max(MIN_WINDOW),
                max: WAITING,
            }),
            reordering: Reordering::default(),
            datagram_len,
            limits,
            ceiling: Ceiling::default(),
            probing: Probing::default(),
            loss_debt: 0,
        };
        this.adjust();
        this
    }

    /// To be called after the window, the round trip or what waits on the way has changed
    fn adjust(&mut self) {
        self.rate = self.pacing_rate();
        let burst = u64::from(self.departures.burst(self.rate));
        self.batch = burst.min(self.congestion.window() / 4);
    }

    /// Sizes everything for packets of `datagram_len`, unless something is known of the path already
    pub(super) fn prepare(&mut self, datagram_len: u16) {
        let is_new = self.rtt.first_rtt_sample().is_none();
        if is_new && self.datagram_len != datagram_len {
            *self = Self::new(datagram_len, self.limits);
        }
    }

    pub(super) fn datagram_len(&self) -> u64 {
        u64::from(self.datagram_len)
    }

    /// Whether probes were sent for the whole path, and nothing was heard since
    pub(super) fn is_silent(&self) -> bool {
        self.probing.backoff >= SILENT_ROUNDS
    }

    /// Bytes that may be outstanding; none on a silent path, where more would only be lost
    pub(super) fn window(&self) -> u64 {
        match self.is_silent() {
            true => 0,
            false => self.congestion.window(),
        }
    }

    /// Bytes of one transmission
    pub(super) fn batch(&self) -> u64 {
        self.batch
    }

    /// Bytes of one turn: one transmission, or if it is the size of a send that limits those, and not the time that they take, what a writer
    /// makes at once, so that all but the first find its stream warm
    pub(super) fn turn(&self) -> u64 {
        if self.batch < u64::from(self.departures.burst(None)) {
            return self.batch;
        }
        let batches = MAX_BATCHES_PER_POLL as u64 * self.batch;
        batches.min(self.congestion.window() / 4)
    }

    /// Turns in a row that each stream has where so many wait: one if a turn is [a single transmission](Self::turn), because so slow a path would keep
    /// those waiting who come last
    pub(super) fn turns_in_a_row(&self, waiters: usize) -> u64 {
        if waiters < MANY {
            return 1;
        }
        let turn = self.turn();
        let Some(rate) = self.rate.filter(|_| turn > self.batch) else {
            return 1;
        };
        let round = rate.saturating_mul(MAX_ROUND.as_secs());
        let turns = round / (waiters as u64).saturating_mul(turn).max(1);
        turns.clamp(1, MAX_TURNS_IN_A_ROW)
    }

    pub(super) fn schedule(&mut self, len: u32, now: Timestamp) -> Timestamp {
        self.departures.schedule(len, self.rate, now)
    }

    /// As fast as may be
    fn pacing_rate(&self) -> Option<u64> {
        match (self.measured_rate(), self.limits.max_rate) {
            (Some(rate), Some(max)) => Some(rate.min(max)),
            (rate, max) => rate.or(max),
        }
    }

    /// The window per round trip with some headroom; nothing before the first round trip was measured
    fn measured_rate(&self) -> Option<u64> {
        self.rtt.first_rtt_sample()?;
        let (gain, divisor) = match self.congestion.is_doubling() {
            true => DOUBLING_GAIN,
            false => PACING_GAIN,
        };
        let nanos = self.rtt.smoothed_rtt().as_nanos().max(1);
        let per_second =
            u128::from(self.congestion.window() * gain / divisor) * 1_000_000_000 / nanos;
        u64::try_from(per_second).ok()
    }

    pub(super) fn on_acknowledged(
        &mut self,
        acknowledged: Acknowledged,
        is_limiting: bool,
        now: Timestamp,
    ) {
        let sent = acknowledged.departed.time;
        self.probing.newest = self.probing.newest.max(Some(sent));
        self.probing.backoff = 0;
        let packets = acknowledged.bytes.div_ceil(self.datagram_len());
        self.loss_debt = self.loss_debt.saturating_sub(packets);
        let rtt = acknowledged.is_rtt_sample.then(|| {
            now.saturating_duration_since(sent)
                .saturating_sub(acknowledged.delay)
                .max(Duration::from_micros(1))
        });
        if let Some(rtt) = rtt {
            self.rtt.update_rtt(
                Duration::ZERO,
                rtt,
                now.max(sent),
                true,
                PacketNumberSpace::ApplicationData,
            );
            self.departures.set_queueing(self.queueing());
            self.congestion.set_max(self.max_window(now));
        }
        self.congestion.on_acknowledged(
            congestion::Acknowledged {
                bytes: acknowledged.bytes,
                sent,
                rtt,
                is_limiting,
            },
            now,
        );
        self.adjust();
    }

    /// A short message is sent while bulk holds the window
    pub(super) fn on_message(&mut self, now: Timestamp) {
        self.ceiling.on_message(now);
    }

    /// How long packets wait on the way
    fn queueing(&self) -> Duration {
        self.rtt.smoothed_rtt().saturating_sub(self.rtt.min_rtt())
    }

    /// What may wait, and what is on the way; of a limited rate, twice what a round trip takes, because more would only wait
    fn max_window(&self, now: Timestamp) -> u64 {
        let max = self
            .ceiling
            .window(self.rtt.min_rtt(), self.queueing(), now);
        let Some(rate) = self.limits.max_rate else {
            return max;
        };
        let round_trip = u128::from(rate) * self.rtt.smoothed_rtt().as_nanos() / 1_000_000_000;
        let burst = u64::from(self.departures.burst(Some(rate)));
        let needed = 2 * u64::try_from(round_trip).unwrap_or(max) + 4 * burst;
        max.min(needed)
    }

    /// Streams whose first packet may be on the way
    pub(super) fn max_openings(&self) -> u64 {
        max_openings(self.rtt.min_rtt(), self.rtt.smoothed_rtt())
    }

    /// A packet was lost, in either direction
    pub(super) fn note_loss(&mut self) {
        let debt = self.loss_debt + ACKNOWLEDGED_PER_LOSS;
        self.loss_debt = debt.min(MAX_LOSSES * ACKNOWLEDGED_PER_LOSS);
    }

    /// How long a stream that has received everything still answers: three times the probe timeout (RFC 9000, section 10.2), which is short
    /// in a datacenter. Every repetition that arrives starts it anew.
    pub(super) fn time_wait(&self) -> Duration {
        let least = match self.loss_debt {
            0 => MIN_TIME_WAIT,
            _ => MAX_TIME_WAIT,
        };
        (3 * self.pto_period(1)).clamp(least, MAX_TIME_WAIT)
    }

    pub(super) fn on_congestion(&mut self, signal: Signal, departed: Departed, now: Timestamp) {
        if signal == Signal::Loss {
            self.note_loss();
        }
        let is_new = self.congestion.on_congestion(signal, departed.time, now);
        self.adjust();
        if is_new && signal == Signal::Loss {
            self.reordering.on_loss();
        }
    }

    /// A packet that was called lost was acknowledged, after one that was made `distance` packets later
    pub(super) fn on_spurious_loss(&mut self, departed: Departed, distance: u64, now: Timestamp) {
        let age = now.saturating_duration_since(departed.time);
        self.reordering
            .on_spurious_loss(distance, age, self.round_trip());
        self.congestion.on_spurious_loss(departed.time);
        self.adjust();
    }

    fn round_trip(&self) -> RoundTrip {
        RoundTrip {
            time: self.rtt.smoothed_rtt().max(self.rtt.latest_rtt()),
            granularity: GRANULARITY,
        }
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        self.reordering.thresholds(self.round_trip())
    }

    pub(super) fn pto_period(&self, backoff: u32) -> Duration {
        let period = self
            .rtt
            .pto_period(1, PacketNumberSpace::ApplicationData)
            .max(MIN_PTO);
        period.saturating_mul(backoff).min(period.max(MAX_PTO))
    }

    /// How long to wait for an acknowledgement before looking, see [`Control::on_silence`]
    pub(super) fn probe_period(&self, backoff: u32) -> Duration {
        match backoff {
            1 => self.pto_period(1).min(self.thresholds().others),
            _ => self.pto_period(backoff),
        }
    }

    /// What a stream makes of silence, whose newest packet left at `departed`
    ///
    /// If the peer has acknowledged what left later, from whatever stream, this stream's packets are lost, unless acknowledgements were found
    /// to come in any order. If it has not, then nothing is known to be wrong with this stream in particular: the path is
    /// slower than it was, or it is down. A few streams that probe in each period find that out for all of them.
    pub(super) fn on_silence(
        &mut self,
        departed: Timestamp,
        backoff: u32,
        now: Timestamp,
    ) -> Verdict {
        let is_overtaken = self.probing.newest.is_some_and(|newest| newest > departed);
        let others = self.thresholds().others;
        let is_told_by_others = is_overtaken && others < self.pto_period(1);
        let period = match is_told_by_others {
            true => others,
            false => self.pto_period(backoff),
        };
        // the estimate may have grown since the timer was set
        let due = departed + period;
        if due > now {
            return Verdict::Wait(due);
        }
        if is_told_by_others {
            return Verdict::Lost;
        }
        if is_overtaken {
            return Verdict::Probe;
        }
        let period = self.pto_period(1 << self.probing.backoff.min(MAX_BACKOFF.ilog2()));
        match &mut self.probing.round {
            Some((began, probes)) if *began + period > now => {
                if *probes == PROBES_PER_ROUND {
                    return Verdict::Hold;
                }
                *probes += 1;
            }
            round => {
                *round = Some((now, 1));
                self.probing.backoff += 1;
            }
        }
        Verdict::Probe
    }
}

/// As many as keep the path as busy as it is without the queue, as Vegas does with bytes (Brakmo, O'Malley and Peterson, SIGCOMM 1994): more would
/// not be served sooner
fn max_openings(min_rtt: Duration, smoothed_rtt: Duration) -> u64 {
    let (least, most) = (*OPENINGS.start(), *OPENINGS.end());
    let shortest = u128::from(most * QUEUEING) * min_rtt.as_micros();
    let openings = shortest / smoothed_rtt.as_micros().max(1);
    u64::try_from(openings).map_or(most, |openings| openings.clamp(least, most))
}

#[cfg(all(test, not(loom)))]
mod tests;
