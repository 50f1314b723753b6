// SPDX-License-Identifier: Apache-2.0

//! The application's handle on the sending half.
//!
//! The one rule: bytes are taken from the caller's buffer only in the poll that reports them, so a write that is dropped while
//! it waits has taken nothing.

use super::{flow::Blocked, state::Phase, turn::Turn, Error, ErrorKind};
use crate::{
    credentials,
    event::{self, builder},
    socket::pool::Waiter,
    stream::{
        application::Handle,
        events::Event,
        metrics::Reason,
        path::Allowance,
        shared::{CloseCode, Half},
        CertificateChain, Protocol,
    },
    sync::few::Few,
};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use s2n_quic_core::{
    buffer::reader::{self, Storage as _},
    time::Timestamp,
};
use std::{io, net::SocketAddr};

/// Batches that one poll makes before they are [sent](crate::socket::send::udp::Sender::flush) and other tasks of the thread run
///
/// As many as are still in the cache of the processor that has made them when it hands them to the kernel, and more than one, so that
/// the acknowledgements of several come together.
pub(crate) const MAX_BATCHES_PER_POLL: usize = 4;

/// Writes to a stream
///
/// Dropping it says that nothing follows: the peer reads a clean end after the bytes that were written. When it is dropped
/// while its thread panics, the peer gets an error instead.
pub struct Writer<Sub: event::Subscriber> {
    handle: Handle<Sub>,
    waiter: Waiter,
    is_shut_down: bool,
    /// What it has waited for, and since when
    waiting: Option<(Reason, Timestamp)>,
}

impl<Sub: event::Subscriber> Writer<Sub> {
    pub(crate) fn new(handle: Handle<Sub>) -> Self {
        Self {
            handle,
            waiter: Waiter::default(),
            is_shut_down: false,
            waiting: None,
        }
    }

