// SPDX-License-Identifier: Apache-2.0

//! Loss recovery and congestion control: the published modules, plus [`bandwidth::Departures`] and [`window`].

pub use published_core::recovery::*;

pub mod bandwidth;
pub mod congestion;
pub mod reordering;
mod slow_start;
pub mod window;
