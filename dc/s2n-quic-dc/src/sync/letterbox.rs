// SPDX-License-Identifier: Apache-2.0

//! Where messages are left for somebody who holds a lock for long.
//!
//! Whoever has work that takes a while opens the box once it has the lock, and closes it before it gives the lock up. Meanwhile others leave what
//! they have to say, and go on; while the box is closed they take the lock themselves.
//!
//! The one rule: closing the box returns all that was left in it, so that nothing stays there.

use super::{few::Few, primitive::Mutex};

/// Letters that wait at once, which may be memory of somebody else: whoever has more takes the lock, and so waits
const MAX_LETTERS: usize = 64;

pub(crate) struct Letterbox<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    is_open: bool,
    letters: Few<T>,
}

/// What is left in the box until this is closed; dropping it throws letters away
pub(crate) struct Open<'a, T> {
    letterbox: &'a Letterbox<T>,
}

impl<T> Letterbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                is_open: false,
                letters: Few::default(),
            }),
        }
    }

    /// The caller has the lock that the letters are for, and reads them before it gives that up
    pub(crate) fn open(&self) -> Open<'_, T> {
        self.state.lock().is_open = true;
        Open { letterbox: self }
    }

    /// Gives the letter back if the box is closed, or full
    pub(crate) fn leave(&self, letter: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if !state.is_open || state.letters.len() == MAX_LETTERS {
            return Err(letter);
        }
        state.letters.push_back(letter);
        Ok(())
    }
}

impl<T> Open<'_, T> {
    /// Takes out what was left so far
    pub(crate) fn collect(&self) -> Few<T> {
        core::mem::take(&mut self.letterbox.state.lock().letters)
    }

    /// Takes out what was left since then
    pub(crate) fn close(self) -> Few<T> {
        let letters = self.shut();
        // has no more to shut
        core::mem::forget(self);
        letters
    }

    fn shut(&self) -> Few<T> {
        let mut state = self.letterbox.state.lock();
        state.is_open = false;
        core::mem::take(&mut state.letters)
    }
}

impl<T> Drop for Open<'_, T> {
    fn drop(&mut self) {
        drop(self.shut());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};

    struct Desk {
        read: Mutex<Vec<u32>>,
        letterbox: Letterbox<u32>,
    }

    impl Desk {
        fn work(&self) {
            let mut read = self.read.lock();
            let open = self.letterbox.open();
            open.collect().drain(|letter| read.push(letter));
            open.close().drain(|letter| read.push(letter));
        }

        fn say(&self, letter: u32) {
            if let Err(letter) = self.letterbox.leave(letter) {
                self.read.lock().push(letter);
            }
        }
    }

    #[test]
    fn loom_every_letter_is_read_once() {
        loom::model(|| {
            let desk = Arc::new(Desk {
                read: Mutex::new(Vec::new()),
                letterbox: Letterbox::new(),
            });
            let others = [1, 2].map(|letter| {
                let desk = desk.clone();
                thread::spawn(move || desk.say(letter))
            });
            desk.work();
            for other in others {
                other.join().expect("it returns");
            }
            let mut read = desk.read.lock();
            read.sort_unstable();
            assert_eq!(*read, [1, 2]);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drained(mut letters: Few<u32>) -> Vec<u32> {
        let mut out = Vec::new();
        letters.drain(|letter| out.push(letter));
        out
    }

    #[test]
    fn letters_are_left_in_an_open_box_only_and_read_in_order() {
        let letterbox = Letterbox::new();
        assert_eq!(letterbox.leave(1), Err(1));
        let open = letterbox.open();
        assert!(open.collect().is_empty());
        for letter in [2, 3, 4] {
            assert_eq!(letterbox.leave(letter), Ok(()));
        }
        assert_eq!(drained(open.collect()), [2, 3, 4]);
        assert_eq!(letterbox.leave(5), Ok(()));
        assert_eq!(drained(open.close()), [5]);
        assert_eq!(letterbox.leave(6), Err(6));
    }

    #[test]
    fn a_full_box_takes_no_letter() {
        let letterbox = Letterbox::new();
        let open = letterbox.open();
        for letter in 0..MAX_LETTERS as u32 {
            assert_eq!(letterbox.leave(letter), Ok(()));
        }
        assert_eq!(letterbox.leave(64), Err(64));
        assert_eq!(open.collect().len(), MAX_LETTERS);
        assert_eq!(letterbox.leave(64), Ok(()));
        assert_eq!(drained(open.close()), [64]);
    }

    #[test]
    fn a_box_whose_owner_is_gone_is_closed_and_empty() {
        let letterbox = Letterbox::new();
        let open = letterbox.open();
        assert_eq!(letterbox.leave(1), Ok(()));
        drop(open);
        assert_eq!(letterbox.leave(2), Err(2));
        assert!(letterbox.open().close().is_empty());
    }
}
