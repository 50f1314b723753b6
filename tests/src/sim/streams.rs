// SPDX-License-Identifier: Apache-2.0

//! The streams of a simulation, from opening or accepting them to how they end.
//!
//! The rule: every stream is a task of its own, and says how it ended exactly once.

use super::{peer::Endpoint, End};
use crate::transfer::{client_stream, server_stream, Case, Context as _, Outcome};
use bach::{
    ext::*,
    time::{sleep, Instant},
};
use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration};
use tokio::sync::{mpsc, Semaphore};

/// What the streams of a simulation have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) case: Case,
    /// Whether a client's stream waits for an end that carries no bytes.
    pub(super) client_waits_for_end: bool,
    /// Whether a server's does.
    pub(super) server_waits_for_end: bool,
    /// When the first streams were opened.
    pub(super) start: Instant,
    pub(super) news: mpsc::UnboundedSender<News>,
}

/// What streams say.
pub(super) enum News {
    /// A server has one more, which will end.
    Accepted,
    Ended(End),
}

impl Common {
    fn ended(&self, is_client: bool, key: u64, outcome: Outcome<u64>) {
        let at = self.start.elapsed();
        // nobody listens once all streams that count have ended
        let _ = self.news.send(News::Ended(End {
            is_client,
            key,
            at,
            outcome,
        }));
    }
}

/// Opens a stream for each key, `after` the start.
pub(super) fn open(
    common: &Common,
    client: &Endpoint,
    server: SocketAddr,
    keys: Range<u64>,
    after: Duration,
) {
    for key in keys {
        let (common, client) = (common.clone(), client.clone());
        async move {
            if !after.is_zero() {
                sleep(after).await;
            }
            let outcome = async {
                let stream = client.connect(server).await.context("connect")?;
                client_stream(stream, key, common.case, common.client_waits_for_end).await
            };
            let outcome = outcome.await;
            common.ended(true, key, outcome);
        }
        .spawn_named(format_args!("client/{key}"));
    }
}

/// Accepts streams until `stop` is closed, which also drops those that are open.
pub(super) fn serve(common: &Common, server: Endpoint, stop: Arc<Semaphore>) {
    let common = common.clone();
    async move {
        for key in 0.. {
            let accepted = tokio::select! {
                biased;
                () = closed(&stop) => break,
                accepted = server.accept() => accepted,
            };
            let Ok(stream) = accepted else {
                break;
            };
            let _ = common.news.send(News::Accepted);
            let (common, stop) = (common.clone(), stop.clone());
            async move {
                let outcome = tokio::select! {
                    biased;
                    () = closed(&stop) => Err(STOPPED.to_owned()),
                    outcome = server_stream(stream, key, common.case, common.server_waits_for_end) => outcome,
                };
                common.ended(false, key, outcome);
            }
            .spawn_named(format_args!("server/{key}"));
        }
    }
    .spawn_named("accept");
}

/// Waits for the end of a semaphore without permits, which wakes its waiters in their order
async fn closed(stop: &Semaphore) {
    // there is nothing to acquire
    let _ = stop.acquire().await;
}

/// How a stream ends that a server has dropped.
pub(super) const STOPPED: &str = "the server was stopped";
