// SPDX-License-Identifier: Apache-2.0

//! A place where one works at a time, for all who have work.
//!
//! A producer makes its work visible and goes to the desk. If somebody is at it, the producer leaves a note and goes on: whoever is at the
//! desk finds the note when getting up, and looks again. Nobody waits, and nobody has to be woken, because somebody else is busy with
//! the work of both.
//!
//! The one rule: who has been at the desk takes the note after getting up, and answers for it.

use super::primitive::{AtomicU32, Mutex, Ordering};

const NONE: u32 = 0;
const LEFT: u32 = 1;

pub(crate) struct Desk<T> {
    state: Mutex<T>,
    note: AtomicU32,
}

/// What came of a turn at the desk
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Worked<R> {
    pub(crate) result: R,
    /// Somebody came meanwhile and has gone again: the caller sees to that work
    pub(crate) has_note: bool,
}

impl<T> Desk<T> {
    pub(crate) fn new(state: T) -> Self {
        Self {
            state: Mutex::new(state),
            note: AtomicU32::new(NONE),
        }
    }

    /// Waits for the desk and has a turn
    pub(crate) fn work<R>(&self, f: impl FnOnce(&mut T) -> R) -> Worked<R> {
        let result = f(&mut self.state.lock());
        self.get_up(result)
    }

    /// Has a turn if the desk is free, and leaves a note otherwise
    pub(crate) fn try_work<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<Worked<R>> {
        let mut state = match self.state.try_lock() {
            Some(state) => state,
            None => {
                // a read-modify-write, like the one in `get_up`: either that one sees this, or this one sees that, and then the lock that
                // was released before it
                self.note.swap(LEFT, Ordering::AcqRel);
                self.state.try_lock()?
            }
        };
        let result = f(&mut state);
        drop(state);
        Some(self.get_up(result))
    }

    fn get_up<R>(&self, result: R) -> Worked<R> {
        Worked {
            result,
            has_note: self.note.swap(NONE, Ordering::AcqRel) == LEFT,
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::handoff::Handoff;
    use loom::{sync::Arc, thread};

    struct Office {
        desk: Desk<Vec<u32>>,
        queue: Handoff<u32>,
        /// Changed by all: loom does not see that to give up a lock and to try it are in conflict, so it would not have one thread try while
        /// another one is in the middle of its work
        conflict: AtomicU32,
    }

    impl Office {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                desk: Desk::new(Vec::new()),
                queue: Handoff::new(),
                conflict: AtomicU32::new(0),
            })
        }

        fn clear(&self, done: &mut Vec<u32>) {
            self.queue.drain_into(done);
            self.conflict.fetch_add(1, Ordering::Relaxed);
        }

        fn produce(&self, item: u32) {
            let _ = self.queue.push(item);
            self.conflict.fetch_add(1, Ordering::Relaxed);
            while let Some(worked) = self.desk.try_work(|done| self.clear(done)) {
                if !worked.has_note {
                    return;
                }
            }
        }

        fn check(&self, expected: &[u32]) {
            let _ = self.desk.work(|done| {
                done.sort_unstable();
                assert_eq!(*done, expected);
            });
        }
    }

    #[test]
    fn loom_all_work_is_done_by_somebody() {
        let mut model = loom::model::Builder::new();
        // three threads: without a bound it takes minutes
        model.preemption_bound = Some(3);
        model.check(|| {
            let office = Office::new();
            let others = [1, 2].map(|item| {
                let office = office.clone();
                thread::spawn(move || office.produce(item))
            });
            office.produce(3);
            for other in others {
                other.join().expect("producer");
            }
            office.check(&[1, 2, 3]);
        });
    }

    #[test]
    fn loom_who_waits_for_the_desk_finds_the_notes_too() {
        loom::model(|| {
            let office = Office::new();
            let worker = {
                let office = office.clone();
                thread::spawn(move || while office.desk.work(|done| office.clear(done)).has_note {})
            };
            office.produce(1);
            worker.join().expect("worker");
            office.check(&[1]);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_finds_the_desk_taken_leaves_a_note() {
        let desk = Desk::new(0);
        let first = desk.work(|turns| {
            *turns += 1;
            assert_eq!(desk.try_work(|_| ()), None);
        });
        assert!(first.has_note);
        let second = desk.try_work(|turns| *turns += 1).expect("free");
        assert!(!second.has_note, "taken by the first");
        assert_eq!(desk.work(|turns| *turns).result, 2);
    }
}
