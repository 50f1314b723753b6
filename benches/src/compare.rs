// SPDX-License-Identifier: Apache-2.0

//! The parts of the `compare` command: one workload over several systems, side by side.
//!
//! The one rule: a figure of one moment is only put beside a figure of the same moment. Systems take turns round by round, each
//! in a process of its own, and ratios are made round by round.

pub mod child;
pub mod machine;
pub mod markdown;
pub mod options;
pub mod parent;
pub mod summary;
