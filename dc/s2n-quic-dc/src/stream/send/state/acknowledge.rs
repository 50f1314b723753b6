// SPDX-License-Identifier: Apache-2.0

//! What control packets say: which packets arrived, and how far the peer lets this half go.
//!
//! The one rule: a packet leaves its map with its bytes: back to the window, or on to its retransmission.

use super::{
    lost::LostPacket,
    transmission::{Content, Info, Part, SentPackets},
    Phase, State,
};
use crate::{
    event::builder,
    packet,
    stream::{
        events::Event,
        path::{self, Departed},
        receipt::Receipt,
        send::{loss, Error, ErrorKind},
        shared::{CloseCode, Shared},
    },
};
use core::time::Duration;
use s2n_quic_core::{
    frame::{ack::AckRanges, Ack, FrameMut},
    recovery::congestion::Signal,
    time::Timestamp,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Stream,
    Recovery,
}

/// What one control packet acknowledged
#[derive(Default)]
struct Acknowledged {
    /// Bytes of packets
    bytes: u64,
    /// Bytes of window that are free again
    released: u64,
    newest: Option<(loss::Newest, Departed)>,
    largest_is_new: bool,
    /// The network marked a packet that the peer had not reported before
    is_marked: bool,
    /// A packet that was called lost has arrived after all
    is_late: bool,
    data_bytes: u64,
    /// How long the peer has waited before it said so
    delay: Duration,
}

impl State {
    /// Takes in an authenticated control packet
    pub(crate) fn on_control_packet(
        &mut self,
        packet: &mut packet::control::decoder::Packet<'_>,
        shared: &Shared,
        now: Timestamp,
    ) {
        let number = packet.packet_number().as_u64();
        self.next_expected_control_packet = self.next_expected_control_packet.max(number + 1);

        let mut acknowledged = Acknowledged::default();
        for frame in packet.control_frames_mut() {
            match frame {
                Ok(FrameMut::Ack(ack)) => self.on_ack_frame(&ack, &mut acknowledged, shared, now),
                Ok(FrameMut::MaxData(frame)) => {
                    let increase = self.flow.on_max_data(frame.maximum_data.as_u64());
                    if increase > 0 {
                        shared.publish(now, || {
                            Event::MaxDataReceived(builder::StreamMaxDataReceived {
                                increase,
                                new_max_data: self.flow.max_data(),
                            })
                        });
                    }
                }
                Ok(FrameMut::ConnectionClose(close)) => {
                    self.apply(acknowledged, shared, now);
                    self.on_remote_close(&close, shared, now);
                    return;
                }
                Ok(_) => {}
                Err(decoder) => {
                    let error = Error::new(ErrorKind::FrameError { decoder });
                    self.apply(acknowledged, shared, now);
                    self.on_local_error(error, CloseCode::APPLICATION, shared, now);
                    return;
                }
            }
        }
        self.apply(acknowledged, shared, now);
    }

    /// Takes in the acknowledgements of an authenticated packet with data; its other frames are the receiving half's
    pub(crate) fn on_piggyback(
        &mut self,
        packet: &mut packet::stream::decoder::Packet<'_>,
        shared: &Shared,
        now: Timestamp,
    ) {
        let mut acknowledged = Acknowledged::default();
        for frame in packet.control_frames_mut() {
            if let Ok(FrameMut::Ack(ack)) = frame {
                self.on_ack_frame(&ack, &mut acknowledged, shared, now);
            }
        }
        self.apply(acknowledged, shared, now);
    }

    fn on_ack_frame<A: AckRanges>(
        &mut self,
        ack: &Ack<A>,
        acknowledged: &mut Acknowledged,
        shared: &Shared,
        now: Timestamp,
    ) {
        // the marker of the two number spaces on this wire: with ECN counts it is the stream's, without the recovery's
        let space = match &ack.ecn_counts {
            Some(counts) => {
                let ce = counts.ce_count.as_u64();
                let increase = ce.saturating_sub(self.congestion_experienced);
                if increase > 0 {
                    self.congestion_experienced = ce;
                    acknowledged.is_marked = true;
                }
                Space::Stream
            }
            None => Space::Recovery,
        };

        let ranges = ack.ack_ranges();
        let ranges = ranges.map(|range| (range.start().as_u64(), range.end().as_u64()));
        self.on_ranges(space, ranges, acknowledged, shared, now);
    }

