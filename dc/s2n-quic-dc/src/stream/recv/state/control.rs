// SPDX-License-Identifier: Apache-2.0

//! Control packets: what the half tells the peer, and how it knows that the peer has heard.
//!
//! The one rule: only the control packet that the peer names is known to have arrived.

use super::{Phase, State};
use crate::{
    credentials::Credentials,
    event::builder,
    msg::send::Builder,
    packet::{control, stream},
    socket::{
        pool::{Class, Purpose},
        send::transmission::{Priority, Token, Transmission},
    },
    stream::{
        control_keys::ControlKeys,
        events::Event,
        piggyback::Piggyback,
        recv::{lingering::Lingering, ranges::Ranges, window::Promising, worker::READER_GRACE},
        shared::Shared,
    },
};
use core::{
    task::{Poll, Waker},
    time::Duration,
};
use s2n_codec::{EncoderBuffer, EncoderValue};
use s2n_quic_core::{
    buffer::reader::storage,
    frame::{ack::EcnCounts, Ack, MaxData},
    inet::ExplicitCongestionNotification,
    time::Timestamp,
    varint::VarInt,
};
use std::sync::Arc;

/// Control packets that may be in the wheel at once: one on its way, and one that says what came meanwhile
const MAX_CONTROL_IN_FLIGHT: usize = 2;

/// Control packets whose content is remembered, to know what the peer has seen
const MAX_REMEMBERED: usize = 16;

/// The longest control packet (wire format, section 1.4), and what its header and tag take of it
pub(in crate::stream::recv) const CONTROL_PACKET_LEN: usize = 1200;
const CONTROL_OVERHEAD: usize = 100;

/// Bytes of packets that a reader opens at most without a word while others wait to be opened: a quarter of the window of a path that is its own
const MAX_UNANSWERED: u64 = 384 << 10;

/// Bytes of packets at the end of a message whose acknowledgement may wait for the answer: a turn of the sender's, of the four that its path's window
/// has room for
const MAX_DEFERRED: u64 = 256 << 10;

/// The first repetition of a promise of credit or of a close; doubles to [`MAX_REPEAT`]
const FIRST_REPEAT: Duration = Duration::from_millis(20);
const MAX_REPEAT: Duration = Duration::from_secs(2);

/// What a control packet said
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    number: u64,
    stream: Option<VarInt>,
    recovery: Option<VarInt>,
    max_data: u64,
}

/// Something that is said again until the peer is seen to know it
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    pub(super) at: Timestamp,
    period: Duration,
}

impl Repeat {
    fn after(period: Duration, now: Timestamp) -> Self {
        Self {
            at: now + period,
            period,
        }
    }
}

impl State {
    /// The peer says which control packets it has seen
    pub(super) fn on_control_numbers(
        &mut self,
        next_expected: u64,
        shared: &Shared,
        now: Timestamp,
    ) {
        let Some(seen) = next_expected.checked_sub(1) else {
            return;
        };
        if self.seen == Some(seen) {
            // nearly every packet says again what the one before has said
            return;
        }
        self.seen = Some(seen);
        shared.on_answered();
        self.window.on_answered(seen, now);
        // only the packet that is named is sure to have arrived
        let Some(index) = self
            .remembered
            .iter()
            .position(|remembered| remembered.number == seen)
        else {
            return;
        };
        let remembered = self.remembered[index];
        self.remembered.drain(..=index);
        if let Some(largest) = remembered.stream {
            self.stream.remove_up_to(largest);
        }
        if let Some(largest) = remembered.recovery {
            self.recovery.remove_up_to(largest);
        }
        self.window.on_confirmed(remembered.max_data);
        if let Phase::Closing { error, .. } | Phase::Failed { error } = self.phase {
            // the close was the last thing said
            self.phase = Phase::Failed { error };
            self.refusal = None;
            self.is_control_due = false;
            self.repeat = None;
        }
    }

