// SPDX-License-Identifier: Apache-2.0

//! What crosses crates: the published crate and the one of this tree, through real sockets.
//!
//! The rule: one module per subject, one binary for all of them. `DC_TEST_SEED` replays a run of the bad network.

#![allow(
    clippy::disallowed_methods,
    reason = "the outermost edge: real sockets and a watchdog need the real clock"
)]

mod bad_input;
mod behaviour;
mod interop;
mod interop_relay;
mod many;
#[cfg(feature = "sim")]
mod pacing;
#[cfg(feature = "sim")]
mod sim;
#[cfg(feature = "sim")]
mod windows;
#[cfg(feature = "sim")]
mod workers;
