// SPDX-License-Identifier: Apache-2.0

//! Vectors of slots that are empty now, for the next slots that are not.
//!
//! Few slots are occupied at a time, but in the course of a rotation all of them are. If each kept its vector, the memory would grow with
//! the number of slots; if it gave it back, each visit to a slot would allocate. So vectors go from slot to slot, and the one that
//! was used last, which is the most likely to be in cache, goes first.
//!
//! The one rule: what is kept is in proportion to the entries of the wheel, and little when it is empty.

use super::slots::Entry;

/// Bytes of the largest vector that is kept. A slot that held more costs so much time to empty that an allocation does not show, and
/// would otherwise pass on its size to slots with one entry.
const MAX_VECTOR: usize = 4 * 1024;

/// Bytes of all vectors that are kept while the wheel is empty. 16 of the largest, and far more of the small ones that slots with a few
/// entries have
const MAX_IDLE: usize = 64 * 1024;

pub(super) struct Spares<T> {
    /// Each is empty and has a capacity
    vectors: Vec<Vec<Entry<T>>>,
    /// The capacity of all of them, in entries
    capacity: usize,
    /// How often a vector was too small
    #[cfg(test)]
    pub(super) growths: usize,
}

impl<T> Spares<T> {
    pub(super) fn new() -> Self {
        Self {
            vectors: Vec::new(),
            capacity: 0,
            #[cfg(test)]
            growths: 0,
        }
    }

    /// An empty vector
    #[inline]
    pub(super) fn take(&mut self) -> Vec<Entry<T>> {
        let vector = self.vectors.pop().unwrap_or_default();
        self.capacity -= vector.capacity();
        vector
    }

    /// Keeps the memory of a vector that is not used any more, if it has any and is not large
    #[inline]
    pub(super) fn give(&mut self, vector: Vec<Entry<T>>) {
        debug_assert!(vector.is_empty());
        let bytes = size_of::<Entry<T>>() * vector.capacity();
        if (1..=MAX_VECTOR).contains(&bytes) {
            self.capacity += vector.capacity();
            self.vectors.push(vector);
        }
    }

    /// Frees vectors until no more than `allowed` entries would fit into those that are left
    #[inline]
    pub(super) fn trim(&mut self, allowed: usize) {
        while self.capacity > allowed {
            drop(self.take());
        }
    }

    /// The number of entries that memory was allocated for
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let actual: usize = self.vectors.iter().map(Vec::capacity).sum();
        assert_eq!(self.capacity, actual);
        actual
    }

    /// The number of vectors that memory was allocated for, be they there or not
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.vectors.capacity()
    }

    #[cfg(test)]
    pub(super) fn note_growth(&mut self, vector: &Vec<Entry<T>>) {
        if vector.len() == vector.capacity() {
            self.growths += 1;
        }
    }
}

/// Unused places for entries that a wheel with `len` entries may keep
#[inline]
pub(super) fn allowance<T>(len: usize) -> usize {
    MAX_IDLE / size_of::<Entry<T>>() + len
}
