// SPDX-License-Identifier: Apache-2.0

//! What the tests that cross crates share: peers of both implementations, a bad network, payloads that know their own
//! bytes, and a watchdog.
//!
//! The rule: a test here talks through real sockets, or through those of a simulation, and compares every byte. "Old" is the
//! published crate, "new" is the crate of this tree, and one suite runs over every pairing of the two.

#![allow(
    clippy::disallowed_methods,
    reason = "the outermost edge: real sockets and a watchdog need the real clock"
)]

pub mod cert;
pub mod endpoint;
pub mod payload;
pub mod relay;
pub mod seed;
#[cfg(feature = "sim")]
pub mod sim;
pub mod transfer;
pub mod watch;
