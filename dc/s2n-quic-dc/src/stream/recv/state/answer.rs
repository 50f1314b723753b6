// SPDX-License-Identifier: Apache-2.0

//! When an acknowledgement waits, and how it leaves in the packet of the application's answer.
//!
//! The one rule: it waits for no longer than [`READER_GRACE`], after which the worker says what is due.

use super::{control::acknowledgements, Phase, State};
use crate::stream::{piggyback::Piggyback, recv::worker::READER_GRACE, shared::Shared};
use s2n_quic_core::time::Timestamp;
use std::sync::Arc;

/// Bytes of packets that a reader opens at most without a word while others wait to be opened: a quarter of the window of a path that is its own
const MAX_UNANSWERED: u64 = 384 << 10;

/// Bytes of packets at the end of a message whose acknowledgement may wait for the answer: a turn of the sender's, of the four that its path's window
/// has room for
const MAX_DEFERRED: u64 = 256 << 10;

/// The application's answer, for which the acknowledgement of the end of a message waits
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Unexpected,
    Awaited {
        since: Timestamp,
    },
    /// The application has one, which is to acknowledge so many packets
    Here {
        riding: u32,
    },
}

impl State {
    /// After a read that has returned something: if the stream has ended, the acknowledgement of its last packets waits for the application's
    /// answer, or for [`READER_GRACE`], to leave together with it (RFC 9000, section 13.2.1). The peer can't use the window that they hold
    /// meanwhile, so of several packets it only waits where answers have come soon.
    /// While packets wait to be opened, that of those before waits for theirs, as long: who reads little at a time would acknowledge each packet.
    /// Returns whether it waits.
    pub(crate) fn transmit_or_defer_control(
        &mut self,
        shared: &Arc<Shared>,
        now: Timestamp,
    ) -> bool {
        let may_wait = self.is_open() && !self.is_repetition;
        let unanswered = self.unanswered_len(shared);
        let has_all = self.has_all();
        let has_more = !self.backlog.is_empty() || (!has_all && !shared.inbox.is_empty());
        if may_wait && has_more && unanswered < MAX_UNANSWERED {
            return true;
        }
        let is_end = has_all
            && match self.unanswered {
                0 => false,
                1 => true,
                _ => unanswered <= MAX_DEFERRED && shared.path.answers_soon(now),
            };
        let is_deferred = may_wait && self.is_control_due && is_end;
        if is_deferred {
            if let Answer::Unexpected = self.answer {
                self.answer = Answer::Awaited { since: now };
            }
            shared.defer_control();
        } else {
            self.transmit_control(shared, now);
        }
        is_deferred
    }

    /// Whether so much has waited for an answer that the peer may have had to wait as well, and for so long that none is to be expected. One that
    /// waits for room itself is none of the application's doing: calls at once would have two packets more each, and wait the longer.
    pub(crate) fn has_waited_for_answer(&self, now: Timestamp) -> bool {
        let Answer::Awaited { since } = self.answer else {
            return false;
        };
        self.is_control_due && self.unanswered > 1 && since + READER_GRACE / 2 <= now
    }

    /// The acknowledgement that waits for the application's answer, to leave in its packet
    pub(crate) fn piggyback(&mut self) -> Option<Piggyback> {
        self.answer = Answer::Here {
            riding: self.unanswered,
        };
        let may_ride = self.is_invited && self.is_control_due;
        if !may_ride || !self.is_open() {
            return None;
        }
        // all of them or none: it may be the last that the peer hears
        let frames = acknowledgements(&self.stream, &self.recovery, self.ecn, usize::MAX);
        Piggyback::new(&frames)
    }

    /// The answer has left with [it](Self::piggyback)
    pub(crate) fn on_piggyback_sent(&mut self) {
        // unless something came meanwhile
        if matches!(self.answer, Answer::Here { riding } if riding == self.unanswered) {
            self.is_control_due = false;
            self.unanswered = 0;
        }
    }

    /// Bytes of the packets about which nothing was said, at most
    pub(super) fn unanswered_len(&self, shared: &Shared) -> u64 {
        u64::from(self.unanswered) * shared.datagram_len() as u64
    }

    /// What there is to say is what has arrived, and not how it ends
    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::TimeWait { .. })
    }
}
