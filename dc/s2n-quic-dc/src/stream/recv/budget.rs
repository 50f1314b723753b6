// SPDX-License-Identifier: Apache-2.0

//! The memory that receive windows may grow into, one account for all streams of an environment.
//!
//! What a handshake has promised is owed to the peer and is not counted; everything that a window grows by beyond that is taken
//! from here first. When many streams ask, the thresholds are dynamic (Choudhury and Hahne, "Dynamic queue length thresholds for
//! shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998, with α = 1): nobody may hold more than what is
//! left free. One stream alone so gets half, and of n streams that all want more, each gets one of n + 1 parts. The part that
//! stays free is for whoever comes next.
//!
//! The one rule: what is taken equals what all holders hold, and dropping a holder gives its bytes back, once.

use crate::counter::Counter;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// Less than this is not worth a promise: a datagram of the largest size
const MIN_GRANT: u64 = 8 << 10;

/// The account; a stream touches it when its window grows and when it ends, never for a packet
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes; 0 <= taken <= max
    max: u64,
    taken: AtomicU64,
    refused: Counter,
}

impl Budget {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            max: u64::try_from(max_bytes).unwrap_or(u64::MAX),
            taken: AtomicU64::new(0),
            refused: Counter::default(),
        })
    }

    /// Bytes that all holders have
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How often a holder got nothing
    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// An empty holding
    pub(crate) fn holding(self: &Arc<Self>) -> Holding {
        Holding {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

/// What one stream has taken
#[derive(Debug)]
pub(crate) struct Holding {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Holding {
    /// Takes up to `want` bytes, as many as this holding may have; returns how many, perhaps none
    pub(crate) fn grow(&mut self, want: u64) -> u64 {
        let budget = &*self.budget;
        let (max, held) = (budget.max, self.bytes);
        // relaxed: the account guards no other memory
        let result = budget
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                grant(want, held, max.saturating_sub(taken)).map(|granted| taken + granted)
            });
        let Ok(before) = result else {
            if want > 0 {
                budget.refused.add(1);
            }
            return 0;
        };
        // the same function of the same values, so the same result
        let granted = grant(want, held, max.saturating_sub(before)).unwrap_or(0);
        self.bytes += granted;
        granted
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// How much a holder of `held` bytes may add: afterwards it has no more than what is then free
///
/// `None` if that is too little to be of use. Never more than `free`, so the account cannot overflow.
fn grant(want: u64, held: u64, free: u64) -> Option<u64> {
    let share = free.saturating_sub(held) / 2;
    let granted = want.min(share);
    (granted >= want.min(MIN_GRANT) && granted > 0).then_some(granted)
}

#[cfg(all(test, not(loom)))]
mod tests;
