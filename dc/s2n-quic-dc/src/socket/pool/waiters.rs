// SPDX-License-Identifier: Apache-2.0

//! The line of those who wait for a descriptor.
//!
//! The one rule: who came first is served first, whatever size it asks for. Only then does a burst ever get its turn
//! among packets.
//!
//! It is a list of entries, linked by index within one vector: joining, leaving from the middle and serving the front
//! are O(1), and entries recycle, so that waiting allocates only while more wait than ever before. An entry that has
//! been served stays, out of the line, until its waiter takes or gives back what it was granted.

use super::Class;
use std::task::Waker;

/// Names an entry until it is removed.
pub(super) type Key = usize;

/// What an entry stands for.
#[derive(Debug)]
pub(super) enum Place {
    /// In line. To be woken when served.
    InLine(Class, Waker),
    /// Out of the line, with the bytes of one descriptor set aside.
    Granted(Class),
}

#[derive(Default)]
pub(super) struct Waiters {
    entries: Vec<Entry>,
    /// Vacant entries are a stack, linked by `next`.
    vacant: Option<Key>,
    first: Option<Key>,
    last: Option<Key>,
    /// The number in line.
    len: usize,
}

struct Entry {
    /// None while vacant.
    place: Option<Place>,
    /// In line, the one in front.
    prev: Option<Key>,
    /// In line, the one behind; vacant, the next vacant one.
    next: Option<Key>,
}

impl Waiters {
    /// The number in line. Those already served do not count.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Joins at the back.
    pub(super) fn join(&mut self, class: Class, waker: Waker) -> Key {
        let entry = Entry {
            place: Some(Place::InLine(class, waker)),
            prev: self.last,
            next: None,
        };
        let key = match self.vacant {
            Some(key) => {
                self.vacant = self.entries[key].next;
                self.entries[key] = entry;
                key
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        match self.last {
            Some(last) => self.entries[last].next = Some(key),
            None => self.first = Some(key),
        }
        self.last = Some(key);
        self.len += 1;
        key
    }

    /// What the front asks for.
    pub(super) fn front(&self) -> Option<Class> {
        match &self.entries[self.first?].place {
            Some(Place::InLine(class, _)) => Some(*class),
            _ => None,
        }
    }

    /// Serves the front: its place becomes granted, and its waker is to be woken.
    pub(super) fn serve_front(&mut self) -> Option<Waker> {
        let key = self.first?;
        self.unlink(key);
        let Some(Place::InLine(class, waker)) = self.entries[key].place.take() else {
            return None;
        };
        self.entries[key].place = Some(Place::Granted(class));
        Some(waker)
    }

    /// The place of a waiter that has joined and was not removed.
    pub(super) fn place(&mut self, key: Key) -> Option<&mut Place> {
        self.entries[key].place.as_mut()
    }

    /// Takes a waiter away, in line or served.
    pub(super) fn remove(&mut self, key: Key) -> Option<Place> {
        let place = self.entries[key].place.take()?;
        if let Place::InLine(..) = place {
            self.unlink(key);
        }
        self.entries[key].next = self.vacant;
        self.vacant = Some(key);
        Some(place)
    }

    fn unlink(&mut self, key: Key) {
        let Entry { prev, next, .. } = self.entries[key];
        match prev {
            Some(prev) => self.entries[prev].next = next,
            None => self.first = next,
        }
        match next {
            Some(next) => self.entries[next].prev = prev,
            None => self.last = prev,
        }
        self.len -= 1;
    }
}
