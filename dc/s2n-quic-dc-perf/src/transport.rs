// SPDX-License-Identifier: Apache-2.0

//! What a workload needs of a system: open a stream, make a call, accept a stream.
//!
//! The one rule: the engine knows systems by these traits only, so every system runs the same workload code, and a difference
//! between two figures is one between two systems.

use crate::measure::Sample;
use bytes::Bytes;
use std::{
    future::{poll_fn, Future},
    io,
    pin::Pin,
    task::{ready, Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One client's way to one peer. Clones share it.
pub trait Client: Clone + Send + Sync + 'static {
    /// What [`open`](Self::open) opens.
    type Stream: Stream;

    /// Whether calls go over connections that are used again, so that a request's end is not the end of a stream.
    const POOLS_CALLS: bool = false;

    /// Opens a stream. Dropping the stream before its end gives it up.
    fn open(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Sends `request` and returns the whole answer, which the peer ends after `response_len` bytes if all is well.
    ///
    /// Systems that have a cheaper way to make a call than a stream that is opened for it override this. Dropping the future
    /// gives the call up.
    fn call(
        &self,
        request: Bytes,
        response_len: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>> + Send {
        async move {
            let mut stream = self.open().await?;
            write_all(&mut stream, &request, true).await?;
            // one byte more than is expected, so that too long an answer is seen
            let mut response = vec![0; response_len + 1];
            let len = read_up_to(&mut stream, &mut response).await?;
            response.truncate(len);
            Ok(response)
        }
    }
}

/// A stream of bytes in both directions.
pub trait Stream: Send + 'static {
    /// Writes as much of `data`, one slice after the other, as there is room for and returns how much, at least one byte if there is one.
    /// With `is_fin`, says that nothing follows once all of it is taken.
    ///
    /// Not all at once, so that progress is seen as it is made. Two slices, so that a header leaves with what it heads and neither is copied.
    fn write(
        &mut self,
        data: [&[u8]; 2],
        is_fin: bool,
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Reads what there is: at least one byte, at most as many as `buffer` holds; 0 at the end of the stream.
    ///
    /// A poll, so that a buffer need not wait with each stream: see [`crate::engine`].
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// Writes all of `data`; with `is_fin`, says that nothing follows.
///
/// # Errors
///
/// Those of the stream.
pub async fn write_all<S: Stream>(stream: &mut S, mut data: &[u8], is_fin: bool) -> io::Result<()> {
    loop {
        let len = stream.write([data, &[]], is_fin).await?;
        data = &data[len..];
        if data.is_empty() {
            return Ok(());
        }
    }
}

/// [`Stream::poll_read`] as a future.
///
/// # Errors
///
/// Those of the stream.
pub async fn read<S: Stream>(stream: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_read(cx, buffer)).await
}

/// Reads until `buffer` is full or the stream ends, and returns the number of bytes.
///
/// # Errors
///
/// Those of the stream.
pub async fn read_up_to<S: Stream>(stream: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(stream, &mut buffer[filled..]).await? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}

/// [`Stream::poll_read`] for those whose streams are tokio's.
///
/// # Errors
///
/// Those of the stream.
pub fn poll_read_from<R: AsyncRead + Unpin>(
    reader: &mut R,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(reader).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// [`Stream::write`] without the end, for those whose streams are tokio's and copy what they take: all of `data`, or as much as there
/// is room for.
///
/// # Errors
///
/// Those of the stream.
pub async fn write_to<W: AsyncWrite + Unpin>(
    writer: &mut W,
    data: [&[u8]; 2],
) -> io::Result<usize> {
    let mut len = 0;
    for slice in data.into_iter().filter(|slice| !slice.is_empty()) {
        let taken = poll_fn(|cx| Pin::new(&mut *writer).poll_write(cx, slice)).await?;
        len += taken;
        if taken < slice.len() {
            break;
        }
    }
    Ok(len)
}

/// Bytes of both slices.
#[must_use]
pub fn len_of(data: [&[u8]; 2]) -> usize {
    data.map(<[u8]>::len).iter().sum()
}

/// Accepts streams.
pub trait Server: Send + 'static {
    /// What [`accept`](Self::accept) accepts.
    type Stream: Stream;

    /// The next stream that a client opened. An error ends the server. Cancel safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Reads the counters of a system: of all ends that are in this process.
pub trait Probe: Send + Sync + 'static {
    /// The counters now, all since the system was started.
    fn sample(&self) -> Sample;
}

/// A system that is ready to run workloads.
pub struct Ends<C> {
    /// The way of each client to each peer: `clients[client][peer]`, neither empty.
    pub clients: Vec<Vec<C>>,
    /// The system's counters.
    pub probe: Box<dyn Probe>,
    /// Whether the servers are in this process: then figures of the process are those of both ends.
    pub both_ends: bool,
}
