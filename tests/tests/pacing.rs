// SPDX-License-Identifier: Apache-2.0

//! When packets leave, and what that does to a network: rates, bursts, losses and shares, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bottleneck;
mod rate;
mod stage;