    /// The peer's address. `NotConnected` once both halves are closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.handle.peer_addr()
    }

    /// The address of the socket that the stream uses
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.local_addr()
    }

    /// Names the secret that the stream's keys come from
    pub fn path_secret_id(&self) -> &credentials::Id {
        self.handle.path_secret_id()
    }

    /// Always `None`: the certificates were seen by the handshake, not by the stream
    pub fn peer_cert_chain(&self) -> Option<&CertificateChain> {
        None
    }

    /// Always UDP
    pub fn protocol(&self) -> Protocol {
        Protocol::Udp
    }

    /// Runs `query` on the subscriber's context of this stream, if that is a `C`
    pub fn query_event_context<C: 'static, R>(&self, query: impl FnOnce(&C) -> R) -> Option<R> {
        self.handle.query_event_context(query)
    }

    /// Writes what there is credit for and returns the number of bytes taken from `buf`
    ///
    /// An empty buffer is written as an empty packet, which announces the stream to the peer. Ready as soon as at least one packet is on
    /// its way, not when it is acknowledged.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` after a shutdown, otherwise how the stream ended: see the table in [`crate::stream`].
    ///
    /// # Cancel safety
    ///
    /// A write that is dropped before it is ready has taken nothing from `buf`.
    pub async fn write_from<S: reader::storage::Infallible>(
        &mut self,
        buf: &mut S,
    ) -> io::Result<usize> {
        core::future::poll_fn(|cx| self.poll_write_from(cx, buf, false)).await
    }

    /// Writes the whole buffer; errors as [`Writer::write_from`]
    ///
    /// # Cancel safety
    ///
    /// What was written before the drop is gone from `buf`; the rest is still in it.
    pub async fn write_all_from<S: reader::storage::Infallible>(
        &mut self,
        buf: &mut S,
    ) -> io::Result<usize> {
        let mut len = 0;
        loop {
            len += self.write_from(buf).await?;
            if buf.buffer_is_empty() {
                return Ok(len);
            }
        }
    }

    /// As [`Writer::write_from`], and says that nothing follows the bytes of `buf`
    ///
    /// The end is said with the last byte. As long as bytes are left in `buf`, the next call passes the rest of the same bytes.
    ///
    /// # Cancel safety
    ///
    /// As [`Writer::write_from`].
    pub async fn write_from_fin<S: reader::storage::Infallible>(
        &mut self,
        buf: &mut S,
    ) -> io::Result<usize> {
        core::future::poll_fn(|cx| self.poll_write_from(cx, buf, true)).await
    }

    /// Writes the whole buffer and says that nothing follows
    ///
    /// # Cancel safety
    ///
    /// What was written before the drop is gone from `buf`; the rest is still in it, and the end was not said.
    pub async fn write_all_from_fin<S: reader::storage::Infallible>(
        &mut self,
        buf: &mut S,
    ) -> io::Result<usize> {
        let mut len = 0;
        loop {
            len += self.write_from_fin(buf).await?;
            if buf.buffer_is_empty() {
                return Ok(len);
            }
        }
    }

    /// One poll of [`Writer::write_from`], or of [`Writer::write_from_fin`] if `is_fin`
    pub fn poll_write_from<S: reader::storage::Infallible>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut S,
        is_fin: bool,
    ) -> Poll<io::Result<usize>> {
        let start = self.handle.shared.now();
        if let Some((reason, since)) = self.waiting.take() {
            let waited = start.saturating_duration_since(since);
            self.handle.shared.shard.waits.add(reason, waited);
        }
        let provided_len = buf.buffered_len();
        let result = self.poll_write(cx, buf, is_fin, start);
        let shared = &self.handle.shared;
        // after the last write nothing is waited for
        let is_last = is_fin && buf.buffer_is_empty();
        let end = match (&result, is_last) {
            (Poll::Ready(_), false) => shared.now(),
            _ if shared.is_heard => shared.now(),
            _ => start,
        };
        if result.is_ready() {
            self.waiting = Some((Reason::Application, end));
        }
        self.publish(&result, provided_len, is_fin, start, end);
        if let Poll::Ready(Err(_)) = &result {
            self.is_shut_down = true;
        }
        result
    }

    fn poll_write<S: reader::storage::Infallible>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut S,
        is_fin: bool,
        now: Timestamp,
    ) -> Poll<io::Result<usize>> {
        let shared = &self.handle.shared;
        // the receiving half is never locked after the sending half
        let mut piggyback = shared.piggyback(now);
        let has_piggyback = piggyback.is_some();
        let mut send = shared.send().lock();
        send.on_completions(shared);
        if let Some(error) = send.error() {
            send.unblock();
            drop(send);
            self.waiter.cancel();
            shared.path.cancel(shared.flow, now).wake();
            return Poll::Ready(Err(error.into()));
        }
        if self.is_shut_down || !matches!(send.phase, Phase::Open) {
            if is_fin && buf.buffer_is_empty() {
                return Poll::Ready(Ok(0));
            }
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }

        let mut written = 0;
        let mut outcome = Poll::Pending;
        let mut allowance = Allowance::default();
        let mut has_heard = false;
        let letterbox = shared.letterbox.open();
        for left in (1..=MAX_BATCHES_PER_POLL).rev() {
            if written > 0 {
                has_heard |= send.read_letters(letterbox.collect(), shared);
                if !matches!(send.phase, Phase::Open) {
                    // the next write is told how it has ended
                    break;
                }
            }
            let turn = Turn {
                send: &mut send,
                waiter: &mut self.waiter,
                shared,
                allowance: &mut allowance,
                piggyback: &mut piggyback,
                batches: left,
                now,
            };
            match turn.poll(cx, buf, is_fin) {
                Poll::Ready(Ok(len)) => {
                    written += len;
                    outcome = Poll::Ready(Ok(written));
                    if buf.buffer_is_empty() {
                        break;
                    }
                }
                Poll::Ready(Err(error)) => {
                    outcome = Poll::Ready(Err(error.into()));
                    break;
                }
                Poll::Pending => break,
            }
        }
        has_heard |= send.read_letters(letterbox.close(), shared);
        if outcome.is_ready() {
            send.unblock();
        }
        let blocked = send.blocked();
        self.waiting = blocked.map(|blocked| (blocked.into(), now));
        let timeout = send.next_timeout(now);
        let mut wakes = send.take_wakes();
        let receipts = match has_heard {
            true => send.take_receipts(),
            false => Few::default(),
        };
        drop(send);
        shared.core.forget(receipts);
        if allowance.bytes > 0 {
            wakes.append(shared.path.release(allowance.bytes, now));
        }
        if written > 0 || outcome.is_ready() {
            // a write that reports bytes does not wait: it leaves every line that it may have joined
            self.waiter.cancel();
            wakes.append(shared.path.cancel(shared.flow, now));
            match has_piggyback && piggyback.is_none() {
                true => shared.on_piggyback_sent(),
                false => shared.transmit_deferred_control(now, &mut wakes),
            }
        }
        shared.arm_send(timeout);
        if blocked == Some(Blocked::Path) {
            shared.core.watch_paths(&shared.shard, now);
        }
        wakes.wake();
        outcome
    }

    /// Says that nothing follows. Returns at once; what was written, and the end, are retransmitted in the background until
    /// the peer has them. A second call does nothing.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.finish(false, self.handle.shared.now())
    }

    fn finish(&mut self, is_drop: bool, now: Timestamp) -> io::Result<()> {
        if core::mem::replace(&mut self.is_shut_down, true) {
            return Ok(());
        }
        let shared = &self.handle.shared;
        // a write that was given up keeps its place in line until here
        self.waiter.cancel();
        shared.path.cancel(shared.flow, now).wake();
        let mut send = shared.send().lock();
        send.unblock();
        send.on_completions(shared);
        if let Some(error) = send.error() {
            return if is_drop { Ok(()) } else { Err(error.into()) };
        }
        if !matches!(send.phase, Phase::Open) {
            return Ok(());
        }
        send.transmit_end(shared, now);
        shared.close_half(Half::Write);
        let timeout = send.next_timeout(now);
        let mut wakes = send.take_wakes();
        drop(send);
        shared.transmit_deferred_control(now, &mut wakes);
        wakes.wake();
        shared.publish(now, || {
            Event::WriteShutdown(builder::StreamWriteShutdown {
                buffer_len: 0,
                background: false,
            })
        });
        shared.arm_send(timeout);
        Ok(())
    }

    fn publish(
        &self,
        result: &Poll<io::Result<usize>>,
        provided_len: usize,
        is_fin: bool,
        start: Timestamp,
        now: Timestamp,
    ) {
        let processing_duration = now.saturating_duration_since(start);
        self.handle.shared.publish(now, || match result {
            Poll::Ready(Ok(committed_len)) if is_fin && *committed_len == provided_len => {
                Event::WriteFinFlushed(builder::StreamWriteFinFlushed {
                    provided_len,
                    committed_len: *committed_len,
                    processing_duration,
                })
            }
            Poll::Ready(Ok(committed_len)) => Event::WriteFlushed(builder::StreamWriteFlushed {
                provided_len,
                committed_len: *committed_len,
                processing_duration,
            }),
            Poll::Ready(Err(error)) => Event::WriteErrored(builder::StreamWriteErrored {
                provided_len,
                is_fin,
                processing_duration,
                errno: error.raw_os_error(),
            }),
            Poll::Pending => Event::WriteBlocked(builder::StreamWriteBlocked {
                provided_len,
                is_fin,
                processing_duration,
            }),
        });
    }
}

