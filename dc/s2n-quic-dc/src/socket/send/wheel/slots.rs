// SPDX-License-Identifier: Apache-2.0

//! Where entries wait: 256 slots on each of four levels, each a vector of entries, and a bitmap of those that are occupied.
//!
//! The one rule: slots that come first are due first. Seen from the cursor, deadlines of a lower level are earlier than those of a higher
//! one, and within a level the digit that chooses the slot is greater than the cursor's, so no level is ever gone round. The first
//! occupied slot therefore holds the earliest deadline of all.

use super::spares::Spares;

/// Four levels of 256 slots at 1 µs reach 2^32 µs, longer than any timer of the protocol
const LEVELS: usize = 4;

/// Slots per level. A power of two, so that the slot is eight bits of the time
const SLOTS: usize = 256;

/// Bits of the time that choose the slot of a level
const DIGIT: usize = SLOTS.trailing_zeros() as usize;

/// Slots per word of the bitmap
const WORD: usize = u64::BITS as usize;

const WORDS: usize = LEVELS * SLOTS / WORD;

pub(super) struct Entry<T> {
    pub(super) deadline: u64,
    pub(super) value: T,
}

/// Where an entry waits
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: the deadline is the cursor's tick
    Due,
    /// The slot of this index. `index < LEVELS * SLOTS`
    Slot(usize),
    /// Above the digits of the top level
    Far,
}

impl Place {
    /// The place of `deadline` as seen from `cursor`
    ///
    /// Written in digits of eight bits, it is on the level of the highest digit in which they differ, in the slot of that digit.
    #[inline]
    pub(super) fn of(cursor: u64, deadline: u64) -> Self {
        let Some(highest_bit) = (cursor ^ deadline).checked_ilog2() else {
            return Self::Due;
        };
        let level = highest_bit as usize / DIGIT;
        if level >= LEVELS {
            return Self::Far;
        }
        let digit = (deadline >> (level * DIGIT)) as usize % SLOTS;
        Self::Slot(level * SLOTS + digit)
    }
}

/// Entries in the order in which they were inserted. They leave all at once.
pub(super) struct Slot<T> {
    entries: Vec<Entry<T>>,
    /// Of all deadlines, or the end of time if there are none
    earliest: u64,
}

impl<T> Slot<T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            earliest: u64::MAX,
        }
    }

    pub(super) fn earliest(&self) -> Option<u64> {
        (!self.entries.is_empty()).then_some(self.earliest)
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry<T>, spares: &mut Spares<T>) {
        self.earliest = self.earliest.min(entry.deadline);
        if self.entries.is_empty() {
            self.entries = spares.take();
        }
        #[cfg(test)]
        spares.note_growth(&self.entries);
        self.entries.push(entry);
    }

    /// Takes everything out
    #[inline]
    pub(super) fn take(&mut self) -> Vec<Entry<T>> {
        self.earliest = u64::MAX;
        std::mem::take(&mut self.entries)
    }

    /// The number of entries that memory was allocated for
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}

pub(super) struct Slots<T> {
    /// A bit is set exactly while its word of `occupied` is not zero
    words: u16,
    /// A bit is set exactly while its slot has an entry
    occupied: [u64; WORDS],
    /// By level, then by digit
    slots: Box<[Slot<T>]>,
}

const _: () = assert!(WORDS <= u16::BITS as usize);

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            words: 0,
            occupied: [0; WORDS],
            slots: (0..LEVELS * SLOTS).map(|_| Slot::new()).collect(),
        }
    }

    /// The earliest deadline of all slots
    #[inline]
    pub(super) fn earliest(&self) -> Option<u64> {
        let word = self.words.trailing_zeros() as usize;
        let bits = self.occupied.get(word)?;
        self.slots[word * WORD + bits.trailing_zeros() as usize].earliest()
    }

    #[inline]
    pub(super) fn push(&mut self, index: usize, entry: Entry<T>, spares: &mut Spares<T>) {
        let word = index / WORD;
        self.occupied[word] |= 1 << (index % WORD);
        self.words |= 1 << word;
        self.slots[index].push(entry, spares);
    }

    /// The slot of this index if it is occupied, marked as free: the caller empties it
    #[inline]
    pub(super) fn vacate(&mut self, index: usize) -> Option<&mut Slot<T>> {
        let word = index / WORD;
        let bit = 1 << (index % WORD);
        let bits = &mut self.occupied[word];
        if *bits & bit == 0 {
            return None;
        }
        *bits &= !bit;
        if *bits == 0 {
            self.words &= !(1 << word);
        }
        Some(&mut self.slots[index])
    }

    /// Takes everything out of all slots, in order of the slots
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry<T>> {
        self.slots
            .into_vec()
            .into_iter()
            .flat_map(|slot| slot.entries)
    }

    /// The number of entries that memory was allocated for
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.iter().map(Slot::capacity).sum()
    }
}
