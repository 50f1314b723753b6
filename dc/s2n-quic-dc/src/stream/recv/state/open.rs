// SPDX-License-Identifier: Apache-2.0

//! Opening packets: authentication first, then the payload, then everything that the header says.
//!
//! The one rule: nothing of a packet is believed, and nothing of it reaches the buffer, before it has authenticated.

use super::{Phase, State};
use crate::{
    event::builder,
    packet::stream,
    stream::{
        events::Event,
        recv::{ranges::Ranges, Error, ErrorKind},
        send::worker,
        shared::{CloseCode, Received, Shared, TAG_LEN},
    },
};
use core::ops::Range;
use s2n_codec::DecoderBufferMut;
use s2n_quic_core::{
    buffer::{self, writer},
    frame::FrameMut,
    time::Timestamp,
    varint::VarInt,
};

impl State {
    /// Takes a packet in; its payload goes straight to `dest` when it is the next one and there is room.
    ///
    /// Where the payload is within the packet, if it is to be [kept](super::buffer::Buffer::keep) there: that is so if `may_stay`, and it is the next
    /// one and there was no room.
    ///
    /// Errors concern this packet or end the half; either way the stream's other packets are not affected.
    pub(crate) fn on_packet<B>(
        &mut self,
        received: Received<'_>,
        may_stay: bool,
        dest: &mut B,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<Option<Range<usize>>, Error>
    where
        B: writer::Storage,
    {
        let decoded =
            stream::decoder::Packet::decode(DecoderBufferMut::new(received.bytes), (), TAG_LEN);
        let (mut packet, _) = decoded.map_err(|_| Error::new(ErrorKind::Decode))?;
        if *packet.credentials() != shared.credentials {
            shared.counters().dropped.credentials.add(1);
            return Err(Error::new(ErrorKind::CredentialMismatch {
                expected: shared.credentials,
                actual: *packet.credentials(),
            }));
        }
        let meta = Meta::of(&packet);
        shared.publish(now, || Event::PacketReceived(meta.received()));

        if self.ranges(&meta).contains(meta.number) {
            if packet
                .decrypt_in_place(&self.opener, &shared.control_keys)
                .is_err()
            {
                shared.counters().dropped.unauthenticated.add(1);
                return Err(Error::new(ErrorKind::Decode));
            }
            // the peer has not heard that it arrived
            self.is_control_due = true;
            return Err(Error::new(ErrorKind::Duplicate));
        }
        if let Phase::Failed { .. } | Phase::Closing { .. } = self.phase {
            self.on_packet_after_failure(packet, &meta, received.remote, shared, now)?;
            return Ok(None);
        }

        let Opened { kept, is_new } =
            match self.open(&mut packet, &meta, may_stay, dest, shared, now) {
                Ok(opened) => opened,
                Err(error) if is_fatal(&error) => {
                    shared.on_authenticated(
                        received.remote,
                        packet.source_queue_id(),
                        now,
                        &mut self.wakes,
                    );
                    self.on_local_error(error, close_code(&error), shared, now);
                    return Err(error);
                }
                Err(error) => {
                    shared.counters().dropped.unauthenticated.add(1);
                    return Err(error);
                }
            };
        self.update_opener(shared);
        self.highest = self.highest.max(meta.end());
        self.ranges(&meta).insert(meta.number);
        self.ecn.increment(received.ecn);
        self.is_control_due = true;
        self.unanswered += 1;
        if meta.is_retransmission && is_new {
            // what it repeats has not arrived
            shared.path.note_loss();
        }
        if meta.payload_len > 0 && !is_new {
            shared.publish(now, || {
                Event::PacketSpuriouslyRetransmitted(meta.spuriously_retransmitted())
            });
        }

        shared.on_authenticated(
            received.remote,
            packet.source_queue_id(),
            now,
            &mut self.wakes,
        );
        self.on_control_numbers(meta.next_expected_control_packet, shared, now);
        if packet.control_data().is_empty() {
            self.try_finish(shared, now);
            return Ok(kept);
        }
        self.on_piggyback(&mut packet, shared, now);
        for frame in packet.control_frames_mut() {
            match frame {
                Ok(FrameMut::ConnectionClose(close)) => {
                    self.on_remote_close(&close, shared, now)?;
                    return Ok(kept);
                }
                Ok(FrameMut::Ping(_)) => self.is_invited = true,
                Ok(FrameMut::Datagram(datagram)) => {
                    let datagram = datagram.data.into_less_safe_slice();
                    self.has_offer |= datagram.is_empty();
                    self.keep_receipts(datagram);
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.try_finish(shared, now);
        Ok(kept)
    }

    /// Goes on to the next keys if the peer has
    pub(super) fn update_opener(&mut self, shared: &Shared) {
        if self.opener.needs_update() {
            self.opener
                .update(|keys| shared.events.update_opener(keys, shared.clock()));
        }
    }

    /// The acknowledgements of an authenticated packet are the sending half's
    fn on_piggyback(
        &mut self,
        packet: &mut stream::decoder::Packet<'_>,
        shared: &Shared,
        now: Timestamp,
    ) {
        let is_ack = |frame| matches!(frame, Ok(FrameMut::Ack(_)));
        if packet.control_frames_mut().any(is_ack) {
            self.takes_receipts = true;
            self.wakes.append(worker::on_piggyback(packet, shared, now));
        }
    }

    /// The numbers that were received in the packet's space
    fn ranges(&mut self, meta: &Meta) -> &mut Ranges {
        match meta.space {
            stream::PacketSpace::Stream => &mut self.stream,
            stream::PacketSpace::Recovery => &mut self.recovery,
        }
    }

    /// Authenticates the packet and accepts its payload
    fn open<B>(
        &mut self,
        packet: &mut stream::decoder::Packet<'_>,
        meta: &Meta,
        may_stay: bool,
        dest: &mut B,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<Opened, Error>
    where
        B: writer::Storage,
    {
        let Self { opener, buffer, .. } = self;
        let control = &shared.control_keys;
        let is_allowed = self.window.accepts(meta.end());
        // what claims to be behind the end is refused, and the reader sees nothing of it
        let is_within = buffer.final_size().is_none_or(|end| meta.end() <= end);
        let is_next = meta.offset.as_u64() == buffer.consumed_len()
            && buffer.is_empty()
            && is_within
            && is_allowed
            && meta.payload_len > 0;

        let mut is_direct = false;
        if is_next && dest.remaining_capacity() >= meta.payload_len {
            is_direct = dest.put_uninit_slice(meta.payload_len, |out| {
                packet.decrypt(opener, control, out).map_err(Error::from)
            })?;
        }
        let mut opened = Opened {
            kept: None,
            is_new: is_next,
        };
        if is_direct {
            buffer
                .skip(meta.payload_len, meta.is_fin)
                .map_err(Error::from_buffer)?;
        } else {
            packet
                .decrypt_in_place(opener, control)
                .map_err(Error::from)?;
            if matches!(meta.space, stream::PacketSpace::Recovery) && !meta.is_retransmission {
                // a probe is not covered by the payload key, which is what checks for replays
                opener.check_replay().map_err(Error::from)?;
            }
            if !is_allowed {
                return Err(Error::new(ErrorKind::MaxDataExceeded));
            }
            if is_next && may_stay {
                buffer
                    .skip_kept(meta.payload_len, meta.is_fin)
                    .map_err(Error::from_buffer)?;
                opened.kept = Some(meta.payload());
            } else {
                let received = buffer.total_received_len();
                buffer
                    .write_at(meta.offset, packet.payload(), meta.is_fin)
                    .map_err(Error::from_buffer)?;
                opened.is_new = buffer.total_received_len() > received;
            }
        }
        if meta.payload_len > 0 {
            shared.publish(now, || {
                Event::DecryptPacket(builder::StreamDecryptPacket {
                    decrypted_in_place: !is_direct,
                    forced_copy: if is_direct { 0 } else { meta.payload_len },
                    required_application_buffer: if is_direct { meta.payload_len } else { 0 },
                })
            });
        }
        Ok(opened)
    }

    /// The half has ended: the peer is told again, unless it knows. Only a peer that knows gets an acknowledgement, because the
    /// payload goes nowhere.
    fn on_packet_after_failure(
        &mut self,
        mut packet: stream::decoder::Packet<'_>,
        meta: &Meta,
        remote: std::net::SocketAddr,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<(), Error> {
        packet
            .decrypt_in_place(&self.opener, &shared.control_keys)
            .map_err(Error::from)?;
        shared.on_authenticated(remote, packet.source_queue_id(), now, &mut self.wakes);
        let is_told = matches!(self.phase, Phase::Failed { .. }) && self.refusal.is_none();
        if is_told {
            self.ranges(meta).insert(meta.number);
        }
        self.is_control_due = true;
        self.on_control_numbers(meta.next_expected_control_packet, shared, now);
        self.on_piggyback(&mut packet, shared, now);
        Ok(())
    }
}

/// A packet whose payload was accepted
struct Opened {
    /// Where the payload is, if it stays in the packet
    kept: Option<Range<usize>>,
    /// It has bytes that had not arrived
    is_new: bool,
}

/// What a packet's header says, kept beside the buffer that is opened
struct Meta {
    space: stream::PacketSpace,
    number: VarInt,
    offset: VarInt,
    payload_len: usize,
    packet_len: usize,
    is_fin: bool,
    is_retransmission: bool,
    next_expected_control_packet: u64,
}

impl Meta {
    #[inline]
    fn of(packet: &stream::decoder::Packet<'_>) -> Self {
        Self {
            space: packet.tag().packet_space(),
            number: packet.packet_number(),
            offset: packet.stream_offset(),
            payload_len: packet.payload().len(),
            packet_len: packet.total_len(),
            is_fin: packet.is_fin(),
            is_retransmission: packet.is_retransmission(),
            next_expected_control_packet: packet.next_expected_control_packet().as_u64(),
        }
    }

    /// Where in the packet the payload is: before the tag, which comes last
    fn payload(&self) -> Range<usize> {
        let end = self.packet_len - TAG_LEN;
        end - self.payload_len..end
    }

    fn end(&self) -> u64 {
        self.offset.as_u64().saturating_add(self.payload_len as u64)
    }

    fn received(&self) -> builder::StreamPacketReceived {
        builder::StreamPacketReceived {
            packet_len: self.packet_len,
            payload_len: self.payload_len,
            packet_number: self.number.as_u64(),
            stream_offset: self.offset.as_u64(),
            is_fin: self.is_fin,
            is_retransmission: self.is_retransmission,
        }
    }

    fn spuriously_retransmitted(&self) -> builder::StreamPacketSpuriouslyRetransmitted {
        builder::StreamPacketSpuriouslyRetransmitted {
            packet_len: self.packet_len,
            payload_len: self.payload_len,
            packet_number: self.number.as_u64(),
            stream_offset: self.offset.as_u64(),
            is_fin: self.is_fin,
            is_retransmission: self.is_retransmission,
        }
    }
}

/// Whether the error ends the half, or only this packet
fn is_fatal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::MaxDataExceeded
            | ErrorKind::InvalidFin
            | ErrorKind::OutOfRange
            | ErrorKind::KeyReplayPrevented
            | ErrorKind::KeyReplayMaybePrevented { .. }
    )
}

/// How the peer is told (RFC 9000, section 20.1)
pub(super) fn close_code(error: &Error) -> CloseCode {
    match error.kind() {
        ErrorKind::MaxDataExceeded => CloseCode::Transport(0x3),
        ErrorKind::OutOfRange => CloseCode::Transport(0x4),
        ErrorKind::InvalidFin => CloseCode::Transport(0x6),
        // a published client takes "no error" for success, so a replayed key gets a code of the application
        _ => CloseCode::APPLICATION,
    }
}

/// The published errors convert only within their own crate
pub(super) trait FromBuffer {
    fn from_buffer(error: buffer::Error) -> Self;
}

impl FromBuffer for Error {
    fn from_buffer(error: buffer::Error) -> Self {
        match error {
            buffer::Error::OutOfRange => Error::new(ErrorKind::OutOfRange),
            buffer::Error::InvalidFin => Error::new(ErrorKind::InvalidFin),
            buffer::Error::ReaderError(never) => match never {},
        }
    }
}
