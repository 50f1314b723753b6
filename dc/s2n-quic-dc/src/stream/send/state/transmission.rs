// SPDX-License-Identifier: Apache-2.0

//! What was sent and not yet settled: one [`Info`] per packet, one [`Record`] per transmission.
//!
//! A transmission is what goes into the wheel: a burst of first sends, or one retransmission, or a probe. Its record keeps the filled descriptor
//! for as long as a packet of it may have to be sent again, so a retransmission copies one packet out of it and leaves the rest alone.
//!
//! The one rule: an `Info` is in exactly one of the two maps until it is acknowledged, lost or superseded, and the window that its bytes
//! hold goes with it.

use crate::{msg::send::Message, stream::path::Departed};
use smallvec::SmallVec;

mod packets;

pub(crate) use packets::{Part, SentPackets, Shape};

/// Names a transmission of this stream; the token of its completion
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordId(u32);

/// One packet that was handed to the wheel
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// The order in which packets were made, over both number spaces
    pub(crate) sequence: u64,
    /// The transmission that carries it
    pub(crate) record: RecordId,
    /// What to send again if it is lost
    pub(crate) content: Content,
    /// Bytes of UDP payload
    pub(crate) packet_len: u16,
    /// Bytes of the path's window that it holds: as many, or none for a copy beside the original and while the peer is silent
    pub(crate) held: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Stream bytes or the final offset
    Data(Data),
    /// A packet without payload, to hear from the peer: never sent again
    Probe,
}

/// Where the first send of some stream bytes is to be found
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    /// The record that keeps the descriptor of the first send
    pub(crate) origin: RecordId,
    /// Which packet of that descriptor
    pub(crate) segment: u8,
    /// The number of the first send, which the ciphertext is bound to
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) payload_len: u16,
    pub(crate) is_fin: bool,
}

/// One transmission
#[derive(Debug)]
pub(crate) struct Record {
    /// Kept for retransmission while packets are unacknowledged; `None` for copies and probes
    message: Option<Message>,
    /// A bit per packet of `message` that was acknowledged, whichever copy was
    acknowledged: u64,
    unacknowledged: u8,
    /// Infos that name this record
    infos: u8,
    state: RecordState,
}

#[derive(Clone, Copy, Debug)]
enum RecordState {
    /// In the wheel
    Queued,
    /// Sent, or refused by the socket: packets that never left count as lost once something newer is acknowledged, or by
    /// the probe timer
    Departed(Departed),
}

/// The records of a stream, in a slab; a stream of one transmission keeps its record in place
#[derive(Debug, Default)]
pub(crate) struct Records {
    slots: SmallVec<[Slot; 1]>,
    /// The slot that was freed last
    free: Option<u32>,
    len: usize,
}

#[derive(Debug)]
enum Slot {
    Taken(Record),
    /// With the one that was freed before it
    Free(Option<u32>),
}

impl Records {
    /// A name for a transmission that is being made; [`Records::fill`] follows once it is known what is in it
    pub(crate) fn reserve(&mut self) -> RecordId {
        let record = Record {
            message: None,
            acknowledged: 0,
            unacknowledged: 0,
            infos: 0,
            state: RecordState::Queued,
        };
        self.len += 1;
        let index = match self.free {
            Some(index) => index as usize,
            None => {
                self.slots.push(Slot::Free(None));
                self.slots.len() - 1
            }
        };
        if let Slot::Free(next) = core::mem::replace(&mut self.slots[index], Slot::Taken(record)) {
            self.free = next;
        }
        RecordId(index as u32)
    }

    /// `message` is kept for retransmission, one of its packets per info; `None` for what is never sent again
    pub(crate) fn fill(&mut self, id: RecordId, message: Option<Message>, infos: u8) {
        if let Some(record) = self.get_mut(id) {
            record.unacknowledged = if message.is_some() { infos } else { 0 };
            record.message = message;
            record.infos = infos;
        }
    }

    /// Takes a name back under which nothing is
    pub(crate) fn cancel(&mut self, id: RecordId) {
        if let Some(slot @ Slot::Taken(_)) = self.slots.get_mut(id.0 as usize) {
            *slot = Slot::Free(self.free.replace(id.0));
            self.len -= 1;
        }
    }

    /// The departure that the socket worker reported, if it has
    pub(crate) fn departed(&self, id: RecordId) -> Option<Departed> {
        match self.get(id)?.state {
            RecordState::Queued => None,
            RecordState::Departed(departed) => Some(departed),
        }
    }

    /// Takes the report of the socket worker
    pub(crate) fn on_departed(&mut self, id: RecordId, departed: Departed) {
        if let Some(record) = self.get_mut(id) {
            record.state = RecordState::Departed(departed);
        }
        self.reap(id);
    }

    /// The packet's bytes as first sent, to be copied
    pub(crate) fn message(&self, id: RecordId) -> Option<&Message> {
        self.get(id)?.message.as_ref()
    }

    pub(crate) fn is_acknowledged(&self, data: &Data) -> bool {
        self.get(data.origin)
            .is_none_or(|record| record.acknowledged & (1 << data.segment) != 0)
    }

    /// Notes that the peer has the bytes; true the first time
    pub(crate) fn acknowledge(&mut self, data: &Data) -> bool {
        self.acknowledge_all(data.origin, 1 << data.segment) != 0
    }

    /// Notes that the peer has the bytes of these segments, a bit each. Returns those that it was not known to have.
    pub(crate) fn acknowledge_all(&mut self, origin: RecordId, segments: u64) -> u64 {
        let Some(record) = self.get_mut(origin) else {
            return 0;
        };
        let news = segments & !record.acknowledged;
        if news == 0 {
            return 0;
        }
        record.acknowledged |= news;
        let count = news.count_ones() as u8;
        record.unacknowledged = record.unacknowledged.saturating_sub(count);
        if record.unacknowledged == 0 {
            // the descriptor goes home as soon as the last packet is acknowledged
            record.message = None;
        }
        self.reap(origin);
        news
    }

    /// An info that named the record has left its map
    pub(crate) fn settle(&mut self, id: RecordId) {
        self.settle_all(id, 1);
    }

    /// So many infos that named the record have left their map
    pub(crate) fn settle_all(&mut self, id: RecordId, infos: u8) {
        if let Some(record) = self.get_mut(id) {
            record.infos = record.infos.saturating_sub(infos);
        }
        self.reap(id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets every descriptor go; records that are still in the wheel stay until they are completed
    pub(crate) fn forget_data(&mut self) {
        for index in 0..self.slots.len() {
            if let Slot::Taken(record) = &mut self.slots[index] {
                record.message = None;
                record.unacknowledged = 0;
            }
            self.reap(RecordId(index as u32));
        }
    }

    fn reap(&mut self, id: RecordId) {
        // false for a slot that is free already
        let is_done = self.get(id).is_some_and(|record| {
            record.infos == 0
                && record.unacknowledged == 0
                && !matches!(record.state, RecordState::Queued)
        });
        if is_done {
            self.cancel(id);
        }
    }

    fn get(&self, id: RecordId) -> Option<&Record> {
        match self.slots.get(id.0 as usize)? {
            Slot::Taken(record) => Some(record),
            Slot::Free(_) => None,
        }
    }

    fn get_mut(&mut self, id: RecordId) -> Option<&mut Record> {
        match self.slots.get_mut(id.0 as usize)? {
            Slot::Taken(record) => Some(record),
            Slot::Free(_) => None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
