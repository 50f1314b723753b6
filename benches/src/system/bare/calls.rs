// SPDX-License-Identifier: Apache-2.0

//! The calls that a client has begun, and how those before them ended.
//!
//! The one rule: every call is counted once, as a success when its response was compared and the server's acknowledgement verified,
//! or as a failure.
//!
//! Loopback keeps the order and so does the server: a response or an acknowledgement that is passed by a later one is lost.

use hdrhistogram::Histogram;
use s2n_quic_dc::path::secret::{map::ControlPair, open};
use s2n_quic_dc_perf::{
    exchange::Exchange,
    failures::Failures,
    outcome::{add_latency, latencies},
};
use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// A call that was begun.
pub(super) struct Call {
    pub(super) key_id: u64,
    pub(super) exchange: Exchange,
    pub(super) begun: Instant,
    pub(super) opener: open::Application,
    pub(super) control: ControlPair,
    /// From its begin until its response was compared.
    took: Option<Duration>,
    has_ack: bool,
    has_failed: bool,
}

impl Call {
    pub(super) const fn new(
        key_id: u64,
        exchange: Exchange,
        begun: Instant,
        opener: open::Application,
        control: ControlPair,
    ) -> Self {
        Self {
            key_id,
            exchange,
            begun,
            opener,
            control,
            took: None,
            has_ack: false,
            has_failed: false,
        }
    }

    const fn is_answered(&self) -> bool {
        self.took.is_some()
    }

    const fn is_over(&self) -> bool {
        self.has_failed || (self.is_answered() && self.has_ack)
    }
}

/// How calls ended.
pub(super) struct Tally {
    /// Those that went well.
    pub(super) calls: u64,
    /// Their requests and responses.
    pub(super) bytes: u64,
    /// Nanoseconds that each of them took.
    pub(super) latency: Histogram<u64>,
    pub(super) failures: Failures,
    /// The key ids of those that failed.
    failed: BTreeSet<u64>,
}

impl Tally {
    /// The call did not go well for the server. `bytes` are those of its request and response.
    pub(super) fn revoke(&mut self, key_id: u64, bytes: u64) {
        if self.failed.insert(key_id) {
            self.calls = self.calls.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.failures
                .add(1, "the server got no acknowledgement", None);
        }
    }
}

/// The calls that are not over, in the order of their key ids, which are one after the other.
pub(super) struct Calls {
    calls: VecDeque<Call>,
    /// Those that wait for their response.
    waiting: usize,
    /// Before these key ids nothing is expected any more.
    next_response: u64,
    next_ack: u64,
    tally: Tally,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            calls: VecDeque::new(),
            waiting: 0,
            next_response: 0,
            next_ack: 0,
            tally: Tally {
                calls: 0,
                bytes: 0,
                latency: latencies(),
                failures: Failures::default(),
                failed: BTreeSet::new(),
            },
        }
    }

    /// Those that wait for their response.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// From the oldest that is not over to the newest.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn push(&mut self, call: Call) {
        self.calls.push_back(call);
        self.waiting += 1;
    }

    /// The call with this key id, if something is still expected of it.
    pub(super) fn get(&self, key_id: u64) -> Option<&Call> {
        let index = self.index(key_id)?;
        self.calls.get(index).filter(|call| !call.is_over())
    }

    /// As [`Self::get`], for a call that waits for its response.
    pub(super) fn unanswered(&self, key_id: u64) -> Option<&Call> {
        self.get(key_id).filter(|call| !call.is_answered())
    }

    /// The response was compared.
    pub(super) fn on_response(&mut self, key_id: u64, took: Duration) {
        for lost in self.next_response..key_id {
            if self.unanswered(lost).is_some() {
                self.fail(lost, "a request or a response was lost");
            }
        }
        self.next_response = self.next_response.max(key_id + 1);
        if let Some(call) = self.get_mut(key_id).filter(|call| !call.is_answered()) {
            call.took = Some(took);
            self.waiting -= 1;
            self.settle(key_id);
        }
    }

    /// The server's acknowledgement was verified.
    pub(super) fn on_ack(&mut self, key_id: u64) {
        for lost in self.next_ack..key_id {
            if self.get(lost).is_some_and(|call| !call.has_ack) {
                self.fail(lost, "an acknowledgement was lost");
            }
        }
        self.next_ack = self.next_ack.max(key_id + 1);
        if let Some(call) = self.get_mut(key_id) {
            call.has_ack = true;
            self.settle(key_id);
        }
    }

    /// Something is wrong with a call.
    pub(super) fn fail(&mut self, key_id: u64, why: &str) {
        let Some(call) = self.get_mut(key_id) else {
            return;
        };
        call.has_failed = true;
        self.waiting -= usize::from(!call.is_answered());
        self.tally.failures.add(1, why, None);
        self.tally.failed.insert(key_id);
        self.clear();
    }

    /// Nothing is expected of those that are left.
    pub(super) fn give_up(&mut self, why: &str) {
        while let Some(call) = self.calls.front() {
            // which takes it off
            self.fail(call.key_id, why);
        }
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    fn index(&self, key_id: u64) -> Option<usize> {
        let first = self.calls.front()?.key_id;
        usize::try_from(key_id.checked_sub(first)?).ok()
    }

    fn get_mut(&mut self, key_id: u64) -> Option<&mut Call> {
        let index = self.index(key_id)?;
        self.calls.get_mut(index).filter(|call| !call.is_over())
    }

    /// Counts a call if all went well that can.
    fn settle(&mut self, key_id: u64) {
        let call = self.index(key_id).and_then(|index| self.calls.get(index));
        let Some(Call {
            took: Some(took),
            has_ack: true,
            exchange,
            ..
        }) = call
        else {
            return;
        };
        add_latency(&mut self.tally.latency, *took);
        self.tally.calls += 1;
        self.tally.bytes += exchange.request + exchange.response;
        self.clear();
    }

    /// Takes off what is over.
    fn clear(&mut self) {
        while self.calls.front().is_some_and(Call::is_over) {
            self.calls.pop_front();
        }
    }
}
