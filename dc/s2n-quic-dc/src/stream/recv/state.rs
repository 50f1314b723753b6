// SPDX-License-Identifier: Apache-2.0

//! The receiving half of a stream: opens packets, puts them in order, and says what has arrived.
//!
//! The one rule: a packet is acknowledged only after it was authenticated and its payload accepted. What is dropped before that is sent
//! again by the peer.

use super::{ranges::Ranges, shared::Incoming, window::Window};
use crate::{
    crypto,
    event::builder,
    msg::send::Builder,
    packet::{control, stream},
    path::secret::open::Application as Opener,
    socket::{
        pool::{Class, Purpose},
        send::{
            completion,
            transmission::{Completions, Priority, Token, Transmission},
        },
    },
    stream::{
        events::Event,
        path::{Departed, Wakes},
        recv::{Error, ErrorKind},
        shared::{CloseCode, Half, Received, Shared, TAG_LEN},
    },
};
use core::time::Duration;
use s2n_codec::{DecoderBufferMut, EncoderBuffer, EncoderValue};
use s2n_quic_core::{
    buffer::{self, reader::storage, writer, Reassembler},
    endpoint::Location,
    frame::{self, ack::EcnCounts, Ack, FrameMut, MaxData},
    inet::ExplicitCongestionNotification,
    time::Timestamp,
    varint::VarInt,
};
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Poll, Waker},
};

/// How long a finished half still answers: the peer's last packet is repeated until it hears that it has arrived
const TIME_WAIT: Duration = Duration::from_millis(500);

/// Control packets that may be in the wheel at once: one on its way, and one that says what came meanwhile
const MAX_CONTROL_IN_FLIGHT: usize = 2;

/// Control packets whose content is remembered, to know what the peer has seen
const MAX_REMEMBERED: usize = 16;

/// The longest control packet (wire format, section 1.4), and what its header and tag take of it
const CONTROL_PACKET_LEN: usize = 1200;
const CONTROL_OVERHEAD: usize = 100;

/// The first repetition of a promise of credit or of a close; doubles to [`MAX_REPEAT`]
const FIRST_REPEAT: Duration = Duration::from_millis(20);
const MAX_REPEAT: Duration = Duration::from_secs(2);

/// How often a close is repeated before the peer counts as gone
const MAX_CLOSE_ATTEMPTS: u8 = 6;

pub(crate) struct State {
    phase: Phase,
    opener: Opener,
    reassembler: Reassembler,
    window: Window,
    /// One past the last byte that was received
    highest: u64,
    stream: Ranges,
    recovery: Ranges,
    ecn: EcnCounts,
    next_control: u64,
    remembered: VecDeque<Remembered>,
    completions: Arc<Completions>,
    drained: Vec<completion::Completion<Token, Departed>>,
    /// Something is to be said
    is_control_due: bool,
    repeat: Option<Repeat>,
    /// To be woken once the state is unlocked: see [`State::take_wakes`]
    wakes: Wakes,
    /// Taken from the inbox and not opened yet: the reader's buffer was full
    pub(super) backlog: VecDeque<Incoming>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Bytes are missing, or the application has not taken all
    Open,
    /// The application has taken every byte: what comes now is answered until `until`
    TimeWait { until: Timestamp },
    /// The half ended early, on our side
    Closing {
        error: Error,
        code: CloseCode,
        attempts: u8,
    },
    /// The half ended early: packets are answered as long as the stream is there
    Failed { error: Error },
}

/// What a control packet said
#[derive(Clone, Copy, Debug)]
struct Remembered {
    number: u64,
    stream: Option<VarInt>,
    recovery: Option<VarInt>,
    max_data: u64,
}

/// Something that is said again until the peer is seen to know it
#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: Timestamp,
    period: Duration,
}

/// What the half waits for
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    At(Timestamp),
    /// Only for the peer
    Idle,
    /// Nothing: all was received and answered
    Done,
}

/// What the peer may send, and what it believes that it may
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that this end wants to receive ahead of the application
    pub(crate) window: u64,
    /// The furthest that a peer may go by any reading of the handshake
    pub(crate) promised: u64,
}

