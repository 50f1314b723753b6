// SPDX-License-Identifier: Apache-2.0

//! A worker on a socket that keeps what it takes and fails as it is told, and streams that know their transmissions by number.
//!
//! The one rule: every packet starts with the number of its transmission, so that what left is read from the bytes themselves.

use crate::{
    msg::send::{Builder, Message},
    socket::{
        io::{Gather, Received, Socket},
        pool::{Class, Config, Pool, Purpose},
        send::{
            completion::{Batch, Outcome, Queue},
            transmission::{Completions, Priority, Ticket, Token, Transmission},
            udp::{Next, Sender, Worker},
        },
    },
    stream::{environment::drive::Sending, testing::clock::Clock},
    sync::doorbell::{Doorbell, Wake as Ring},
};
use core::time::Duration;
use nix::errno::Errno;
use parking_lot::Mutex;
use s2n_quic_core::{inet::ExplicitCongestionNotification, time::Timestamp};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    task::{Wake, Waker},
};

/// The length of a packet unless a test wants another
pub(super) const PACKET: usize = 100;

/// A time of the tests' own clock, in microseconds after its start
pub(super) fn at(micros: u64) -> Timestamp {
    // SAFETY: the tests use one made-up clock
    unsafe { Timestamp::from_duration(Duration::from_micros(START + micros)) }
}

fn micros(time: Timestamp) -> u64 {
    super::ticks(time) - START
}

/// Crosses slots of the wheel's higher levels now and then
const START: u64 = 1_000_000;

/// What the socket was handed as one message
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) port: u16,
    pub(super) ecn: ExplicitCongestionNotification,
    pub(super) segment_len: usize,
    /// The lengths of the packets, and the number of the transmission that each belongs to
    pub(super) packets: Vec<(u32, usize)>,
}

impl Sent {
    /// The transmissions in it, each once
    pub(super) fn serials(&self) -> Vec<u32> {
        let mut serials: Vec<u32> = self.packets.iter().map(|(serial, _)| *serial).collect();
        serials.dedup();
        serials
    }
}

/// How one call ends: after the first `taken` messages with `errno`, if there are more
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) taken: usize,
    pub(super) errno: Errno,
}

#[derive(Default)]
pub(super) struct FakeSocket {
    /// The messages of each call, without those that it refused
    calls: Mutex<Vec<Vec<Sent>>>,
    /// One for each call to come
    pub(super) faults: Mutex<VecDeque<Fault>>,
    pub(super) max_segments: AtomicUsize,
}

impl FakeSocket {
    fn take(&self, messages: &[Gather<'_>]) -> (usize, Option<io::Error>) {
        assert!(!messages.is_empty(), "a call without a message");
        let fault = self.faults.lock().pop_front();
        let refusal = fault.filter(|fault| fault.taken < messages.len());
        let taken = refusal.map_or(messages.len(), |fault| fault.taken);
        let sent = messages[..taken].iter().map(read).collect();
        self.calls.lock().push(sent);
        (taken, refusal.map(|fault| fault.errno.into()))
    }
}

fn read(message: &Gather<'_>) -> Sent {
    let buffers: Vec<&[u8]> = message.payload.iter().map(|buffer| &**buffer).collect();
    let payload = buffers.concat();
    assert_eq!(payload.len(), message.total_len());
    assert!(payload.len() <= 65_487 && message.segments() <= 44);
    let packets = payload
        .chunks(message.segment_len)
        .map(|packet| {
            let serial: [u8; 4] = packet[..4].try_into().unwrap();
            (u32::from_be_bytes(serial), packet.len())
        })
        .collect();
    Sent {
        port: message.addr.port(),
        ecn: message.ecn,
        segment_len: message.segment_len,
        packets,
    }
}

impl Socket for FakeSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([192, 0, 2, 9], 1).into())
    }

    fn send(&self, message: &Gather<'_>) -> io::Result<()> {
        match self.take(&[*message]) {
            (_, Some(error)) => Err(error),
            (_, None) => Ok(()),
        }
    }

    fn send_many(&self, messages: &[Gather<'_>]) -> (usize, Option<io::Error>) {
        self.take(messages)
    }

    fn recv(&self, _payload: &mut [u8]) -> io::Result<Received> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn max_segments(&self) -> usize {
        self.max_segments.load(Ordering::Relaxed)
    }
}

/// Counts wakes, of a stream or of the worker
#[derive(Clone, Default)]
pub(super) struct Wakes(Arc<AtomicUsize>);

impl Wakes {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::new(self.clone()))
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Ring for Wakes {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What to send: one full data packet, due at the start, unless a test says otherwise
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) serial: u32,
    pub(super) departure: u64,
    pub(super) priority: Priority,
    pub(super) port: u16,
    pub(super) ecn: ExplicitCongestionNotification,
    pub(super) segment_len: usize,
    pub(super) packets: usize,
    /// The length of the last packet; the others are full
    pub(super) last: usize,
}

impl Plan {
    pub(super) fn new(serial: u32) -> Self {
        Self {
            serial,
            departure: 0,
            priority: Priority::Data,
            port: 7,
            ecn: ExplicitCongestionNotification::Ect0,
            segment_len: PACKET,
            packets: 1,
            last: PACKET,
        }
    }

