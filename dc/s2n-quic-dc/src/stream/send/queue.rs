// SPDX-License-Identifier: Apache-2.0

//! From the stream's state to the timing wheel: fills descriptors and submits them.
//!
//! There is no queue of segments here and no call into a socket. What is submitted belongs to the wheel until it is completed; a
//! descriptor that was filled is never written again, so a retransmission is a copy into a fresh one.
//!
//! The one rule: the descriptor comes first. Nothing is consumed, neither bytes of the caller nor a packet number, before there is memory to
//! put it in.

use super::state::{
    transmission::{Content, Data, Info, RecordId, Shape},
    Phase, State,
};
use crate::{
    event::builder,
    msg::{
        segment,
        send::{Builder, Message},
    },
    packet::stream::{
        encoder::{self, MAX_RETRANSMISSION_HEADER_LEN},
        Id,
    },
    socket::{
        pool::{Class, Purpose, Unfilled},
        send::transmission::{Priority, Ticket, Token, Transmission},
    },
    stream::{
        events::Event,
        path::receipts::Taken,
        piggyback::Piggyback,
        send::{Error, ErrorKind},
        shared::{CloseCode, Shared, TAG_LEN},
    },
};
use s2n_codec::{EncoderBuffer, EncoderValue as _};
use s2n_quic_core::{
    buffer::reader::{storage, Reader as _, Storage as _},
    inet::ExplicitCongestionNotification,
    time::Timestamp,
    varint::VarInt,
};

mod again;
mod layout;

/// Everything in a small packet that is not payload, as it usually is: used where a guess only decides the size of a batch
const USUAL_OVERHEAD: usize = MAX_RETRANSMISSION_HEADER_LEN + TAG_LEN;

/// What every data packet has besides payload and numbers: the tag byte, the credential id, the version, two unused bytes, the
/// retransmission offset, the length of the payload, and the authentication tag (wire format, section 1.3)
const FIXED_OVERHEAD: usize = 1 + 16 + 1 + 2 + 4 + 2 + TAG_LEN;

/// What a write hands over
pub(super) struct Batch<'a, B> {
    pub(super) payload: &'a mut B,
    /// The caller says that nothing follows the bytes of `payload`
    pub(super) is_fin: bool,
    /// Bytes that may be sent by the limits of the stream
    pub(super) credit: usize,
    /// Bytes of the path's window that were taken for it
    pub(super) window: u64,
    pub(super) descriptor: Unfilled,
    /// What its first packet is to carry beside the payload; taken if it does
    pub(super) piggyback: &'a mut Option<Piggyback>,
}

/// Bytes of window that `payload_len` bytes need, at most that of so many batches of packets of `datagram_len`
pub(super) fn window_for(payload_len: usize, datagram_len: usize, batches: usize) -> u64 {
    let payload_per_packet = datagram_len.saturating_sub(USUAL_OVERHEAD).max(1);
    let fitting = segment::fitting(segment::MAX_TOTAL, datagram_len).max(1);
    let packets = payload_len
        .div_ceil(payload_per_packet)
        .clamp(1, batches * fitting);
    (payload_len + packets * USUAL_OVERHEAD).min(packets * datagram_len) as u64
}

