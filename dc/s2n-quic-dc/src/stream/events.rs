// SPDX-License-Identifier: Apache-2.0

//! The published events, behind one object per stream.
//!
//! Streams are not generic over the subscriber: their state talks to this trait object, so the state machines are compiled once,
//! and only the handles that services hold carry the subscriber's type.
//!
//! The one rule: publishing never changes what a stream does.

use crate::{
    clock::Clock,
    event::{self, builder, ConnectionPublisher as _},
    path::secret::{open::Application as Opener, seal::Application as Sealer},
};
use core::any::TypeId;
use published_dc::stream::shared::Subscriber;
use s2n_quic_core::time::Timestamp;

/// What a stream may publish
pub(crate) enum Event {
    WriteFlushed(builder::StreamWriteFlushed),
    WriteFinFlushed(builder::StreamWriteFinFlushed),
    WriteBlocked(builder::StreamWriteBlocked),
    WriteErrored(builder::StreamWriteErrored),
    WriteAllocated(builder::StreamWriteAllocated),
    WriteShutdown(builder::StreamWriteShutdown),
    WriteSocketFlushed(builder::StreamWriteSocketFlushed),
    WriteSocketBlocked(builder::StreamWriteSocketBlocked),
    WriteSocketErrored(builder::StreamWriteSocketErrored),
    ReadFlushed(builder::StreamReadFlushed),
    ReadFinFlushed(builder::StreamReadFinFlushed),
    ReadBlocked(builder::StreamReadBlocked),
    ReadErrored(builder::StreamReadErrored),
    ReadShutdown(builder::StreamReadShutdown),
    ReadSocketFlushed(builder::StreamReadSocketFlushed),
    ReadSocketBlocked(builder::StreamReadSocketBlocked),
    DecryptPacket(builder::StreamDecryptPacket),
    PacketTransmitted(builder::StreamPacketTransmitted),
    PacketReceived(builder::StreamPacketReceived),
    PacketLost(builder::StreamPacketLost),
    PacketAcked(builder::StreamPacketAcked),
    PacketSpuriouslyRetransmitted(builder::StreamPacketSpuriouslyRetransmitted),
    MaxDataReceived(builder::StreamMaxDataReceived),
    ControlPacketTransmitted(builder::StreamControlPacketTransmitted),
    ControlPacketReceived(builder::StreamControlPacketReceived),
    ReceiverErrored(builder::StreamReceiverErrored),
    SenderErrored(builder::StreamSenderErrored),
    HandshakePacketRejected(builder::StreamHandshakePacketRejected),
    Closed(builder::ConnectionClosed),
}

/// The subscriber of one stream, with the type left out
pub(crate) trait Events: Send + Sync {
    fn publish(&self, now: Timestamp, event: Event);

    /// False if nobody listens: what would only be made to be published need not be
    fn are_heard(&self) -> bool;

    /// The next key of the sender; the published key types publish the event themselves
    fn update_sealer(&self, sealer: &mut Sealer, clock: &dyn Clock);

    fn update_opener(&self, opener: &mut Opener, clock: &dyn Clock);
}

impl<Sub: event::Subscriber> Events for Subscriber<Sub> {
    fn publish(&self, now: Timestamp, event: Event) {
        let to = self.publisher(now);
        match event {
            Event::WriteFlushed(event) => to.on_stream_write_flushed(event),
            Event::WriteFinFlushed(event) => to.on_stream_write_fin_flushed(event),
            Event::WriteBlocked(event) => to.on_stream_write_blocked(event),
            Event::WriteErrored(event) => to.on_stream_write_errored(event),
            Event::WriteAllocated(event) => to.on_stream_write_allocated(event),
            Event::WriteShutdown(event) => to.on_stream_write_shutdown(event),
            Event::WriteSocketFlushed(event) => to.on_stream_write_socket_flushed(event),
            Event::WriteSocketBlocked(event) => to.on_stream_write_socket_blocked(event),
            Event::WriteSocketErrored(event) => to.on_stream_write_socket_errored(event),
            Event::ReadFlushed(event) => to.on_stream_read_flushed(event),
            Event::ReadFinFlushed(event) => to.on_stream_read_fin_flushed(event),
            Event::ReadBlocked(event) => to.on_stream_read_blocked(event),
            Event::ReadErrored(event) => to.on_stream_read_errored(event),
            Event::ReadShutdown(event) => to.on_stream_read_shutdown(event),
            Event::ReadSocketFlushed(event) => to.on_stream_read_socket_flushed(event),
            Event::ReadSocketBlocked(event) => to.on_stream_read_socket_blocked(event),
            Event::DecryptPacket(event) => to.on_stream_decrypt_packet(event),
            Event::PacketTransmitted(event) => to.on_stream_packet_transmitted(event),
            Event::PacketReceived(event) => to.on_stream_packet_received(event),
            Event::PacketLost(event) => to.on_stream_packet_lost(event),
            Event::PacketAcked(event) => to.on_stream_packet_acked(event),
            Event::PacketSpuriouslyRetransmitted(event) => {
                to.on_stream_packet_spuriously_retransmitted(event)
            }
            Event::MaxDataReceived(event) => to.on_stream_max_data_received(event),
            Event::ControlPacketTransmitted(event) => {
                to.on_stream_control_packet_transmitted(event)
            }
            Event::ControlPacketReceived(event) => to.on_stream_control_packet_received(event),
            Event::ReceiverErrored(event) => to.on_stream_receiver_errored(event),
            Event::SenderErrored(event) => to.on_stream_sender_errored(event),
            Event::HandshakePacketRejected(event) => to.on_stream_handshake_packet_rejected(event),
            Event::Closed(event) => to.on_connection_closed(event),
        }
    }

    fn are_heard(&self) -> bool {
        TypeId::of::<Sub>() != TypeId::of::<event::disabled::Subscriber>()
    }

    fn update_sealer(&self, sealer: &mut Sealer, clock: &dyn Clock) {
        sealer.update(clock, self);
    }

    fn update_opener(&self, opener: &mut Opener, clock: &dyn Clock) {
        opener.update(clock, self);
    }
}
