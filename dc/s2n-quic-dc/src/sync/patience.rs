// SPDX-License-Identifier: Apache-2.0

//! Holds back those who would each act on their own, for one who is about to act for all.
//!
//! A few producers that have made their work visible leave it to somebody who has promised to come back soon, and act at once when nobody has,
//! or when too many have done so already.
//!
//! The one rule: who [grants](Patience::grant) it [ends](Patience::end) it, and only then looks at what was left.

use super::primitive::{AtomicU32, Ordering};

/// How many may still leave their work
pub(crate) struct Patience(AtomicU32);

impl Patience {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The caller will look at what at most `limit` producers leave until it calls [`end`](Self::end)
    pub(crate) fn grant(&self, limit: u32) {
        self.0.store(limit, Ordering::Release);
    }

    /// From here on nobody leaves anything; what was left before is visible
    pub(crate) fn end(&self) {
        if self.0.load(Ordering::Acquire) > 0 {
            // a read-modify-write, like the one in `take`: of two, one sees the other's
            self.0.swap(0, Ordering::AcqRel);
        }
    }

    /// True if the caller may leave what it has made visible
    pub(crate) fn take(&self) -> bool {
        // nobody is waited for most of the time, and then this is a load
        self.0.load(Ordering::Relaxed) > 0
            && self
                .0
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
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
            let patience = Arc::new(Patience::new());
            let works = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));

            patience.grant(1);
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
    fn as_many_leave_their_work_as_were_granted() {
        let patience = Patience::new();
        assert!(!patience.take());
        patience.grant(2);
        assert!(patience.take() && patience.take() && !patience.take());
        patience.grant(2);
        patience.end();
        assert!(!patience.take());
    }
}
