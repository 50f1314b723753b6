// SPDX-License-Identifier: Apache-2.0

//! The ends of the library that workloads run on: a client and a server, on two machines or in this process.
//!
//! The one rule: ends are set up as a service would do it. But for the datagram size and the number of threads, which the user may
//! choose, windows, timeouts and buffers are the library's defaults.
//!
//! ```text
//! identity ─▶ server ◀── handshake (TLS, tls) ──▶ client ◀─ fingerprint
//!             port P        └─ mtu ─┘               │
//!             port P+1 ◀════ streams (stream) ══════╛
//! ```
//!
//! A server is known by one address: its port for handshakes. Streams go to the next port.

mod client;
mod fingerprint;
mod identity;
mod loopback;
pub mod mtu;
mod probe;
mod response;
mod server;
mod stream;
mod tls;

pub use client::{ClientConfig, ClientEnd, WheelClient};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use identity::{Identity, IdentityError};
pub use loopback::{loopback, Loopback};
pub use probe::WheelProbe;
pub use server::{Announcement, ServerConfig, ServerEnd, WheelServer};
pub use stream::WheelStream;
pub use tls::{Distrust, TlsError, Trust};

use s2n_quic_core::time::StdClock;
use s2n_quic_dc::{
    event::disabled::Subscriber as NoEvents,
    path::secret::{stateless_reset::Signer, Map},
};
use std::{error::Error, io, net::SocketAddr};

/// Why an end could not be started, or a server not be reached.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no certificate to show.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The datagram size is out of range.
    #[error(transparent)]
    Mtu(#[from] mtu::MtuError),
    /// The number of ends is 0.
    #[error("{0} is 0, at least 1 is needed")]
    NoEnds(&'static str),
    /// There is no next port.
    #[error("the port is 65535, allowed are 0 to 65534: streams go to the next port")]
    LastPort,
    /// The map of path secrets refused its settings.
    #[error("path secret map: {0}")]
    Map(#[source] Box<dyn Error + Send + Sync>),
    /// The end that shakes hands could not be started.
    #[error("handshakes: {0}")]
    Handshake(#[source] Box<dyn Error + Send + Sync>),
    /// The sockets for streams could not be bound.
    #[error("streams: {0}")]
    Bind(#[source] io::Error),
    /// The server is not trusted.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// The server did not answer, or refused the handshake.
    #[error("{address} cannot be reached: {error}")]
    Unreachable {
        /// Where handshakes were sent to.
        address: SocketAddr,
        /// What the library says.
        error: io::Error,
    },
    /// Datagrams have another size than was asked for.
    #[error("mtu is {mtu}, but datagrams have {found}: the path carries no more, or the server was started with another --mtu")]
    Path {
        /// What was asked for, in bytes.
        mtu: u16,
        /// What was found.
        found: mtu::PathMtu,
    },
    /// The search for the datagram size did not end.
    #[error("the handshake ended before it was known how large datagrams may be")]
    PathUnknown,
}

/// A map of its own for an end, with room for `capacity` secrets.
fn secret_map(capacity: usize) -> Result<Map, StartError> {
    Map::builder()
        .with_signer(Signer::random())
        .with_capacity(capacity)
        .with_clock(StdClock::default())
        .with_subscriber(NoEvents::default())
        .build()
        .map_err(|error| StartError::Map(error.into()))
}

#[cfg(test)]
mod tests;
