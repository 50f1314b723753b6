// SPDX-License-Identifier: Apache-2.0

//! The side that opens streams.
//!
//! The one rule: opening never waits for the server's application. Success says that a secret is shared
//! with the peer and that the stream exists here; what the server makes of it shows on the first read or write.

#[cfg(feature = "testing")]
pub mod bach;
pub mod error;
pub mod rpc;
#[cfg(feature = "tokio")]
pub mod tokio;
