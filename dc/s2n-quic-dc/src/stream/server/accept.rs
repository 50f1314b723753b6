// SPDX-License-Identifier: Apache-2.0

//! The accept queue: between the sockets, which take streams in, and the application, which asks for them.
//!
//! The one rule: a stream that the application will not get is pruned, which tells its client.

use crate::{
    event,
    stream::{
        application::{AcceptInfo, Builder, Stream},
        server::stats,
    },
};
use queue::Prune;
use std::{io, net::SocketAddr, task::Waker};

pub use published_dc::stream::server::accept::Flavor;

mod queue;

/// Creates an accept queue for up to `capacity` streams (0 is taken as 1).
///
/// The sender goes to an environment (`with_acceptor`), the receiver to whoever calls [`accept`].
pub fn channel<Sub>(capacity: usize) -> (Sender<Sub>, Receiver<Sub>)
where
    Sub: event::Subscriber,
{
    let (sender, receiver) = queue::new(capacity);
    (Sender(sender), Receiver(receiver))
}

/// The environment's end of an accept queue.
pub struct Sender<Sub: event::Subscriber>(queue::Sender<Builder<Sub>>);

impl<Sub: event::Subscriber> Sender<Sub> {
    /// Puts `stream` into the queue, as the last to be accepted or, with [`Flavor::Lifo`], as the first.
    ///
    /// A full queue makes room by pruning the stream that has waited longest. If nobody is left to accept, `stream`
    /// itself is pruned, and the error says that no more need to be taken in. Returns whom to wake.
    pub(crate) fn enqueue(
        &self,
        flavor: Flavor,
        stream: Builder<Sub>,
    ) -> Result<Option<Waker>, Closed> {
        self.0.push(flavor, stream)
    }
}

impl<Sub: event::Subscriber> Clone for Sender<Sub> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The application's end of an accept queue. Clones take from the same queue.
///
/// Once the last one is gone, the streams that still wait are pruned.
pub struct Receiver<Sub: event::Subscriber>(queue::Receiver<Builder<Sub>>);

impl<Sub: event::Subscriber> Receiver<Sub> {
    /// Waits for the next stream that is still alive.
    pub(super) async fn next(&self) -> io::Result<(Stream<Sub>, AcceptInfo, SocketAddr)> {
        loop {
            let waiting = self.0.pop().await.map_err(|Closed| {
                io::Error::new(
                    io::ErrorKind::NotConnected,
                    "the environment that takes in streams is no longer available",
                )
            })?;

            // A stream that died while it waited is that client's business. The application, which commonly stops
            // accepting at the first error, goes on with the next one.
            let accepted = waiting
                .accept()
                .and_then(|(stream, info)| stream.peer_addr().map(|peer| (stream, info, peer)));

            match accepted {
                Ok(accepted) => return Ok(accepted),
                Err(error) => tracing::debug!(%error, "a stream ended before it was accepted"),
            }
        }
    }
}

impl<Sub: event::Subscriber> Clone for Receiver<Sub> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Nobody is left at the other end of an accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// Waits for the next stream, and reports to `stats` how long it was in the queue.
///
/// Streams that ended while they waited are passed over.
///
/// # Errors
///
/// [`io::ErrorKind::NotConnected`] once the queue is empty and the environment that fills it is gone.
///
/// # Cancel safety
///
/// Cancel safe: a stream leaves the queue only when it is returned.
pub async fn accept<Sub>(
    streams: &Receiver<Sub>,
    stats: &stats::Sender,
) -> io::Result<(Stream<Sub>, AcceptInfo, SocketAddr)>
where
    Sub: event::Subscriber,
{
    let accepted = streams.next().await?;
    let (_, info, _) = &accepted;
    stats.send(info.app_queue_sojourn_time);
    Ok(accepted)
}

impl<Sub: event::Subscriber> Prune for Builder<Sub> {
    fn prune(self) {
        Builder::prune(self);
    }
}

#[cfg(test)]
mod tests;
