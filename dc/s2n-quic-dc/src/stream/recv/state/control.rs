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
        recv::{lingering::Lingering, ranges::Ranges, window::Promising},
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
pub(super) fn acknowledgements<'a>(
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
