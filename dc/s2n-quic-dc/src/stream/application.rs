// SPDX-License-Identifier: Apache-2.0

//! A stream as the application holds it.
//!
//! The one rule: a handle keeps the environment's workers alive; what has no handle any more is finished by them in the background.

use crate::{
    credentials,
    event::{self, api, builder, IntoEvent as _},
    path::secret::map::ApplicationData,
    stream::{
        environment::core::Guard,
        recv::{application::Reader, AckMode, ReadMode},
        send::application::Writer,
        shared::{CloseCode, Shared},
        CertificateChain, Protocol,
    },
};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use published_dc::stream::shared::Subscriber;
use s2n_quic_core::{
    buffer::{reader, writer},
    time::Timestamp,
};
use std::{io, net::SocketAddr, sync::Arc};

/// What every handle of a stream holds
pub(crate) struct Handle<Sub: event::Subscriber> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) subscriber: Arc<Subscriber<Sub>>,
    pub(crate) guard: Guard,
}

impl<Sub: event::Subscriber> Clone for Handle<Sub> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            subscriber: self.subscriber.clone(),
            guard: self.guard.clone(),
        }
    }
}

impl<Sub: event::Subscriber> Handle<Sub> {
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.peer_addr()
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.shared.shard.local_addr)
    }

    pub(crate) fn path_secret_id(&self) -> &credentials::Id {
        &self.shared.credentials.id
    }

    pub(crate) fn query_event_context<C: 'static, R>(
        &self,
        query: impl FnOnce(&C) -> R,
    ) -> Option<R> {
        let mut query = s2n_quic_core::query::Once::new(query);
        let _ = Sub::query(&self.subscriber.context, &mut query);
        let result: Result<R, s2n_quic_core::query::Error> = query.into();
        result.ok()
    }
}

/// A bidirectional stream of bytes to one peer
///
/// The two halves end independently: see [`Reader`] and [`Writer`]. Dropping the stream drops both, the reader first.
pub struct Stream<Sub: event::Subscriber> {
    read: Reader<Sub>,
    write: Writer<Sub>,
}

impl<Sub: event::Subscriber> Stream<Sub> {
    pub(crate) fn new(handle: Handle<Sub>) -> Self {
        Self {
            read: Reader::new(handle.clone()),
            write: Writer::new(handle),
        }
    }

    /// Moves the stream's timers and I/O to the runtime of the caller. A stream here uses the environment's workers and nothing
    /// of a runtime, so there is nothing to move, and this cannot fail.
    #[cfg(feature = "tokio")]
    pub fn rebind_to_current_runtime(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The peer's address. `NotConnected` once both halves are closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.read.peer_addr()
    }

    /// The address of the socket that the stream uses
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.read.local_addr()
    }

    /// Names the secret that the stream's keys come from
    pub fn path_secret_id(&self) -> &credentials::Id {
        self.read.path_secret_id()
    }

    /// What the server's handshake callback made of the client; `None` on the client
    pub fn path_application_data(&self) -> Option<&ApplicationData> {
        self.read.path_application_data()
    }

    /// Always `None`: the certificates were seen by the handshake, not by the stream
    pub fn peer_cert_chain(&self) -> Option<&CertificateChain> {
        None
    }

    /// Always UDP
    pub fn protocol(&self) -> Protocol {
        Protocol::Udp
    }

    /// When a read returns: see [`ReadMode`]
    pub fn set_read_mode(&mut self, read_mode: ReadMode) -> &mut Self {
        self.read.set_read_mode(read_mode);
        self
    }

    /// Who acknowledges: see [`AckMode`]
    pub fn set_ack_mode(&mut self, ack_mode: AckMode) -> &mut Self {
        self.read.set_ack_mode(ack_mode);
        self
    }

    /// See [`Writer::write_from`]
    pub async fn write_from(
        &mut self,
        buf: &mut impl reader::storage::Infallible,
    ) -> io::Result<usize> {
        self.write.write_from(buf).await
    }

    /// See [`Writer::write_all_from`]
    pub async fn write_all_from(
        &mut self,
        buf: &mut impl reader::storage::Infallible,
    ) -> io::Result<usize> {
        self.write.write_all_from(buf).await
    }

    /// See [`Writer::write_from_fin`]
    pub async fn write_from_fin(
        &mut self,
        buf: &mut impl reader::storage::Infallible,
    ) -> io::Result<usize> {
        self.write.write_from_fin(buf).await
    }

    /// See [`Writer::write_all_from_fin`]
    pub async fn write_all_from_fin(
        &mut self,
        buf: &mut impl reader::storage::Infallible,
    ) -> io::Result<usize> {
        self.write.write_all_from_fin(buf).await
    }

    /// See [`Reader::read_into`]
    pub async fn read_into(&mut self, out_buf: &mut impl writer::Storage) -> io::Result<usize> {
        self.read.read_into(out_buf).await
    }

    /// Both halves, borrowed
    pub fn split(&mut self) -> (&mut Reader<Sub>, &mut Writer<Sub>) {
        (&mut self.read, &mut self.write)
    }

    /// Both halves, each to be used and dropped on its own
    pub fn into_split(mut self) -> (Reader<Sub>, Writer<Sub>) {
        self.read.part();
        (self.read, self.write)
    }

    /// Runs `query` on the subscriber's context of this stream, if that is a `C`
    pub fn query_event_context<C: 'static, R>(&self, query: impl FnOnce(&C) -> R) -> Option<R> {
        self.read.query_event_context(query)
    }
}

