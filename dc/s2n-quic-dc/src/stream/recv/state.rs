// SPDX-License-Identifier: Apache-2.0

//! The receiving half of a stream: opens packets, puts them in order, and says what has arrived.
//!
//! The one rule: a packet is acknowledged only after it was authenticated and its payload accepted. What is dropped before that is sent
//! again by the peer.

use super::{budget::Holding, buffer::Buffer, ranges::Ranges, shared::Incoming, window::Window};
use crate::{
    event::builder,
    socket::send::{
        completion,
        transmission::{Completions, Token},
    },
    stream::{
        events::Event,
        keys::{
            kept::{KeptKeys, Latch},
            Opener,
        },
        path::{Departed, Wakes},
        receipt::Receipt,
        recv::{Error, ErrorKind},
        send,
        shared::{CloseCode, Half, Shared},
    },
    sync::few::Few,
};
use core::time::Duration;
use s2n_quic_core::{
    endpoint::Location,
    frame::{self, ack::EcnCounts},
    time::Timestamp,
    varint::VarInt,
};
use smallvec::SmallVec;
use std::sync::Arc;

mod answer;
pub(super) mod control;
mod open;
mod receipt;
mod run;

use answer::Answer;
use control::{Remembered, Repeat};

/// How often a close is repeated before the peer counts as gone
const MAX_CLOSE_ATTEMPTS: u8 = 6;

pub(crate) struct State {
    phase: Phase,
    opener: Opener,
    pub(super) buffer: Buffer,
    window: Window,
    /// One past the last byte that was received
    highest: u64,
    stream: Ranges,
    recovery: Ranges,
    ecn: EcnCounts,
    next_control: u64,
    remembered: SmallVec<[Remembered; 1]>,
    /// The control packet that the peer named last
    seen: Option<u64>,
    completions: Arc<Completions>,
    drained: completion::Batch<Token, Departed>,
    /// Something is to be said
    is_control_due: bool,
    /// Packets that were opened since something was last said
    unanswered: u32,
    answer: Answer,
    /// The peer takes acknowledgements with data
    is_invited: bool,
    /// The peer has sent such: it takes [receipts](crate::stream::receipt) as well
    takes_receipts: bool,
    /// The peer lets the next stream have the keys of this one
    pub(crate) has_offer: bool,
    /// Whether it has them
    pub(crate) latch: Latch,
    /// Of the first packet, for other streams
    receipts: Few<Receipt>,
    repeat: Option<Repeat>,
    /// What is due is said again because the time for that has come
    is_repetition: bool,
    /// What a failed half answers to a peer that goes on sending; `None` if the peer knows, or nothing may be said
    refusal: Option<CloseCode>,
    /// To be woken once the state is unlocked: see [`State::take_wakes`]
    wakes: Wakes,
    /// Taken from the inbox and not opened yet: the reader's buffer was full
    pub(super) backlog: Few<Incoming>,
    /// When the first of them came
    pub(super) backlog_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Bytes are missing, or the application has not taken all
    Open,
    /// The application has taken every byte: what comes now is answered until `until`
    TimeWait { until: Timestamp },
    /// Something else answers in its place: see [`State::linger`]
    Over,
    /// The half ended early, on our side
    Closing {
        error: Error,
        code: CloseCode,
        attempts: u8,
    },
    /// The half ended early: packets are answered as long as the stream is there
    Failed { error: Error },
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

/// What the peer may send by the handshake, and what it may believe that it may
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that this end wants to receive ahead of the application, until the window grows
    pub(crate) window: u64,
    /// The furthest that a peer may go by any reading of the handshake
    pub(crate) agreed: u64,
}

impl State {
    /// `holding`: takes what the window grows by
    #[inline(always)] // made where it is to be, and not moved there
    pub(crate) fn new(opener: Opener, limits: Limits, holding: Holding) -> Self {
        Self {
            phase: Phase::Open,
            opener,
            buffer: Buffer::default(),
            window: Window::new(limits.window, limits.agreed, holding),
            highest: 0,
            stream: Ranges::default(),
            recovery: Ranges::default(),
            ecn: EcnCounts::default(),
            next_control: 0,
            remembered: SmallVec::new(),
            seen: None,
            completions: completion::Queue::new(),
            drained: completion::Batch::new(),
            is_control_due: false,
            unanswered: 0,
            answer: Answer::Unexpected,
            is_invited: false,
            takes_receipts: false,
            has_offer: false,
            latch: Latch::default(),
            receipts: Few::default(),
            repeat: None,
            is_repetition: false,
            refusal: None,
            wakes: Wakes::default(),
            backlog: Few::default(),
            backlog_since: None,
        }
    }

    /// Whom to wake after the lock on the state is released; whoever called anything in here takes them
    pub(crate) fn take_wakes(&mut self) -> Wakes {
        core::mem::take(&mut self.wakes)
    }

    /// When the first of the packets came that are not opened yet
    pub(super) fn unopened_since(&self, shared: &Shared) -> Option<Timestamp> {
        match self.backlog.is_empty() {
            true => shared.inbox.since(),
            false => self.backlog_since,
        }
    }