    /// It has received everything, and has nothing else to say than that
    pub(crate) fn may_linger(&self, shared: &Shared) -> bool {
        let is_finished = matches!(self.phase, Phase::TimeWait { .. }) && !self.is_control_due;
        is_finished && self.backlog.is_empty() && shared.inbox.is_empty()
    }

    /// What goes on answering in the half's place, if it [may](Self::may_linger)
    pub(crate) fn linger(&mut self, shared: &Shared) -> Option<Lingering> {
        if !self.may_linger(shared) {
            return None;
        }
        let next_control = VarInt::new(self.next_control).ok()?;
        let (source_queue_id, stream_id, remote) = shared.address.for_packet();
        let lingering = Lingering {
            credentials: shared.credentials,
            remote,
            control_keys: shared.control_keys.for_later(),
            source_queue_id,
            stream_id,
            stream: core::mem::take(&mut self.stream),
            recovery: core::mem::take(&mut self.recovery),
            ecn: self.ecn,
            max_data: VarInt::new(self.window.promised()).unwrap_or(VarInt::MAX),
            next_control,
        };
        self.phase = Phase::Over;
        Some(lingering)
    }

    /// After a read that has returned something: if the stream has ended, the acknowledgement of its last packets waits for the application's
    /// answer, or for [`READER_GRACE`], to leave together with it (RFC 9000, section 13.2.1). The peer can't use the window that they hold
    /// meanwhile, so of several packets it only waits where answers have come soon.
    /// While packets wait to be opened, that of those before waits for theirs, as long: who reads little at a time would acknowledge each packet.
    /// Returns whether it waits.
    pub(crate) fn transmit_or_defer_control(
        &mut self,
        shared: &Arc<Shared>,
        now: Timestamp,
    ) -> bool {
        let is_open = matches!(self.phase, Phase::Open | Phase::TimeWait { .. });
        let may_wait = is_open && !self.is_repetition;
        let unanswered = u64::from(self.unanswered) * shared.datagram_len() as u64;
        let has_all = self.has_all();
        let has_more = !self.backlog.is_empty() || (!has_all && !shared.inbox.is_empty());
        if may_wait && has_more && unanswered < MAX_UNANSWERED {
            return true;
        }
        let is_end = has_all
            && match self.unanswered {
                0 => false,
                1 => true,
                _ => unanswered <= MAX_DEFERRED && shared.path.answers_soon(now),
            };
        let is_deferred = may_wait && self.is_control_due && is_end;
        if is_deferred {
            self.deferred_since.get_or_insert(now);
            shared.defer_control();
        } else {
            self.transmit_control(shared, now);
        }
        is_deferred
    }

    /// Whether so much has waited for an answer that the peer may have had to wait as well, and for so long that none is to be expected. One that
    /// waits for room itself is none of the application's doing: calls at once would have two packets more each, and wait the longer.
    pub(crate) fn has_waited_for_answer(&self, now: Timestamp) -> bool {
        let is_late = |since| since + READER_GRACE / 2 <= now;
        let is_waiting = self.is_control_due && self.unanswered > 1 && !self.has_answer;
        is_waiting && self.deferred_since.is_some_and(is_late)
    }

    /// The acknowledgement that waits for the application's answer, to leave in its packet
    pub(crate) fn piggyback(&mut self) -> Option<Piggyback> {
        self.has_answer = true;
        let may_ride = self.is_invited && self.is_control_due;
        if !may_ride || !matches!(self.phase, Phase::Open | Phase::TimeWait { .. }) {
            return None;
        }
        // all of them or none: it may be the last that the peer hears
        let frames = acknowledgements(&self.stream, &self.recovery, self.ecn, usize::MAX);
        self.riding = self.unanswered;
        Piggyback::new(&frames)
    }

    /// The answer has left with [it](Self::piggyback)
    pub(crate) fn on_piggyback_sent(&mut self) {
        // unless something came meanwhile
        if self.unanswered == self.riding {
            self.is_control_due = false;
            self.unanswered = 0;
        }
    }

