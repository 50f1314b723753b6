// SPDX-License-Identifier: Apache-2.0

//! Finds the stream of each packet, and answers those that belong to none.
//!
//! A GRO train lands in one descriptor and is split into runs of packets for one stream, which share it. Control packets are taken in at
//! once; runs of data are left with their stream, and the streams listed for the worker.
//!
//! The one rule: what cannot be routed is dropped and counted by reason, and costs nothing beyond its descriptor.

use super::{
    refusals::Refusals,
    router::{self, Prefix, Reason, Route, ACCEPTOR},
};
use crate::{
    credentials::Credentials,
    msg::send::Builder,
    socket::{
        io::Received,
        pool::{Class, Filled, Purpose},
        send::transmission::{Priority, Transmission},
    },
    stream::{
        environment::core::{Core, Opening, Shard},
        path::Wakes,
        recv::{self, shared::Incoming},
        send,
        shared::Shared,
    },
};
use s2n_quic_core::{inet::ExplicitCongestionNotification, time::Timestamp, varint::VarInt};
use std::{net::SocketAddr, sync::Arc};

pub(super) struct Dispatcher {
    core: Arc<Core>,
    shard: Arc<Shard>,
    /// Streams that got several packets at once, to be looked after by the worker
    pub(super) touched: Vec<Arc<Shared>>,
    /// The same for those that got one
    pub(super) talkers: Vec<Arc<Shared>>,
    /// Whom to wake, and what was submitted, to be seen to by the worker
    pub(super) wakes: Wakes,
    /// Who accepts streams, to be woken after all others
    pub(super) acceptors: Wakes,
    /// Packets with data that came alone for their stream, or began one, since the worker last looked: what they are answered with is short as well
    pub(super) lone_packets: usize,
    refusals: Refusals,
    answer: Vec<u8>,
}

/// Packets in a row for one stream
struct Run {
    key: Key,
    prefix: Prefix,
    shared: Arc<Shared>,
    len: usize,
}

/// How a packet with data says which stream it is for
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Queue(u64),
    /// The client does not know the stream's queue yet
    Opening(Credentials),
}

impl Key {
    fn new(queue_id: u64, credentials: Credentials) -> Self {
        match queue_id {
            ACCEPTOR => Self::Opening(credentials),
            queue_id => Self::Queue(queue_id),
        }
    }

    /// Of packets with data
    fn of(route: &Route) -> Option<Self> {
        match route {
            Route::Stream {
                queue_id,
                credentials,
                ..
            } => Some(Self::new(*queue_id, *credentials)),
            _ => None,
        }
    }
}

impl Dispatcher {
    pub(super) fn new(core: Arc<Core>, shard: Arc<Shard>) -> Self {
        Self {
            core,
            shard,
            touched: Vec::new(),
            talkers: Vec::new(),
            wakes: Wakes::default(),
            acceptors: Wakes::default(),
            lone_packets: 0,
            refusals: Refusals::default(),
            answer: Vec::new(),
        }
    }

    /// Takes in what one receive has brought
    pub(super) fn dispatch(&mut self, filled: Filled, received: &Received, now: Timestamp) {
        if received.len == 0 {
            self.core.counters.dropped.undecodable.add(1);
            return;
        }
        let Ok(packets) = filled.into_segments(received.segment_len) else {
            return;
        };
        let count = packets.len() as u64;
        self.core.counters.segments_received.add(count);
        let train = Incoming {
            packets,
            remote: received.addr,
            ecn: received.ecn,
        };
        self.split(train, now);
    }

    fn split(&mut self, mut train: Incoming, now: Timestamp) {
        let mut run: Option<Run> = None;
        loop {
            let ahead = run.as_ref().map_or(0, |run| run.len);
            let Some(packet) = train.packets.get_mut(ahead) else {
                break;
            };
            // nearly all go where the one before went
            if let Some(run) = run.as_mut().filter(|run| run.prefix.begins(packet)) {
                run.len += 1;
                continue;
            }
            let route = router::classify(packet);
            if let Some(run) = run.as_mut().filter(|run| Key::of(&route) == Some(run.key)) {
                run.len += 1;
                continue;
            }
            self.hand_over(run.take(), &mut train, now);
            run = self.route(route, &mut train, now);
        }
        self.hand_over(run, &mut train, now);
    }

    /// Takes in the first packet of the train, or begins a run with it
    fn route(&mut self, route: Route, train: &mut Incoming, now: Timestamp) -> Option<Run> {
        let remote = train.remote;
        let bytes = train.packets.first_mut()?;
        let dropped = &self.core.counters.dropped;
        match route {
            Route::Stream {
                queue_id,
                credentials,
                source_queue_id,
            } => return self.route_data(queue_id, credentials, source_queue_id, train, now),
            Route::Drop(Reason::Undecodable) => dropped.undecodable.add(1),
            Route::Drop(Reason::Unexpected) => dropped.unexpected.add(1),
            Route::SecretControl => {
                if let Some(packet) = router::secret_control(bytes) {
                    self.core.on_secret_control(&packet, remote, now);
                }
            }
            Route::Control {
                queue_id,
                credentials,
                source_queue_id,
            } => match self.core.stream(queue_id) {
                Some(shared) => {
                    if let Some(packet) = train.packets.next() {
                        let wakes = send::worker::on_control_packet(&shared, packet, remote, now);
                        self.wakes.append(wakes);
                    }
                    return None;
                }
                // late, and no news
                None if self.is_over(queue_id) => {}
                None => self.on_unroutable(&credentials, source_queue_id, remote, now),
            },
        }
        train.packets.advance(1);
        None
    }

