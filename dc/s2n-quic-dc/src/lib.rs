// SPDX-License-Identifier: Apache-2.0

//! Encrypted streams over UDP for the datacenter, keyed by a cached path secret.
//!
//! This crate overlays the published `s2n-quic-dc`: packets, crypto, credentials, the map of path secrets, the TLS handshake and the events
//! are re-exported from it, so peers interoperate. What is written here is the way of a byte between the application and the
//! socket:
//!
//! ```text
//! application ──encrypt into──▶ descriptor (pool) ──transmission, departure time──▶ timing wheel
//!      ▲                                                                              │ due
//!      │ credits: stream offset, pending transmissions, path window                   ▼
//!   stream   ◀──drain── completion queue (per half, weak) ◀──sent time──── socket worker ──GSO──▶ UDP
//! ```
//!
//! Services start at [`stream::client::tokio::Client`] and [`stream::server::tokio::Server`]; the handshake is configured with
//! [`psk`].
//!
//! # Limits
//!
//! Streams run over UDP only. Other protocols are refused with an error that names them.

pub use published_dc::{
    connection_close, control, credentials, crypto, either, event, packet, path, psk, random,
    recovery, task, Version, SUPPORTED_VERSIONS,
};

pub mod clock;
mod counter;
pub mod msg;
pub mod socket;
pub mod stream;
pub mod sync;
#[cfg(any(feature = "secrets", all(test, not(loom))))]
pub mod testing;