impl State {
    pub(crate) fn new(opener: Opener, limits: Limits) -> Self {
        Self {
            phase: Phase::Open,
            opener,
            reassembler: Reassembler::new(),
            window: Window::new(limits.window, limits.promised),
            highest: 0,
            stream: Ranges::default(),
            recovery: Ranges::default(),
            ecn: EcnCounts::default(),
            next_control: 0,
            remembered: VecDeque::new(),
            completions: completion::Queue::new(),
            drained: Vec::new(),
            is_control_due: false,
            repeat: None,
            wakes: Wakes::default(),
            backlog: VecDeque::new(),
        }
    }

    /// Whom to wake after the lock on the state is released; whoever called anything in here takes them
    pub(crate) fn take_wakes(&mut self) -> Wakes {
        core::mem::take(&mut self.wakes)
    }

    /// Takes a packet in; its payload goes straight to `dest` when it is the next one and there is room
    ///
    /// Errors concern this packet or end the half; either way the stream's other packets are not affected.
    pub(crate) fn on_packet<B>(
        &mut self,
        received: Received<'_>,
        dest: &mut B,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<(), Error>
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
        shared.publish(now, Event::PacketReceived(meta.received()));

        let ranges = match meta.space {
            stream::PacketSpace::Stream => &self.stream,
            stream::PacketSpace::Recovery => &self.recovery,
        };
        if ranges.contains(meta.number) {
            // the peer has not heard that it arrived
            self.is_control_due = true;
            return Err(Error::new(ErrorKind::Duplicate));
        }
        if let Phase::Failed { .. } | Phase::Closing { .. } = self.phase {
            return self.on_packet_after_failure(packet, &meta, received.remote, shared, now);
        }

        let received_before = self.reassembler.total_received_len();
        let outcome = self.open(&mut packet, &meta, dest, shared, now);
        match outcome {
            Ok(()) => {}
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
        }
        if self.opener.needs_update() {
            shared
                .events
                .update_opener(&mut self.opener, shared.clock());
        }

        self.highest = self.highest.max(meta.end());
        match meta.space {
            stream::PacketSpace::Stream => self.stream.insert(meta.number),
            stream::PacketSpace::Recovery => self.recovery.insert(meta.number),
        }
        self.ecn.increment(received.ecn);
        self.is_control_due = true;
        let is_new = self.reassembler.total_received_len() > received_before;
        if meta.payload_len > 0 && !is_new {
            shared.publish(
                now,
                Event::PacketSpuriouslyRetransmitted(meta.spuriously_retransmitted()),
            );
        }

        shared.on_authenticated(
            received.remote,
            packet.source_queue_id(),
            now,
            &mut self.wakes,
        );
        self.on_control_numbers(meta.next_expected_control_packet, shared);
        for frame in packet.control_frames_mut() {
            if let Ok(FrameMut::ConnectionClose(close)) = frame {
                return self.on_remote_close(&close, shared, now);
            }
        }
        self.try_finish(now);
        Ok(())
    }

