// SPDX-License-Identifier: Apache-2.0

//! Moving a pattern through a stream: the part that client and server have in common.
//!
//! The one rule: no buffer waits with a stream. What is written is a slice of the pattern, and what is read goes through one buffer
//! per thread, so that the memory that is measured is the system's.

use crate::{
    exchange::BadHeader,
    pattern::{Fault, Pattern, Verifier, MAX_CHUNK},
    transport::{self, Stream},
};
use std::{cell::RefCell, future::poll_fn, io, task::Poll};

/// Why a stream or a call failed.
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
    /// A call failed.
    #[error("call: {0}")]
    Call(#[source] io::Error),
    /// The server does not understand the request.
    #[error("request: {0}")]
    Request(#[from] BadHeader),
    /// The stream ended before the header or the verdict was whole.
    #[error("the {0} is cut short")]
    Truncated(&'static str),
    /// The server's verdict is none of those there are.
    #[error("unknown verdict")]
    UnknownVerdict,
    /// The server counted another number of bytes than were sent.
    #[error("the server miscounted")]
    Miscounted,
    /// The client found the answer wrong.
    #[error("client: {0}")]
    Answer(#[source] Fault),
    /// The server found the request wrong.
    #[error("server: {0}")]
    Verdict(#[source] Fault),
    /// So many peers failed that the quorum cannot be reached.
    #[error("no quorum: {0}")]
    Quorum(#[source] Box<Failure>),
}

impl Failure {
    /// Where in the stream the fault is, in bytes, if it has a place.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        match self {
            Self::Answer(fault) | Self::Verdict(fault) => Some(fault.position()),
            Self::Quorum(failure) => failure.position(),
            _ => None,
        }
    }
}

/// Writes `prefix`, then `length` bytes of `pattern`; with `is_fin`, says that nothing follows.
///
/// `on_bytes` is called with the bytes of data in each write that was taken.
///
/// # Errors
///
/// [`Failure::Write`] if the stream fails.
pub(super) async fn send<S: Stream>(
    stream: &mut S,
    prefix: &[u8],
    pattern: Pattern,
    length: u64,
    is_fin: bool,
    mut on_bytes: impl FnMut(u64) + Send,
) -> Result<(), Failure> {
    // the prefix shares a packet with the data behind it
    let (mut prefix, mut sent) = (prefix, 0);
    loop {
        // As much as there is each time, and not first what was not taken the last time: whoever sends full batches would send that as a small one.
        let len = take(length - sent, MAX_CHUNK);
        let is_last = is_fin && sent + len as u64 == length;
        let write = stream.write([prefix, pattern.bytes(sent, len)], is_last);
        let taken = write.await.map_err(Failure::Write)?;
        let of_prefix = taken.min(prefix.len());
        prefix = &prefix[of_prefix..];
        let bytes = (taken - of_prefix) as u64;
        sent += bytes;
        on_bytes(bytes);
        if prefix.is_empty() && sent == length {
            return Ok(());
        }
    }
}

/// How much of a stream [`receive`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// All there is: what exceeds the expected bytes is wrong.
    End,
    /// The expected bytes.
    Expected,
}

/// Reads a stream and hands everything to `verifier`.
///
/// `on_bytes` is called with the bytes of each read. Not cancel safe: bytes that were read are lost with the future.
///
/// # Errors
///
/// [`Failure::Read`] if the stream fails. Wrong bytes are the verifier's business.
pub(super) async fn receive<S: Stream>(
    stream: &mut S,
    verifier: &mut Verifier,
    until: Until,
    mut on_bytes: impl FnMut(u64) + Send,
) -> Result<(), Failure> {
    while until == Until::End || verifier.remaining() > 0 {
        let room = match until {
            Until::End => MAX_CHUNK,
            Until::Expected => take(verifier.remaining(), MAX_CHUNK),
        };
        let len = poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                let result = stream.poll_read(cx, &mut buffer[..room]);
                if let Poll::Ready(Ok(len)) = &result {
                    verifier.push(&buffer[..*len]);
                }
                result
            })
        });
        match len.await.map_err(Failure::Read)? {
            0 => break,
            len => on_bytes(len as u64),
        }
    }
    Ok(())
}

/// [`transport::read_up_to`], with its error as a [`Failure::Read`].
///
/// # Errors
///
/// [`Failure::Read`] if the stream fails.
pub(super) async fn read_up_to<S: Stream>(
    stream: &mut S,
    buffer: &mut [u8],
) -> Result<usize, Failure> {
    let read = transport::read_up_to(stream, buffer);
    read.await.map_err(Failure::Read)
}

/// The smaller of what is left of a stream and what fits.
fn take(left: u64, room: usize) -> usize {
    usize::try_from(left).map_or(room, |left| left.min(room))
}

thread_local! {
    /// What the streams of this thread are read into, one at a time
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_CHUNK].into());
}
