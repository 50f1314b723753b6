// SPDX-License-Identifier: Apache-2.0

//! The receiving worker of one socket: takes what the kernel has, finds the stream of each packet, and runs the streams' timers.
//!
//! A GRO train lands in one descriptor and is split into segments that share it. Control packets are taken in at once. Packets with data are
//! left to a reader that waits, and opened here otherwise, a moment later.
//!
//! The one rule: what cannot be routed is dropped and counted by reason, and costs nothing beyond its descriptor.

use super::{
    refusals::Refusals,
    router::{self, Reason, Route, ACCEPTOR},
};
use crate::{
    clock::{at_tick, ticks},
    credentials,
    msg::send::Builder,
    socket::{
        io::{Received, Socket, Truncated},
        pool::{Class, Filled, Pool, Purpose, Trimmer, Unfilled},
        send::{
            transmission::{Priority, Transmission},
            udp::Next,
        },
    },
    stream::{
        environment::core::{Core, Opening, Shard},
        path::Wakes,
        recv::{
            self,
            shared::Incoming,
            worker::{Scope, Turn},
        },
        shared::{self, Shared},
    },
    sync::{
        doorbell::Doorbell,
        handoff::{Edge, Handoff},
    },
};
use core::time::Duration;
use s2n_quic_core::{inet::ExplicitCongestionNotification, time::Timestamp};
use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, task::Waker};

/// Receives in a row before timers and scheduled streams have their turn
const RECEIVE_BUDGET: usize = 10;

/// Timers in a row before the socket has its turn
const TIMER_BUDGET: usize = 256;

/// What streams hold of the worker
pub(crate) struct Receiver {
    scheduled: Handoff<Arc<Shared>>,
    pub(crate) doorbell: Doorbell,
}

impl Receiver {
    pub(crate) fn new(doorbell: Doorbell) -> Arc<Self> {
        Arc::new(Self {
            scheduled: Handoff::new(),
            doorbell,
        })
    }

    /// Has the worker call the stream soon
    pub(crate) fn schedule(&self, shared: Arc<Shared>) {
        if let Ok(Edge::WasEmpty) = self.scheduled.push(shared) {
            self.doorbell.ring();
        }
    }
}

impl std::task::Wake for Receiver {
    fn wake(self: Arc<Self>) {
        self.doorbell.ring();
    }
}

pub(crate) struct Worker<S: Socket> {
    socket: Arc<S>,
    core: Arc<Core>,
    shard: Arc<Shard>,
    /// The next receive goes here
    spare: Option<Unfilled>,
    scheduled: Vec<Arc<Shared>>,
    /// Streams that got packets in this round
    touched: Vec<Arc<Shared>>,
    /// Streams whose packets are left to their readers, and until when; the earliest is the first
    left: VecDeque<(Timestamp, Arc<Shared>)>,
    /// Packets in a row for one stream, and that stream
    train: Vec<Incoming>,
    destination: Option<Arc<Shared>>,
    refusals: Refusals,
    answer: Vec<u8>,
    wakes: Wakes,
    /// Whether those whom it wakes run before its next turn, if it lets them
    shares_runtime: bool,
    /// Streams were promised that what they submit is flushed for them
    owes_flush: bool,
    /// Gives the environment's idle memory back. The worker of the first socket has it, the others have `None`.
    trimmer: Option<Trimmer>,
    waker: Waker,
}

impl<S: Socket> Worker<S> {
    pub(crate) fn new(socket: Arc<S>, core: Arc<Core>, shard: Arc<Shard>) -> Self {
        let is_first = core
            .shards
            .first()
            .is_some_and(|first| Arc::ptr_eq(first, &shard));
        Self {
            trimmer: is_first.then(|| core.pool.trimmer()),
            waker: Waker::from(shard.receiver.clone()),
            socket,
            core,
            shard,
            spare: None,
            scheduled: Vec::new(),
            touched: Vec::new(),
            left: VecDeque::new(),
            train: Vec::new(),
            destination: None,
            refusals: Refusals::default(),
            answer: Vec::new(),
            wakes: Wakes::default(),
            shares_runtime: false,
            owes_flush: false,
        }
    }

    /// It runs as a task beside those that it wakes: what several of them send leaves together
    pub(crate) fn on_shared_runtime(mut self) -> Self {
        self.shares_runtime = true;
        self
    }

    /// Whether other tasks should have a turn now, and then [`flush_for_all`](Self::flush_for_all) be called
    pub(crate) fn owes_flush(&self) -> bool {
        self.owes_flush
    }

