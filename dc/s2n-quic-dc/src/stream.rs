// SPDX-License-Identifier: Apache-2.0

//! Streams: opened by a client, accepted by a server, read and written by applications.
//!
//! # How a stream ends
//!
//! | cause | `io::ErrorKind` |
//! |---|---|
//! | nothing heard for the idle timeout | `TimedOut` |
//! | the server had no room, or refused the credentials | `ConnectionRefused` |
//! | the peer's application gave up, or stopped reading | `ConnectionReset` |
//! | the peer's transport closed; the peer broke its limits | `ConnectionAborted` |
//! | the final offset changed | `InvalidData` |
//! | the key was replayed, or the path secret is unknown to the peer | `PermissionDenied` |
//! | a write after a shutdown | `BrokenPipe` |
//! | no key ids are left at open | `QuotaExceeded` |

pub use published_dc::stream::{
    CertificateChain, Protocol, TransportFeatures, DEFAULT_IDLE_TIMEOUT, MAX_DATAGRAM_SIZE,
};

mod address;
pub mod application;
pub mod client;
pub(crate) mod control_keys;
pub(crate) mod endpoint;
pub mod environment;
pub(crate) mod events;
pub(crate) mod keys;
pub mod metrics;
pub(crate) mod nudge;
pub(crate) mod path;
pub(crate) mod piggyback;
pub(crate) mod receipt;
pub mod recv;
pub mod send;
pub mod server;
pub(crate) mod shared;
mod terms;

/// Names of protocols, where services of the published crate look for them
pub mod socket {
    pub use super::Protocol;
}

#[cfg(all(test, not(loom)))]
pub(crate) mod testing;
#[cfg(all(test, not(loom)))]
mod tests;
