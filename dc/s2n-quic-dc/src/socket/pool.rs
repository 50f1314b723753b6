// SPDX-License-Identifier: Apache-2.0

//! The pool of descriptors that an environment sends and receives with.
//!
//! The one rule: reaching the ceiling is back-pressure. Data waits in line, control has a reserve, and nothing here
//! panics, fails or grows without bound.
//!
//! A descriptor is [`Unfilled`] while one user writes it, then [`Filled`] and shared, or cut into [`Segments`] that
//! are owned apart. It goes home when its last user drops it, and is handed out again without allocating. There are
//! two sizes, see [`Class`].
//!
//! Memory that is idle is given back to the system while somebody polls a [`Trimmer`]. The ceiling can be moved at any
//! time: nobody loses what they hold.
//!
//! The pool lives as long as any handle to it or any descriptor does.

mod buffer;
mod class;
mod config;
mod descriptor;
mod shared;
mod shelf;
mod trim;
mod waiters;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

pub use class::Class;
pub use config::{Config, ConfigError};
pub use descriptor::{FillError, Filled, Segment, Segments, Unfilled};
pub use trim::Trimmer;

use crate::sync::primitive::Arc;
use descriptor::Idle;
use shared::Shared;
use std::{
    fmt,
    task::{Context, Poll},
};

/// A handle to a pool. Clones share it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// Makes an empty pool. Memory is taken from the system when it is first asked for.
    ///
    /// # Errors
    ///
    /// As [`Config::validate`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(config));
        Ok(Self { shared })
    }

    /// What it was made with. The ceiling may have moved since, see [`Stats::max_bytes`].
    pub fn config(&self) -> &Config {
        self.shared.config()
    }

    /// Takes a descriptor, if there is one without waiting.
    ///
    /// `None` means that the ceiling is reached, or for [`Purpose::Data`] that others are in line.
    pub fn alloc(&self, class: Class, purpose: Purpose) -> Option<Unfilled> {
        let idle = self.shared.alloc(class, purpose)?;
        Some(self.check_out(idle, purpose))
    }

    /// Takes a descriptor for data, or joins the line of those who wait for one.
    ///
    /// A release serves as many from the front of the line as there is then room for, usually one. Who is served is
    /// woken, and its descriptor is set aside until it polls, so nobody can overtake it. Therefore a waiter that no
    /// longer wants its turn must be dropped or [cancelled](Waiter::cancel), which passes the turn on.
    ///
    /// Each call that returns pending stores the waker of its context. To ask for another class, or at another pool,
    /// gives up the place in line.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost between polls: the place in line belongs to `waiter`.
    pub fn poll_alloc(
        &self,
        class: Class,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
    ) -> Poll<Unfilled> {
        if let Some(place) = &waiter.place {
            if Arc::ptr_eq(&place.shared, &self.shared) {
                match self.shared.take_grant(place.key, class, cx.waker()) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(idle)) => {
                        // the entry is gone already
                        waiter.place = None;
                        return Poll::Ready(self.check_out(idle, Purpose::Data));
                    }
                    Err(shared::WrongClass) => {}
                }
            }
            waiter.cancel();
        }
        match self.shared.alloc_or_join(class, cx.waker()) {
            Ok(idle) => Poll::Ready(self.check_out(idle, Purpose::Data)),
            Err(key) => {
                let shared = Arc::clone(&self.shared);
                waiter.place = Some(Place { shared, key });
                Poll::Pending
            }
        }
    }

    /// Moves the ceiling, [`Config::max_bytes`].
    ///
    /// Raised, it serves those in line at once, in their order. Lowered, it frees idle memory at once, as much as is
    /// above the new ceiling; nothing is taken away that is in use, but data waits until usage has fallen below. The
    /// reserve is not touched.
    ///
    /// # Errors
    ///
    /// The ceiling has no room for the reserve and one burst, or is above `isize::MAX`. The old one stays.
    pub fn set_max_bytes(&self, max_bytes: usize) -> Result<(), ConfigError> {
        self.shared.set_max_bytes(max_bytes)
    }

    /// What gives idle memory back, for whoever is going to poll it.
    pub fn trimmer(&self) -> Trimmer {
        Trimmer::new(Arc::clone(&self.shared))
    }

    /// The state of the pool at one instant.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    fn check_out(&self, idle: Idle, purpose: Purpose) -> Unfilled {
        idle.check_out(purpose, Arc::clone(&self.shared))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("stats", &self.stats())
            .finish()
    }
}

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Stream data. May not take the reserve.
    Data,
    /// What keeps memory moving, and so must not wait for it: ACKs, credit, close, probes, receive.
    Control,
}

/// A place in the line for a descriptor, once [`Pool::poll_alloc`] has taken one. Drop leaves the line.
#[derive(Default)]
pub struct Waiter {
    place: Option<Place>,
}

impl Waiter {
    /// Leaves the line. If it was this waiter's turn, the next in line is woken.
    pub fn cancel(&mut self) {
        if let Some(place) = self.place.take() {
            place.shared.leave(place.key);
        }
    }

    /// Whether it is in line, or was served and has not polled since.
    pub fn is_waiting(&self) -> bool {
        self.place.is_some()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("is_waiting", &self.is_waiting())
            .finish()
    }
}

struct Place {
    shared: Arc<Shared>,
    key: waiters::Key,
}

/// Counters and gauges of a pool, consistent with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The ceiling. What is allocated is above it only while what is in use is, after it was lowered.
    pub max_bytes: usize,
    /// Bytes taken from the system and not given back, in use or idle.
    pub allocated_bytes: usize,
    /// The largest `allocated_bytes` so far.
    pub peak_allocated_bytes: usize,
    /// Bytes of descriptors that are out, for whatever purpose, or set aside for a waiter. By capacity, not fill.
    pub in_use_bytes: usize,
    /// The largest `in_use_bytes` so far.
    pub peak_in_use_bytes: usize,
    /// The part of `in_use_bytes` that is for [`Purpose::Data`].
    pub data_bytes: usize,
    /// Allocations served by an idle descriptor.
    pub hits: u64,
    /// Allocations that took memory from the system.
    pub misses: u64,
    /// Bytes given back to the system: by trims, under a lowered ceiling, or to make room for the other class.
    pub returned_bytes: u64,
    /// Trims that had something to give back.
    pub trims: u64,
    /// Requests that found nothing: refused, or sent to the back of the line.
    pub exhausted: u64,
    /// Waiters in line now.
    pub waiters: usize,
}
