// SPDX-License-Identifier: Apache-2.0

//! Opening packets that follow each other and bring nothing but the next bytes: nearly all of a long transfer.
//!
//! What such packets change in the state is changed once for all of them.
//!
//! The one rule: a packet is taken in here only if [`State::on_packet`] would have done the same. One that is special, or wrong, is left as it is for
//! that.

use super::{
    open::{close_code, FromBuffer as _},
    Phase, State,
};
use crate::{
    packet::stream::{decoder::Packet, PacketSpace},
    stream::{
        recv::{shared::Incoming, Error},
        shared::{Shared, TAG_LEN},
    },
};
use s2n_codec::DecoderBufferMut;
use s2n_quic_core::{buffer::writer, time::Timestamp, varint::VarInt};

/// Packets that were opened and are not accounted for
struct Run {
    count: usize,
    /// The last of them, or the one before the first
    last: VarInt,
    /// Where their bytes end
    end: VarInt,
    source_queue_id: Option<VarInt>,
}

impl State {
    /// Opens packets from the front of `train` into `dest` and takes them off, at most `limit`; returns how many
    pub(crate) fn open_run<B>(
        &mut self,
        train: &mut Incoming,
        limit: usize,
        dest: &mut B,
        shared: &Shared,
        now: Timestamp,
    ) -> usize
    where
        B: writer::Storage,
    {
        let Some(mut run) = self.begin_run(shared) else {
            return 0;
        };
        let start = run.end;
        while run.count < limit {
            let Some(bytes) = train.packets.first_mut() else {
                break;
            };
            if !self.open_plain(bytes, &mut run, dest, shared) {
                break;
            }
            train.packets.advance(1);
        }
        if run.count == 0 {
            return 0;
        }

        // a phase of the key has far more packets than a train
        self.update_opener(shared);
        self.highest = run.end.as_u64();
        self.stream.extend(run.last);
        for _ in 0..run.count {
            self.ecn.increment(train.ecn);
        }
        self.is_control_due = true;
        self.unanswered += run.count as u32;
        shared.on_authenticated(train.remote, run.source_queue_id, now, &mut self.wakes);
        let len = (run.end - start).as_u64() as usize;
        if let Err(error) = self.buffer.skip(len, false) {
            let error = Error::from_buffer(error);
            self.on_local_error(error, close_code(&error), shared, now);
        }
        run.count
    }

    /// `None` if no packet at all can be a plain one just now
    fn begin_run(&self, shared: &Shared) -> Option<Run> {
        let is_plain = matches!(self.phase, Phase::Open)
            // nothing waits to be read, nor for what comes now
            && self.highest == self.buffer.consumed_len()
            && self.buffer.final_size().is_none()
            // who listens hears of each packet
            && !shared.is_heard;
        let run = Run {
            count: 0,
            last: self.stream.largest()?,
            end: VarInt::new(self.buffer.consumed_len()).ok()?,
            source_queue_id: None,
        };
        is_plain.then_some(run)
    }

    /// Opens the packet if it is the next one, and brings bytes and no news; it is as it was if not
    #[inline]
    fn open_plain<B>(&self, bytes: &mut [u8], run: &mut Run, dest: &mut B, shared: &Shared) -> bool
    where
        B: writer::Storage,
    {
        let Ok((mut packet, _)) = Packet::decode(DecoderBufferMut::new(bytes), (), TAG_LEN) else {
            return false;
        };
        let number = packet.packet_number();
        let len = packet.payload().len();
        let Some(end) = run.end.checked_add_usize(len) else {
            return false;
        };
        let seen = packet.next_expected_control_packet().as_u64();
        let is_plain = number.as_u64() == run.last.as_u64() + 1
            && packet.stream_offset() == run.end
            && matches!(packet.tag().packet_space(), PacketSpace::Stream)
            && !packet.is_retransmission()
            && packet.final_offset().is_none()
            && packet.control_data().is_empty()
            && seen.checked_sub(1) == self.seen
            && *packet.credentials() == shared.credentials
            && self.window.accepts(end.as_u64())
            && (1..=dest.remaining_capacity()).contains(&len);
        if !is_plain {
            return false;
        }
        let opened = dest.put_uninit_slice(len, |out| {
            packet.decrypt(&self.opener, &shared.control_keys, out)
        });
        // one that is not authentic is told so by the general way, which finds out again
        if !matches!(opened, Ok(true)) {
            return false;
        }
        run.count += 1;
        run.last = number;
        run.end = end;
        run.source_queue_id = packet.source_queue_id();
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
