// SPDX-License-Identifier: Apache-2.0

//! The streams that peers opened, in one queue, for systems that accept them one connection at a time.
//!
//! The one rule: the queue is bounded, and a full one holds the accepting tasks up instead of dropping streams.

use s2n_quic_dc_perf::transport::{Server, Stream};
use std::{future::Future, io};
use tokio::{
    sync::mpsc::{channel, Receiver, Sender},
    task::AbortHandle,
};

/// The receiving end of the queue. Dropping it ends the task that accepts.
pub struct Inbox<T> {
    streams: Receiver<T>,
    task: AbortHandle,
}

impl<T> Inbox<T> {
    /// Spawns the task that `accept` makes, which is to send what it accepts.
    pub(super) fn fill<F>(accept: impl FnOnce(Sender<T>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, streams) = channel(CAPACITY);
        let task = tokio::spawn(accept(sender)).abort_handle();
        Self { streams, task }
    }
}

impl<S: Stream> Server for Inbox<S> {
    type Stream = S;

    /// [`io::ErrorKind::NotConnected`] when nothing is accepted any more.
    async fn accept(&mut self) -> io::Result<S> {
        let stream = self.streams.recv().await;
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Streams that may wait: as many as a listening socket lets wait on Linux (`SOMAXCONN`).
const CAPACITY: usize = 4096;