    /// Sends what is due: an acknowledgement of all that was received, or a close
    pub(crate) fn transmit_control(&mut self, shared: &Arc<Shared>, now: Timestamp) {
        loop {
            self.completions.drain_into(&mut self.drained);
            self.drained.clear();
            let is_over = matches!(self.phase, Phase::Over);
            if is_over || !self.is_control_due || !shared.address.can_send_control() {
                return;
            }
            if self.completions.outstanding() < MAX_CONTROL_IN_FLIGHT {
                break;
            }
            // called again when one has left
            if self.completions.register(&Waker::from(shared.clone())) {
                return;
            }
        }
        if let Poll::Ready(()) = self.transmit(shared, now) {
            self.is_control_due = false;
        }
    }

    fn transmit(&mut self, shared: &Shared, now: Timestamp) -> Poll<()> {
        let number = self.next_control;
        let Ok(packet_number) = VarInt::new(number) else {
            return Poll::Ready(());
        };
        let Some(descriptor) = shared.pool().alloc(Class::Packet, Purpose::Control) else {
            return Poll::Pending;
        };
        let Ok(mut builder) = Builder::new(descriptor, CONTROL_PACKET_LEN) else {
            return Poll::Ready(());
        };
        let (source_queue_id, stream_id, remote) = shared.address.for_packet();
        let mut sealed = Sealed::new(source_queue_id, stream_id, packet_number);
        let sealer = &shared.control_keys;
        let close = match self.phase {
            Phase::Closing { code, .. } => Some(code),
            Phase::Failed { .. } => self.refusal,
            Phase::Open | Phase::TimeWait { .. } | Phase::Over => None,
        };
        let pushed = match close {
            Some(code) => {
                builder.push(|dest| sealed.encode(dest, &code.frame(), sealer, &shared.credentials))
            }
            None => {
                let limit = self.window.promise(
                    Promising {
                        number,
                        end: self.highest,
                        datagram_len: shared.datagram_len() as u64,
                        is_repetition: self.is_repetition,
                    },
                    now,
                );
                let limit = VarInt::new(limit).unwrap_or(VarInt::MAX);
                let frames = statement(limit, &self.stream, &self.recovery, self.ecn);
                builder.push(|dest| sealed.encode(dest, &frames, sealer, &shared.credentials))
            }
        };
        let message = builder.finish(remote, ExplicitCongestionNotification::Ect0);
        let (Ok(_), Some(message)) = (pushed, message) else {
            return Poll::Ready(());
        };
        self.next_control += 1;
        let acknowledges = core::mem::take(&mut self.unanswered) > 0;
        let is_news = self.remember(number);
        self.plan_repetition(is_news, acknowledges, shared, now);
        shared.publish(now, || {
            Event::ControlPacketTransmitted(builder::StreamControlPacketTransmitted {
                packet_len: sealed.packet_len,
                control_data_len: sealed.frames_len,
                packet_number: number,
            })
        });
        shared.counters().control_packets.add(1);
        let ticket = self.completions.ticket(Token {
            record: None,
            is_data: false,
            len: message.payload().len() as u32,
        });
        shared.shard.sender.submit(Transmission {
            message,
            departure: now,
            priority: Priority::Control,
            ticket: Some(ticket),
        });
        self.wakes.flush(&shared.shard.sender);
        Poll::Ready(())
    }

    /// True if the packet promises more than the one before
    fn remember(&mut self, number: u64) -> bool {
        let max_data = self.window.promised();
        let is_news = self
            .remembered
            .last()
            .is_none_or(|last| last.max_data < max_data);
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push(Remembered {
            number,
            stream: self.stream.largest(),
            recovery: self.recovery.largest(),
            max_data,
        });
        is_news
    }