    /// Sends what those have submitted that the last round has woken
    pub(crate) fn flush_for_all(&mut self) {
        if core::mem::take(&mut self.owes_flush) {
            self.shard.sender.flush_for_all();
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }

    /// One round: what the socket has, what streams asked for, what is due, and what memory is idle
    pub(crate) fn poll(&mut self, now: Timestamp) -> Next {
        let has_more = self.receive(now);
        self.deliver(now);
        match self.poll_streams(now) {
            Next::At(_) if has_more => Next::Now,
            next => next,
        }
    }

    /// The same but for the socket, which can say by itself that it has something
    pub(crate) fn poll_streams(&mut self, now: Timestamp) -> Next {
        self.run_scheduled(now);
        self.run_overdue(now);
        let has_due = self.run_timers(now);
        let wakes = core::mem::take(&mut self.wakes);
        if self.shares_runtime && wakes.has_many() {
            self.owes_flush = true;
            self.shard.sender.expect_company();
        }
        wakes.wake();
        let trim_at = self
            .trimmer
            .as_mut()
            .and_then(|trimmer| trimmer.poll(&self.waker, now));
        if has_due || trim_at.is_some_and(|at| at <= now) {
            return Next::Now;
        }
        let timer_at = self.shard.timers.sleep().map(at_tick);
        let left_until = self.left.front().map(|(until, _)| *until);
        let next = [timer_at, trim_at, left_until].into_iter().flatten().min();
        if self.spare.is_none() {
            // the pool is empty: look again soon, whatever the socket says
            let retry = now + Duration::from_millis(1);
            return Next::At(Some(next.map_or(retry, |next| next.min(retry))));
        }
        Next::At(next)
    }

    /// True when the budget ended before the socket was empty
    fn receive(&mut self, now: Timestamp) -> bool {
        for _ in 0..RECEIVE_BUDGET {
            let pool = &self.core.pool;
            let spare = self
                .spare
                .take()
                .or_else(|| pool.alloc(Class::Burst, Purpose::Control));
            let Some(mut spare) = spare else {
                self.core.counters.dropped.overflow.add(1);
                return false;
            };
            match self.socket.recv(spare.as_mut_slice()) {
                Ok(received) => {
                    if let Some(filled) = self.keep(spare, &received) {
                        self.route_all(filled, &received, now);
                    }
                }
                Err(error) => {
                    self.spare = Some(spare);
                    match error.kind() {
                        io::ErrorKind::WouldBlock => return false,
                        io::ErrorKind::Interrupted => {}
                        _ if Truncated::is(&error) => {
                            self.core.counters.dropped.undecodable.add(1);
                        }
                        // an ICMP error of an earlier send: it says nothing that the timers do not find out
                        _ => {}
                    }
                }
            }
        }
        true
    }

    /// A small datagram moves to a small descriptor, so that it does not pin a large one
    fn keep(&mut self, mut spare: Unfilled, received: &Received) -> Option<Filled> {
        let pool = &self.core.pool;
        if Class::for_len(received.len, pool.config()) == Some(Class::Packet) {
            if let Some(mut small) = pool.alloc(Class::Packet, Purpose::Control) {
                small.as_mut_slice()[..received.len]
                    .copy_from_slice(&spare.as_mut_slice()[..received.len]);
                self.spare = Some(spare);
                return small.fill(received.len).ok();
            }
        }
        spare.fill(received.len).ok()
    }

    fn route_all(&mut self, filled: Filled, received: &Received, now: Timestamp) {
        if received.len == 0 {
            self.core.counters.dropped.undecodable.add(1);
            return;
        }
        let Ok(segments) = filled.into_segments(received.segment_len) else {
            return;
        };
        // a train is usually of one stream
        let mut last: Option<Arc<Shared>> = None;
        let mut count = 0;
        for segment in segments {
            count += 1;
            let arrival = Incoming {
                segment,
                remote: received.addr,
                ecn: received.ecn,
            };
            self.route(arrival, &mut last, now);
        }
        self.core.counters.segments_received.add(count);
        self.hand_over(now);
    }

    fn route(&mut self, mut arrival: Incoming, last: &mut Option<Arc<Shared>>, now: Timestamp) {
        let dropped = &self.core.counters.dropped;
        match router::classify(&mut arrival.segment) {
            Route::Drop(Reason::Undecodable) => dropped.undecodable.add(1),
            Route::Drop(Reason::Unexpected) => dropped.unexpected.add(1),
            Route::SecretControl => {
                if let Some(packet) = router::secret_control(&mut arrival.segment) {
                    self.core.on_secret_control(&packet, arrival.remote, now);
                }
            }
            Route::Control {
                queue_id,
                credentials,
                source_queue_id,
            } => {
                let Some(shared) = self.find(queue_id, last) else {
                    if !self.is_over(queue_id) {
                        self.on_unroutable(&credentials, source_queue_id, arrival.remote, now);
                    }
                    return;
                };
                let received = shared::Received {
                    bytes: &mut arrival.segment,
                    remote: arrival.remote,
                    ecn: arrival.ecn,
                };
                self.wakes.append(shared.on_control_packet(received, now));
            }
            Route::Stream { queue_id, .. } if self.is_next_of_train(queue_id) => {
                self.train.push(arrival);
            }
            Route::Stream {
                queue_id: ACCEPTOR,
                credentials,
                source_queue_id,
            } => match self.core.opened(&credentials) {
                Some(queue_id) => match self.find(queue_id, last) {
                    Some(shared) => self.push(&shared, arrival, now),
                    None => drop(self.answer_for(queue_id, arrival, now)),
                },
                None => self.accept(credentials, source_queue_id, arrival, now),
            },
            Route::Stream {
                queue_id,
                credentials,
                source_queue_id,
            } => match self.find(queue_id, last) {
                Some(shared) => self.push(&shared, arrival, now),
                None => {
                    let remote = arrival.remote;
                    if !self.answer_for(queue_id, arrival, now) {
                        self.on_unroutable(&credentials, source_queue_id, remote, now);
                    }
                }
            },
        }
    }

    fn find(&self, queue_id: u64, last: &mut Option<Arc<Shared>>) -> Option<Arc<Shared>> {
        if let Some(last) = last.as_ref().filter(|last| last.queue_id == queue_id) {
            return Some(last.clone());
        }
        let found = self.core.stream(queue_id);
        last.clone_from(&found);
        found
    }

    /// A control packet for a stream that is over is late, and no news
    fn is_over(&self, queue_id: u64) -> bool {
        let is_over = |shard: &Arc<Shard>| shard.routes.is_over(queue_id);
        self.core.shard_of(queue_id).is_some_and(is_over)
    }

    /// A packet for a stream that is over shows that the peer has not heard all: it is told again. False if there is no such stream.
    fn answer_for(&mut self, queue_id: u64, mut arrival: Incoming, now: Timestamp) -> bool {
        let Some(shard) = self.core.shard_of(queue_id) else {
            return false;
        };
        let (packet, answer) = (&mut arrival.segment, &mut self.answer);
        let Some(remote) = shard.routes.answer(queue_id, packet, now, answer) else {
            return false;
        };
        self.core.counters.duplicates.add(1);
        self.core.counters.control_packets.add(1);
        self.say(remote, ExplicitCongestionNotification::Ect0, now);
        true
    }

    fn push(&mut self, shared: &Arc<Shared>, arrival: Incoming, now: Timestamp) {
        let is_same = |known: &Arc<Shared>| Arc::ptr_eq(known, shared);
        if !self.destination.as_ref().is_some_and(is_same) {
            self.hand_over(now);
            self.destination = Some(shared.clone());
        }
        self.train.push(arrival);
    }

    /// Whether a packet for this stream goes where the one before it went, as nearly all do
    fn is_next_of_train(&self, queue_id: u64) -> bool {
        let is_its = |destination: &Arc<Shared>| destination.queue_id == queue_id;
        self.destination.as_ref().is_some_and(is_its)
    }

    /// Leaves the packets in a row with their stream
    fn hand_over(&mut self, now: Timestamp) {
        let Some(shared) = self.destination.take() else {
            return;
        };
        let left_over = shared.inbox.extend(self.train.drain(..), now);
        self.core.counters.dropped.overflow.add(left_over as u64);
        // the first packet of the pile puts the stream on the list of this round
        let is_listed = self
            .touched
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, &shared));
        if !is_listed {
            self.touched.push(shared);
        }
    }

    fn accept(
        &mut self,
        credentials: credentials::Credentials,
        source_queue_id: Option<s2n_quic_core::varint::VarInt>,
        arrival: Incoming,
        now: Timestamp,
    ) {
        let remote = arrival.remote;
        let (Some(acceptor), false) = (&self.core.acceptor, self.core.is_closing()) else {
            self.core.counters.dropped.unroutable.add(1);
            return;
        };
        self.answer.clear();
        acceptor.accept(
            Opening {
                credentials,
                source_queue_id,
                arrival,
                answer: &mut self.answer,
            },
            &self.core,
            &self.shard,
            now,
        );
        if !self.answer.is_empty() {
            self.core.counters.dropped.unknown_secret.add(1);
            self.refuse(remote, now);
        }
    }

    /// The packet is for a stream that is not here (any more). If its secret is not either, this end has lost its state, and the peer is
    /// told, so that its streams end at once.
    fn on_unroutable(
        &mut self,
        credentials: &credentials::Credentials,
        source_queue_id: Option<s2n_quic_core::varint::VarInt>,
        remote: SocketAddr,
        now: Timestamp,
    ) {
        let dropped = &self.core.counters.dropped;
        self.answer.clear();
        let map = &self.core.map;
        let opener = map.open_once(credentials, source_queue_id, &mut self.answer);
        // a key that is too old is no news to a peer whose stream is over
        if opener.is_some() || !router::is_unknown_secret(&mut self.answer) {
            dropped.unroutable.add(1);
            return;
        }
        dropped.unknown_secret.add(1);
        self.refuse(remote, now);
    }

    /// Tells a client that its secret is unknown here
    fn refuse(&mut self, remote: SocketAddr, now: Timestamp) {
        if self.refusals.may_refuse(remote, now) {
            self.say(remote, ExplicitCongestionNotification::NotEct, now);
        }
    }

    /// Sends what is in `answer`
    fn say(&mut self, remote: SocketAddr, ecn: ExplicitCongestionNotification, now: Timestamp) {
        let pool: &Pool = &self.core.pool;
        let Some(descriptor) = pool.alloc(Class::Packet, Purpose::Control) else {
            return;
        };
        let answer = &self.answer;
        let Ok(mut builder) = Builder::new(descriptor, self.answer.len()) else {
            return;
        };
        let pushed = builder.push(|dest| {
            dest[..answer.len()].copy_from_slice(answer);
            answer.len()
        });
        let message = builder.finish(remote, ecn);
        if let (Ok(_), Some(message)) = (pushed, message) {
            self.shard.sender.submit(Transmission {
                message,
                departure: now,
                priority: Priority::Control,
                ticket: None,
            });
            self.wakes.flush(&self.shard.sender);
        }
    }

    /// Wakes readers that wait; where none does, the packets get a moment and are then opened here
    fn deliver(&mut self, now: Timestamp) {
        for shared in self.touched.drain(..) {
            if let Some(reader) = shared.inbox.take_reader() {
                self.wakes.push(Some(reader));
            } else if shared.inbox.len() >= recv::worker::MAX_PILE {
                let _ = recv::worker::drain(&shared, Scope::All, now, &mut self.wakes);
            }
            // not a timer: nearly all come to nothing, and a timer finds its stream anew, in memory that is cold by then
            let until = now + recv::worker::READER_GRACE;
            self.left.push_back((until, shared));
        }
    }

    /// Looks after packets that were left to readers, and after acknowledgements that readers have left to an answer
    fn run_overdue(&mut self, now: Timestamp) {
        while let Some((_, shared)) = self.left.pop_front_if(|(until, _)| *until <= now) {
            let _ = recv::worker::drain(&shared, Scope::Overdue, now, &mut self.wakes);
        }
    }

    fn run_scheduled(&mut self, now: Timestamp) {
        self.shard
            .receiver
            .scheduled
            .drain_into(&mut self.scheduled);
        for shared in self.scheduled.drain(..) {
            let turn = recv::worker::drain(&shared, Scope::Overdue, now, &mut self.wakes);
            if turn == Turn::Taken {
                shared.settle(now);
            }
        }
    }

    /// True when the budget ended before the timers that are due
    fn run_timers(&mut self, now: Timestamp) -> bool {
        for _ in 0..TIMER_BUDGET {
            let Some((queue_id, tick)) = self.shard.timers.pop(ticks(now)) else {
                return false;
            };
            if let Some(shared) = self.core.expire(&self.shard, queue_id, tick, now) {
                shared.on_timer(tick, now);
            }
        }
        true
    }
}

impl<S: Socket> Drop for Worker<S> {
    fn drop(&mut self) {
        drop(self.shard.receiver.scheduled.close());
        self.core.clear(&self.shard);
    }
}
