// SPDX-License-Identifier: Apache-2.0

//! What is sent again, and what only asks or answers: retransmissions, probes, and the close that rides on one.
//!
//! The one rule: a copy keeps the number that its ciphertext is bound to, and is told from the first send by the number of its own space.

use super::{
    super::state::{
        transmission::{Content, Data, Info},
        Phase, State,
    },
    publish_transmitted,
};
use crate::{
    msg::send::Builder,
    packet::stream::{decoder::Packet, encoder, PacketSpace},
    socket::{
        pool::{Class, Purpose},
        send::transmission::Priority,
    },
    stream::shared::Shared,
};
use s2n_codec::{DecoderBufferMut, EncoderBuffer, EncoderValue};
use s2n_quic_core::{
    buffer::reader::{self, storage},
    inet::ExplicitCongestionNotification,
    time::Timestamp,
    varint::VarInt,
};

/// A probe holds a header and at most one CONNECTION_CLOSE
const PROBE_LEN: usize = 256;

impl State {
    /// Sends every lost packet again, as long as there are descriptors
    pub(in crate::stream::send) fn transmit_retransmissions(
        &mut self,
        shared: &Shared,
        now: Timestamp,
    ) {
        while let Some((data, held)) = self.retransmissions.pop_front() {
            if self.records.is_acknowledged(&data) {
                self.wakes.append(shared.path.release(u64::from(held), now));
                continue;
            }
            if !self.transmit_copy(data, held, shared, now) {
                self.retransmissions.push_front((data, held));
                return;
            }
        }
    }

    /// Sends copies of the oldest outstanding packets without calling them lost; nothing if all of them are still in the wheel
    pub(in crate::stream::send) fn transmit_probes(
        &mut self,
        probes: usize,
        shared: &Shared,
        now: Timestamp,
    ) {
        let mut candidates: Vec<(u64, Data)> = self
            .stream
            .iter()
            .chain(self.recovery.iter())
            .filter(|(_, info)| self.records.departed(info.record).is_some())
            .filter_map(|(_, info)| match info.content {
                Content::Data(data) => Some((data.offset, data)),
                Content::Probe => None,
            })
            .collect();
        candidates.sort_by_key(|(offset, data)| (*offset, data.number));
        candidates.dedup_by_key(|(_, data)| data.number);
        for (_, data) in candidates.into_iter().take(probes) {
            // the original holds the window for both
            if self.transmit_copy(data, 0, shared, now) {
                shared.counters().probes.add(1);
            }
        }
    }

    /// Sends one packet of an earlier transmission again, which holds `held` bytes of the window; false when there is no descriptor for it
    fn transmit_copy(&mut self, data: Data, held: u16, shared: &Shared, now: Timestamp) -> bool {
        let Some(message) = self.records.message(data.origin) else {
            return false;
        };
        let Some((mut copy, len)) =
            message.copy_segment(usize::from(data.segment), shared.pool(), Purpose::Control)
        else {
            return false;
        };
        // the receiver tells a retransmission by a number larger than that of the first send
        let number = self.numbers.recovery.max(data.number + 1);
        let Ok(effective) = VarInt::new(number) else {
            return false;
        };
        let patched = Packet::retransmit(
            DecoderBufferMut::new(&mut copy.as_mut_slice()[..len]),
            PacketSpace::Recovery,
            effective,
            &shared.control_keys,
        );
        if patched.is_err() {
            return false;
        }
        let (_, _, remote) = shared.address.for_packet();
        let Ok(mut builder) = Builder::new(copy, len) else {
            return false;
        };
        // the bytes are in place already
        if builder.push(|_| len).is_err() {
            return false;
        }
        let Some(message) = builder.finish(remote, ExplicitCongestionNotification::Ect0) else {
            return false;
        };
        self.numbers.recovery = number + 1;
        let record = self.records.reserve();
        self.records.fill(record, None, 1);
        self.recovery.push(
            number,
            &Info {
                sequence: self.numbers.next_sequence(),
                record,
                content: Content::Data(data),
                packet_len: len as u16,
                held,
            },
        );
        publish_transmitted(shared, number, &data, len as u16, true, now);
        shared.counters().packets_sent.add(1);
        shared.counters().packets_retransmitted.add(1);
        let departure = shared.path.schedule(len as u32, now);
        self.submit(
            record,
            message,
            Priority::Recovery,
            false,
            departure,
            shared,
        );
        true
    }

    /// Tells the peer that this half ended early
    pub(in crate::stream::send) fn transmit_close(&mut self, shared: &Shared, now: Timestamp) {
        if let Phase::Closing { code, .. } = self.phase {
            self.transmit_probe(&code.frame(), shared, now);
        }
    }

    /// Tells the peer's receiver that its last control packet has arrived
    pub(in crate::stream::send) fn transmit_answer(&mut self, shared: &Shared, now: Timestamp) {
        self.transmit_probe(&(), shared, now);
    }

    /// A packet of the recovery space without payload, which is what a close rides on
    fn transmit_probe<F: EncoderValue>(&mut self, frames: &F, shared: &Shared, now: Timestamp) {
        let Some(descriptor) = shared.pool().alloc(Class::Packet, Purpose::Control) else {
            return;
        };
        let number = self.numbers.recovery;
        let (Ok(packet_number), Ok(control_number), Ok(offset)) = (
            VarInt::new(number),
            VarInt::new(self.next_expected_control_packet),
            VarInt::new(self.flow.offset()),
        ) else {
            return;
        };
        let Ok(frames_len) = VarInt::try_from(frames.encoding_size()) else {
            return;
        };
        let (source_queue_id, stream_id, remote) = shared.address.for_packet();
        let is_final = matches!(self.phase, Phase::Finishing | Phase::Finished);
        let mut position = reader::Incremental::new(offset);
        let mut empty = storage::Empty;
        let Ok(mut payload) = position.with_storage(&mut empty, is_final) else {
            return;
        };
        let Ok(mut builder) = Builder::new(descriptor, PROBE_LEN) else {
            return;
        };
        let mut packet_len = 0;
        let pushed = builder.push(|dest| {
            packet_len = encoder::probe(
                EncoderBuffer::new(dest),
                source_queue_id,
                stream_id,
                packet_number,
                control_number,
                VarInt::ZERO,
                &mut storage::Empty,
                frames_len,
                frames,
                &mut payload,
                &shared.control_keys,
                &shared.credentials,
            );
            packet_len
        });
        if pushed.is_err() {
            return;
        }
        let Some(message) = builder.finish(remote, ExplicitCongestionNotification::Ect0) else {
            return;
        };
        self.numbers.recovery += 1;
        let record = self.records.reserve();
        if self.is_terminal() {
            // nothing follows that could wait for its acknowledgement, and the peer need not send one: it has no account
            self.records.fill(record, None, 0);
            self.submit(record, message, Priority::Control, false, now, shared);
            return;
        }
        self.records.fill(record, None, 1);
        shared.path.take_unchecked(packet_len as u64);
        self.recovery.push(
            number,
            &Info {
                sequence: self.numbers.next_sequence(),
                record,
                content: Content::Probe,
                packet_len: packet_len as u16,
                held: packet_len as u16,
            },
        );
        self.submit(record, message, Priority::Control, false, now, shared);
    }
}
