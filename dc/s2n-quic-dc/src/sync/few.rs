// SPDX-License-Identifier: Apache-2.0

//! A queue that nearly always has one entry or none.
//!
//! The one rule: the others come only after the first, so an empty queue is known by its first entry, and costs nothing to make, to move
//! through or to drop.

use std::collections::VecDeque;

pub(crate) struct Few<T> {
    first: Option<T>,
    #[expect(
        clippy::box_collection,
        reason = "there is less to drop if there are none"
    )]
    others: Option<Box<VecDeque<T>>>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            first: None,
            others: None,
        }
    }
}

impl<T> Few<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(!self.is_empty()) + self.others.as_ref().map_or(0, |others| others.len())
    }

    pub(crate) fn push_back(&mut self, value: T) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.others.get_or_insert_default().push_back(value),
        }
    }

    pub(crate) fn push_front(&mut self, value: T) {
        if let Some(second) = self.first.replace(value) {
            self.others.get_or_insert_default().push_front(second);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let next = self.others.as_mut().and_then(|others| others.pop_front());
        core::mem::replace(&mut self.first, next)
    }

    /// Takes all out, and keeps the memory of the others
    pub(crate) fn drain(&mut self, mut f: impl FnMut(T)) {
        if let Some(first) = self.first.take() {
            f(first);
            if let Some(others) = &mut self.others {
                others.drain(..).for_each(f);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let others = self.others.iter().flat_map(|others| others.iter());
        self.first.iter().chain(others)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn few(count: usize) -> Few<usize> {
        let mut few = Few::default();
        for n in 0..count {
            assert_eq!(few.len(), n);
            few.push_back(n);
        }
        few
    }

    #[test]
    fn entries_come_out_in_the_order_in_which_they_went_in() {
        for count in 0..4 {
            let mut queue = few(count);
            assert_eq!(queue.is_empty(), count == 0);
            assert!(queue.iter().copied().eq(0..count));
            let mut taken = Vec::new();
            queue.drain(|n| taken.push(n));
            assert!(queue.is_empty());
            assert!(taken.into_iter().eq(0..count));
            let mut queue = few(count);
            assert!(core::iter::from_fn(|| queue.pop_front()).eq(0..count));
        }
    }

    #[test]
    fn what_was_taken_goes_back_to_the_front() {
        for count in 1..4 {
            let mut queue = few(count);
            let first = queue.pop_front().expect("there is one");
            queue.push_front(first);
            assert!(queue.iter().copied().eq(0..count));
        }
    }
}
