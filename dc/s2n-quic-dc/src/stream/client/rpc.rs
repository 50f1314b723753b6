// SPDX-License-Identifier: Apache-2.0

//! One request, one response, one stream.
//!
//! The one rule: the response decides. The call is over when the response is, whatever became of the rest of
//! the request.

use crate::{
    event,
    stream::{application::Stream, recv::application::Reader, send::application::Writer},
};
use s2n_quic_core::buffer::writer::Storage as _;
use std::{
    future::{poll_fn, Future},
    io,
    pin::{pin, Pin},
    task::Poll,
};

pub use published_dc::stream::client::rpc::{InMemoryResponse, Request, Response};

/// Sends `request` on `stream`, ends the request, and reads the response until the peer ends it.
///
/// Both directions progress at the same time, so that a peer may answer while it is still reading.
///
/// # Early responses
///
/// A peer may end its response before it has read the whole request. The call then returns the response, and what
/// is left of the request is not sent: the writer is dropped, which ends the request where it
/// stands. If the peer refuses the rest of the request ([`io::ErrorKind::ConnectionReset`] on the writing half),
/// a response that has at least one byte still counts; without one, the refusal is the result.
///
/// # Errors
///
/// * [`io::ErrorKind::Other`] if `response` provides storage without room, either for the first byte or while
///   the peer has more to say. Storage that the response fills exactly is enough.
/// * Whatever `response` returns.
/// * Whatever ends the stream: see `Stream::write_from` and `Stream::read_into`.
///
/// # Cancel safety
///
/// Not cancel safe. Dropping the future drops the stream: part of the request may have been sent, and
/// the peer sees the request end there. Requests that must not be taken for complete need a length of their own.
pub async fn from_stream<Sub, Req, Res>(
    stream: Stream<Sub>,
    request: Req,
    response: Res,
) -> io::Result<Res::Output>
where
    Sub: event::Subscriber,
    Req: Request,
    Res: Response,
{
    let (reader, writer) = stream.into_split();

    let (response, received, upload) = {
        // here and not in `exchange`, whose future would hold each of them twice
        let send = pin!(upload_request(writer, request));
        let receive = pin!(download_response(reader, response));
        exchange(send, receive).await?
    };

    match upload {
        Upload::Refused(error) if received == 0 => Err(error),
        _ => response.finish().await,
    }
}

/// What became of the request.
enum Upload {
    Sending,
    Sent,
    /// The peer does not want the rest.
    Refused(io::Error),
}

/// Drives both directions until the response has ended.
async fn exchange<Res>(
    mut send: Pin<&mut impl Future<Output = io::Result<()>>>,
    mut receive: Pin<&mut impl Future<Output = io::Result<(Res, usize)>>>,
) -> io::Result<(Res, usize, Upload)> {
    let mut upload = Upload::Sending;

    let (response, received) = poll_fn(|cx| {
        // The request goes first, so that it is on its way while the response is waited for.
        if matches!(upload, Upload::Sending) {
            match send.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => upload = Upload::Sent,
                // Only this direction is closed; the answer may be on its way.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    upload = Upload::Refused(error);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }

        receive.as_mut().poll(cx)
    })
    .await?;

    Ok((response, received, upload))
}

async fn upload_request<Sub, Req>(mut writer: Writer<Sub>, mut request: Req) -> io::Result<()>
where
    Sub: event::Subscriber,
    Req: Request,
{
    while !request.buffer_is_empty() {
        writer.write_from_fin(&mut request).await?;
    }

    // An empty request has written nothing yet: this is what opens the stream then.
    writer.shutdown()
}

/// Reads into `response` until the peer ends it; returns how many bytes that were.
async fn download_response<Sub, Res>(
    mut reader: Reader<Sub>,
    mut response: Res,
) -> io::Result<(Res, usize)>
where
    Sub: event::Subscriber,
    Res: Response,
{
    let mut received = 0;

    loop {
        let storage = response.provide_storage().await?;

        if !storage.has_remaining_capacity() {
            // Full is only wrong if there is more to come, which takes a read to find out.
            let mut probe = [0; 1];
            let is_complete = received > 0 && reader.read_into(&mut &mut probe[..]).await? == 0;
            if is_complete {
                return Ok((response, received));
            }
            return Err(io::Error::other(format!(
                "the response storage ran out of capacity after {received} bytes, before the end of the response"
            )));
        }

        match reader.read_into(storage).await? {
            0 => return Ok((response, received)),
            len => received += len,
        }
    }
}

#[cfg(test)]
mod tests;
