// SPDX-License-Identifier: Apache-2.0

//! A hierarchical timing wheel: keeps values until the microsecond at which they may leave.
//!
//! The one rule: values leave in order of deadline, those of one tick in order of insertion, and none is forgotten.
//!
//! The plain algorithm is one list per tick, walked one tick at a time. The departures from it:
//!
//! * **Levels.** A slot of level `k` spans 256^k ticks. Written in digits of eight bits, a deadline is on the level of the
//!   highest digit in which it differs from the cursor, and moves down (*cascades*) when the cursor enters its slot. So
//!   inserting costs the same for every deadline, and an entry is moved at most five times.
//! * **One list per tick.** The place follows from the cursor and the deadline alone, not from when an entry was inserted. All
//!   entries of one tick are therefore in one list at any time, which is appended to and cascades in order.
//! * **Vectors.** A slot is a vector that holds the values themselves, so a cascade reads and writes memory in sequence. Lists
//!   that are linked through one large table wait for memory once per entry and level, which took most of the time with many entries.
//! * **Jumps.** A bitmap finds the first occupied slot, and each slot knows its earliest deadline. The cursor moves straight from
//!   one occupied tick to the next; the slots it leaves out are known to be empty. What is alone in its slot leaves from there.
//! * **The far list.** What differs from the cursor above the top level's digits waits in one more list, which is walked when
//!   those digits change: every 2^32 µs, about 71.6 minutes.
//!
//! The wheel belongs to one task. It has no lock and reads no clock.
//!
//! Memory: 32 KiB for the slots, and for each entry the value and 8 bytes, up to three times as vectors grow in powers of two, and in
//! each occupied slot at most 4 KiB more. Vectors are passed on from slot to slot, and each grows to the fullest slot once, so a steady
//! state ceases to allocate; only a vector of more than 4 KiB is freed when the cursor enters its slot. However many entries it held,
//! a wheel that is empty keeps less than 256 KiB, the slots included.

mod slots;
mod spares;
#[cfg(test)]
mod tests;

use slots::{Entry, Place, Slot, Slots};
use spares::{allowance, Spares};
use std::collections::VecDeque;

