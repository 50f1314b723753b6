// SPDX-License-Identifier: Apache-2.0

//! One level of the wheel: 256 slots, each a list of entries, and a bitmap of those that are occupied.
//!
//! The one rule: a bit of the bitmap is set exactly while its slot has an entry. A slot's index is one digit of the time; the digits
//! above it are those of the cursor.

use super::slab::{Slab, NIL};

/// Slots per level. A power of two, so that a position is eight bits of the time.
pub(super) const SLOTS: usize = 256;

/// Slots per word of the bitmap
const WORD: usize = u64::BITS as usize;

/// A list of entries, linked through the slab
#[derive(Clone, Copy)]
pub(super) struct Slot {
    head: u32,
    /// Meaningless while the list is empty
    tail: u32,
    /// No entry has an earlier deadline. Exact as long as nothing was popped; on level 0 all deadlines are equal.
    earliest: u64,
}

impl Slot {
    pub(super) const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
        earliest: u64::MAX,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.head == NIL
    }

    pub(super) fn earliest(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.earliest)
    }

    pub(super) fn push_back<T>(&mut self, slab: &mut Slab<T>, index: u32) {
        self.earliest = self.earliest.min(slab.deadline(index));
        slab.set_next(index, NIL);
        if self.is_empty() {
            self.head = index;
        } else {
            slab.set_next(self.tail, index);
        }
        self.tail = index;
    }

    pub(super) fn pop_front<T>(&mut self, slab: &mut Slab<T>) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let index = self.head;
        self.head = slab.next(index);
        Some(index)
    }
}

pub(super) struct Level {
    /// A slot spans 2^shift ticks. `shift <= 24`
    shift: u32,
    occupied: Bitmap,
    slots: Box<[Slot; SLOTS]>,
}

impl Level {
    pub(super) fn new(shift: u32) -> Self {
        Self {
            shift,
            occupied: Bitmap::default(),
            slots: Box::new([Slot::EMPTY; SLOTS]),
        }
    }

    /// The earliest deadline on this level
    pub(super) fn earliest(&self, cursor: u64) -> Option<u64> {
        let first = self.occupied.next(self.position(cursor))?;
        self.slots[first as usize].earliest()
    }

    /// The slot of `deadline`, marked as occupied: the caller adds an entry
    pub(super) fn occupy(&mut self, deadline: u64) -> &mut Slot {
        let position = self.position(deadline);
        self.occupied.set(position);
        &mut self.slots[position as usize]
    }

    /// Takes the first entry out of the slot that `tick` is in
    pub(super) fn pop_front<T>(&mut self, slab: &mut Slab<T>, tick: u64) -> Option<u32> {
        let position = self.position(tick);
        let slot = &mut self.slots[position as usize];
        let index = slot.pop_front(slab)?;
        if slot.is_empty() {
            *slot = Slot::EMPTY;
            self.occupied.clear(position);
        }
        Some(index)
    }

    /// Empties the slot that `tick` is in
    pub(super) fn take(&mut self, tick: u64) -> Slot {
        let position = self.position(tick);
        self.occupied.clear(position);
        std::mem::replace(&mut self.slots[position as usize], Slot::EMPTY)
    }

    /// The index of the slot that `tick` is in: its lowest eight bits above the shift
    fn position(&self, tick: u64) -> u8 {
        (tick >> self.shift) as u8
    }
}

#[derive(Default)]
struct Bitmap([u64; SLOTS / WORD]);

impl Bitmap {
    fn set(&mut self, position: u8) {
        self.0[position as usize / WORD] |= 1 << (position as usize % WORD);
    }

    fn clear(&mut self, position: u8) {
        self.0[position as usize / WORD] &= !(1 << (position as usize % WORD));
    }

    /// The first position that is set at `start` or behind it, going round at the end
    fn next(&self, start: u8) -> Option<u8> {
        let words = self.0.len();
        let first = start as usize / WORD;
        let from_start = u64::MAX << (start as usize % WORD);

        // the word of `start` comes first for what is at or behind `start`, and last for what is before it
        (0..=words).find_map(|step| {
            let word = (first + step) % words;
            let bits = match step {
                0 => self.0[word] & from_start,
                _ => self.0[word],
            };
            (bits != 0).then(|| (word * WORD) as u8 + bits.trailing_zeros() as u8)
        })
    }
}
