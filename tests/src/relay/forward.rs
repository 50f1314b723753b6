// SPDX-License-Identifier: Apache-2.0

//! The relay's thread: one loop over all of its sockets.
//!
//! The rule: bounded. No more than [`MAX_FLOWS`] client addresses and [`MAX_HELD`] held datagrams; what exceeds them is
//! dropped or sent at once.

use super::{lock, Direction, Fate, Shared};
use nix::{
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::socket::{setsockopt, sockopt},
};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

/// All that the thread owns.
pub(super) struct Forward {
    front: UdpSocket,
    server: SocketAddr,
    seed: u64,
    shared: Arc<Shared>,
    flows: Vec<Flow>,
    held: Vec<Held>,
    /// How many datagrams each direction has had.
    index: [u64; 2],
    buffer: Vec<u8>,
}

/// One client address, and the socket that stands for it towards the server.
struct Flow {
    client: SocketAddr,
    socket: UdpSocket,
}

/// A datagram that others may overtake.
struct Held {
    flow: usize,
    direction: Direction,
    datagram: Vec<u8>,
    /// Goes on when its direction has had this many datagrams...
    after: u64,
    /// ...and at this time at the latest.
    deadline: Instant,
}

impl Forward {
    pub(super) fn new(
        front: UdpSocket,
        server: SocketAddr,
        seed: u64,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        prepare(&front)?;
        Ok(Self {
            front,
            server,
            seed,
            shared,
            flows: Vec::new(),
            held: Vec::new(),
            index: [0; 2],
            buffer: vec![0; 1 << 16],
        })
    }

    /// Forwards until the handle is dropped.
    pub(super) fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.wait();
            self.receive_from_clients();
            for flow in 0..self.flows.len() {
                self.receive_from_server(flow);
            }
            self.release(Instant::now());
        }
    }

    /// Waits for a datagram, or for a moment: held datagrams and the end are looked at that often.
    fn wait(&self) {
        let mut fds: Vec<PollFd<'_>> = self
            .flows
            .iter()
            .map(|flow| &flow.socket)
            .chain([&self.front])
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        let millis: u8 = if self.held.is_empty() { 20 } else { 1 };
        // an interrupted wait is a short wait
        let _ = poll(&mut fds, PollTimeout::from(millis));
    }

    fn receive_from_clients(&mut self) {
        for _ in 0..BATCH {
            let Ok((len, client)) = self.front.recv_from(&mut self.buffer) else {
                return;
            };
            if let Some(flow) = self.flow(client) {
                self.handle(flow, Direction::ToServer, len);
            }
        }
    }

    fn receive_from_server(&mut self, flow: usize) {
        for _ in 0..BATCH {
            let Ok(len) = self.flows[flow].socket.recv(&mut self.buffer) else {
                return;
            };
            self.handle(flow, Direction::ToClient, len);
        }
    }

    /// The flow of a client address, made when it is new.
    fn flow(&mut self, client: SocketAddr) -> Option<usize> {
        if let Some(flow) = self.flows.iter().position(|flow| flow.client == client) {
            return Some(flow);
        }
        if self.flows.len() == MAX_FLOWS {
            return None;
        }
        let socket = UdpSocket::bind(SocketAddr::new(self.server.ip(), 0)).ok()?;
        socket.connect(self.server).ok()?;
        prepare(&socket).ok()?;
        self.flows.push(Flow { client, socket });
        Some(self.flows.len() - 1)
    }

    /// Decides about the datagram that the buffer starts with.
    fn handle(&mut self, flow: usize, direction: Direction, len: usize) {
        let index = self.index[direction as usize];
        self.index[direction as usize] += 1;
        count(&self.shared.counters.received);
        let datagram = &self.buffer[..len];
        {
            let mut captured = lock(&self.shared.captured[direction as usize]);
            if captured.len() < MAX_CAPTURED {
                captured.push(datagram.to_vec());
            }
        }

        let impairments = *lock(&self.shared.impairments);
        match impairments.fate(self.seed, direction, index) {
            Fate::Drop => count(&self.shared.counters.dropped),
            Fate::Hold { behind } if self.held.len() < MAX_HELD => {
                count(&self.shared.counters.reordered);
                self.held.push(Held {
                    flow,
                    direction,
                    datagram: datagram.to_vec(),
                    after: index + behind + 1,
                    deadline: Instant::now() + MAX_HOLD,
                });
            }
            Fate::Duplicate => {
                count(&self.shared.counters.duplicated);
                self.send(flow, direction, datagram);
                self.send(flow, direction, datagram);
            }
            Fate::Forward | Fate::Hold { .. } => self.send(flow, direction, datagram),
        }
        self.release_overtaken();
    }

    /// Sends what enough others have overtaken.
    fn release_overtaken(&mut self) {
        let index = self.index;
        self.release_if(|held| index[held.direction as usize] >= held.after);
    }

    /// Sends what has been held for long enough.
    fn release(&mut self, now: Instant) {
        self.release_if(|held| held.deadline <= now);
    }

    fn release_if(&mut self, is_due: impl Fn(&Held) -> bool) {
        let mut at = 0;
        while at < self.held.len() {
            if is_due(&self.held[at]) {
                let held = self.held.remove(at);
                self.send(held.flow, held.direction, &held.datagram);
            } else {
                at += 1;
            }
        }
    }

    fn send(&self, flow: usize, direction: Direction, datagram: &[u8]) {
        let Flow { client, socket } = &self.flows[flow];
        let sent = match direction {
            Direction::ToServer => socket.send(datagram),
            Direction::ToClient => self.front.send_to(datagram, client),
        };
        if sent.is_err() {
            count(&self.shared.counters.failed);
        }
    }
}

/// Makes a socket fit for bursts: losses are to come from the seed, not from its buffers.
fn prepare(socket: &UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    // the forced one needs a privilege, the other is cut to the system's limit
    if setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
        setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER)?;
    }
    Ok(())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How many datagrams one socket may have in a row before the others are looked at.
const BATCH: usize = 64;

/// More client sockets than any test has.
const MAX_FLOWS: usize = 64;

/// At 2 % and a hold of eight datagrams, two are held at most times.
const MAX_HELD: usize = 256;

/// How long a datagram waits for others to overtake it: shorter than the 6 ms after which a sender first probes.
const MAX_HOLD: Duration = Duration::from_millis(3);

/// The first packets of some streams are what a test wants to see.
const MAX_CAPTURED: usize = 64;

/// In bytes. Twenty times what the path window of a loopback stream holds.
const SOCKET_BUFFER: usize = 16 << 20;
