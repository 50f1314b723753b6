// SPDX-License-Identifier: Apache-2.0

//! Streams and their halves of both implementations.
//!
//! The rule: as in the parent, each method is the wrapped type's method.

use super::{new, old, Subscriber};
use published_dc::credentials;
use s2n_quic_core::buffer::{reader::storage::Infallible, writer};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of either implementation.
pub enum Stream {
    /// The published one.
    Old(old::stream::application::Stream<Subscriber>),
    /// The one of this tree.
    New(new::stream::application::Stream<Subscriber>),
}

impl Stream {
    /// The other end's address, as long as a half is open.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Old(stream) => stream.peer_addr(),
            Self::New(stream) => stream.peer_addr(),
        }
    }

    /// The address of the socket that the stream uses.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Old(stream) => stream.local_addr(),
            Self::New(stream) => stream.local_addr(),
        }
    }

    /// The id of the secret that both ends share.
    pub fn path_secret_id(&self) -> &credentials::Id {
        match self {
            Self::Old(stream) => stream.path_secret_id(),
            Self::New(stream) => stream.path_secret_id(),
        }
    }

    /// Both halves, to be used on different tasks.
    pub fn into_split(self) -> (Reader, Writer) {
        match self {
            Self::Old(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Old(reader), Writer::Old(writer))
            }
            Self::New(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::New(reader), Writer::New(writer))
            }
        }
    }

    /// Reads what fits.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn read_into(&mut self, out: &mut impl writer::Storage) -> io::Result<usize> {
        match self {
            Self::Old(stream) => stream.read_into(out).await,
            Self::New(stream) => stream.read_into(out).await,
        }
    }

    /// Writes what there is credit for.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn write_from(&mut self, buf: &mut impl Infallible) -> io::Result<usize> {
        match self {
            Self::Old(stream) => stream.write_from(buf).await,
            Self::New(stream) => stream.write_from(buf).await,
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn write_all_from(&mut self, buf: &mut impl Infallible) -> io::Result<usize> {
        match self {
            Self::Old(stream) => stream.write_all_from(buf).await,
            Self::New(stream) => stream.write_all_from(buf).await,
        }
    }

    /// Writes everything, and the end.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn write_all_from_fin(&mut self, buf: &mut impl Infallible) -> io::Result<usize> {
        match self {
            Self::Old(stream) => stream.write_all_from_fin(buf).await,
            Self::New(stream) => stream.write_all_from_fin(buf).await,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Old(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::New(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Old(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::New(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Old(stream) => Pin::new(stream).poll_flush(cx),
            Self::New(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Old(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::New(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The reading half of a stream.
pub enum Reader {
    /// The published one.
    Old(old::stream::recv::application::Reader<Subscriber>),
    /// The one of this tree.
    New(new::stream::recv::application::Reader<Subscriber>),
}

impl Reader {
    /// Reads what fits.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn read_into(&mut self, out: &mut impl writer::Storage) -> io::Result<usize> {
        match self {
            Self::Old(reader) => reader.read_into(out).await,
            Self::New(reader) => reader.read_into(out).await,
        }
    }

    /// The other end's address, as long as a half is open.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Old(reader) => reader.peer_addr(),
            Self::New(reader) => reader.peer_addr(),
        }
    }
}

/// The writing half of a stream.
pub enum Writer {
    /// The published one.
    Old(old::stream::send::application::Writer<Subscriber>),
    /// The one of this tree.
    New(new::stream::send::application::Writer<Subscriber>),
}

impl Writer {
    /// Writes what there is credit for.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn write_from(&mut self, buf: &mut impl Infallible) -> io::Result<usize> {
        match self {
            Self::Old(writer) => writer.write_from(buf).await,
            Self::New(writer) => writer.write_from(buf).await,
        }
    }

    /// Writes what there is credit for, and the end when that is everything.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn write_from_fin(&mut self, buf: &mut impl Infallible) -> io::Result<usize> {
        match self {
            Self::Old(writer) => writer.write_from_fin(buf).await,
            Self::New(writer) => writer.write_from_fin(buf).await,
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn write_all_from(&mut self, buf: &mut impl Infallible) -> io::Result<usize> {
        match self {
            Self::Old(writer) => writer.write_all_from(buf).await,
            Self::New(writer) => writer.write_all_from(buf).await,
        }
    }

    /// Writes everything, and the end.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub async fn write_all_from_fin(&mut self, buf: &mut impl Infallible) -> io::Result<usize> {
        match self {
            Self::Old(writer) => writer.write_all_from_fin(buf).await,
            Self::New(writer) => writer.write_all_from_fin(buf).await,
        }
    }

    /// Ends the half without waiting.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Old(writer) => writer.shutdown(),
            Self::New(writer) => writer.shutdown(),
        }
    }

    /// The other end's address, as long as a half is open.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Old(writer) => writer.peer_addr(),
            Self::New(writer) => writer.peer_addr(),
        }
    }

    /// The address of the socket that the stream uses.
    ///
    /// # Errors
    ///
    /// Those of the wrapped method.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Old(writer) => writer.local_addr(),
            Self::New(writer) => writer.local_addr(),
        }
    }
}
