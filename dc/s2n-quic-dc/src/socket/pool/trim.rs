// SPDX-License-Identifier: Apache-2.0

//! Giving memory back to the system after it was idle for a while.
//!
//! The one rule: what was in use since the last trim stays; of the rest half goes. With each interval, the pool
//! decays towards what was needed at the peak of that interval.
//!
//! In numbers, per class: let `untouched` be the idle descriptors that stayed idle from one trim to the next. That is
//! all there are, less the largest number that was out at once in between. The trim frees `untouched / 2`, rounded
//! up, longest idle first. The first trim after a burst of use therefore frees nothing of it, each later one half, and
//! 4096 descriptors that nobody uses any more are gone after 14 intervals. Half and not all, so that a load that comes
//! every few seconds does not find the pool empty each time.
//!
//! Somebody who runs anyway, called the keeper here, polls a [`Trimmer`]. Memory is freed in batches of at most
//! [`BATCH`] bytes, one per poll, so that the keeper's own work never waits for long. While nothing is idle there is
//! no timer: the keeper leaves its waker under the pool's lock, and the first descriptor that comes home wakes it.
//! Whoever comes home later finds no waker, which is all that trimming costs a release.

use super::shared::Shared;
use crate::sync::primitive::Arc;
use s2n_quic_core::time::Timestamp;
use std::{fmt, task::Waker};

/// Trims a [`Pool`](super::Pool) while it is polled. A pool has use for one.
pub struct Trimmer {
    shared: Arc<Shared>,
    phase: Phase,
}

enum Phase {
    /// Nothing was idle at the last look; the pool has the keeper's waker.
    Asleep,
    /// Something is idle, and the next trim is then.
    Due(Timestamp),
    /// A trim is under way.
    Freeing(Surplus),
}

impl Trimmer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let phase = Phase::Asleep;
        Self { shared, phase }
    }

    /// Trims if it is time, and says when to poll again: now, if a trim is not finished; at another time; or, with
    /// `None`, when `waker` is woken, for nothing is left to free.
    ///
    /// To poll more often costs nothing but time.
    pub fn poll(&mut self, waker: &Waker, now: Timestamp) -> Option<Timestamp> {
        if let Phase::Due(at) = self.phase {
            if now < at {
                return Some(at);
            }
            self.phase = Phase::Freeing(self.shared.begin_trim());
        }
        if let Phase::Freeing(surplus) = &mut self.phase {
            *surplus = self.shared.free_batch(*surplus, BATCH);
            if *surplus != Surplus::default() {
                return Some(now);
            }
        }
        if !self.shared.has_idle_or_watch(waker) {
            self.phase = Phase::Asleep;
            return None;
        }
        let at = now + self.shared.config().trim_interval;
        self.phase = Phase::Due(at);
        Some(at)
    }
}

impl Drop for Trimmer {
    fn drop(&mut self) {
        self.shared.unwatch();
    }
}

impl fmt::Debug for Trimmer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trimmer").finish_non_exhaustive()
    }
}

/// How many descriptors a trim still has to free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Surplus {
    pub(super) packets: usize,
    pub(super) bursts: usize,
}

/// How many of those that were idle for a whole interval are freed: half, and the last one too.
pub(super) fn surplus(untouched: usize) -> usize {
    untouched.div_ceil(2)
}

/// Bytes freed in one go: 16 bursts, or 512 packets. To return 64 KiB to the system takes a few microseconds, so this
/// delays the keeper by less than the 140 µs that ten coalesced receives take.
const BATCH: usize = 1 << 20;
