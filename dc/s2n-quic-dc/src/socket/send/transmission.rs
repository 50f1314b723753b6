// SPDX-License-Identifier: Apache-2.0

//! What the timing wheel holds: one message, when it may depart, and who wants to know.
//!
//! The one rule: a transmission ends exactly once, as sent, failed or cancelled; its [`Ticket`] sees to it.

use super::completion;
use crate::{
    msg::send::Message,
    stream::{path::Departed, send::state::transmission::RecordId},
};
use s2n_quic_core::time::Timestamp;

/// Where the completions of one half of a stream arrive
pub(crate) type Completions = completion::Queue<Token, Departed>;

/// The duty to complete one transmission
pub(crate) type Ticket = completion::Ticket<Token, Departed>;

/// Tells a stream which of its transmissions ended
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// `None` for control packets, which keep no record
    pub(crate) record: Option<RecordId>,
    /// Whether it counts against the limit on pending transmissions
    pub(crate) is_data: bool,
    /// Bytes of its message
    pub(crate) len: u32,
}

/// The order in which due transmissions leave
///
/// What is due at a lower number goes first; only what the socket refused to take a moment ago, at most one round, goes before
/// everything. Control packets are few and small, and retransmissions are bounded by what was
/// lost, so data is delayed by them and not starved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// ACK, MAX_DATA, close
    Control = 0,
    /// Retransmissions and probes
    Recovery = 1,
    Data = 2,
}

impl Priority {
    pub(crate) const COUNT: usize = 3;
}

pub(crate) struct Transmission {
    pub(crate) message: Message,
    pub(crate) departure: Timestamp,
    pub(crate) priority: Priority,
    /// `None` when nobody waits for it. Data of a stream that is gone is cancelled unsent; control is sent all the same, because the
    /// peer waits for it.
    pub(crate) ticket: Option<Ticket>,
}

impl Transmission {
    /// Whether it is still worth sending
    pub(crate) fn is_wanted(&self) -> bool {
        match (&self.ticket, self.priority) {
            (None, _) | (_, Priority::Control) => true,
            (Some(ticket), Priority::Recovery | Priority::Data) => ticket.is_alive(),
        }
    }
}
