// SPDX-License-Identifier: Apache-2.0

//! The network of a simulation: what stands between a socket's send and the other's receive.
//!
//! A packet passes through a list of nodes. Each says when the packet leaves it, or that it does not, and knows nothing of
//! sockets and tasks: see [`Node`]. A new condition is a new node. There is one list for all packets to the server, whichever
//! client they are of, and one for all packets of it. Packets that leave the last node are delivered in the order of their
//! times, and those of one time in the order in which that was known.
//!
//! The rule: every decision follows from the seed, the direction and the packets that it has had before.

mod link;
mod node;

pub use node::{Dropped, Kind, Node};

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
    sync::channel::Sender,
    time::{sleep_until, Instant, Sleep},
};
use link::Link;
use std::{
    future::{poll_fn, Future as _},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Whatever sockets outside of [`SERVER`] send.
    ToServer,
    /// Whatever sockets of [`SERVER`] send.
    ToClient,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ToServer, Self::ToClient];
}

/// The group of the server's sockets.
pub const SERVER: &str = "server";

/// What became of the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the sockets, a GSO batch as so many as it holds.
    pub sent: u64,
    /// To the other end's socket, or on their way there. Copies count.
    pub delivered: u64,
    /// By a node that loses packets.
    pub lost: u64,
    /// By a full queue.
    pub overflowed: u64,
    /// Copies that a node has made.
    pub duplicated: u64,
    /// Packets that others were to overtake.
    pub held: u64,
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
    /// Of the packet.
    pub kind: Kind,
    /// Of the UDP payload, in bytes.
    pub len: usize,
    /// Of the UDP payload.
    pub hash: u64,
    /// What was known of it when it was sent.
    pub fate: Fate,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Since the simulation's start.
    Arrives(Duration),
    /// Others were to overtake it.
    Held,
    /// It does not arrive.
    Dropped(Dropped),
}

/// Every packet of a simulation, in the order in which they were sent.
pub type Trace = Vec<Record>;

/// The network, which bach asks for the queues of each socket.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

struct State {
    to_server: Link,
    to_client: Link,
    sockets: Vec<Socket>,
    trace: Trace,
}

/// A socket that packets can be delivered to.
struct Socket {
    addr: SocketAddr,
    inbox: Sender<Packet>,
    is_plugged: bool,
}

impl State {
    fn link(&mut self, way: Way) -> &mut Link {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }

    /// The socket that a packet is for. Of those that share a port, the sender's address chooses, as it does in a kernel.
    fn inbox(&self, packet: &Packet) -> Option<Sender<Packet>> {
        let (source, destination) = (packet.source(), packet.destination());
        let bound = || {
            let is_bound = |socket: &&Socket| socket.is_plugged && socket.addr == destination;
            self.sockets.iter().filter(is_bound)
        };
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        let count = bound().count().max(1) as u64;
        let socket = bound().nth((hasher.finish() % count) as usize);
        socket.map(|socket| socket.inbox.clone())
    }
}

impl Network {
    /// A network with these nodes in either direction.
    pub fn new(seed: u64, to_server: &[Node], to_client: &[Node]) -> Self {
        Self(Arc::new(Mutex::new(State {
            to_server: Link::new(to_server, Random::new(mix(seed, 0))),
            to_client: Link::new(to_client, Random::new(mix(seed, 1))),
            sockets: Vec::new(),
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

    /// What became of the packets of one direction.
    pub fn counts(&self, way: Way) -> Counts {
        self.state().link(way).counts
    }

    /// The nodes of one direction, and how often each did what it is for.
    pub fn acts(&self, way: Way) -> Vec<(Node, u64)> {
        self.state().link(way).acts()
    }

    /// From now on, the sockets that are bound to `addr` neither send nor receive, as if their process was gone. Ones that
    /// are bound there later do.
    pub fn unplug(&self, addr: SocketAddr) {
        for socket in &mut self.state().sockets {
            socket.is_plugged &= socket.addr != addr;
        }
    }

    /// Whether a socket is bound to `addr` and was not unplugged.
    pub fn is_bound(&self, addr: SocketAddr) -> bool {
        let state = self.state();
        let mut sockets = state.sockets.iter();
        sockets.any(|socket| socket.is_plugged && socket.addr == addr)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn admit(&self, way: Way, socket: usize, packet: Packet) {
        let waker = {
            let mut state = self.state();
            if state.sockets.get(socket).is_none_or(|it| !it.is_plugged) {
                return;
            }
            let link = state.link(way);
            let record = link.admit(packet, Instant::now().elapsed_since_start());
            let waker = link.waker.take();
            state.trace.push(record);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the next delivery
    fn poll_take(&self, way: Way, alarm: &mut Option<Sleep>, cx: &mut Context<'_>) -> Poll<Packet> {
        loop {
            let mut state = self.state();
            let link = state.link(way);
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

    async fn deliver(self, way: Way) {
        let mut alarm = None;
        loop {
            let packet = poll_fn(|cx| self.poll_take(way, &mut alarm, cx)).await;
            let inbox = self.state().inbox(&packet);
            if let Some(mut inbox) = inbox {
                // a socket that is gone receives nothing
                let _ = inbox.push_nowait(packet).await;
            }
        }
    }
}

impl Allocator for Network {
    fn for_udp(
        &mut self,
        group: &Group,
        addr: SocketAddr,
        _dispatch: &Dispatch,
        _monitors: &monitor::List,
        _pcaps: &mut pcap::Registry,
    ) -> PacketQueue {
        let way = match group.name() == SERVER {
            true => Way::ToClient,
            false => Way::ToServer,
        };
        // endless, as the nodes are where packets are dropped
        let (local_sender, mut outbound) = vec_deque::Queue::builder()
            .build::<Segments>()
            .mutex()
            .channel();
        let (remote_sender, local_receiver) = vec_deque::Queue::builder()
            .build::<Packet>()
            .mutex()
            .channel();

        let (socket, is_first) = {
            let mut state = self.state();
            state.sockets.push(Socket {
                addr,
                inbox: remote_sender.clone(),
                is_plugged: true,
            });
            let is_first = !std::mem::replace(&mut state.link(way).has_task, true);
            (state.sockets.len() - 1, is_first)
        };
        if is_first {
            let deliver = self.clone().deliver(way);
            deliver.spawn_named(format_args!("network/{way:?}"));
        }
        let network = self.clone();
        async move {
            while let Ok(segments) = outbound.recv().await {
                for packet in segments {
                    network.admit(way, socket, packet);
                }
            }
            // the socket is closed
            if let Some(socket) = network.state().sockets.get_mut(socket) {
                socket.is_plugged = false;
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
