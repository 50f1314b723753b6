// SPDX-License-Identifier: Apache-2.0

//! Holds back those who would each act on their own, for one who is about to act for all.
//!
//! Producers that have made their work visible leave it to somebody who has promised to come back soon. When nobody has, each acts at once; and
//! so does one of every few, for all before it, so that what is left does not grow stale.
//!
//! The one rule: who [grants](Patience::grant) it [ends](Patience::end) it, and only then looks at what was left.

use super::primitive::{AtomicU32, Ordering};

pub(crate) struct Patience {
    /// How many leave their work before one acts
    limit: u32,
    /// The same from now on, and one more; or zero while nobody has promised anything
    left: AtomicU32,
}

impl Patience {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            left: AtomicU32::new(0),
        }
    }

    /// The caller will look at what producers leave when it calls [`end`](Self::end)
    pub(crate) fn grant(&self) {
        self.left.store(self.limit + 1, Ordering::Release);
    }

    /// From here on nobody leaves anything; what was left before is visible
    pub(crate) fn end(&self) {
        if self.left.load(Ordering::Acquire) > 0 {
            // a read-modify-write, like the one in `take`: of two, one sees the other's
            self.left.swap(0, Ordering::AcqRel);
        }
    }

    /// True if the caller may leave what it has made visible; else it is to act for all
    pub(crate) fn take(&self) -> bool {
        // nobody is waited for most of the time, and then this is a load
        self.left.load(Ordering::Relaxed) > 0
            && self
                .left
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| match left {
                    0 => None,
                    1 => Some(self.limit + 1),
                    _ => Some(left - 1),
                })
                .is_ok_and(|left| left > 1)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::atomic::AtomicBool;
    use loom::{sync::Arc, thread};

    #[test]
    fn loom_what_is_left_is_seen_by_who_has_granted() {
        let mut model = loom::model::Builder::new();
        // three threads: without a bound it takes two minutes
        model.preemption_bound = Some(2);
        model.check(|| {
            let patience = Arc::new(Patience::new(1));
            let works = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));

            patience.grant();
            let producers = works.clone().map(|work| {
                let patience = patience.clone();
                thread::spawn(move || {
                    work.store(true, Ordering::Relaxed);
                    patience.take()
                })
            });
            patience.end();
            let seen = works.map(|work| work.load(Ordering::Relaxed));

            let left = producers.map(|producer| producer.join().expect("producer"));
            for (left, seen) in left.into_iter().zip(seen) {
                assert!(seen || !left, "left, and not seen");
            }
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_of_every_few_acts_while_the_others_leave_their_work() {
        let patience = Patience::new(2);
        assert!(!patience.take());
        patience.grant();
        for _ in 0..3 {
            assert!(patience.take() && patience.take() && !patience.take());
        }
        assert!(patience.take());
        patience.end();
        assert!(!patience.take());
    }
}
