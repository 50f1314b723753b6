// SPDX-License-Identifier: Apache-2.0

//! The side that accepts streams.
//!
//! The one rule: a stream that was taken in is either handed to the application or refused with a notice to
//! its client. Nothing waits in silence until the idle timeout.

pub mod accept;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use published_dc::stream::server::stats;
