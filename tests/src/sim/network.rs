// SPDX-License-Identifier: Apache-2.0

//! The network of a simulation: what stands between a socket's send and the other's receive.
//!
//! A packet passes through a list of nodes. Each says when the packet leaves it, or that it does not, and knows nothing of sockets and
//! tasks: see [`Node`]. A new condition is a new node. Packets that leave the last node are delivered in the order of their
//! times, and those of one time in the order in which they were sent.
//!
//! The rule: every decision follows from the seed, the group of the sender and the packets that it has sent before.

mod node;

pub use node::{Dropped, Node};

use crate::seed::{mix, Random};
use bach::{
    environment::net::{
        ip::{Packet, Segments},
        monitor, pcap,
        queue::{Allocator, Dispatch, PacketQueue},
    },
    ext::*,
    group::Group,
    queue::vec_deque,
    time::{sleep_until, Instant, Sleep},
};
use node::Passage;
use std::{
    collections::BTreeMap,
    future::{poll_fn, Future as _},
    hash::{DefaultHasher, Hasher as _},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// What became of the packets of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the socket, a GSO batch as so many as it holds.
    pub sent: u64,
    /// To the other end's socket, or on their way there.
    pub delivered: u64,
    /// By a node that loses packets.
    pub lost: u64,
    /// By a full queue.
    pub overflowed: u64,
}

/// One packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Since the simulation's start.
    pub sent: Duration,
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// Of the UDP payload, in bytes.
    pub len: usize,
    /// Of the UDP payload.
    pub hash: u64,
    /// When it is delivered, or why it is not.
    pub fate: Result<Duration, Dropped>,
}

/// Every packet of a simulation, in the order in which they were sent.
pub type Trace = Vec<Record>;

/// What the packets of one group pass through.
struct Link {
    nodes: Vec<Passage>,
    random: Random,
    counts: Counts,
    /// By the time of delivery, then by when they were sent.
    in_flight: BTreeMap<(Duration, u64), Packet>,
    /// Of the task that delivers, once there is one.
    waker: Option<Waker>,
    has_task: bool,
}

impl Link {
    fn admit(&mut self, packet: Packet, now: Duration) -> Record {
        let payload = packet.transport.payload();
        let mut hasher = DefaultHasher::new();
        hasher.write(payload);
        let len = payload.len();
        let mut fate = Ok(now);
        for node in &mut self.nodes {
            fate = fate.and_then(|at| node.pass(len, &mut self.random, at));
        }
        let record = Record {
            sent: now,
            source: packet.source(),
            destination: packet.destination(),
            len,
            hash: hasher.finish(),
            fate,
        };
        self.counts.sent += 1;
        match fate {
            Ok(at) => {
                self.counts.delivered += 1;
                self.in_flight.insert((at, self.counts.sent), packet);
            }
            Err(Dropped::Lost) => self.counts.lost += 1,
            Err(Dropped::Overflowed) => self.counts.overflowed += 1,
        }
        record
    }

    /// The next packet whose time has come, else when there is one
    fn take(&mut self, now: Duration) -> Result<Packet, Option<Duration>> {
        let Some(first) = self.in_flight.first_entry() else {
            return Err(None);
        };
        let (at, _) = *first.key();
        if at <= now {
            Ok(first.remove())
        } else {
            Err(Some(at))
        }
    }
}

/// The network, which bach asks for the queues of each socket.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

struct State {
    links: BTreeMap<String, Link>,
    trace: Trace,
}

impl Network {
    /// A network whose packets pass through the nodes of their sender's group; those of another group arrive at once.
    pub fn new<'a>(seed: u64, groups: impl IntoIterator<Item = (&'a str, &'a Vec<Node>)>) -> Self {
        let links = groups
            .into_iter()
            .enumerate()
            .map(|(index, (group, nodes))| {
                let link = Link {
                    nodes: nodes.iter().copied().map(Passage::new).collect(),
                    random: Random::new(mix(seed, index as u64)),
                    counts: Counts::default(),
                    in_flight: BTreeMap::new(),
                    waker: None,
                    has_task: false,
                };
                (group.to_owned(), link)
            });
        Self(Arc::new(Mutex::new(State {
            links: links.collect(),
            trace: Trace::new(),
        })))
    }

    /// Every packet so far.
    pub fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    /// How many packets there were so far.
    pub fn packets(&self) -> u64 {
        self.state().trace.len() as u64
    }

    /// What became of the packets of `group`.
    pub fn counts(&self, group: &str) -> Counts {
        let state = self.state();
        state
            .links
            .get(group)
            .map(|link| link.counts)
            .unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn admit(&self, group: &str, packet: Packet) {
        let waker = {
            let mut state = self.state();
            let Some(link) = state.links.get_mut(group) else {
                return;
            };
            let record = link.admit(packet, Instant::now().elapsed_since_start());
            let waker = link.waker.take();
            state.trace.push(record);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the next delivery of `group`
    fn poll_take(
        &self,
        group: &str,
        alarm: &mut Option<Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Packet> {
        loop {
            let mut state = self.state();
            let Some(link) = state.links.get_mut(group) else {
                return Poll::Pending;
            };
            let next = link.take(Instant::now().elapsed_since_start());
            link.waker = Some(cx.waker().clone());
            drop(state);
            match next {
                Ok(packet) => return Poll::Ready(packet),
                Err(None) => return Poll::Pending,
                Err(Some(at)) => {
                    let alarm = alarm.insert(sleep_until(Instant::zero() + at));
                    if Pin::new(alarm).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    async fn deliver(self, group: String, dispatch: Dispatch) {
        let mut alarm = None;
        loop {
            let packet = poll_fn(|cx| self.poll_take(&group, &mut alarm, cx)).await;
            dispatch.send(packet).await;
        }
    }
}

impl Allocator for Network {
    fn for_udp(
        &mut self,
        group: &Group,
        addr: SocketAddr,
        dispatch: &Dispatch,
        _monitors: &monitor::List,
        _pcaps: &mut pcap::Registry,
    ) -> PacketQueue {
        let group = group.name();
        // endless, as the nodes are where packets are dropped
        let (local_sender, mut outbound) = vec_deque::Queue::builder()
            .build::<Segments>()
            .mutex()
            .channel();
        let (remote_sender, local_receiver) = vec_deque::Queue::builder()
            .build::<Packet>()
            .mutex()
            .channel();

        let is_first = match self.state().links.get_mut(&group) {
            Some(link) => !std::mem::replace(&mut link.has_task, true),
            None => false,
        };
        if is_first {
            let deliver = self.clone().deliver(group.clone(), dispatch.clone());
            deliver.spawn_named(format_args!("network/{group}"));
        }
        let network = self.clone();
        async move {
            while let Ok(segments) = outbound.recv().await {
                for packet in segments {
                    network.admit(&group, packet);
                }
            }
        }
        .spawn_named(format_args!("network/{addr}"));
        PacketQueue {
            local_sender,
            local_receiver,
            remote_sender,
        }
    }
}
