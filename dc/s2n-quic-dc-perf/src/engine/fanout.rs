// SPDX-License-Identifier: Apache-2.0

//! Calls that go to several peers: all at once, or as hedges for those that take long.
//!
//! Hedging is that of Dean and Barroso, "The Tail at Scale" (2013): a second request goes out only when the first has not been answered
//! for a while, so the tail is cut at the price of a few more requests.
//!
//! The one rule: a call is over when its quorum has answered, or when that can no longer happen.

use super::{client, transfer::Failure};
use crate::{
    exchange::Exchange,
    transport::Client,
    workload::{Fanout, Losers},
};
use std::time::Duration;
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};

/// Calls that are answered after their quorum was reached.
pub(super) type Stragglers = JoinSet<Result<(), Failure>>;

/// Makes one call to as many of `peers` as `fanout` asks for; the answer of each is verified.
///
/// Peers beyond the quorum that are still busy are cancelled, or go on as part of `stragglers`. Dropping the future cancels all.
///
/// # Errors
///
/// [`Failure::Quorum`] with the last failure once too many peers failed.
pub(super) async fn call<C: Client>(
    peers: &[C],
    exchange: Exchange,
    fanout: &Fanout,
    stragglers: &mut Stragglers,
) -> Result<(), Failure> {
    let quorum = fanout.quorum as usize;
    let mut reserve = peers.iter().take(fanout.peers as usize);
    let mut legs = JoinSet::new();
    let ask = |legs: &mut JoinSet<_>, peer: &C| {
        let peer = peer.clone();
        drop(legs.spawn(async move { client::call(&peer, exchange).await }));
    };
    let at_once = match fanout.hedge_after {
        Some(_) => quorum,
        None => usize::MAX,
    };
    for peer in reserve.by_ref().take(at_once) {
        ask(&mut legs, peer);
    }

    let mut answered = 0;
    let hedge = sleep(fanout.hedge_after.unwrap_or(Duration::MAX));
    let mut hedge = std::pin::pin!(hedge);
    while answered < quorum {
        tokio::select! {
            biased;
            leg = legs.join_next() => match leg.map(flat) {
                Some(Ok(())) => answered += 1,
                // waiting longer does not help a peer that has failed, so the next one is asked at once
                Some(Err(failure)) => match reserve.next() {
                    Some(peer) => ask(&mut legs, peer),
                    None if answered + legs.len() < quorum => {
                        return Err(Failure::Quorum(Box::new(failure)));
                    }
                    None => {}
                },
                // only if there are fewer peers than the quorum
                None => return Err(Failure::Truncated("list of peers")),
            },
            () = &mut hedge, if reserve.len() > 0 => {
                for peer in reserve.by_ref() {
                    ask(&mut legs, peer);
                }
            }
        }
    }
    match fanout.losers {
        Losers::Cancel => legs.shutdown().await,
        Losers::Finish if legs.is_empty() => {}
        Losers::Finish => drop(stragglers.spawn(async move {
            let mut outcome = Ok(());
            while let Some(leg) = legs.join_next().await {
                outcome = outcome.and(flat(leg));
            }
            outcome
        })),
    }
    Ok(())
}

/// The outcome of a task that nobody cancels; if it has panicked, so does this.
pub(super) fn flat(joined: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    match joined.map_err(JoinError::try_into_panic) {
        Ok(outcome) => outcome,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // the runtime is ending, and with it the workload
        Err(Err(_)) => Ok(()),
    }
}
