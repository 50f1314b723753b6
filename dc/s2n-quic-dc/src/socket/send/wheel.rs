// SPDX-License-Identifier: Apache-2.0

//! A hierarchical timing wheel: keeps values until the microsecond at which they may leave.
//!
//! The one rule: values leave in order of deadline, those of one tick in order of insertion, and none is forgotten.
//!
//! The plain algorithm is one list per tick, walked one tick at a time. The departures from it:
//!
//! * **Levels.** A slot of level `k` spans 256^k ticks. Written in digits of eight bits, a deadline is on the level of the
//!   highest digit in which it differs from the cursor, and moves down (*cascades*) when the cursor enters its slot. So
//!   inserting costs the same for every deadline, and an entry is moved at most four times.
//! * **One list per tick.** The level follows from the cursor and the deadline alone, not from when an entry was inserted. All
//!   entries of one tick are therefore in one list at any time, which is appended to and cascades in order.
//! * **Jumps.** A bitmap finds the first occupied slot of a level, and each slot knows its earliest deadline. The cursor
//!   moves straight from one occupied tick to the next; the slots it leaves out are known to be empty.
//! * **The far list.** What differs from the cursor above the top level's digits waits in one more list, which is walked when
//!   those digits change: every 2^32 µs, about 71.6 minutes.
//!
//! The wheel belongs to one task. It has no lock, reads no clock, and allocates only when it holds more entries than
//! ever before. It uses 16 KiB for the slots and, for each entry, the value and about 16 bytes.

mod level;
mod slab;
#[cfg(test)]
mod tests;

use level::{Level, Slot, SLOTS};
use slab::Slab;

/// Four levels of 256 slots at 1 µs reach 2^32 µs, longer than any timer of the protocol
const LEVELS: usize = 4;

/// Holds values until their deadline, given in ticks of one microsecond
///
/// The *current tick* is the one that was released last: that of the entry returned by [`pop`](Self::pop), or the time
/// given to it once it has returned `None`.
pub struct Wheel<T> {
    /// The current tick. No entry has an earlier deadline.
    cursor: u64,
    /// The latest time seen. `cursor <= now`
    now: u64,
    slab: Slab<T>,
    /// Written in digits of eight bits, a deadline is on the level of the highest digit in which it differs from the cursor. So all entries
    /// of one tick are in one list, whenever they were inserted.
    levels: [Level; LEVELS],
    /// What differs from the cursor above the digits of the top level
    far: Slot,
    /// Moves of the cursor and slots cascaded, to bound the work of catching up
    #[cfg(test)]
    slot_visits: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel whose current tick is `now`
    pub fn new(now: u64) -> Self {
        Self {
            cursor: now,
            now,
            slab: Slab::new(),
            levels: Self::empty_levels(),
            far: Slot::EMPTY,
            #[cfg(test)]
            slot_visits: 0,
        }
    }

    /// The number of entries that were inserted and not yet released
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is no entry to release, now or later
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry that is released at `deadline`, behind all others of that tick
    ///
    /// A deadline in the past counts as the current tick, so a drain in progress still releases the entry. A deadline of
    /// any distance is kept and never released early.
    ///
    /// # Panics
    ///
    /// With 2^32 - 1 entries in the wheel, which take at least 64 GiB of memory.
    pub fn insert(&mut self, value: T, deadline: u64) {
        let deadline = deadline.max(self.cursor);
        let index = self.slab.insert(value, deadline);
        self.link(index);
    }

    /// Releases the next entry that is due at `now`, in order of deadline and, within one tick, of insertion
    ///
    /// Returns `None` when nothing more is due. Time does not go backwards: an earlier `now` than the latest seen
    /// is taken as the latest.
    pub fn pop(&mut self, now: u64) -> Option<T> {
        self.now = self.now.max(now);

        loop {
            if let Some(index) = self.levels[0].pop_front(&mut self.slab, self.cursor) {
                return self.slab.remove(index);
            }

            match self.next_expiry() {
                Some(next) if next <= self.now => self.advance(next),
                _ => {
                    self.advance(self.now);
                    return None;
                }
            }
        }
    }

    /// The tick at which the next entry is released, or `None` if the wheel is empty
    ///
    /// It is later than the time given to [`pop`](Self::pop) from the moment that has returned `None` until an entry that
    /// is due is inserted.
    pub fn next_expiry(&self) -> Option<u64> {
        self.levels
            .iter()
            .filter_map(|level| level.earliest(self.cursor))
            .chain(self.far.earliest())
            .min()
    }

    /// Takes everything out, in no particular order
    ///
    /// The wheel is empty from this call on, even if the iterator is dropped early. The current tick stays.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.levels = Self::empty_levels();
        self.far = Slot::EMPTY;
        self.slab.drain()
    }

    fn empty_levels() -> [Level; LEVELS] {
        std::array::from_fn(|level| Level::new(level as u32 * SLOTS.trailing_zeros()))
    }

    /// Moves the cursor to `to`, before which nothing may be due
    ///
    /// Only the slot that `to` lies in, on the level of the highest digit that changes, holds entries whose level changes: lower levels
    /// are empty, since all that was on them was due before `to`, and for higher ones nothing has changed.
    fn advance(&mut self, to: u64) {
        let from = std::mem::replace(&mut self.cursor, to);
        #[cfg(test)]
        {
            self.slot_visits += 1;
        }

        let entered = match level_of(from, to) {
            Some(0) => return,
            Some(level) => self.levels[level].take(to),
            None => std::mem::replace(&mut self.far, Slot::EMPTY),
        };
        self.cascade(entered);
    }

    /// Moves the entries of `slot` to where they belong as seen from the cursor, in their order
    fn cascade(&mut self, mut slot: Slot) {
        #[cfg(test)]
        {
            self.slot_visits += 1;
        }
        while let Some(index) = slot.pop_front(&mut self.slab) {
            self.link(index);
        }
    }

    /// Adds the entry behind all others of its deadline
    fn link(&mut self, index: u32) {
        let deadline = self.slab.deadline(index);
        let slot = match level_of(self.cursor, deadline) {
            Some(level) => self.levels[level].occupy(deadline),
            None => &mut self.far,
        };
        slot.push_back(&mut self.slab, index);
    }
}

/// The level of `deadline` as seen from `cursor`: that of the highest digit in which they differ, or the lowest if they are equal
fn level_of(cursor: u64, deadline: u64) -> Option<usize> {
    let highest_bit = (u64::BITS - 1) - ((cursor ^ deadline) | 1).leading_zeros();
    let level = (highest_bit / SLOTS.trailing_zeros()) as usize;
    (level < LEVELS).then_some(level)
}
