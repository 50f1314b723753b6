// SPDX-License-Identifier: Apache-2.0

//! The client's side of an exchange, and the judgement whether it went well.
//!
//! The one rule: an exchange counts only when all of its bytes were compared, by the server's verdict and here.

use super::transfer::{self, Failure, Until};
use crate::{
    exchange::{Exchange, Then, Verdict},
    pattern::Verifier,
    transport::Client,
};
use bytes::{BufMut as _, Bytes, BytesMut};

/// Opens a stream for one exchange.
///
/// `on_bytes` is called with the bytes of data in each read or write.
///
/// # Errors
///
/// [`Failure`] says at which step and why.
pub async fn stream<C: Client>(
    client: &C,
    exchange: &Exchange,
    mut on_bytes: impl FnMut(u64) + Send,
) -> Result<(), Failure> {
    let mut stream = client.open().await.map_err(Failure::Connect)?;
    let (header, pattern) = (exchange.encode(), exchange.request_pattern());
    let request = exchange.request;
    transfer::send(&mut stream, &header, pattern, request, true, &mut on_bytes).await?;

    let mut verdict = [0; Verdict::LEN];
    if transfer::read_up_to(&mut stream, &mut verdict).await? < Verdict::LEN {
        return Err(Failure::Truncated("verdict"));
    }
    check(&verdict, exchange)?;
    let mut verifier = Verifier::new(exchange.response_pattern(), exchange.response);
    transfer::receive(&mut stream, &mut verifier, Until::End, &mut on_bytes).await?;
    verifier.finish().map_err(Failure::Answer)
}

/// Makes a call: one exchange whose request and response are handed over whole.
///
/// # Errors
///
/// [`Failure`] says at which step and why.
pub async fn call<C: Client>(client: &C, mut exchange: Exchange) -> Result<(), Failure> {
    if C::POOLS_CALLS {
        exchange.then = Then::More;
    }
    // sizes of calls are far below what an address holds
    let (request, response) = (exchange.request as usize, exchange.response as usize);
    let answer = client
        .call(whole(&exchange, request), Verdict::LEN + response)
        .await
        .map_err(Failure::Call)?;
    let Some((verdict, data)) = answer.split_first_chunk() else {
        return Err(Failure::Truncated("verdict"));
    };
    check(verdict, &exchange)?;
    let mut verifier = Verifier::new(exchange.response_pattern(), exchange.response);
    verifier.push(data);
    verifier.finish().map_err(Failure::Answer)
}

/// Header and data of a request in one piece.
fn whole(exchange: &Exchange, len: usize) -> Bytes {
    let pattern = exchange.request_pattern();
    let mut bytes = BytesMut::with_capacity(Exchange::HEADER_LEN + len);
    bytes.put_slice(&exchange.encode());
    while bytes.len() < Exchange::HEADER_LEN + len {
        let done = bytes.len() - Exchange::HEADER_LEN;
        bytes.put_slice(pattern.bytes(done as u64, len - done));
    }
    bytes.freeze()
}

fn check(verdict: &[u8; Verdict::LEN], exchange: &Exchange) -> Result<(), Failure> {
    let verdict = Verdict::decode(verdict).ok_or(Failure::UnknownVerdict)?;
    let received = verdict.outcome().map_err(Failure::Verdict)?;
    if received != exchange.request {
        return Err(Failure::Miscounted);
    }
    Ok(())
}
