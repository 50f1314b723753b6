// SPDX-License-Identifier: Apache-2.0

//! A list that nearly always has one entry or none.
//!
//! The one rule: the others come only after the first, so an empty list is known by its first entry, and costs nothing to make, to move
//! through or to drop.

pub(crate) struct Few<T> {
    first: Option<T>,
    others: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            first: None,
            others: Vec::new(),
        }
    }
}

impl<T> Few<T> {
    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(!self.is_empty()) + self.others.len()
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.others.push(value),
        }
    }

    pub(crate) fn for_each(self, mut f: impl FnMut(T)) {
        if let Some(first) = self.first {
            f(first);
            self.others.into_iter().for_each(f);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.others)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_in_the_order_in_which_they_went_in() {
        for count in 0..4 {
            let mut few = Few::default();
            for n in 0..count {
                assert_eq!(few.len(), n);
                few.push(n);
            }
            assert_eq!(few.is_empty(), count == 0);
            assert!(few.iter().copied().eq(0..count));
            let mut taken = Vec::new();
            few.for_each(|n| taken.push(n));
            assert!(taken.into_iter().eq(0..count));
        }
    }
}
