// SPDX-License-Identifier: Apache-2.0

//! Receipts on their way between streams: those that came for others than the stream whose packet carried them, and those that wait too long
//! for a packet.
//!
//! The one rule: one timer entry of the shard is set while it watches a path, and none else.

use super::{
    core::{Core, Shard},
    routes::RECEIPTS,
    timers::Lane,
};
use crate::{
    clock::ticks,
    credentials,
    stream::{
        path::{receipts::PATIENCE, Path, Wakes},
        receipt::Receipt,
        send,
    },
    sync::few::Few,
};
use parking_lot::Mutex;
use s2n_quic_core::time::Timestamp;
use std::sync::Arc;

/// The paths whose receipts a shard looks after
#[derive(Default)]
pub(crate) struct Watch(Mutex<Vec<Arc<Path>>>);

impl Shard {
    /// Somebody has left the first receipt on the path just now
    pub(crate) fn watch_receipts(&self, path: &Arc<Path>, now: Timestamp) {
        let mut paths = self.watch.0.lock();
        let is_first = paths.is_empty();
        paths.push(path.clone());
        drop(paths);
        if is_first {
            self.arm_watch(now + PATIENCE);
        }
    }

    /// The streams that have to say themselves what they have received; to be called for each timer entry of [`RECEIPTS`]
    pub(crate) fn overdue_receipts(&self, now: Timestamp) -> Vec<u64> {
        let mut overdue = Vec::new();
        let mut next = None;
        self.watch.0.lock().retain(|path| {
            let again = path.receipts.overdue(now, &mut overdue);
            next = [next, again].into_iter().flatten().min();
            again.is_some()
        });
        if let Some(next) = next {
            self.arm_watch(next);
        }
        overdue
    }

    pub(super) fn forget_receipts(&self) {
        self.watch.0.lock().clear();
    }

    fn arm_watch(&self, deadline: Timestamp) {
        let timers = &self.timers;
        timers.append(Lane::Receipts, RECEIPTS, ticks(deadline), &self.receiver);
    }
}

impl Core {
    /// What an authenticated packet of the peer with the secret `id` says about other streams than its own
    pub(crate) fn on_receipts(
        &self,
        id: &credentials::Id,
        mut receipts: Few<Receipt>,
        now: Timestamp,
        wakes: &mut Wakes,
    ) {
        receipts.drain(|receipt| {
            let stream = self.stream(receipt.queue_id.as_u64());
            let is_its = |credentials: &credentials::Credentials| {
                credentials.id == *id && credentials.key_id == receipt.key_id
            };
            if let Some(stream) = stream.filter(|stream| is_its(&stream.credentials)) {
                wakes.append(send::worker::on_receipt(&stream, &receipt, now));
            }
        });
    }
}
