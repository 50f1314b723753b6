// SPDX-License-Identifier: Apache-2.0

//! Where the entries of the wheel live: one vector, with the unused places chained into a free list.
//!
//! The one rule: a place holds a value from `insert` to `remove`, and in between only its link changes.

/// Ends a list, and so is never the index of an entry
pub(super) const NIL: u32 = u32::MAX;

struct Entry<T> {
    /// `Some` while the entry is in the wheel, `None` while it is on the free list
    value: Option<T>,
    deadline: u64,
    /// The entry behind this one, in its slot or on the free list
    next: u32,
}

pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    /// The unused place that was used last, as it is the most likely to be in cache
    free: u32,
    /// The number of values. `len <= entries.len()`
    len: usize,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T, deadline: u64) -> u32 {
        let entry = Entry {
            value: Some(value),
            deadline,
            next: NIL,
        };

        let index = self.free;
        if let Some(place) = self.entries.get_mut(index as usize) {
            self.free = place.next;
            *place = entry;
            self.len += 1;
            return index;
        }

        let index = self.entries.len();
        assert!(index < NIL as usize, "the wheel is full");
        self.entries.push(entry);
        self.len += 1;
        index as u32
    }

    /// Gives the value back. The entry must have been taken out of its slot.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let value = entry.value.take()?;
        entry.next = std::mem::replace(&mut self.free, index);
        self.len -= 1;
        Some(value)
    }

    /// Takes all values out and keeps the memory
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.free = NIL;
        self.len = 0;
        self.entries.drain(..).filter_map(|entry| entry.value)
    }

    pub(super) fn deadline(&self, index: u32) -> u64 {
        self.entries[index as usize].deadline
    }

    pub(super) fn next(&self, index: u32) -> u32 {
        self.entries[index as usize].next
    }

    pub(super) fn set_next(&mut self, index: u32, next: u32) {
        self.entries[index as usize].next = next;
    }

    /// The number of places that memory was allocated for
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}
