// SPDX-License-Identifier: Apache-2.0

//! The descriptors of one class that are at home.
//!
//! The one rule: last in, first out. The next user gets what is still in the cache, and what nobody needs sinks to the
//! bottom.
//!
//! So no descriptor has to remember when it was used last: those below the lowest level that the pile has had since
//! some moment have not been touched since then. Keeping that level costs a comparison when one is taken.

use super::descriptor::Idle;
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Shelf {
    /// The bottom of the pile is at the front.
    idle: VecDeque<Idle>,
    /// `untouched <= idle.len()`: so many at the bottom were not out since [`Shelf::mark`].
    untouched: usize,
}

impl Shelf {
    pub(super) fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }

    /// How many at the bottom were not out since [`Shelf::mark`].
    pub(super) fn untouched(&self) -> usize {
        self.untouched
    }

    pub(super) fn push(&mut self, idle: Idle) {
        self.idle.push_back(idle);
    }

    /// Takes the one that came last.
    pub(super) fn pop(&mut self) -> Option<Idle> {
        let idle = self.idle.pop_back();
        self.untouched = self.untouched.min(self.idle.len());
        idle
    }

    /// Takes the one that nobody has needed for longest.
    pub(super) fn pop_coldest(&mut self) -> Option<Idle> {
        self.untouched = self.untouched.saturating_sub(1);
        self.idle.pop_front()
    }

    /// Takes at most `count` of those that nobody has needed for longest. Of an empty shelf nothing stays allocated.
    pub(super) fn take_coldest(&mut self, count: usize) -> VecDeque<Idle> {
        self.untouched = self.untouched.saturating_sub(count);
        if count >= self.idle.len() {
            return std::mem::take(&mut self.idle);
        }
        self.idle.drain(..count).collect()
    }

    /// Begins to watch anew who is touched.
    pub(super) fn mark(&mut self) {
        self.untouched = self.idle.len();
    }
}
