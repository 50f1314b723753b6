// SPDX-License-Identifier: Apache-2.0

//! What is left of a stream that has sent and received everything: it answers a peer that has not heard so.
//!
//! A fraction of the stream's state is enough for that, as little is for TCP's time-wait sockets. Calls are over long before their peers are
//! certain to know it, and their keys and buffers are free, and still in the processor's cache, for the next ones.
//!
//! The one rule: nothing is opened any more. All has arrived, so whatever packet of the stream comes, it is one whose acknowledgement was
//! lost, and what it says is known.

use super::{
    ranges::Ranges,
    state::control::{statement, Sealed, CONTROL_PACKET_LEN},
};
use crate::{
    credentials::Credentials,
    packet::stream::{self, decoder, PacketSpace},
    stream::{control_keys::ControlKeys, shared::TAG_LEN},
};
use s2n_codec::DecoderBufferMut;
use s2n_quic_core::{frame::ack::EcnCounts, varint::VarInt};
use std::net::SocketAddr;

/// The receiving half's part in a stream that is over
pub(crate) struct Lingering {
    pub(crate) credentials: Credentials,
    pub(crate) remote: SocketAddr,
    pub(super) control_keys: ControlKeys,
    pub(super) source_queue_id: Option<VarInt>,
    pub(super) stream_id: stream::Id,
    pub(super) stream: Ranges,
    pub(super) recovery: Ranges,
    pub(super) ecn: EcnCounts,
    pub(super) max_data: VarInt,
    pub(super) next_control: VarInt,
}

impl Lingering {
    /// Makes `answer` the answer to a packet with data or a probe; `None` if the packet is not one of the stream's
    pub(crate) fn answer(&mut self, packet: &mut [u8], answer: &mut Vec<u8>) -> Option<()> {
        let buffer = DecoderBufferMut::new(packet);
        let (packet, _) = decoder::Packet::decode(buffer, (), TAG_LEN).ok()?;
        if *packet.credentials() != self.credentials {
            return None;
        }
        match packet.tag().packet_space() {
            PacketSpace::Stream => self.stream.insert(packet.packet_number()),
            PacketSpace::Recovery => self.recovery.insert(packet.packet_number()),
        }
        self.acknowledge(answer)
    }

    /// Makes `answer` say what was received
    pub(crate) fn acknowledge(&mut self, answer: &mut Vec<u8>) -> Option<()> {
        let number = self.next_control;
        self.next_control = number.checked_add(VarInt::from_u8(1))?;
        let mut sealed = Sealed::new(self.source_queue_id, self.stream_id, number);
        let frames = statement(self.max_data, &self.stream, &self.recovery, self.ecn);
        answer.resize(CONTROL_PACKET_LEN, 0);
        let len = sealed.encode(answer, &frames, &self.control_keys, &self.credentials);
        answer.truncate(len);
        Some(())
    }
}