/// Holds values until their deadline, given in ticks of one microsecond
///
/// The *current tick* is the one that was released last: that of the entry returned by [`pop`](Self::pop), or the time
/// given to it once it has returned `None`.
pub struct Wheel<T> {
    /// The current tick
    cursor: u64,
    /// The latest time seen. `cursor <= now`
    now: u64,
    /// The number of entries in `due`, `slots` and `far`
    len: usize,
    /// Values of the current tick, in order of insertion
    due: VecDeque<T>,
    /// What is due later than the current tick, and within reach of the levels
    slots: Slots<T>,
    /// What differs from the cursor above the digits of the top level
    far: Slot<T>,
    spares: Spares<T>,
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
            len: 0,
            due: VecDeque::new(),
            slots: Slots::new(),
            far: Slot::new(),
            spares: Spares::new(),
            #[cfg(test)]
            slot_visits: 0,
        }
    }

    /// The number of entries that were inserted and not yet released
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry to release, now or later
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry that is released at `deadline`, behind all others of that tick
    ///
    /// A deadline in the past counts as the current tick, so a drain in progress still releases the entry. A deadline of
    /// any distance is kept and never released early.
    pub fn insert(&mut self, value: T, deadline: u64) {
        self.len += 1;
        let deadline = deadline.max(self.cursor);
        self.link(Entry { deadline, value });
    }

    /// Releases the next entry that is due at `now`, in order of deadline and, within one tick, of insertion
    ///
    /// Returns `None` when nothing more is due. Time does not go backwards: an earlier `now` than the latest seen
    /// is taken as the latest.
    pub fn pop(&mut self, now: u64) -> Option<T> {
        self.now = self.now.max(now);

        let value = self.due.pop_front().or_else(|| self.enter_next());
        self.len -= usize::from(value.is_some());
        if self.due.is_empty() {
            self.trim();
        }
        value
    }

    /// The tick at which the next entry is released, or `None` if the wheel is empty
    ///
    /// It is later than the time given to [`pop`](Self::pop) from the moment that has returned `None` until an entry that
    /// is due is inserted.
    pub fn next_expiry(&self) -> Option<u64> {
        if !self.due.is_empty() {
            return Some(self.cursor);
        }
        self.slots.earliest().or_else(|| self.far.earliest())
    }

    /// Takes everything out, in no particular order
    ///
    /// The wheel is empty from this call on, even if the iterator is dropped early. The current tick stays.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        let emptied = Self {
            now: self.now,
            ..Self::new(self.cursor)
        };
        let mut full = std::mem::replace(self, emptied);
        let far = full.far.take();
        let waiting = full.slots.into_entries().chain(far);
        full.due.into_iter().chain(waiting.map(|entry| entry.value))
    }

    /// Moves the cursor to the next entry that is due by now, and takes it out, or to now. `due` is empty.
    #[inline]
    fn enter_next(&mut self) -> Option<T> {
        match self.next_expiry() {
            Some(next) if next <= self.now => self.advance(next).or_else(|| self.due.pop_front()),
            // all that is there is due later, so nothing comes out
            _ => self.advance(self.now),
        }
    }

    /// Moves the cursor to `to`, before which nothing may be due. What is due then goes to `due`, which is empty, or comes back
    /// at once if it was alone in its slot.
    ///
    /// Only the slot that `to` lies in, on the level of the highest digit that changes, holds entries whose place changes: lower levels
    /// are empty, since all that was on them was due before `to`, and for higher ones nothing has changed.
    #[inline]
    fn advance(&mut self, to: u64) -> Option<T> {
        let from = std::mem::replace(&mut self.cursor, to);
        #[cfg(test)]
        {
            self.slot_visits += 1;
        }

        let slot = match Place::of(from, to) {
            Place::Due => return None,
            Place::Slot(index) => self.slots.vacate(index)?,
            Place::Far => &mut self.far,
        };
        let is_due = slot.earliest() == Some(to);
        let mut entries = slot.take();
        let mut lone = None;
        if is_due && entries.len() == 1 {
            lone = entries.pop().map(|entry| entry.value);
        } else {
            self.cascade(&mut entries);
        }
        self.spares.give(entries);
        lone
    }

    /// Moves the entries to where they belong as seen from the cursor, in their order
    #[inline(never)]
    fn cascade(&mut self, entries: &mut Vec<Entry<T>>) {
        #[cfg(test)]
        {
            self.slot_visits += 1;
        }
        for entry in entries.drain(..) {
            self.link(entry);
        }
    }

    /// Adds the entry behind all others of its deadline
    #[inline(always)] // into the loop of a cascade, where the entry then stays in registers
    fn link(&mut self, entry: Entry<T>) {
        match Place::of(self.cursor, entry.deadline) {
            Place::Due => self.due.push_back(entry.value),
            Place::Slot(index) => self.slots.push(index, entry, &mut self.spares),
            Place::Far => self.far.push(entry, &mut self.spares),
        }
    }

    /// Gives back memory that so few entries do not need. `due` is empty.
    #[inline]
    fn trim(&mut self) {
        let allowed = allowance::<T>(self.len);
        self.spares.trim(allowed);
        if self.due.capacity() > allowed {
            self.due = VecDeque::new();
        }
    }

    /// Bytes allocated, without those of the slots
    #[cfg(test)]
    fn memory(&self) -> usize {
        let entries = self.slots.capacity() + self.far.capacity() + self.spares.capacity();
        entries * size_of::<Entry<T>>()
            + self.due.capacity() * size_of::<T>()
            + self.spares.places() * size_of::<Vec<Entry<T>>>()
    }
}
