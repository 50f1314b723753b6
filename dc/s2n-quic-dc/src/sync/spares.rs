// SPDX-License-Identifier: Apache-2.0

//! Memory of values that are over, for the next ones of their kind.
//!
//! The state of a stream is larger than what allocators keep for each thread, and streams end on other threads than they began on. The memory
//! that was given back last is the one that is still in a processor's cache.
//!
//! The one rule: a value is dropped when it is given back, and not when its memory is used again. Keys do not outlive their streams.

use super::primitive::Mutex;
use core::ops::{Deref, DerefMut};

/// A value in memory that is used again: a vector of one keeps it when it is emptied
pub(crate) struct Reused<T>(Vec<T>);

impl<T> Reused<T> {
    /// For who is being dropped: the value, which is not here any more
    pub(crate) fn take(&mut self) -> Self {
        Self(core::mem::take(&mut self.0))
    }
}

impl<T> DerefMut for Reused<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0[0]
    }
}

impl<T> Deref for Reused<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0[0]
    }
}

/// What was given back
pub(crate) struct Spares<T> {
    free: Mutex<Vec<Vec<T>>>,
    /// How many are kept
    limit: usize,
}

impl<T> Spares<T> {
    /// None yet, and never more than `limit`
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            free: Mutex::new(Vec::new()),
            limit,
        }
    }

    /// Puts what is made to where another was, if there is such a place
    ///
    /// Made here, because a large value would move once more to be an argument.
    #[inline(always)]
    pub(crate) fn place(&self, make: impl FnOnce() -> T) -> Reused<T> {
        let free = self.free.lock().pop();
        let mut memory = free.unwrap_or_else(|| Vec::with_capacity(1));
        memory.push(make());
        Reused(memory)
    }

    /// Drops the value, and keeps its memory
    pub(crate) fn put(&self, value: Reused<T>) {
        let mut memory = value.0;
        memory.clear();
        let mut free = self.free.lock();
        if free.len() < self.limit {
            free.push(memory);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_value_is_dropped_when_it_is_given_back_and_its_memory_is_used_again() {
        let spares = Spares::new(1);
        let witness = Arc::new(());
        let first = spares.place(|| [Some(witness.clone()), None]);
        let at: *const _ = &*first;
        spares.put(first);
        assert_eq!(Arc::strong_count(&witness), 1);
        let second = spares.place(|| [None, Some(witness.clone())]);
        assert!(core::ptr::eq(at, &*second));
        assert!(second[1].is_some());
    }

    #[test]
    fn no_more_are_kept_than_the_limit() {
        let spares = Spares::new(2);
        let values: Vec<_> = (0..4).map(|n| spares.place(|| n)).collect();
        assert!(values.iter().map(|value| **value).eq(0..4));
        for value in values {
            spares.put(value);
        }
        assert_eq!(spares.free.lock().len(), 2);
    }
}