    /// Takes in that all packets of the half have arrived
    pub(crate) fn on_receipt(&mut self, receipt: &Receipt, shared: &Shared, now: Timestamp) {
        let mut acknowledged = Acknowledged {
            delay: Duration::from_micros(u64::from(receipt.age)),
            ..Acknowledged::default()
        };
        let all = self.numbers.stream.checked_sub(1).map(|last| (0, last));
        self.on_ranges(Space::Stream, all, &mut acknowledged, shared, now);
        self.apply(acknowledged, shared, now);
    }

    /// The packets with these numbers have arrived; the highest range is the first
    fn on_ranges(
        &mut self,
        space: Space,
        ranges: impl IntoIterator<Item = (u64, u64)>,
        acknowledged: &mut Acknowledged,
        shared: &Shared,
        now: Timestamp,
    ) {
        // set aside meanwhile: of a packet in this space, nothing but the other space is touched
        let mut packets = core::mem::take(self.space(space));
        let mut late = Vec::new();
        let mut largest = None;
        for (start, end) in ranges {
            let largest = *largest.get_or_insert(end);
            packets.remove_range(start, end, |part| {
                acknowledged.largest_is_new |= part.contains(largest);
                self.on_packets_acknowledged(&part, space, acknowledged, shared, now);
            });
            if space == Space::Stream && !self.lost.is_empty() {
                self.lost.take_range(start, end, &mut late);
            }
        }
        *self.space(space) = packets;
        for packet in late {
            self.on_spurious_loss(&packet, acknowledged, shared, now);
        }
    }

    fn space(&mut self, space: Space) -> &mut SentPackets {
        match space {
            Space::Stream => &mut self.stream,
            Space::Recovery => &mut self.recovery,
        }
    }

    /// What was called lost was only late. Its retransmission is superseded, wherever it is.
    fn on_spurious_loss(
        &mut self,
        packet: &LostPacket,
        acknowledged: &mut Acknowledged,
        shared: &Shared,
        now: Timestamp,
    ) {
        shared.counters().spurious_losses.add(1);
        acknowledged.is_late = true;
        let known = self.newest.map_or(0, |newest| newest.sequence);
        let distance = known.saturating_sub(packet.sequence);
        shared.path.on_spurious_loss(packet.departed, distance, now);
        if self.records.acknowledge(&packet.data) {
            self.unacknowledged -= 1;
            acknowledged.data_bytes += u64::from(packet.data.payload_len);
        }
        self.records.settle(packet.data.origin);
    }

    fn on_packets_acknowledged(
        &mut self,
        part: &Part,
        space: Space,
        acknowledged: &mut Acknowledged,
        shared: &Shared,
        now: Timestamp,
    ) {
        let departed = self.records.departed(part.record());
        acknowledged.bytes += part.bytes();
        acknowledged.released += part.held();
        if let Some(departed) = departed {
            let newest = loss::Newest {
                sequence: part.newest(),
                departed: departed.time,
            };
            let is_newer = |known: &(loss::Newest, Departed)| known.0.sequence < newest.sequence;
            if acknowledged.newest.as_ref().is_none_or(is_newer) {
                acknowledged.newest = Some((newest, departed));
            }
        }
        if let Some((origin, segments)) = part.segments() {
            let news = self.records.acknowledge_all(origin, segments);
            self.unacknowledged -= u64::from(news.count_ones());
            acknowledged.data_bytes += part.payload_len(news);
        }
        if space == Space::Recovery || self.piggyback.is_some() || shared.is_heard {
            for (number, info) in part.iter() {
                self.on_packet_acknowledged(number, &info, space, departed, shared, now);
            }
        }
        self.records.settle_all(part.record(), part.len());
    }

