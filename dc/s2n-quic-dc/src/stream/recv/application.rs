// SPDX-License-Identifier: Apache-2.0

//! The application's handle on the receiving half.
//!
//! The one rule: bytes come before the error that follows them, and a clean end is reported only when every byte up to the final offset
//! was authenticated.

use super::worker;
pub use super::{AckMode, ReadMode};
use crate::{
    credentials,
    event::{self, builder},
    path::secret::map::ApplicationData,
    stream::{
        application::Handle, events::Event, recv::state::Timeout, shared::Half, CertificateChain,
        Protocol,
    },
};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use s2n_quic_core::{buffer::writer, time::Timestamp};
use std::{io, net::SocketAddr};

/// Reads from a stream
///
/// Dropping it before the peer's end has arrived stops the peer's writer with `ConnectionReset`; dropped after that, it says
/// nothing.
pub struct Reader<Sub: event::Subscriber> {
    handle: Handle<Sub>,
    read_mode: ReadMode,
    ack_mode: AckMode,
    /// Every byte and the end have been read
    is_finished: bool,
    /// The writer is dropped after it, and settles the stream for both
    has_writer: bool,
}

impl<Sub: event::Subscriber> Reader<Sub> {
    /// The reading half of a stream that has the other one as well
    pub(crate) fn new(handle: Handle<Sub>) -> Self {
        Self {
            handle,
            read_mode: ReadMode::UntilFull,
            ack_mode: AckMode::default(),
            is_finished: false,
            has_writer: true,
        }
    }

    /// From now on it is dropped by itself
    pub(crate) fn part(&mut self) {
        self.has_writer = false;
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

    /// What the server's handshake callback made of the client; `None` on the client
    pub fn path_application_data(&self) -> Option<&ApplicationData> {
        self.handle.shared.application_data.as_ref()
    }

    /// Always `None`: the certificates were seen by the handshake, not by the stream
    pub fn peer_cert_chain(&self) -> Option<&CertificateChain> {
        None
    }

    /// Always UDP
    pub fn protocol(&self) -> Protocol {
        Protocol::Udp
    }

    /// When a read returns. Starts as [`ReadMode::UntilFull`]: it fills the buffer from what has arrived, then returns.
    pub fn set_read_mode(&mut self, read_mode: ReadMode) -> &mut Self {
        self.read_mode = read_mode;
        self
    }

    /// Who acknowledges what a read has opened: the read itself, or the worker a moment later
    pub fn set_ack_mode(&mut self, ack_mode: AckMode) -> &mut Self {
        self.ack_mode = ack_mode;
        self
    }

    /// Runs `query` on the subscriber's context of this stream, if that is a `C`
    pub fn query_event_context<C: 'static, R>(&self, query: impl FnOnce(&C) -> R) -> Option<R> {
        self.handle.query_event_context(query)
    }

    /// Reads what has arrived and returns its length, zero at the end and ever after
    ///
    /// A buffer without room takes nothing; the read then waits for one packet, and returns zero.
    ///
    /// # Errors
    ///
    /// How the stream ended, once the bytes before that were read.
    ///
    /// # Cancel safety
    ///
    /// A read that is dropped before it is ready has put nothing into `out_buf`.
    pub async fn read_into<S: writer::Storage>(&mut self, out_buf: &mut S) -> io::Result<usize> {
        core::future::poll_fn(|cx| self.poll_read_into(cx, out_buf)).await
    }

    /// One poll of [`Reader::read_into`]
    pub fn poll_read_into<S: writer::Storage>(
        &mut self,
        cx: &mut Context<'_>,
        out_buf: &mut S,
    ) -> Poll<io::Result<usize>> {
        let shared = &self.handle.shared;
        if self.is_finished && !shared.is_heard {
            // the read before has said and set all that there is to
            shared.close_half(Half::Read);
            return Poll::Ready(Ok(0));
        }
        let start = shared.now();
        let capacity = out_buf.remaining_capacity();
        let result = self.poll_read(cx, out_buf, start);
        self.publish(&result, capacity, start);
        result
    }

