// SPDX-License-Identifier: Apache-2.0

//! The server: accepts streams and does on each what its request says.
//!
//! The one rule: an upload is read to its end even when its content is wrong, so that the client gets the verdict and not a reset.

use crate::{
    handshake::{Server, Stream},
    pattern::Verifier,
    request::{Direction, Request, Verdict},
    transfer::{self, Failure},
};
use std::{convert::Infallible, io};
use tokio::task::JoinSet;

/// Accepts and serves streams until accepting fails. Dropping the future drops its streams.
///
/// A stream that fails is the client's to report: it finds its transfer refused, cut short or without a verdict.
///
/// # Errors
///
/// Those of the library's `accept`.
pub async fn serve(server: Server) -> io::Result<Infallible> {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = server.accept() => {
                let (stream, _peer) = accepted?;
                let buffer = transfer::buffer_size(streams.len() + 1);
                streams.spawn(handle(stream, buffer));
            }
            // keeps the set no larger than the number of open streams
            Some(_) = streams.join_next() => {}
        }
    }
}

async fn handle(mut stream: Stream, buffer: usize) -> Result<(), Failure> {
    let mut request = [0; Request::LEN];
    if transfer::read_up_to(&mut stream, &mut request).await? < Request::LEN {
        return Err(Failure::Truncated("request"));
    }
    let request = Request::decode(&request)?;
    let mut buffer = vec![0; buffer];
    match request.direction {
        Direction::Upload => take_upload(&mut stream, &request, &mut buffer).await,
        Direction::Download => give_download(&mut stream, &request, &mut buffer).await,
    }
}

async fn take_upload(
    stream: &mut Stream,
    request: &Request,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    let mut verifier = Verifier::new(request.pattern(), request.length);
    transfer::receive(stream, &mut verifier, buffer, |_| ()).await?;
    let verdict = Verdict::new(verifier.finish(), request.length).encode();
    let mut verdict = &verdict[..];
    stream
        .write_all_from_fin(&mut verdict)
        .await
        .map_err(Failure::Write)?;
    Ok(())
}

async fn give_download(
    stream: &mut Stream,
    request: &Request,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    // reading to the end lets the client's half close in good order
    if transfer::read_up_to(stream, &mut [0]).await? > 0 {
        return Err(Failure::Trailing("request"));
    }
    transfer::send(stream, &[], request, buffer, |_| ()).await
}