    /// A close, and credit that the peer may be waiting for, are said again until the peer is seen to know
    ///
    /// Not so what also `acknowledges` packets: as long as the peer has not heard it, it probes for those, and that is answered. With
    /// thousands of streams, a peer knows for long before its next turn to send shows it.
    ///
    /// The period doubles with each repetition, and only with those: what is said in answer to packets changes nothing about it.
    fn plan_repetition(
        &mut self,
        is_news: bool,
        acknowledges: bool,
        shared: &Shared,
        now: Timestamp,
    ) {
        let is_repetition = core::mem::take(&mut self.is_repetition);
        let datagram_len = shared.datagram_len() as u64;
        let is_needed = match &mut self.phase {
            Phase::Closing { attempts, .. } => {
                if is_repetition || *attempts == 0 {
                    *attempts = attempts.saturating_add(1);
                }
                true
            }
            Phase::Open => {
                !acknowledges
                    && self.buffer.final_size().is_none()
                    && self.window.may_block(self.highest, datagram_len)
            }
            Phase::TimeWait { .. } | Phase::Over | Phase::Failed { .. } => false,
        };
        let is_open = matches!(self.phase, Phase::Open);
        self.repeat = is_needed.then(|| match self.repeat {
            Some(repeat) if is_repetition => {
                Repeat::after((repeat.period * 2).min(MAX_REPEAT), now)
            }
            Some(repeat) if !(is_open && is_news) => repeat,
            Some(_) | None => Repeat::after(FIRST_REPEAT, now),
        });
    }
}

/// The frames of a control packet that says what has arrived, and how far the peer may go
pub(in crate::stream::recv) fn statement<'a>(
    max_data: VarInt,
    stream: &'a Ranges,
    recovery: &'a Ranges,
    ecn: EcnCounts,
) -> impl EncoderValue + 'a {
    // both spaces get half of what is left, so that neither starves the other
    let budget = (CONTROL_PACKET_LEN - CONTROL_OVERHEAD - 80) / 2;
    let max_data = MaxData {
        maximum_data: max_data,
    };
    (max_data, acknowledgements(stream, recovery, ecn, budget))
}

/// What has arrived, in up to `budget` bytes for the ranges of each space
fn acknowledgements<'a>(
    stream: &'a Ranges,
    recovery: &'a Ranges,
    ecn: EcnCounts,
    budget: usize,
) -> impl EncoderValue + 'a {
    let ack = |ranges: &'a Ranges, ecn_counts| {
        (!ranges.is_empty()).then(|| Ack {
            ack_delay: VarInt::ZERO,
            ack_ranges: ranges.encodable(budget),
            ecn_counts,
        })
    };
    (ack(stream, Some(ecn)), ack(recovery, None))
}

/// One control packet being sealed
pub(in crate::stream::recv) struct Sealed {
    source_queue_id: Option<VarInt>,
    stream_id: stream::Id,
    packet_number: VarInt,
    packet_len: usize,
    frames_len: usize,
}

impl Sealed {
    pub(in crate::stream::recv) fn new(
        source_queue_id: Option<VarInt>,
        stream_id: stream::Id,
        packet_number: VarInt,
    ) -> Self {
        Self {
            source_queue_id,
            stream_id,
            packet_number,
            packet_len: 0,
            frames_len: 0,
        }
    }

    pub(in crate::stream::recv) fn encode<F: EncoderValue>(
        &mut self,
        dest: &mut [u8],
        frames: &F,
        sealer: &ControlKeys,
        credentials: &Credentials,
    ) -> usize {
        self.frames_len = frames.encoding_size();
        let frames_len = VarInt::try_from(self.frames_len).unwrap_or(VarInt::ZERO);
        self.packet_len = control::encoder::encode(
            EncoderBuffer::new(dest),
            self.source_queue_id,
            Some(self.stream_id),
            self.packet_number,
            VarInt::ZERO,
            &mut storage::Empty,
            frames_len,
            frames,
            sealer,
            credentials,
        );
        self.packet_len
    }
}