impl<Sub: event::Subscriber> fmt::Debug for Stream<Sub> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer_addr", &self.peer_addr().ok())
            .field("local_addr", &self.local_addr().ok())
            .finish()
    }
}

impl<Sub: event::Subscriber> tokio::io::AsyncRead for Stream<Sub> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl<Sub: event::Subscriber> tokio::io::AsyncWrite for Stream<Sub> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}

/// How long an accepted stream took to get to the application
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AcceptInfo {
    /// From the first packet to the accept queue
    pub dc_quic_accept_time: Duration,
    /// In the accept queue
    pub app_queue_sojourn_time: Duration,
}

/// A stream in the accept queue
///
/// Dropping it refuses the stream, as a full accept queue does.
pub struct Builder<Sub: event::Subscriber> {
    handle: Option<Handle<Sub>>,
    received: Timestamp,
    enqueued: Timestamp,
}

impl<Sub: event::Subscriber> Builder<Sub> {
    pub(crate) fn new(handle: Handle<Sub>, received: Timestamp) -> Self {
        let enqueued = handle.shared.now();
        Self {
            handle: Some(handle),
            received,
            enqueued,
        }
    }

    /// Hands the stream to the application
    pub(crate) fn accept(mut self) -> io::Result<(Stream<Sub>, AcceptInfo)> {
        let Some(handle) = self.handle.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let now = handle.shared.now();
        let error = {
            let recv = handle.shared.recv().lock();
            recv.error().filter(|_| recv.buffered_len() == 0)
        };
        if let Some(error) = error {
            // it ended while it waited
            handle.shared.refuse(CloseCode::PRUNED, now);
            return Err(error.into());
        }
        let info = AcceptInfo {
            dc_quic_accept_time: self.enqueued.saturating_duration_since(self.received),
            app_queue_sojourn_time: now.saturating_duration_since(self.enqueued),
        };
        {
            let remote_address = handle.shared.address.remote().into();
            handle.subscriber.subscriber.on_acceptor_stream_dequeued(
                &meta(now),
                &builder::AcceptorStreamDequeued {
                    remote_address: &remote_address,
                    credential_id: &*handle.shared.credentials.id,
                    stream_id: handle.shared.credentials.key_id.as_u64(),
                    sojourn_time: now.saturating_duration_since(self.received),
                    queue_sojourn_time: info.app_queue_sojourn_time,
                }
                .into_event(),
            );
        }
        Ok((Stream::new(handle), info))
    }

    /// Refuses the stream: the peer gets `ConnectionRefused`
    pub(crate) fn prune(mut self) {
        self.refuse();
    }

    fn refuse(&mut self) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        let shared = &handle.shared;
        let now = shared.now();
        {
            let remote_address = shared.address.remote().into();
            handle.subscriber.subscriber.on_acceptor_stream_pruned(
                &meta(now),
                &builder::AcceptorStreamPruned {
                    remote_address: &remote_address,
                    credential_id: &*shared.credentials.id,
                    stream_id: shared.credentials.key_id.as_u64(),
                    sojourn_time: now.saturating_duration_since(self.received),
                    reason: builder::AcceptorStreamPruneReason::AcceptQueueCapacityExceeded,
                }
                .into_event(),
            );
        }
        shared.refuse(CloseCode::PRUNED, now);
    }
}

impl<Sub: event::Subscriber> Drop for Builder<Sub> {
    fn drop(&mut self) {
        self.refuse();
    }
}

fn meta(now: Timestamp) -> api::EndpointMeta {
    builder::EndpointMeta {
        timestamp: now.into_event(),
    }
    .into_event()
}
