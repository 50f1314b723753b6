// SPDX-License-Identifier: Apache-2.0

//! The receiving worker of one socket: takes what the kernel has, has it [dispatched](Dispatcher), and runs the streams' timers.
//!
//! Packets with data are left to a reader that waits, and opened here otherwise, a moment later.
//!
//! The one rule: a round is bounded, and leaves nothing behind that no timer, doorbell or socket brings up again.

use super::{crowding::Crowding, dispatcher::Dispatcher};
use crate::{
    clock::{at_tick, ticks},
    socket::{
        io::{Received, Socket, Truncated},
        pool::{Class, Filled, Purpose, Trimmer, Unfilled},
        send::udp::Next,
    },
    stream::{
        environment::{
            core::{Core, Shard},
            routes::{NOBODY, RECEIPTS},
        },
        recv::{
            self,
            worker::{Scope, Turn},
        },
        shared::Shared,
    },
    sync::{
        doorbell::Doorbell,
        handoff::{Edge, Handoff},
    },
};
use core::time::Duration;
use s2n_quic_core::time::Timestamp;
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Weak},
    task::Waker,
};

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

/// Whom a round has woken on the runtime that the worker shares with them, and whose submissions it is to flush; the later, the more they are
/// waited for
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Company {
    /// Nobody, or one, who flushes himself
    #[default]
    Nobody,
    /// Several, who submit in their next turn. They are in the midst of something, and what leaves together are their acknowledgements: who
    /// has something short to say does not wait for their turns.
    Several,
    /// Several who say something short, as calls do. One that was just accepted is handed on first, from task to task.
    Talkers,
}

pub(crate) struct Worker<S: Socket> {
    socket: Arc<S>,
    core: Arc<Core>,
    shard: Arc<Shard>,
    crowding: Crowding,
    /// The next receive goes here
    spare: Option<Unfilled>,
    scheduled: Vec<Arc<Shared>>,
    dispatcher: Dispatcher,
    /// Streams whose packets are left to their readers, and until when; the earliest is the first
    left: VecDeque<(Timestamp, Weak<Shared>)>,
    /// Whether those whom it wakes run before its next turn, if it lets them
    shares_runtime: bool,
    /// Who was promised that what they submit is flushed for them
    company: Company,
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
            dispatcher: Dispatcher::new(core.clone(), shard.clone()),
            crowding: Crowding::new(socket.backlog()),
            socket,
            core,
            shard,
            spare: None,
            scheduled: Vec::new(),
            left: VecDeque::new(),
            shares_runtime: false,
            company: Company::default(),
        }
    }

    /// It runs as a task beside those that it wakes: what several of them send leaves together
    pub(crate) fn on_shared_runtime(mut self) -> Self {
        self.shares_runtime = true;
        self
    }

    /// Who should have a turn now, before [`flush_for_all`](Self::flush_for_all) is called
    pub(crate) fn company(&self) -> Company {
        self.company
    }

    /// Sends what those have submitted whom the last round has woken
    pub(crate) fn flush_for_all(&mut self) {
        if core::mem::take(&mut self.company) != Company::Nobody {
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
        let company = match core::mem::take(&mut self.dispatcher.lone_packets) {
            2.. => Company::Talkers,
            _ if self.dispatcher.wakes.has_many() => Company::Several,
            _ => Company::Nobody,
        };
        if self.shares_runtime && company != Company::Nobody {
            self.company = self.company.max(company);
            let holds_data = self.company == Company::Talkers;
            self.shard.sender.expect_company(holds_data);
        }
        self.dispatcher.wakes.wake_all();
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

    /// True when there may be more: the budget ended before the socket was empty, or what came is part of something longer, and goes on while
    /// others have their turn. To look once more costs less than to sleep and be woken.
    fn receive(&mut self, now: Timestamp) -> bool {
        let mut has_received = false;
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
                Ok(mut received) => {
                    let backlog = || self.socket.backlog();
                    let ecn = self
                        .crowding
                        .on_received(received.len, received.ecn, backlog);
                    if ecn != received.ecn {
                        self.core.counters.crowded.add(1);
                        received.ecn = ecn;
                    }
                    if let Some(filled) = self.keep(spare, &received) {
                        self.dispatcher.dispatch(filled, &received, now);
                    }
                    has_received = true;
                    // what else there is, is bulk most likely, and does not make it wait
                    if self.dispatcher.has_talkers_among_bulk() {
                        return true;
                    }
                }
                Err(error) => {
                    self.spare = Some(spare);
                    match error.kind() {
                        io::ErrorKind::WouldBlock => {
                            self.crowding.on_empty();
                            return has_received && self.dispatcher.lone_packets == 0;
                        }
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

    /// Wakes readers that wait; where none does, the packets get a moment and are then opened here
    ///
    /// Who has little to do comes last, and who accepts streams after that: of those whom a task wakes, tokio runs the last one at once, and the
    /// others once those have had their turn who are ready already.
    fn deliver(&mut self, now: Timestamp) {
        let Dispatcher {
            touched,
            talkers,
            wakes,
            acceptors,
            ..
        } = &mut self.dispatcher;
        for shared in touched.drain(..).chain(talkers.drain(..)) {
            if let Some(reader) = shared.inbox.take_reader() {
                wakes.push(Some(reader));
            } else if shared.inbox.len() >= recv::worker::MAX_PILE {
                let _ = recv::worker::drain(&shared, Scope::All, now, wakes);
            }
            // not a timer: nearly all come to nothing, and a timer finds its stream anew, in memory that is cold by then
            let until = now + recv::worker::READER_GRACE;
            self.left.push_back((until, Arc::downgrade(&shared)));
        }
        wakes.append(core::mem::take(acceptors));
    }

    /// Looks after packets that were left to readers, and after acknowledgements that readers have left to an answer
    fn run_overdue(&mut self, now: Timestamp) {
        while let Some((_, shared)) = self.left.pop_front_if(|(until, _)| *until <= now) {
            let Some(shared) = shared.upgrade() else {
                continue;
            };
            let _ = recv::worker::drain(&shared, Scope::Overdue, now, &mut self.dispatcher.wakes);
        }
    }

    fn run_scheduled(&mut self, now: Timestamp) {
        self.shard
            .receiver
            .scheduled
            .drain_into(&mut self.scheduled);
        for shared in self.scheduled.drain(..) {
            let turn =
                recv::worker::drain(&shared, Scope::Overdue, now, &mut self.dispatcher.wakes);
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
            if queue_id == NOBODY {
                let wakes = self.core.reclaim(&self.shard, now);
                self.dispatcher.wakes.append(wakes);
            } else if queue_id == RECEIPTS {
                self.dispatcher.send_receipts(now);
            } else if let Some(shared) = self.core.expire(&self.shard, queue_id, tick, now) {
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