impl<Sub: event::Subscriber> tokio::io::AsyncWrite for Writer<Sub> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_write_from(cx, &mut buf, false)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut buf = reader::storage::IoSlice::new(bufs);
        if buf.buffer_is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_write_from(cx, &mut buf, false)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back, so there is nothing to flush
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown())
    }
}

impl<Sub: event::Subscriber> fmt::Debug for Writer<Sub> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("peer_addr", &self.peer_addr().ok())
            .field("local_addr", &self.local_addr().ok())
            .finish()
    }
}

impl<Sub: event::Subscriber> Drop for Writer<Sub> {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        let now = shared.now();
        let is_panicking = std::thread::panicking();
        if is_panicking {
            let error = Error::new(ErrorKind::ApplicationError {
                error: s2n_quic_core::varint::VarInt::from_u8(1).into(),
            });
            let mut send = shared.send().lock();
            send.on_local_error(error, CloseCode::APPLICATION, shared, now);
            let wakes = send.take_wakes();
            drop(send);
            wakes.wake();
        } else {
            let _ = self.finish(true, now);
        }
        let shared = &self.handle.shared;
        shared.close_half(Half::Write);
        // else the timer is set for all that was written
        if is_panicking || shared.is_let_go() {
            shared.settle(now);
        }
    }
}
