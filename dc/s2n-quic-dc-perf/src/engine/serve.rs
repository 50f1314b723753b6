// SPDX-License-Identifier: Apache-2.0

//! The server: accepts streams and answers the exchanges on each.
//!
//! The one rule: what a client sends is read to its end even when its content is wrong, so that the client gets the verdict and not a
//! reset.

use super::transfer::{self, Failure, Until};
use crate::{
    exchange::{Exchange, Then, Verdict},
    pattern::Verifier,
    transport::{Server, Stream},
};
use std::{
    io,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
};
use tokio::task::JoinSet;

/// What a server has done so far.
#[derive(Debug, Default)]
pub struct Served {
    exchanges: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Served {
    /// Exchanges that were answered.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Relaxed)
    }

    /// Streams that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Bytes of data that clients sent, in exchanges that were answered.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes of data that clients were sent, in exchanges that were answered.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    fn on_exchange(&self, exchange: &Exchange) {
        self.exchanges.fetch_add(1, Relaxed);
        self.received.fetch_add(exchange.request, Relaxed);
        self.sent.fetch_add(exchange.response, Relaxed);
    }
}

/// As [`serve_and_count`], without the count.
pub async fn serve<S: Server>(server: S) -> io::Error {
    serve_and_count(server, Arc::default()).await
}

/// Accepts and serves streams until accepting fails, and returns why it did. Dropping the future drops its streams.
///
/// A stream that fails is the client's to report: it finds its exchange refused, cut short or without a verdict.
pub async fn serve_and_count<S: Server>(mut server: S, served: Arc<Served>) -> io::Error {
    let mut streams = JoinSet::new();
    loop {
        match server.accept().await {
            Ok(stream) => drop(streams.spawn(handle(stream, served.clone()))),
            Err(error) => return error,
        }
        // Keeps the set no larger than it has to be. Not when each stream ends: that would be one more wake-up for each.
        while streams.try_join_next().is_some() {}
    }
}

async fn handle<S: Stream>(stream: S, served: Arc<Served>) {
    if answer_all(stream, &served).await.is_err() {
        served.failed.fetch_add(1, Relaxed);
    }
}

async fn answer_all<S: Stream>(mut stream: S, served: &Served) -> Result<(), Failure> {
    loop {
        let mut header = [0; Exchange::HEADER_LEN];
        match transfer::read_up_to(&mut stream, &mut header).await? {
            0 => return Ok(()),
            Exchange::HEADER_LEN => {}
            _ => return Err(Failure::Truncated("request")),
        }
        let exchange = Exchange::decode(&header)?;
        answer(&mut stream, &exchange).await?;
        served.on_exchange(&exchange);
        if exchange.then == Then::End {
            return Ok(());
        }
    }
}

async fn answer<S: Stream>(stream: &mut S, exchange: &Exchange) -> Result<(), Failure> {
    let is_last = exchange.then == Then::End;
    let mut verifier = Verifier::new(exchange.request_pattern(), exchange.request);
    let until = if is_last { Until::End } else { Until::Expected };
    transfer::receive(stream, &mut verifier, until, |_| ()).await?;
    let outcome = verifier.finish();
    // a request that is wrong gets no answer but the verdict
    let response = if outcome.is_ok() {
        exchange.response
    } else {
        0
    };
    let verdict = Verdict::new(outcome, exchange.request).encode();
    let pattern = exchange.response_pattern();
    transfer::send(stream, &verdict, pattern, response, is_last, |_| ()).await
}
