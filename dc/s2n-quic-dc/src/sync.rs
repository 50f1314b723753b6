// SPDX-License-Identifier: Apache-2.0

//! Pieces of shared memory that producers and one consumer meet in.
//!
//! The one rule: a module here returns what is to be woken and never wakes while it holds a lock.

pub(crate) mod desk;
pub(crate) mod doorbell;
pub(crate) mod few;
pub mod handoff;
pub(crate) mod letterbox;
pub(crate) mod patience;
pub(crate) mod primitive;
pub(crate) mod spares;
#[cfg(all(test, not(loom)))]
pub(crate) mod wakes;
