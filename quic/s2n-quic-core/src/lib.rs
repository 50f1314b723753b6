// SPDX-License-Identifier: Apache-2.0

//! The published `s2n-quic-core`, plus the arithmetic of the path that all streams to one peer share.
//!
//! The one rule: nothing in here reads a clock or touches a socket. Time comes in as an argument, decisions
//! come out as values.

pub use published_core::*;

pub mod recovery;