    fn route_data(
        &mut self,
        queue_id: u64,
        credentials: Credentials,
        source_queue_id: Option<VarInt>,
        train: &mut Incoming,
        now: Timestamp,
    ) -> Option<Run> {
        let key = Key::new(queue_id, credentials);
        let known = match key {
            Key::Queue(queue_id) => Some(queue_id),
            Key::Opening(credentials) => self.core.opened(&credentials),
        };
        if let Some(shared) = known.and_then(|id| self.core.stream(id)) {
            let packet = train.packets.first_mut()?;
            return Some(Run {
                key,
                prefix: Prefix::new(packet, queue_id, &credentials, source_queue_id),
                shared,
                len: 1,
            });
        }
        let mut first = train.split_to(1);
        let Some(queue_id) = known else {
            let next = train.packets.first_mut();
            let is_followed =
                next.is_some_and(|next| Key::of(&router::classify(next)) == Some(key));
            self.accept(credentials, source_queue_id, first, is_followed, now);
            return None;
        };
        let is_answered = self.answer_for(queue_id, first.packets.first_mut()?, now);
        if !is_answered && matches!(key, Key::Queue(_)) {
            self.on_unroutable(&credentials, source_queue_id, first.remote, now);
        }
        None
    }

    /// Leaves the first packets of the train with their stream
    fn hand_over(&mut self, run: Option<Run>, train: &mut Incoming, now: Timestamp) {
        let Some(Run { shared, len, .. }) = run else {
            return;
        };
        let list = match len {
            1 => {
                self.lone_packets += 1;
                &mut self.talkers
            }
            _ => &mut self.touched,
        };
        let left_over = shared.inbox.push(train.split_to(len), now);
        self.core.counters.dropped.overflow.add(left_over as u64);
        let is_listed = list.last().is_some_and(|last| Arc::ptr_eq(last, &shared));
        if !is_listed {
            list.push(shared);
        }
    }

    /// Whether somebody who got one packet would wait for those who got many
    pub(super) fn has_talkers_among_bulk(&self) -> bool {
        self.lone_packets > 0 && !self.touched.is_empty()
    }

    /// Whether a stream with this id has been over for a short while
    fn is_over(&self, queue_id: u64) -> bool {
        let is_over = |shard: &Arc<Shard>| shard.routes.is_over(queue_id);
        self.core.shard_of(queue_id).is_some_and(is_over)
    }

    /// A packet for a stream that is over shows that the peer has not heard all: it is told again. False if there is no such stream.
    fn answer_for(&mut self, queue_id: u64, packet: &mut [u8], now: Timestamp) -> bool {
        let Some(shard) = self.core.shard_of(queue_id) else {
            return false;
        };
        let answer = &mut self.answer;
        let Some(remote) = shard.routes.answer(queue_id, packet, now, answer) else {
            return false;
        };
        self.core.counters.duplicates.add(1);
        self.acknowledge(remote, now);
        true
    }

    /// Says what streams have received whose receipts no packet took along
    pub(super) fn send_receipts(&mut self, now: Timestamp) {
        for queue_id in self.shard.overdue_receipts(now) {
            match self.core.stream(queue_id) {
                Some(shared) => recv::worker::acknowledge(&shared, now, &mut self.wakes),
                None => self.acknowledge_for(queue_id, now),
            }
        }
    }

    fn acknowledge_for(&mut self, queue_id: u64, now: Timestamp) {
        let shard = self.core.shard_of(queue_id);
        let remote = shard.and_then(|shard| shard.routes.acknowledge(queue_id, &mut self.answer));
        if let Some(remote) = remote {
            self.acknowledge(remote, now);
        }
    }

    /// Sends what is in `answer` in the place of a stream
    fn acknowledge(&mut self, remote: SocketAddr, now: Timestamp) {
        self.core.counters.control_packets.add(1);
        self.say(remote, ExplicitCongestionNotification::Ect0, now);
    }

    fn accept(
        &mut self,
        credentials: Credentials,
        source_queue_id: Option<VarInt>,
        arrival: Incoming,
        is_followed: bool,
        now: Timestamp,
    ) {
        let remote = arrival.remote;
        let (Some(acceptor), false) = (&self.core.acceptor, self.core.is_closing()) else {
            self.core.counters.dropped.unroutable.add(1);
            return;
        };
        self.answer.clear();
        self.lone_packets += 1;
        acceptor.accept(
            Opening {
                credentials,
                source_queue_id,
                arrival,
                is_followed,
                answer: &mut self.answer,
                wakes: &mut self.acceptors,
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
        credentials: &Credentials,
        source_queue_id: Option<VarInt>,
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
        let pool = &self.core.pool;
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
}