impl State {
    /// Seals as much of the payload as one batch, the credit and the window allow, and submits it
    ///
    /// At least one packet is made. Returns the bytes taken from the payload.
    pub(super) fn transmit<B>(
        &mut self,
        batch: Batch<'_, B>,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<usize, Error>
    where
        B: storage::Infallible,
    {
        let datagram_len = shared.datagram_len();
        let fitting = segment::fitting(batch.descriptor.capacity(), datagram_len).max(1);
        let packets = (batch.window as usize)
            .div_ceil(datagram_len)
            .clamp(1, fitting);

        let remaining = batch.payload.buffered_len();
        let start = self.reader.current_offset();
        let (source_queue_id, stream_id, remote) = shared.address.for_packet();
        let control_number = varint(self.next_expected_control_packet)?;

        // the final offset goes on packets only when all of them are certain to be in this batch, and the last byte never leaves
        // without it
        let end = varint(start.as_u64().saturating_add(remaining as u64))?;
        let last_number = varint(self.numbers.stream + packets as u64)?;
        if !self.sealer.has_numbers(last_number.as_u64()) {
            return Err(Error::new(ErrorKind::PacketNumberExhaustion));
        }
        let overhead = FIXED_OVERHEAD
            + shared.credentials.key_id.encoding_size()
            + stream_id.into_varint().encoding_size()
            + source_queue_id.map_or(0, |id| id.encoding_size())
            + last_number.encoding_size()
            + control_number.encoding_size()
            + end.encoding_size();
        let overhead_of_end = overhead + end.encoding_size();
        let may_end =
            batch.is_fin && remaining <= packets * datagram_len.saturating_sub(overhead_of_end);
        let overhead_here = if may_end { overhead_of_end } else { overhead };
        let segment_len = layout::segment_len(datagram_len, overhead_here, remaining, packets);
        let certain = packets * segment_len.saturating_sub(overhead_of_end);
        // nothing rides that would make a packet more of it
        let room = match remaining > certain {
            true => usize::MAX,
            false => certain - remaining,
        };
        let fits = |frames: &Piggyback| frames.encoding_size() <= room;
        let acknowledgement = batch.piggyback.take_if(|frames| fits(frames));
        if acknowledgement.is_some() {
            self.piggyback = Some((self.numbers.stream, false));
        }
        let piggyback = acknowledgement
            .or_else(|| {
                let invite = || self.invitation(stream_id, room, shared, now);
                (start == VarInt::ZERO).then(invite).filter(fits)
            })
            .unwrap_or(Piggyback::NOTHING);
        let certain = certain.saturating_sub(piggyback.encoding_size());
        let ends_here = batch.is_fin && remaining <= batch.credit.min(certain);
        let limit = if batch.is_fin && !ends_here {
            batch.credit.min(remaining.saturating_sub(1))
        } else {
            batch.credit
        };
        let mut builder = Builder::new(batch.descriptor, segment_len)
            .map_err(|_| Error::new(ErrorKind::PacketBufferTooSmall))?;
        let first = self.numbers.stream;
        let mut made = 0;
        let record;
        {
            let mut reader = self
                .reader
                .with_storage(batch.payload, ends_here)
                .map_err(|_| Error::new(ErrorKind::PayloadTooLarge))?;
            record = self.records.reserve();
            let mut reader = reader.with_read_limit(limit);
            while made < packets && (made == 0 || !reader.buffer_is_empty()) {
                let offset = reader.current_offset();
                let before = reader.buffered_len();
                let number = self.numbers.stream;
                // no larger than `last_number`
                let packet_number = VarInt::new(number).unwrap_or(last_number);
                let mut packet_len = 0;
                let carried = match made {
                    0 => piggyback.as_slice(),
                    _ => &[],
                };
                let pushed = builder.push(|dest| {
                    packet_len = encoder::encode(
                        EncoderBuffer::new(dest),
                        source_queue_id,
                        stream_id,
                        packet_number,
                        control_number,
                        VarInt::ZERO,
                        &mut storage::Empty,
                        VarInt::from_u8(carried.len() as u8),
                        &carried,
                        &mut reader,
                        &self.sealer,
                        &shared.credentials,
                    );
                    packet_len
                });
                if pushed.is_err() {
                    break;
                }
                self.numbers.stream += 1;
                let shape = Shape {
                    packet_len: packet_len as u16,
                    held: packet_len as u16,
                    payload_len: (before - reader.buffered_len()) as u16,
                    is_fin: ends_here && reader.buffer_is_empty(),
                };
                let sequence = self.numbers.next_sequence();
                if made == 0 || !self.stream.push_next(shape) {
                    let data = Data {
                        origin: record,
                        segment: made as u8,
                        number,
                        offset: offset.as_u64(),
                        payload_len: shape.payload_len,
                        is_fin: shape.is_fin,
                    };
                    self.stream.push(
                        number,
                        &Info {
                            sequence,
                            record,
                            content: Content::Data(data),
                            packet_len: shape.packet_len,
                            held: shape.held,
                        },
                    );
                }
                made += 1;
                if packet_len < segment_len {
                    // a short packet ends the batch
                    break;
                }
            }
        }
        let Some(message) = builder.finish(remote, ExplicitCongestionNotification::Ect0) else {
            self.records.cancel(record);
            return Err(Error::new(ErrorKind::PacketBufferTooSmall));
        };

        shared.publish(now, || {
            Event::WriteAllocated(builder::StreamWriteAllocated {
                allocated_len: message.payload().len(),
            })
        });
        let payload_len = (self.reader.current_offset() - start).as_u64();
        if shared.is_heard {
            for (number, info) in self.stream.iter_from(first) {
                if let Content::Data(data) = info.content {
                    publish_transmitted(shared, number, &data, info.packet_len, false, now);
                }
            }
        }
        shared.counters().packets_sent.add(made as u64);
        self.unacknowledged += made as u64;
        self.flow.on_submitted(payload_len);
        self.records.fill(record, Some(message.clone()), made as u8);
        if ends_here {
            self.phase = Phase::Finishing;
        }

        let (departure, wakes) =
            shared
                .path
                .commit(batch.window, message.payload().len() as u32, now);
        self.submit(record, message, Priority::Data, true, departure, shared);
        self.probe.deadline = None;
        self.arm_probe(shared, departure);
        self.wakes.append(wakes);
        Ok(payload_len as usize)
    }

    /// Says that nothing follows, in a packet of its own. It needs neither credit nor room in the window; without a descriptor it is tried
    /// again by the timer.
    pub(super) fn transmit_end(&mut self, shared: &Shared, now: Timestamp) {
        self.is_end_due = false;
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let len = shared.datagram_len();
        let class = Class::for_len(len, shared.pool().config()).unwrap_or(Class::Burst);
        let Some(descriptor) = shared.pool().alloc(class, Purpose::Control) else {
            self.is_end_due = true;
            return;
        };
        if self.is_opening() {
            shared.speak();
        }
        let batch = Batch {
            payload: &mut storage::Empty,
            is_fin: true,
            credit: 0,
            window: 0,
            descriptor,
            piggyback: &mut None,
        };
        if let Err(error) = self.transmit(batch, shared, now) {
            // offsets and numbers are used up: the peer hears of it as an error
            self.on_local_error(error, CloseCode::APPLICATION, shared, now);
        }
    }

    fn submit(
        &mut self,
        record: RecordId,
        message: Message,
        priority: Priority,
        is_data: bool,
        departure: Timestamp,
        shared: &Shared,
    ) {
        let ticket = self.ticket(record, &message, is_data);
        shared.shard.sender.submit(Transmission {
            message,
            departure,
            priority,
            ticket: Some(ticket),
        });
        self.wakes.flush(&shared.shard.sender);
    }

    /// What the packet of a message carries in at most `room` bytes
    fn invitation(
        &mut self,
        stream_id: Id,
        room: usize,
        shared: &Shared,
        now: Timestamp,
    ) -> Piggyback {
        // whoever takes the stream in takes in what is for others as well
        let is_opening = stream_id.queue_id() == VarInt::ZERO && self.numbers.stream == 0;
        let taken = match is_opening {
            true => {
                let room = Piggyback::room_for_receipts(room);
                shared.path.receipts.take(room, now)
            }
            false => Taken::default(),
        };
        self.receipts = taken.streams;
        Piggyback::invitation(&taken.receipts)
    }

    fn ticket(&self, record: RecordId, message: &Message, is_data: bool) -> Ticket {
        self.completions.ticket(Token {
            record: Some(record),
            is_data,
            len: message.payload().len() as u32,
        })
    }
}

fn publish_transmitted(
    shared: &Shared,
    number: u64,
    data: &Data,
    packet_len: u16,
    is_retransmission: bool,
    now: Timestamp,
) {
    shared.publish(now, || {
        Event::PacketTransmitted(builder::StreamPacketTransmitted {
            packet_len: usize::from(packet_len),
            payload_len: usize::from(data.payload_len),
            packet_number: number,
            stream_offset: data.offset,
            is_fin: data.is_fin,
            is_retransmission,
        })
    });
}

fn varint(value: u64) -> Result<VarInt, Error> {
    VarInt::new(value).map_err(|_| Error::new(ErrorKind::PacketNumberExhaustion))
}