    /// Packets of another length than the usual, all of them full
    pub(super) fn of(serial: u32, packets: usize, segment_len: usize) -> Self {
        Self {
            packets,
            segment_len,
            last: segment_len,
            ..Self::new(serial)
        }
    }

    fn message(&self, pool: &Pool) -> Message {
        // the builder asks for room for full packets only
        let room = self.packets * self.segment_len;
        let class = Class::for_len(room, pool.config()).unwrap();
        let descriptor = pool.alloc(class, Purpose::Data).unwrap();
        let mut builder = Builder::new(descriptor, self.segment_len).unwrap();
        for index in 0..self.packets {
            let is_last = index + 1 == self.packets;
            let len = if is_last { self.last } else { self.segment_len };
            let write = |buffer: &mut [u8]| {
                buffer[..4].copy_from_slice(&self.serial.to_be_bytes());
                len
            };
            assert_eq!(builder.push(write), Ok(len));
        }
        let peer = ([192, 0, 2, 1], self.port).into();
        builder.finish(peer, self.ecn).unwrap()
    }
}

/// How a transmission ended, with the time in microseconds after the start
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Sent(u64),
    Failed(Errno),
    Cancelled,
}

/// The worker does not look into tokens, so that the place of the length can carry the number
pub(super) fn ticket(stream: &Arc<Completions>, serial: u32) -> Ticket {
    stream.ticket(Token {
        record: None,
        is_data: true,
        len: serial,
    })
}

/// The completions of a stream since the last call, in the order in which they came
pub(super) fn ends(stream: &Completions) -> Vec<(u32, End)> {
    let mut completions = Batch::new();
    stream.drain_into(&mut completions);
    completions
        .into_iter()
        .map(|completion| {
            let end = match completion.outcome {
                Outcome::Sent(departed) => End::Sent(micros(departed.time)),
                Outcome::Failed { errno } => End::Failed(Errno::from_raw(errno.unwrap())),
                Outcome::Cancelled => End::Cancelled,
            };
            (completion.token.len, end)
        })
        .collect()
}

pub(super) struct Bench {
    pub(super) pool: Pool,
    pub(super) socket: Arc<FakeSocket>,
    pub(super) sender: Arc<Sender>,
    pub(super) worker: Worker<FakeSocket>,
    /// Rings that reached the sleeping worker
    pub(super) rings: Wakes,
    /// The stream that transmissions belong to unless a test says otherwise
    pub(super) stream: Arc<Completions>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let pool = Pool::new(Config {
            max_bytes: 128 << 20,
            ..Config::default()
        })
        .unwrap();
        let socket = Arc::new(FakeSocket::default());
        socket.max_segments.store(44, Ordering::Relaxed);
        let rings = Wakes::default();
        let sender = Sender::new(Doorbell::new(Box::new(rings.clone())));
        Self {
            pool,
            worker: Worker::new(socket.clone(), sender.clone(), Duration::ZERO, at(0)),
            socket,
            sender,
            rings,
            stream: Queue::new(),
        }
    }

    /// The worker goes to a thread of its own, as it were
    pub(super) fn hand_over(&mut self, clock: Clock) -> Arc<Sending<FakeSocket>> {
        let nobody = Sender::new(Doorbell::new(Box::new(Wakes::default())));
        let idle = Worker::new(self.socket.clone(), nobody, Duration::ZERO, at(0));
        Sending::new(core::mem::replace(&mut self.worker, idle), clock)
    }

    pub(super) fn submit(&self, plan: Plan) {
        self.submit_for(&self.stream, plan);
    }

    pub(super) fn submit_for(&self, stream: &Arc<Completions>, plan: Plan) {
        self.sender.submit(Transmission {
            message: plan.message(&self.pool),
            departure: at(plan.departure),
            priority: plan.priority,
            ticket: Some(ticket(stream, plan.serial)),
        });
        self.sender.flush();
    }

    pub(super) fn fail(&self, taken: usize, errno: Errno) {
        self.socket.faults.lock().push_back(Fault { taken, errno });
    }

    pub(super) fn poll(&mut self, micros: u64) -> Next {
        self.worker.poll(at(micros))
    }

    /// Polls as the worker's thread does, until there is something to wait for
    pub(super) fn run(&mut self, micros: u64) -> Next {
        for _ in 0..10_000 {
            let next = self.poll(micros);
            if next != Next::Now {
                return next;
            }
        }
        panic!("the worker finds more to do for ever");
    }

    /// What each call took since the last time, call by call
    pub(super) fn calls(&self) -> Vec<Vec<Sent>> {
        std::mem::take(&mut *self.socket.calls.lock())
    }

    /// The transmissions that left since the last time, in order
    pub(super) fn left(&self) -> Vec<u32> {
        let calls = self.calls();
        calls.iter().flatten().flat_map(Sent::serials).collect()
    }

    /// Bytes that are in descriptors that somebody holds
    pub(super) fn pinned(&self) -> usize {
        self.pool.stats().in_use_bytes
    }
}
