// SPDX-License-Identifier: Apache-2.0

//! What each slot of a workload does.
//!
//! The one rule: a slot goes on until its workload says so, and a failure of one exchange is reported and ends that exchange only.

use super::{
    client,
    fanout::{self, flat, Stragglers},
    tally::Scores,
    transfer::Failure,
};
use crate::{
    exchange::{Exchange, Then},
    transport::Client,
    workload::{Kind, Workload},
};
use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};
use tokio::{
    task::JoinError,
    time::{sleep, Instant},
};

/// How long a slot rests after a failure, so that a peer that is gone is not hammered. Arbitrary: short against any run, and a
/// slot that fails all the time still shows it by its number.
const REST: Duration = Duration::from_millis(100);

/// What the slots of one run share.
pub(super) struct Plan {
    workload: Workload,
    until: Option<Instant>,
    next_seed: AtomicU64,
    is_finished: AtomicBool,
    pub(super) scores: Scores,
}

impl Plan {
    pub(super) fn new(workload: &Workload, first_seed: u64, until: Option<Instant>) -> Self {
        Self {
            workload: workload.clone(),
            until,
            next_seed: AtomicU64::new(first_seed),
            is_finished: AtomicBool::new(false),
            scores: Scores::new(),
        }
    }

    pub(super) fn call_slots(&self) -> u32 {
        match self.workload.kind {
            Kind::Rpc => self.workload.streams,
            Kind::Mixed => self.workload.calls,
            Kind::Upload | Kind::Download | Kind::Fanin => 0,
        }
    }

    /// Has the slots of calls end after their current one.
    pub(super) fn finish(&self) {
        self.is_finished.store(true, Relaxed);
    }

    /// Slots have ended; if one has panicked, that is a failure of the workload.
    pub(super) fn check(&self, ends: Vec<Result<(), JoinError>>) {
        for error in ends.into_iter().filter_map(Result::err) {
            self.scores.on_given_up(1, &error.to_string());
        }
    }

    /// One bulk stream, or one after the other until the time is over.
    pub(super) async fn bulk<C: Client>(self: Arc<Self>, client: C, number: u32) {
        let bytes = self.workload.bytes.bytes();
        loop {
            let (request, response) = match self.workload.kind {
                Kind::Download => (0, bytes),
                _ => (bytes, 0),
            };
            let exchange = self.exchange(request, response);
            let start = Instant::now();
            let outcome =
                client::stream(&client, &exchange, |bytes| self.scores.on_moved(bytes)).await;
            match &outcome {
                Ok(()) => self.scores.on_stream(bytes, start.elapsed()),
                Err(failure) => self.scores.on_failure("stream", number, failure),
            }
            if self.is_bulk_over() {
                return;
            }
            rest_after(&outcome).await;
        }
    }

    /// Calls, one after the other until the time is over.
    pub(super) async fn calls<C: Client>(self: Arc<Self>, peers: Vec<C>, number: u32) {
        let mut stragglers = Stragglers::new();
        let fanout = &self.workload.fanout;
        loop {
            let seed = self.next_seed.load(Relaxed);
            let size = self.workload.pick(seed ^ u64::from(number) << 32);
            let exchange = self.exchange(size.request.bytes(), size.response.bytes());
            let start = Instant::now();
            let outcome = match peers.first() {
                Some(peer) if fanout.peers == 1 => client::call(peer, exchange).await,
                _ => fanout::call(&peers, exchange, fanout, &mut stragglers).await,
            };
            match &outcome {
                Ok(()) => {
                    let bytes = exchange.request + exchange.response;
                    let answers = u64::from(fanout.quorum);
                    self.scores.on_call(bytes * answers, start.elapsed());
                }
                Err(failure) => self.scores.on_failure("slot", number, failure),
            }
            while let Some(straggler) = stragglers.try_join_next() {
                self.check_straggler(flat(straggler), number);
            }
            if self.are_calls_over() {
                break;
            }
            rest_after(&outcome).await;
        }
        while let Some(straggler) = stragglers.join_next().await {
            self.check_straggler(flat(straggler), number);
        }
    }

    fn check_straggler(&self, outcome: Result<(), Failure>, number: u32) {
        if let Err(failure) = outcome {
            self.scores.on_failure("slot", number, &failure);
        }
    }

    fn exchange(&self, request: u64, response: u64) -> Exchange {
        Exchange {
            seed: self.next_seed.fetch_add(1, Relaxed),
            request,
            response,
            then: Then::End,
        }
    }

    /// Without a time to run, each bulk stream runs once.
    fn is_bulk_over(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    /// Without a time to run, calls beside bulk streams go on as long as those, and other ones are made once.
    fn are_calls_over(&self) -> bool {
        match (self.until, self.workload.kind) {
            _ if self.is_finished.load(Relaxed) => true,
            (Some(until), _) => Instant::now() >= until,
            (None, kind) => kind != Kind::Mixed,
        }
    }
}

async fn rest_after(outcome: &Result<(), Failure>) {
    if outcome.is_err() {
        sleep(REST).await;
    }
}