    /// What there is to each packet besides
    fn on_packet_acknowledged(
        &mut self,
        number: u64,
        info: &Info,
        space: Space,
        departed: Option<Departed>,
        shared: &Shared,
        now: Timestamp,
    ) {
        let Content::Data(data) = info.content else {
            return;
        };
        // each copy carries it as well
        if let Some((carrier, has_arrived)) = &mut self.piggyback {
            *has_arrived |= *carrier == data.number;
        }
        if space == Space::Recovery {
            // the first send is superseded; its bytes leave the account without a verdict on the network
            if let Some(first) = self.stream.remove(data.number) {
                self.discard(first, shared, now);
            }
        }
        shared.publish(now, || {
            Event::PacketAcked(builder::StreamPacketAcked {
                packet_len: usize::from(info.packet_len),
                payload_len: usize::from(data.payload_len),
                packet_number: number,
                stream_offset: data.offset,
                time_sent: event_time(departed, now),
                lifetime: lifetime(departed, now),
                is_retransmission: space == Space::Recovery,
            })
        });
    }

    /// Draws the consequences of what a control packet acknowledged
    fn apply(&mut self, acknowledged: Acknowledged, shared: &Shared, now: Timestamp) {
        if acknowledged.bytes > 0 || acknowledged.is_late {
            self.discard_superseded(shared, now);
            self.flow.on_acknowledged(acknowledged.data_bytes);
            match acknowledged.newest {
                Some((newest, departed)) => {
                    if self
                        .newest
                        .is_none_or(|known| known.sequence < newest.sequence)
                    {
                        self.newest = Some(newest);
                    }
                    if acknowledged.is_marked {
                        shared.path.on_congestion(Signal::Mark, departed, now);
                    }
                    self.wakes.append(shared.path.on_ack(
                        path::Acknowledged {
                            bytes: acknowledged.bytes,
                            released: acknowledged.released,
                            departed,
                            is_rtt_sample: acknowledged.largest_is_new,
                            delay: acknowledged.delay,
                        },
                        now,
                    ));
                }
                None => self
                    .wakes
                    .append(shared.path.release(acknowledged.released, now)),
            }
            self.probe.backoff = 1;
            self.probe.deadline = None;
            if matches!(self.phase, Phase::Closing { .. }) {
                // the peer has heard the close
                self.finish_closing(shared, now);
            }
        }
        self.detect_losses(shared, now);
        self.transmit_retransmissions(shared, now);
        self.arm_probe(shared, self.newest_departure().unwrap_or(now));
        self.try_finish(shared, now);
        self.wake_if_unblocked();
    }

    /// Copies whose data arrived by another copy leave the account
    fn discard_superseded(&mut self, shared: &Shared, now: Timestamp) {
        let mut superseded = Vec::new();
        let records = &self.records;
        self.recovery.remove_if(
            |_| true,
            |_, info| match &info.content {
                Content::Data(data) => records.is_acknowledged(data),
                Content::Probe => false,
            },
            |_, info| superseded.push(info),
        );
        for info in superseded {
            self.discard(info, shared, now);
        }
        // those that wait for a descriptor as well, before their origin's name goes to another record
        let mut released = 0;
        self.retransmissions.retain(|(data, held)| {
            let is_acknowledged = self.records.is_acknowledged(data);
            released += u64::from(if is_acknowledged { *held } else { 0 });
            !is_acknowledged
        });
        if released > 0 {
            self.wakes.append(shared.path.release(released, now));
        }
    }

    /// The packet is neither acknowledged nor lost, and nobody waits for it any more
    pub(super) fn discard(&mut self, info: Info, shared: &Shared, now: Timestamp) {
        self.records.settle(info.record);
        self.wakes
            .append(shared.path.release(u64::from(info.held), now));
    }
}

pub(super) fn event_time(departed: Option<Departed>, now: Timestamp) -> crate::event::Timestamp {
    use crate::event::IntoEvent as _;
    departed.map_or(now, |departed| departed.time).into_event()
}

/// How long a packet was on its way
pub(super) fn lifetime(departed: Option<Departed>, now: Timestamp) -> Duration {
    departed.map_or(Duration::ZERO, |departed| {
        now.saturating_duration_since(departed.time)
    })
}
