// SPDX-License-Identifier: Apache-2.0

//! The client: one request on one stream, and the judgement whether it was met.
//!
//! The one rule: a stream counts as done only when all of its bytes were compared, by the server's verdict or here.

use crate::{
    handshake::{Loopback, Stream},
    pattern::Verifier,
    request::{Direction, Request, Verdict},
    transfer::{self, Failure},
};

/// Opens a stream and does on it what `request` says, with a buffer of `buffer` bytes.
///
/// `on_bytes` is called with the bytes of data in each read or write. Dropping the future drops the stream, which closes it.
///
/// # Errors
///
/// [`Failure`] says at which step and why.
pub async fn transfer(
    ends: &Loopback,
    request: &Request,
    buffer: usize,
    on_bytes: impl FnMut(u64),
) -> Result<(), Failure> {
    let mut stream = ends.connect().await.map_err(Failure::Connect)?;
    let mut buffer = vec![0; buffer.max(Request::LEN + 1)];
    match request.direction {
        Direction::Upload => {
            let header = request.encode();
            transfer::send(&mut stream, &header, request, &mut buffer, on_bytes).await?;
            check_verdict(&mut stream, request).await
        }
        Direction::Download => {
            let header = request.encode();
            let mut header = &header[..];
            stream
                .write_all_from_fin(&mut header)
                .await
                .map_err(Failure::Write)?;
            let mut verifier = Verifier::new(request.pattern(), request.length);
            transfer::receive(&mut stream, &mut verifier, &mut buffer, on_bytes).await?;
            verifier.finish().map_err(Failure::Download)
        }
    }
}

async fn check_verdict(stream: &mut Stream, request: &Request) -> Result<(), Failure> {
    let mut answer = [0; Verdict::LEN];
    if transfer::read_up_to(stream, &mut answer).await? < Verdict::LEN {
        return Err(Failure::Truncated("verdict"));
    }
    if transfer::read_up_to(stream, &mut [0]).await? > 0 {
        return Err(Failure::Trailing("verdict"));
    }
    let verdict = Verdict::decode(&answer).ok_or(Failure::UnknownVerdict)?;
    let received = verdict.outcome().map_err(Failure::Upload)?;
    if received != request.length {
        return Err(Failure::Miscounted);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
