// SPDX-License-Identifier: Apache-2.0

//! The sending half of a stream: what is outstanding, what was lost, and when to ask.
//!
//! Everything that leaves does so through [`queue`](super::queue), which turns it into entries of the timing wheel. What comes back,
//! completions and control packets, is taken in here.
//!
//! The one rule: window and flight are conserved. The bytes of a packet are taken from the path once and given back once, whether it
//! is acknowledged, superseded, or its stream ends; a loss hands them over to the retransmission.

use super::{
    flow::{Blocked, Flow, Limits},
    loss,
};
use crate::{
    event::builder,
    socket::send::{
        completion::{self, Outcome},
        transmission::{Completions, Token},
    },
    stream::{
        events::Event,
        keys::Sealer,
        path::{Departed, Wakes},
        send::{worker::Letter, Error, ErrorKind},
        shared::{CloseCode, Shared},
    },
    sync::few::Few,
};
use core::{task::Waker, time::Duration};
use lost::LostPackets;
use s2n_quic_core::{buffer::reader::Incremental, endpoint::Location, frame, time::Timestamp};
use std::{collections::VecDeque, sync::Arc};
use transmission::{Data, Records, SentPackets};

mod acknowledge;
mod loss_detection;
mod lost;
mod probe;
pub(crate) mod transmission;

/// When a retransmission that found the pool empty tries again
const POOL_RETRY: Duration = Duration::from_millis(1);

/// How often the first packet of a stream that waits for the path looks whether the peer has fallen silent
const OPENING_PERIOD: Duration = Duration::from_millis(100);

pub(crate) struct State {
    pub(super) phase: Phase,
    pub(super) flow: Flow,
    pub(super) sealer: Sealer,
    pub(super) reader: Incremental,
    pub(super) numbers: Numbers,
    pub(super) stream: SentPackets,
    pub(super) recovery: SentPackets,
    pub(super) records: Records,
    /// Lost packets that wait for a descriptor, and the bytes of window that each still holds
    pub(super) retransmissions: VecDeque<(Data, u16)>,
    /// First sends that were called lost a short while ago
    lost: LostPackets,
    /// Packets with data or the final offset that the peer does not have yet, in whatever copy
    pub(super) unacknowledged: u64,
    /// More than a message was written at once
    pub(super) is_bulk: bool,
    pub(super) completions: Arc<Completions>,
    pub(super) next_expected_control_packet: u64,
    /// The packet that carried an acknowledgement of all that the peer had to say, and whether it has arrived
    pub(super) piggyback: Option<(u64, bool)>,
    /// The streams whose receipts are in the packet that opens this one
    pub(super) receipts: Few<u64>,
    pub(super) probe: ProbeTimer,
    drained: completion::Batch<Token, Departed>,
    newest: Option<loss::Newest>,
    loss_deadline: Option<Timestamp>,
    congestion_experienced: u64,
    /// The end is to be said, and there was no descriptor for it
    pub(super) is_end_due: bool,
    /// The writer that waits, and for what
    blocked: Option<(Blocked, Waker)>,
    /// To be woken once the state is unlocked: see [`State::take_wakes`]
    pub(super) wakes: Wakes,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// The application may write
    Open,
    /// The final offset was handed to the wheel; retransmitted until the peer has all
    Finishing,
    /// The peer has every byte and the final offset
    Finished,
    /// The stream ended early, on our side: the peer is told so until it answers or the attempts run out
    Closing {
        error: Error,
        code: CloseCode,
        attempts: u8,
    },
    /// The stream ended early, and nothing more is to be said
    Failed { error: Error },
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(super) stream: u64,
    pub(super) recovery: u64,
    pub(super) sequence: u64,
}

impl Numbers {
    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

/// The probe timeout (RFC 9002, section 6.2)
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeTimer {
    pub(super) deadline: Option<Timestamp>,
    backoff: u32,
    /// Whether the path nudges the stream when it hears of the peer
    is_holding: bool,
}

impl State {
    #[inline(always)] // made where it is to be, and not moved there
    pub(crate) fn new(sealer: Sealer, limits: Limits) -> Self {
        Self {
            phase: Phase::Open,
            flow: Flow::new(limits),
            sealer,
            reader: Incremental::default(),
            numbers: Numbers::default(),
            stream: SentPackets::default(),
            recovery: SentPackets::default(),
            records: Records::default(),
            retransmissions: VecDeque::new(),
            lost: LostPackets::default(),
            unacknowledged: 0,
            is_bulk: false,
            completions: completion::Queue::new(),
            next_expected_control_packet: 0,
            piggyback: None,
            receipts: Few::default(),
            probe: ProbeTimer {
                deadline: None,
                backoff: 1,
                is_holding: false,
            },
            drained: completion::Batch::new(),
            newest: None,
            loss_deadline: None,
            congestion_experienced: 0,
            is_end_due: false,
            blocked: None,
            wakes: Wakes::default(),
        }
    }