    /// Bytes that are in order and were not taken yet
    pub(crate) fn buffered_len(&self) -> usize {
        self.buffer.len()
    }

    /// To be called after the application has taken something: moves the window and notices the end
    pub(crate) fn on_read(&mut self, shared: &Shared, now: Timestamp) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let consumed = self.buffer.consumed_len();
        if self.window.on_consumed(consumed, now) && self.buffer.final_size().is_none() {
            self.is_control_due = true;
        }
        self.try_finish(shared, now);
    }

    fn try_finish(&mut self, shared: &Shared, now: Timestamp) {
        let is_done = self.buffer.is_reading_complete();
        match &mut self.phase {
            Phase::Open if is_done => {
                self.phase = Phase::TimeWait {
                    until: now + shared.path.time_wait(),
                };
                self.repeat = None;
                self.window.close();
            }
            Phase::TimeWait { until } => *until = now + shared.path.time_wait(),
            Phase::Open | Phase::Over | Phase::Closing { .. } | Phase::Failed { .. } => {}
        }
    }

    /// At least one packet was authentic
    pub(crate) fn is_authenticated(&self) -> bool {
        !self.stream.is_empty() || !self.recovery.is_empty()
    }

    /// Every byte up to the final offset was received; what the application has not taken is buffered
    pub(crate) fn has_all(&self) -> bool {
        self.buffer.is_writing_complete()
    }

    /// The application has taken every byte
    pub(crate) fn is_finished(&self) -> bool {
        self.buffer.is_reading_complete()
    }

    /// The error that a read gets once the bytes before it are taken; none after the peer's end has arrived
    pub(crate) fn error(&self) -> Option<Error> {
        match self.phase {
            Phase::Closing { error, .. } | Phase::Failed { error } => Some(error),
            Phase::Open | Phase::TimeWait { .. } | Phase::Over => None,
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        match self.phase {
            // what is missing is only the application's reading
            Phase::Open => self.has_all(),
            Phase::Closing { .. } => false,
            Phase::TimeWait { .. } | Phase::Over | Phase::Failed { .. } => true,
        }
    }

    /// What the next stream may have of this one, once
    pub(crate) fn leave_keys(
        &mut self,
        send: &send::state::State,
        shared: &Shared,
        now: Timestamp,
    ) -> Option<KeptKeys> {
        self.latch.leave(send.sealer(), &self.opener, shared, now)
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

    /// The peer's receiver ended the stream. Its sender may not know, and is told if it goes on.
    pub(crate) fn on_peer_gone(&mut self, error: Error, shared: &Shared, now: Timestamp) {
        self.fail(error, Location::Remote, shared, now);
        if let Phase::Failed { .. } = self.phase {
            self.refusal = Some(CloseCode::APPLICATION);
        }
    }

    /// Ends the half without a word
    pub(crate) fn fail(&mut self, error: Error, source: Location, shared: &Shared, now: Timestamp) {
        // an error after the last byte arrived is not the application's concern
        match self.phase {
            Phase::Open if self.has_all() => return,
            Phase::Open | Phase::Closing { .. } => {}
            Phase::TimeWait { .. } | Phase::Over | Phase::Failed { .. } => return,
        }
        self.phase = Phase::Failed { error };
        self.repeat = None;
        self.is_control_due = false;
        shared.publish(now, || {
            Event::ReceiverErrored(builder::StreamReceiverErrored { error, source })
        });
        self.wakes.append(shared.inbox.wake_reader());
    }

    /// The application let go of its handle
    pub(crate) fn on_dropped(&mut self, is_panicking: bool, shared: &Shared, now: Timestamp) {
        // what is buffered goes with the handle
        self.window.close();
        if self.has_all() {
            // nobody takes the rest any more: the half is finished, and answers for a while
            self.buffer.discard();
            self.try_finish(shared, now);
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
        self.buffer.reset();
    }

    /// The timers of this half; the idle timer is the stream's
    pub(crate) fn on_timer(&mut self, now: Timestamp) {
        if self.repeat.is_none_or(|repeat| repeat.at > now) {
            return;
        }
        match self.phase {
            Phase::Closing {
                error,
                code,
                attempts,
            } if attempts >= MAX_CLOSE_ATTEMPTS => {
                self.phase = Phase::Failed { error };
                self.refusal = Some(code);
                self.repeat = None;
            }
            _ => {
                self.is_control_due = true;
                self.is_repetition = true;
            }
        }
    }

    pub(crate) fn next_timeout(&self, shared: &Shared, now: Timestamp) -> Timeout {
        if self.is_control_due && shared.address.can_send_control() {
            // the pool had no descriptor, or two control packets are in the wheel
            return Timeout::At(now + Duration::from_millis(1));
        }
        if !self.backlog.is_empty() || !shared.inbox.is_empty() {
            let since = self.unopened_since(shared).unwrap_or(now);
            return Timeout::At(since + super::worker::READER_GRACE);
        }
        if let Some(since) = self.buffer.kept_since() {
            return Timeout::At(since + super::worker::READER_GRACE);
        }
        match self.phase {
            Phase::Over => Timeout::Done,
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