    /// Authenticates the packet and accepts its payload
    fn open<B>(
        &mut self,
        packet: &mut stream::decoder::Packet<'_>,
        meta: &Meta,
        dest: &mut B,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<(), Error>
    where
        B: writer::Storage,
    {
        let Self {
            opener,
            reassembler,
            ..
        } = self;
        let control = &shared.control.opener;
        let is_allowed = self.window.accepts(meta.end());
        let is_next = meta.offset.as_u64() == reassembler.consumed_len()
            && reassembler.is_empty()
            && is_allowed
            && meta.payload_len > 0;

        let mut is_direct = false;
        if is_next && dest.remaining_capacity() >= meta.payload_len {
            is_direct = dest.put_uninit_slice(meta.payload_len, |out| {
                packet.decrypt(opener, control, out).map_err(Error::from)
            })?;
        }
        if is_direct {
            let len = VarInt::try_from(meta.payload_len)
                .map_err(|_| Error::new(ErrorKind::OutOfRange))?;
            reassembler.skip(len).map_err(Error::from_buffer)?;
            if meta.is_fin {
                let end = VarInt::new(meta.end()).map_err(|_| Error::new(ErrorKind::OutOfRange))?;
                reassembler
                    .write_at_fin(end, &[])
                    .map_err(Error::from_buffer)?;
            }
        } else {
            packet
                .decrypt_in_place(opener, control)
                .map_err(Error::from)?;
            if matches!(meta.space, stream::PacketSpace::Recovery) && !meta.is_retransmission {
                // a probe is not covered by the payload key, which is what checks for replays
                opener
                    .on_decrypt_success(crypto::UninitSlice::new(&mut []))
                    .map_err(Error::from)?;
            }
            if !is_allowed {
                return Err(Error::new(ErrorKind::MaxDataExceeded));
            }
            let written = if meta.is_fin {
                reassembler.write_at_fin(meta.offset, packet.payload())
            } else if meta.payload_len > 0 {
                reassembler.write_at(meta.offset, packet.payload())
            } else {
                Ok(())
            };
            written.map_err(Error::from_buffer)?;
        }
        if meta.payload_len > 0 {
            shared.publish(
                now,
                Event::DecryptPacket(builder::StreamDecryptPacket {
                    decrypted_in_place: !is_direct,
                    forced_copy: if is_direct { 0 } else { meta.payload_len },
                    required_application_buffer: if is_direct { meta.payload_len } else { 0 },
                }),
            );
        }
        Ok(())
    }

    /// The half has ended: the peer is told again, unless it shows that it knows
    fn on_packet_after_failure(
        &mut self,
        mut packet: stream::decoder::Packet<'_>,
        meta: &Meta,
        remote: std::net::SocketAddr,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<(), Error> {
        packet
            .decrypt_in_place(&self.opener, &shared.control.opener)
            .map_err(Error::from)?;
        shared.on_authenticated(remote, packet.source_queue_id(), now, &mut self.wakes);
        match meta.space {
            stream::PacketSpace::Stream => self.stream.insert(meta.number),
            stream::PacketSpace::Recovery => self.recovery.insert(meta.number),
        }
        self.is_control_due = true;
        self.on_control_numbers(meta.next_expected_control_packet, shared);
        Ok(())
    }

    /// The peer says which control packets it has seen
    fn on_control_numbers(&mut self, next_expected: u64, shared: &Shared) {
        let Some(seen) = next_expected.checked_sub(1) else {
            return;
        };
        shared.on_answered();
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
        if let Phase::Closing { error, .. } = self.phase {
            // the close was the last thing said
            self.phase = Phase::Failed { error };
            self.is_control_due = false;
            self.repeat = None;
        }
    }

    /// Bytes that are in order and were not taken yet
    pub(crate) fn buffered_len(&self) -> usize {
        self.reassembler.len()
    }

    /// Moves what is in order into `dest`
    pub(crate) fn read<B: writer::Storage>(&mut self, dest: &mut B) {
        while dest.has_remaining_capacity() {
            match self.reassembler.pop_watermarked(dest.remaining_capacity()) {
                Some(chunk) => dest.put_bytes_mut(chunk),
                None => return,
            }
        }
    }

    /// To be called after the application has taken something: moves the window and notices the end
    pub(crate) fn on_read(&mut self, now: Timestamp) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let consumed = self.reassembler.consumed_len();
        if self.window.on_consumed(consumed, now) && self.reassembler.final_size().is_none() {
            self.is_control_due = true;
        }
        self.try_finish(now);
    }

    fn try_finish(&mut self, now: Timestamp) {
        let is_done = self.reassembler.is_reading_complete();
        match &mut self.phase {
            Phase::Open if is_done => {
                self.phase = Phase::TimeWait {
                    until: now + TIME_WAIT,
                };
                self.repeat = None;
                self.is_control_due = true;
            }
            Phase::TimeWait { until } => *until = now + TIME_WAIT,
            Phase::Open | Phase::Closing { .. } | Phase::Failed { .. } => {}
        }
    }

    /// At least one packet was authentic
    pub(crate) fn is_authenticated(&self) -> bool {
        !self.stream.is_empty() || !self.recovery.is_empty()
    }

    /// Every byte up to the final offset was received; what the application has not taken is buffered
    pub(crate) fn has_all(&self) -> bool {
        self.reassembler.is_writing_complete()
    }

    /// The application has taken every byte
    pub(crate) fn is_finished(&self) -> bool {
        self.reassembler.is_reading_complete()
    }

    /// The error that a read gets once the bytes before it are taken; none after the peer's end has arrived
    pub(crate) fn error(&self) -> Option<Error> {
        match self.phase {
            Phase::Closing { error, .. } | Phase::Failed { error } => Some(error),
            Phase::Open | Phase::TimeWait { .. } => None,
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        match self.phase {
            // what is missing is only the application's reading
            Phase::Open => self.has_all(),
            Phase::Closing { .. } => false,
            Phase::TimeWait { .. } | Phase::Failed { .. } => true,
        }
    }

    fn on_remote_close(
        &mut self,
        close: &frame::ConnectionClose<'_>,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<(), Error> {
        let code = close.error_code;
        let kind = if close.frame_type.is_none() {
            ErrorKind::ApplicationError { error: code.into() }
        } else {
            ErrorKind::TransportError { code }
        };
        let error = Error::new(kind);
        self.fail(error, Location::Remote, shared, now);
        // the acknowledgement of its packet tells the peer that the close has arrived
        self.is_control_due = true;
        Ok(())
    }

    /// Ends the half and tells the peer why
    pub(crate) fn on_local_error(
        &mut self,
        error: Error,
        code: CloseCode,
        shared: &Shared,
        now: Timestamp,
    ) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        self.fail(error, Location::Local, shared, now);
        self.phase = Phase::Closing {
            error,
            code,
            attempts: 0,
        };
        // that the peer has seen an earlier packet does not say that it has seen the close
        self.remembered.clear();
        self.is_control_due = true;
    }

    /// Ends the half without a word
    pub(crate) fn fail(&mut self, error: Error, source: Location, shared: &Shared, now: Timestamp) {
        // an error after the last byte arrived is not the application's concern
        match self.phase {
            Phase::Open if self.has_all() => return,
            Phase::Open | Phase::Closing { .. } => {}
            Phase::TimeWait { .. } | Phase::Failed { .. } => return,
        }
        self.phase = Phase::Failed { error };
        self.repeat = None;
        self.is_control_due = false;
        shared.publish(
            now,
            Event::ReceiverErrored(builder::StreamReceiverErrored { error, source }),
        );
        self.wakes.append(shared.inbox.wake_reader());
    }

    /// The application let go of its handle
    pub(crate) fn on_dropped(&mut self, is_panicking: bool, shared: &Shared, now: Timestamp) {
        if self.has_all() {
            // nobody takes the rest any more: the half is finished, and answers for a while
            let unread = self.reassembler.len();
            if let Ok(unread) = VarInt::try_from(unread) {
                let _ = self.reassembler.skip(unread);
            }
            self.try_finish(now);
            return;
        }
        let code = if is_panicking || self.buffered_len() > 0 {
            CloseCode::APPLICATION
        } else {
            CloseCode::STOPPED
        };
        let CloseCode::Application(number) = code else {
            return;
        };
        let error = Error::new(ErrorKind::ApplicationError {
            error: VarInt::from_u8(number).into(),
        });
        self.on_local_error(error, code, shared, now);
        self.reassembler.reset();
    }

    /// Sends what is due: an acknowledgement of all that was received, or a close
    pub(crate) fn transmit_control(&mut self, shared: &Arc<Shared>, now: Timestamp) {
        loop {
            self.completions.drain_into(&mut self.drained);
            self.drained.clear();
            if !self.is_control_due || !shared.address.can_send_control() {
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
        let mut sealed = Sealed {
            source_queue_id,
            stream_id,
            packet_number,
            packet_len: 0,
            frames_len: 0,
        };
        let pushed = match self.phase {
            Phase::Closing { code, .. } => {
                builder.push(|dest| sealed.encode(dest, &code.frame(), shared))
            }
            Phase::Open | Phase::TimeWait { .. } | Phase::Failed { .. } => {
                let max_data = MaxData {
                    maximum_data: VarInt::new(self.window.promise()).unwrap_or(VarInt::MAX),
                };
                // both spaces get half of what is left, so that neither starves the other
                let budget = (CONTROL_PACKET_LEN - CONTROL_OVERHEAD - 80) / 2;
                let stream = (!self.stream.is_empty()).then(|| Ack {
                    ack_delay: VarInt::ZERO,
                    ack_ranges: self.stream.encodable(budget),
                    ecn_counts: Some(self.ecn),
                });
                let recovery = (!self.recovery.is_empty()).then(|| Ack {
                    ack_delay: VarInt::ZERO,
                    ack_ranges: self.recovery.encodable(budget),
                    ecn_counts: None,
                });
                let frames = (max_data, (stream, recovery));
                builder.push(|dest| sealed.encode(dest, &frames, shared))
            }
        };
        let message = builder.finish(remote, ExplicitCongestionNotification::Ect0);
        let (Ok(_), Some(message)) = (pushed, message) else {
            return Poll::Ready(());
        };
        self.next_control += 1;
        self.remember(number);
        self.plan_repetition(shared, now);
        shared.publish(
            now,
            Event::ControlPacketTransmitted(builder::StreamControlPacketTransmitted {
                packet_len: sealed.packet_len,
                control_data_len: sealed.frames_len,
                packet_number: number,
            }),
        );
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
            congestion: None,
            ticket: Some(ticket),
        });
        Poll::Ready(())
    }

    fn remember(&mut self, number: u64) {
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(Remembered {
            number,
            stream: self.stream.largest(),
            recovery: self.recovery.largest(),
            max_data: self.window.promise(),
        });
    }

    /// A close, and credit that the peer may be waiting for, are said again until the peer is seen to know
    fn plan_repetition(&mut self, shared: &Shared, now: Timestamp) {
        let datagram_len = shared.datagram_len() as u64;
        let is_needed = match &mut self.phase {
            Phase::Closing { attempts, .. } => {
                *attempts += 1;
                true
            }
            Phase::Open => {
                self.reassembler.final_size().is_none()
                    && self.window.may_block(self.highest, datagram_len)
            }
            Phase::TimeWait { .. } | Phase::Failed { .. } => false,
        };
        self.repeat = is_needed.then(|| {
            let period = self
                .repeat
                .map_or(FIRST_REPEAT, |repeat| (repeat.period * 2).min(MAX_REPEAT));
            Repeat {
                at: now + period,
                period,
            }
        });
    }

    /// The timers of this half; the idle timer is the stream's
    pub(crate) fn on_timer(&mut self, now: Timestamp) {
        if self.repeat.is_none_or(|repeat| repeat.at > now) {
            return;
        }
        match self.phase {
            Phase::Closing {
                error, attempts, ..
            } if attempts >= MAX_CLOSE_ATTEMPTS => {
                self.phase = Phase::Failed { error };
                self.repeat = None;
            }
            _ => self.is_control_due = true,
        }
    }

    pub(crate) fn next_timeout(&self, shared: &Shared, now: Timestamp) -> Timeout {
        if self.is_control_due && shared.address.can_send_control() {
            // the pool had no descriptor, or two control packets are in the wheel
            return Timeout::At(now + Duration::from_millis(1));
        }
        if !self.backlog.is_empty() || !shared.inbox.is_empty() {
            return Timeout::At(now + super::worker::READER_GRACE);
        }
        match self.phase {
            Phase::Open | Phase::Closing { .. } => self
                .repeat
                .map_or(Timeout::Idle, |repeat| Timeout::At(repeat.at)),
            Phase::TimeWait { until } if until <= now && shared.is_closed(Half::Read) => {
                Timeout::Done
            }
            Phase::TimeWait { until } if until > now => Timeout::At(until),
            Phase::Failed { .. } if shared.is_closed(Half::Read) => Timeout::Done,
            Phase::TimeWait { .. } | Phase::Failed { .. } => Timeout::Idle,
        }
    }
}

/// One control packet being sealed
struct Sealed {
    source_queue_id: Option<VarInt>,
    stream_id: stream::Id,
    packet_number: VarInt,
    packet_len: usize,
    frames_len: usize,
}

impl Sealed {
    fn encode<F: EncoderValue>(&mut self, dest: &mut [u8], frames: &F, shared: &Shared) -> usize {
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
            &shared.control.sealer,
            &shared.credentials,
        );
        self.packet_len
    }
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
fn close_code(error: &Error) -> CloseCode {
    match error.kind() {
        ErrorKind::MaxDataExceeded => CloseCode::Transport(0x3),
        ErrorKind::OutOfRange => CloseCode::Transport(0x4),
        ErrorKind::InvalidFin => CloseCode::Transport(0x6),
        // a published client takes "no error" for success, so a replayed key gets a code of the application
        _ => CloseCode::APPLICATION,
    }
}

/// The published errors convert only within their own crate
trait FromBuffer {
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
