// SPDX-License-Identifier: Apache-2.0

//! For tests of services: simulations, and secrets without a handshake.
//!
//! What the published crate has here is re-exported from it.

#[cfg(feature = "testing")]
pub use published_dc::testing::*;

pub mod secrets;