    /// The error that a write gets, if the stream has failed
    pub(crate) fn error(&self) -> Option<Error> {
        match self.phase {
            Phase::Closing { error, .. } | Phase::Failed { error } => Some(error),
            Phase::Open | Phase::Finishing | Phase::Finished => None,
        }
    }

    /// The peer has said something, so the stream was opened, and it has heard that the answers of these streams have arrived
    pub(crate) fn take_receipts(&mut self) -> Few<u64> {
        core::mem::take(&mut self.receipts)
    }

    /// The peer has every byte and the final offset
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Goes on with the next keys; nothing that was sealed with these is outstanding
    pub(crate) fn update_sealer(&mut self, shared: &Shared) {
        shared.withdraw_offer();
        self.sealer
            .update(|keys| shared.events.update_sealer(keys, shared.clock()));
    }

    /// Nothing is outstanding, nothing is to be said and nothing of this half is in the wheel
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::Failed { .. }) && self.records.is_empty()
    }

    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::Failed { .. })
    }

    /// The peer has heard that all of it has arrived
    pub(crate) fn peer_is_answered(&self) -> bool {
        matches!(self.piggyback, Some((_, true)))
    }

    /// Whom to wake after the lock on the state is released; whoever called anything in here takes them
    pub(crate) fn take_wakes(&mut self) -> Wakes {
        core::mem::take(&mut self.wakes)
    }

    /// The writer does not wait, or not any more
    pub(super) fn unblock(&mut self) {
        self.blocked = None;
    }

    /// What the writer waits for
    pub(super) fn blocked(&self) -> Option<Blocked> {
        self.blocked.as_ref().map(|(blocked, _)| *blocked)
    }

    pub(super) fn block(&mut self, blocked: Blocked, waker: &Waker) {
        self.blocked = Some((blocked, waker.clone()));
    }

    /// Takes in what the peer has said while the writer had the lock; whether it has said anything
    pub(super) fn read_letters(&mut self, mut letters: Few<Letter>, shared: &Shared) -> bool {
        if letters.is_empty() {
            return false;
        }
        self.on_completions(shared);
        letters.drain(|letter| letter.read(self, shared));
        true
    }

    /// Takes in what the socket worker reports. Comes first wherever the state is used, so that an ACK never names a packet that the
    /// state does not know to have departed.
    pub(crate) fn on_completions(&mut self, shared: &Shared) {
        if self.records.is_empty() {
            // each transmission has its record until it is known to have departed
            return;
        }
        let mut drained = core::mem::take(&mut self.drained);
        self.completions.drain_into(&mut drained);
        for completion in drained.drain(..) {
            let departed = match completion.outcome {
                Outcome::Sent(departed) => departed,
                // refused by the socket, or the worker is gone: what was in it is recovered like any loss
                Outcome::Failed { .. } | Outcome::Cancelled => Departed { time: shared.now() },
            };
            shared.publish(departed.time, || {
                socket_event(&completion.outcome, completion.token.len as usize)
            });
            if let Some(record) = completion.token.record {
                self.records.on_departed(record, departed);
            }
            if completion.token.is_data {
                self.flow.on_completed();
            }
        }
        self.drained = drained;
    }

    /// The timers of this half; the idle timer is the stream's
    pub(crate) fn on_timer(&mut self, shared: &Shared, now: Timestamp) {
        self.on_completions(shared);
        if self.loss_deadline.is_some_and(|deadline| deadline <= now) {
            self.detect_losses(shared, now);
        }
        self.transmit_retransmissions(shared, now);
        if self.is_end_due {
            self.transmit_end(shared, now);
        }
        if self.is_opening_in_line() && shared.path.is_silent() {
            self.wakes.push(self.blocked.take().map(|(_, waker)| waker));
        }
        if self.probe.deadline.is_some_and(|deadline| deadline <= now) {
            self.on_probe_timeout(shared, now);
        }
        self.try_finish(shared, now);
        self.wake_if_unblocked();
    }

    /// Whether a packet is about to be called lost, or the peer to be probed
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let deadline = min_option(self.probe.deadline, self.loss_deadline);
        deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Nothing was sent yet
    pub(super) fn is_opening(&self) -> bool {
        self.numbers.stream == 0
    }

    /// The first packet waits its turn, which it need not on a silent path
    fn is_opening_in_line(&self) -> bool {
        self.is_opening() && self.blocked() == Some(Blocked::Path)
    }

    /// When this half wants to be called again
    pub(crate) fn next_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        let mut next = min_option(self.probe.deadline, self.loss_deadline);
        if !self.retransmissions.is_empty() || self.is_end_due {
            // the pool had no descriptor
            next = min_option(next, Some(now + POOL_RETRY));
        }
        if self.is_opening_in_line() {
            next = min_option(next, Some(now + OPENING_PERIOD));
        }
        next
    }

    fn on_remote_close(
        &mut self,
        close: &frame::ConnectionClose<'_>,
        shared: &Shared,
        now: Timestamp,
    ) {
        let code = close.error_code;
        let kind = if close.frame_type.is_none() {
            ErrorKind::ApplicationError { error: code.into() }
        } else {
            ErrorKind::TransportError { code }
        };
        let is_done = matches!(self.phase, Phase::Finishing) && self.unacknowledged == 0;
        if is_done || matches!(self.phase, Phase::Finished) {
            // the peer has everything, so there is nothing that it could refuse
            self.transmit_answer(shared, now);
            return;
        }
        self.finish_closing(shared, now);
        let error = Error::new(kind);
        self.fail(error, Location::Remote, shared, now);
        // tells the peer that its close has arrived
        self.transmit_answer(shared, now);
        self.wakes.append(shared.on_peer_closed(kind, now));
    }

    /// Ends the half and tells the peer why
    pub(crate) fn on_local_error(
        &mut self,
        error: Error,
        code: CloseCode,
        shared: &Shared,
        now: Timestamp,
    ) {
        if self.is_over() {
            return;
        }
        self.fail(error, Location::Local, shared, now);
        self.phase = Phase::Closing {
            error,
            code,
            attempts: 1,
        };
        self.transmit_close(shared, now);
        self.probe.backoff = 1;
        self.arm_probe(shared, now);
    }

    /// Ends the half without a word: the peer said so, or there is nobody to tell
    pub(crate) fn fail(&mut self, error: Error, source: Location, shared: &Shared, now: Timestamp) {
        self.wakes.push(self.blocked.take().map(|(_, waker)| waker));
        if self.is_over() {
            return;
        }
        self.clear(shared, now);
        // data that nobody will read is not sent; what says so is
        self.completions.abandon();
        self.phase = Phase::Failed { error };
        if shared.is_unknown_to_peer(error.kind()) {
            // it has not heard what came with it
            self.receipts = Few::default();
            shared.forget_kept_keys();
        }
        shared.publish(now, || {
            Event::SenderErrored(builder::StreamSenderErrored { error, source })
        });
    }

    fn is_over(&self) -> bool {
        matches!(
            self.phase,
            Phase::Finished | Phase::Closing { .. } | Phase::Failed { .. }
        )
    }

    /// The peer has heard the close; copies of it that are still on their way are of no interest
    fn finish_closing(&mut self, shared: &Shared, now: Timestamp) {
        if let Phase::Closing { error, .. } = self.phase {
            self.clear(shared, now);
            self.phase = Phase::Failed { error };
        }
    }

    fn try_finish(&mut self, shared: &Shared, now: Timestamp) {
        if matches!(self.phase, Phase::Finishing) && self.unacknowledged == 0 {
            // copies and probes that are still on their way are of no interest
            self.clear(shared, now);
            self.phase = Phase::Finished;
        }
    }

    /// Gives up everything that is outstanding; a completion that comes later finds its record and settles it
    pub(crate) fn clear(&mut self, shared: &Shared, now: Timestamp) {
        let mut held = 0;
        for packets in [&mut self.stream, &mut self.recovery] {
            packets.remove_range(0, u64::MAX, |part| {
                held += part.held();
                self.records.settle_all(part.record(), part.len());
            });
        }
        for (_, bytes) in core::mem::take(&mut self.retransmissions) {
            held += u64::from(bytes);
        }
        if held > 0 {
            self.wakes.append(shared.path.release(held, now));
        }
        for packet in self.lost.take() {
            self.records.settle(packet.data.origin);
        }
        self.records.forget_data();
        self.unacknowledged = 0;
        self.probe.deadline = None;
        self.loss_deadline = None;
    }

    fn wake_if_unblocked(&mut self) {
        let is_unblocked = match &self.blocked {
            None => false,
            Some((Blocked::StreamCredit { want }, _)) => self.flow.available(*want).is_ok(),
            Some((Blocked::Pending, _)) => self.flow.available(0).is_ok(),
            Some((Blocked::KeyUpdate, _)) => self.unacknowledged == 0,
            Some((Blocked::Silence, _)) => !self.is_stalled(),
            // the path and the pool wake their own waiters
            Some((Blocked::Path | Blocked::Pool, _)) => false,
        };
        if is_unblocked {
            self.wakes.push(self.blocked.take().map(|(_, waker)| waker));
        }
    }
}

fn min_option(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn socket_event(outcome: &Outcome<Departed>, len: usize) -> Event {
    match outcome {
        Outcome::Sent(_) => Event::WriteSocketFlushed(builder::StreamWriteSocketFlushed {
            provided_len: len,
            committed_len: len,
        }),
        Outcome::Failed { errno } => Event::WriteSocketErrored(builder::StreamWriteSocketErrored {
            provided_len: len,
            errno: *errno,
        }),
        Outcome::Cancelled => {
            Event::WriteSocketBlocked(builder::StreamWriteSocketBlocked { provided_len: len })
        }
    }
}
