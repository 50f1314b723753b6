// SPDX-License-Identifier: Apache-2.0

//! Receipts: the acknowledgement of an answer that other streams' packets carry, and what came with a packet for other streams.
//!
//! The one rule: a receipt takes the place of the control packet that was due. If it cannot be left, that is still due.

use super::{Phase, State};
use crate::{
    stream::{
        path::receipts::{Entry, Left},
        receipt::{decode, Receipt},
        shared::Shared,
    },
    sync::few::Few,
};
use s2n_quic_core::{time::Timestamp, varint::VarInt};

/// Bytes of the packets of an answer whose receipt may wait for a request: several wait, and the peer has the room of its window again only after that
const MAX_LEN: u64 = 1 << 16;

impl State {
    /// Leaves the acknowledgement of an answer to the next request, if the peer takes it from there
    pub(crate) fn leave_receipt(&mut self, shared: &Shared, now: Timestamp) {
        // so many since something was said: none is missing, and none was said
        let last = self.unanswered.checked_sub(1).map(VarInt::from_u32);
        let is_all = matches!(self.phase, Phase::TimeWait { .. })
            && self.unanswered_len(shared) <= MAX_LEN
            && self.recovery.is_empty()
            && last.is_some_and(|last| self.stream.largest() == Some(last));
        // what the network has marked is said in full
        let is_marked = self.ecn.ce_count != VarInt::ZERO;
        let is_due = self.is_control_due && shared.address.can_send_control();
        if !self.takes_receipts || !is_due || !is_all || is_marked {
            return;
        }
        let (_, stream_id, _) = shared.address.for_packet();
        let entry = Entry {
            remote_queue_id: stream_id.queue_id(),
            key_id: shared.credentials.key_id,
            queue_id: shared.queue_id,
        };
        match shared.path.receipts.leave(entry, now) {
            Left::Refused => return,
            Left::Watched => {}
            Left::Unwatched => shared.shard.watch_receipts(&shared.path, now),
        }
        self.is_control_due = false;
        self.unanswered = 0;
    }

    /// Nobody has taken the receipt along
    pub(crate) fn on_receipt_overdue(&mut self) {
        self.is_control_due |= matches!(self.phase, Phase::TimeWait { .. });
    }

    /// What the first packet of a stream says about others
    pub(super) fn keep_receipts(&mut self, datagram: &[u8]) {
        if self.receipts.is_empty() {
            decode(datagram).for_each(|receipt| self.receipts.push_back(receipt));
        }
    }

    pub(crate) fn take_receipts(&mut self) -> Few<Receipt> {
        core::mem::take(&mut self.receipts)
    }
}