    fn poll_read<S: writer::Storage>(
        &mut self,
        cx: &mut Context<'_>,
        out_buf: &mut S,
        now: Timestamp,
    ) -> Poll<io::Result<usize>> {
        let shared = &self.handle.shared;
        let had_room = out_buf.has_remaining_capacity();
        let mut dest = out_buf.track_write();
        let mut recv = shared.recv().lock();
        let result = loop {
            let opened = worker::open_packets(&mut recv, self.read_mode, &mut dest, shared, now);
            let len = dest.written_len();
            if len > 0 || (!had_room && opened > 0) {
                break Poll::Ready(Ok(len));
            }
            if recv.is_finished() {
                shared.close_half(Half::Read);
                break Poll::Ready(Ok(0));
            }
            if let Some(error) = recv.error() {
                break Poll::Ready(Err(error.into()));
            }
            if !had_room && recv.buffered_len() > 0 {
                break Poll::Ready(Ok(0));
            }
            if shared.inbox.register(cx.waker()) {
                break Poll::Pending;
            }
        };
        recv.on_read(shared, now);
        let is_deferred = match (self.ack_mode, &result) {
            (AckMode::Application, Poll::Ready(Ok(_))) => {
                recv.transmit_or_defer_control(shared, now)
            }
            (AckMode::Application, _) => {
                recv.transmit_control(shared, now);
                false
            }
            (AckMode::Worker, _) => false,
        };
        let timeout = match is_deferred {
            // the worker looks after every packet a moment after it came, and arms what comes next
            true => Timeout::Idle,
            false => recv.next_timeout(shared, now),
        };
        self.is_finished = recv.is_finished();
        let wakes = recv.take_wakes();
        drop(recv);
        wakes.wake();
        if let Timeout::At(at) = timeout {
            shared.arm(at);
        }
        result
    }

    fn publish(&self, result: &Poll<io::Result<usize>>, capacity: usize, start: Timestamp) {
        let shared = &self.handle.shared;
        if !shared.is_heard {
            return;
        }
        let now = shared.now();
        let processing_duration = now.saturating_duration_since(start);
        let event = match result {
            Poll::Ready(Ok(0)) if capacity > 0 => {
                Event::ReadFinFlushed(builder::StreamReadFinFlushed {
                    capacity,
                    processing_duration,
                })
            }
            Poll::Ready(Ok(committed_len)) => Event::ReadFlushed(builder::StreamReadFlushed {
                capacity,
                committed_len: *committed_len,
                processing_duration,
            }),
            Poll::Ready(Err(error)) => Event::ReadErrored(builder::StreamReadErrored {
                capacity,
                processing_duration,
                errno: error.raw_os_error(),
            }),
            Poll::Pending => Event::ReadBlocked(builder::StreamReadBlocked {
                capacity,
                processing_duration,
            }),
        };
        shared.publish(now, || event);
    }
}

impl<Sub: event::Subscriber> tokio::io::AsyncRead for Reader<Sub> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut dest = writer::storage::BufMut::new(buf);
        self.poll_read_into(cx, &mut dest).map_ok(|_| ())
    }
}

impl<Sub: event::Subscriber> fmt::Debug for Reader<Sub> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("peer_addr", &self.peer_addr().ok())
            .field("local_addr", &self.local_addr().ok())
            .finish()
    }
}

impl<Sub: event::Subscriber> Drop for Reader<Sub> {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        let now = shared.now();
        let wakes = {
            let mut recv = shared.recv().lock();
            // what has arrived may hold the end, and then nobody needs to be stopped
            worker::open_all(&mut recv, shared, now);
            recv.on_dropped(std::thread::panicking(), shared, now);
            recv.leave_receipt(shared, now);
            recv.transmit_control(shared, now);
            recv.take_wakes()
        };
        wakes.wake();
        shared.publish(now, || {
            Event::ReadShutdown(builder::StreamReadShutdown { background: false })
        });
        shared.close_half(Half::Read);
        if !self.has_writer {
            shared.settle(now);
        }
    }
}
