// SPDX-License-Identifier: Apache-2.0

//! Receipts that wait for a packet to the peer.
//!
//! They are only left here while requests follow answers closely. Whoever asks now and then says itself what it has received, rather than to
//! wake up once more for it.
//!
//! The one rule: a receipt is taken once, by the packet that carries it, or by the worker when none came in time.

use crate::{
    stream::{receipt::Receipt, recv::worker::READER_GRACE},
    sync::few::Few,
};
use core::time::Duration;
use parking_lot::Mutex;
use s2n_codec::EncoderValue as _;
use s2n_quic_core::{time::Timestamp, varint::VarInt};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// How long a receipt waits for a packet: as long as a reader has time, and well below the probe timeout of any peer
pub(crate) const PATIENCE: Duration = READER_GRACE;

/// A packet takes one receipt, and more only of those that have waited for so long: packets of one length leave together, and where one takes all,
/// those behind it have none. A few that wait always are enough for each to have one.
const HURRY: Duration = Duration::from_micros(PATIENCE.as_micros() as u64 / 4);

/// What one packet takes along
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) receipts: SmallVec<[Receipt; 4]>,
    /// The streams here that they are about
    pub(crate) streams: Few<u64>,
}

/// An answer that has arrived
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The peer's queue
    pub(crate) remote_queue_id: VarInt,
    pub(crate) key_id: VarInt,
    /// The stream here
    pub(crate) queue_id: u64,
}

/// What became of an answer whose receipt was to be left
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Left {
    /// The worker looks after it
    Watched,
    /// Somebody has to call [`Receipts::overdue`] after [`PATIENCE`]
    Unwatched,
    /// No request is expected soon
    Refused,
}

#[derive(Default)]
pub(crate) struct Receipts(Mutex<State>);

#[derive(Default)]
struct State {
    /// In the order in which they were left
    queue: VecDeque<(Timestamp, Entry)>,
    /// [`Receipts::overdue`] is going to be called
    is_watched: bool,
    /// When an answer last came whose receipt could be left
    last_answer: Option<Timestamp>,
    /// The last request left no later than [`PATIENCE`] after an answer
    is_busy: bool,
}

impl Receipts {
    pub(crate) fn leave(&self, entry: Entry, now: Timestamp) -> Left {
        let mut state = self.0.lock();
        state.last_answer = Some(now);
        if !state.is_busy {
            return Left::Refused;
        }
        state.queue.push_back((now, entry));
        match core::mem::replace(&mut state.is_watched, true) {
            true => Left::Watched,
            false => Left::Unwatched,
        }
    }

    /// A request is about to leave, and has `room` for so many bytes of receipts
    pub(crate) fn take(&self, mut room: usize, now: Timestamp) -> Taken {
        let mut taken = Taken::default();
        let receipts = &mut taken.receipts;
        let mut state = self.0.lock();
        let is_close = |answer: Timestamp| now.saturating_duration_since(answer) <= PATIENCE;
        state.is_busy = state.last_answer.is_some_and(is_close);
        while receipts.len() < receipts.inline_size() {
            let Some((left, entry)) = state.queue.front() else {
                break;
            };
            let age = now.saturating_duration_since(*left);
            if !receipts.is_empty() && age < HURRY {
                break;
            }
            let receipt = Receipt {
                queue_id: entry.remote_queue_id,
                key_id: entry.key_id,
                age: u16::try_from(age.as_micros()).unwrap_or(u16::MAX),
            };
            let Some(rest) = room.checked_sub(receipt.encoding_size()) else {
                break;
            };
            room = rest;
            receipts.push(receipt);
            taken.streams.push_back(entry.queue_id);
            state.queue.pop_front();
        }
        taken
    }

