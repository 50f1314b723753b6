// SPDX-License-Identifier: Apache-2.0

//! Opening streams in a simulation.

use crate::{
    event,
    path::secret::map,
    stream::{application::Stream, endpoint, environment::bach::Environment},
};
use std::{future::Future, io, net::SocketAddr};

/// Opens a stream over simulated UDP.
///
/// Nothing is sent yet: what [`tokio::connect_udp`](super::tokio::connect_udp) asks of its callers holds here as well.
///
/// # Errors
///
/// As [`tokio::connect_udp`](super::tokio::connect_udp).
///
/// # Cancel safety
///
/// As [`tokio::connect_udp`](super::tokio::connect_udp).
pub async fn connect_udp<H, Sub>(
    handshake: H,
    acceptor_addr: SocketAddr,
    env: &Environment<Sub>,
) -> io::Result<Stream<Sub>>
where
    H: Future<Output = io::Result<map::Peer>>,
    Sub: event::Subscriber + Clone,
{
    endpoint::open(handshake, acceptor_addr, env).await
}
