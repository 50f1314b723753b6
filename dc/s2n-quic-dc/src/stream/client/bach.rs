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
/// Nothing is sent yet. Callers should write at once: a key id is taken here, and one that stays unseen while many
/// others are used falls out of the peer's replay window.
///
/// # Errors
///
/// Whatever `handshake` returns, and [`io::ErrorKind::QuotaExceeded`] if the key ids of the secret are used up.
///
/// # Cancel safety
///
/// Cancel safe if `handshake` is: no stream exists before the future is done.
pub async fn connect_udp<H, Sub>(
    handshake: H,
    acceptor_addr: SocketAddr,
    env: &Environment<Sub>,
) -> io::Result<Stream<Sub>>
where
    H: Future<Output = io::Result<map::Peer>>,
    Sub: event::Subscriber + Clone,
{
    let peer = handshake.await?;
    endpoint::open(env, peer, acceptor_addr).await
}