    /// Moves the streams to `overdue` whose receipts nobody took in time; returns when to call it again, if it is to be called
    pub(crate) fn overdue(&self, now: Timestamp, overdue: &mut Vec<u64>) -> Option<Timestamp> {
        let mut state = self.0.lock();
        while let Some((left, entry)) = state.queue.front() {
            let deadline = *left + PATIENCE;
            if deadline > now {
                return Some(deadline);
            }
            overdue.push(entry.queue_id);
            state.queue.pop_front();
        }
        state.is_watched = false;
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const ROOM: usize = 60;

    fn at(micros: u64) -> Timestamp {
        crate::clock::at_tick(1_000_000 + micros)
    }

    fn entry(n: u32) -> Entry {
        Entry {
            remote_queue_id: VarInt::from_u32(n),
            key_id: VarInt::from_u32(n + 1000),
            queue_id: u64::from(n) + 2000,
        }
    }

    /// After a request that left at 100, soon after an answer
    fn busy() -> Receipts {
        let receipts = Receipts::default();
        assert!(receipts.take(ROOM, at(0)).receipts.is_empty());
        assert_eq!(
            receipts.leave(entry(0), at(50)),
            Left::Refused,
            "the first one"
        );
        assert!(receipts.take(ROOM, at(100)).receipts.is_empty());
        receipts
    }

    fn queues(taken: &Taken) -> Vec<u64> {
        taken
            .receipts
            .iter()
            .map(|receipt| receipt.queue_id.as_u64())
            .collect()
    }

    #[test]
    fn they_are_left_while_requests_follow_answers() {
        let receipts = busy();
        assert_eq!(receipts.leave(entry(1), at(8_000)), Left::Unwatched);
        assert_eq!(queues(&receipts.take(ROOM, at(9_000))), [1]);
        assert_eq!(receipts.leave(entry(2), at(9_000)), Left::Watched);
        assert_eq!(queues(&receipts.take(ROOM, at(10_001))), [2]);
        assert_eq!(
            receipts.leave(entry(3), at(10_100)),
            Left::Refused,
            "that was a pause"
        );
        assert!(receipts.take(ROOM, at(10_200)).receipts.is_empty());
        assert_eq!(receipts.leave(entry(4), at(10_300)), Left::Watched);
    }

    #[test]
    fn they_leave_in_order_with_their_age_as_far_as_there_is_room() {
        let receipts = busy();
        for n in 1..=9 {
            assert_ne!(
                receipts.leave(entry(n), at(200 + u64::from(n))),
                Left::Refused
            );
        }
        let first = receipts.take(ROOM, at(500));
        assert_eq!(queues(&first), [1, 2, 3, 4]);
        assert_eq!(
            first
                .receipts
                .iter()
                .map(|receipt| receipt.age)
                .collect::<Vec<_>>(),
            [299, 298, 297, 296]
        );
        assert_eq!(first.receipts[0].key_id.as_u64(), 1001);
        let len = first.receipts[0].encoding_size();
        assert!(receipts.take(len - 1, at(510)).receipts.is_empty());
        assert_eq!(queues(&receipts.take(2 * len, at(520))), [5, 6]);
        assert_eq!(queues(&receipts.take(ROOM, at(530))), [7, 8, 9]);
        assert!(receipts.take(ROOM, at(540)).receipts.is_empty());
    }

    #[test]
    fn each_packet_takes_one_unless_they_have_waited() {
        let receipts = busy();
        for n in 1..=6 {
            let _ = receipts.leave(entry(n), at(190 + 10 * u64::from(n)));
        }
        assert_eq!(queues(&receipts.take(ROOM, at(260))), [1]);
        assert_eq!(queues(&receipts.take(ROOM, at(459))), [2]);
        // the last of them for 250 µs
        assert_eq!(queues(&receipts.take(ROOM, at(480))), [3, 4]);
        assert_eq!(queues(&receipts.take(ROOM, at(490))), [5]);
        assert_eq!(queues(&receipts.take(ROOM, at(491))), [6]);
    }

    #[test]
    fn what_nobody_takes_in_time_is_overdue() {
        let receipts = busy();
        assert_eq!(receipts.leave(entry(1), at(200)), Left::Unwatched);
        assert_eq!(receipts.leave(entry(2), at(300)), Left::Watched);
        let mut overdue = Vec::new();
        assert_eq!(receipts.overdue(at(1_199), &mut overdue), Some(at(1_200)));
        assert_eq!(overdue, []);
        assert_eq!(receipts.overdue(at(1_200), &mut overdue), Some(at(1_300)));
        assert_eq!(overdue, [2001]);
        assert_eq!(queues(&receipts.take(ROOM, at(1_250))), [2]);
        assert_eq!(
            receipts.overdue(at(1_300), &mut overdue),
            None,
            "nothing is left to watch"
        );
        assert_eq!(overdue, [2001]);
        assert!(receipts.take(ROOM, at(1_300)).receipts.is_empty());
        assert_eq!(receipts.leave(entry(3), at(1_300)), Left::Unwatched);
    }
}
