// SPDX-License-Identifier: Apache-2.0

//! Moving a pattern through a stream: the part that client and server have in common.
//!
//! The one rule: one buffer per stream, reused, so that memory depends on the number of streams and not on their size.

use crate::{
    handshake::Stream,
    pattern::{Fault, Verifier},
    request::{BadRequest, Request},
};
use std::io;

/// Why a stream failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The stream could not be opened.
    #[error("connect: {0}")]
    Connect(#[source] io::Error),
    /// Writing failed.
    #[error("write: {0}")]
    Write(#[source] io::Error),
    /// Reading failed.
    #[error("read: {0}")]
    Read(#[source] io::Error),
    /// The server does not understand the request.
    #[error("request: {0}")]
    Request(#[from] BadRequest),
    /// The stream ended before the request or the verdict was whole.
    #[error("the {0} is cut short")]
    Truncated(&'static str),
    /// More came than belongs there.
    #[error("bytes after the {0}")]
    Trailing(&'static str),
    /// The server's verdict is none of those there are.
    #[error("unknown verdict")]
    UnknownVerdict,
    /// The server counted another number of bytes than were sent.
    #[error("the server miscounted")]
    Miscounted,
    /// The client found the download wrong.
    #[error("client: {0}")]
    Download(#[source] Fault),
    /// The server found the upload wrong.
    #[error("server: {0}")]
    Upload(#[source] Fault),
}

impl Failure {
    /// Where in the stream the fault is, in bytes, if it has a place.
    #[must_use]
    pub const fn position(&self) -> Option<u64> {
        match self {
            Self::Download(fault) | Self::Upload(fault) => Some(fault.position()),
            _ => None,
        }
    }
}

/// How large the buffer of one of `streams` concurrent streams should be, in bytes.
///
/// A few streams get room for several send batches; a thousand together stay at 64 MiB.
#[must_use]
pub const fn buffer_size(streams: usize) -> usize {
    match streams {
        0..=64 => 256 << 10,
        65..=4096 => 64 << 10,
        _ => 16 << 10,
    }
}

/// Writes `prefix`, then the data that `request` describes, then the end of the stream.
///
/// `buffer` must have room for more than the prefix. `on_bytes` is called with the bytes of data in each write that was taken.
/// Not cancel safe: what was written when the future is dropped is unknown.
///
/// # Errors
///
/// [`Failure::Write`] if the stream fails.
pub async fn send(
    stream: &mut Stream,
    prefix: &[u8],
    request: &Request,
    buffer: &mut [u8],
    mut on_bytes: impl FnMut(u64),
) -> Result<(), Failure> {
    let (pattern, length) = (request.pattern(), request.length);
    buffer[..prefix.len()].copy_from_slice(prefix);
    let mut start = prefix.len();
    let mut sent = 0;
    loop {
        let len = take(length - sent, buffer.len() - start);
        let end = start + len;
        pattern.fill(sent, &mut buffer[start..end]);
        sent += len as u64;

        let mut chunk = &buffer[..end];
        if sent == length {
            stream.write_all_from_fin(&mut chunk).await
        } else {
            stream.write_all_from(&mut chunk).await
        }
        .map_err(Failure::Write)?;
        on_bytes(len as u64);
        if sent == length {
            return Ok(());
        }
        start = 0;
    }
}

/// Reads to the end of the stream and hands everything to `verifier`.
///
/// `on_bytes` is called with the bytes of each read. Not cancel safe: bytes that were read are lost with the future.
///
/// # Errors
///
/// [`Failure::Read`] if the stream fails. Wrong bytes are the verifier's business.
pub async fn receive(
    stream: &mut Stream,
    verifier: &mut Verifier,
    buffer: &mut [u8],
    mut on_bytes: impl FnMut(u64),
) -> Result<(), Failure> {
    loop {
        let mut space = &mut buffer[..];
        let len = stream.read_into(&mut space).await.map_err(Failure::Read)?;
        if len == 0 {
            return Ok(());
        }
        verifier.push(&buffer[..len]);
        on_bytes(len as u64);
    }
}

/// Reads until `buffer` is full or the stream ends, and returns the number of bytes.
///
/// # Errors
///
/// [`Failure::Read`] if the stream fails.
pub(crate) async fn read_up_to(stream: &mut Stream, buffer: &mut [u8]) -> Result<usize, Failure> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut space = &mut buffer[filled..];
        match stream.read_into(&mut space).await.map_err(Failure::Read)? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}

/// The smaller of what is left of a stream and what fits into a buffer.
fn take(left: u64, room: usize) -> usize {
    usize::try_from(left).map_or(room, |left| left.min(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_streams_buffer_less_than_a_hundred_megabytes() {
        assert!(1000 * buffer_size(1000) < 100_000_000);
        assert!(64 * buffer_size(64) < 100_000_000);
        assert!(100_000 * buffer_size(100_000) < 2_000_000_000);
    }

    #[test]
    fn what_is_left_is_taken_if_it_fits() {
        assert_eq!(take(u64::MAX, 7), 7);
        assert_eq!(take(6, 7), 6);
        assert_eq!(take(0, 7), 0);
    }
}
