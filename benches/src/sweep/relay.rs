// SPDX-License-Identifier: Apache-2.0

//! A longer path: a relay in user space that holds each datagram for the same time, in both directions.
//!
//! The one rule: nothing leaves before its time. It may leave later, by what the system takes to wake a thread; the order of a direction
//! never changes.
//!
//! Clients send to the relay's address instead of the server's. Like a NAT, it has a socket towards the server for each client address.
//! The marks of congestion notification (ECN) are not passed on: the streams that it is made for do not read them.
//!
//! ```text
//! clients ◀──▶ front ── one thread, queue ──▶ backs[0..flows] ◀──▶ server
//!                 ◀──── another one, queue ──
//! ```

use crate::{buffers, train};
use nix::{
    poll::{ppoll, PollFd, PollFlags},
    sys::{
        signal::SigSet,
        socket::{MsgFlags, SockaddrStorage},
        time::{TimeSpec, TimeValLike as _},
    },
};
use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    slice,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, OnceLock,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A running relay. Dropping it ends its threads, and loses what they hold.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay to `server`, an address of IPv4's loopback, that adds `delay` to each way of at most `flows` client addresses.
    ///
    /// # Errors
    ///
    /// What the system says to sockets and threads.
    pub fn start(server: SocketAddr, delay: Duration, flows: usize) -> io::Result<Self> {
        let front = buffers::socket(SOCKET_BUFFER)?;
        train::prepare(&front, SOCKET_BUFFER)?;
        let address = front.local_addr()?;
        let back = |_| {
            let back = buffers::socket(SOCKET_BUFFER)?;
            train::prepare(&back, SOCKET_BUFFER)?;
            back.connect(server)?;
            Ok(back)
        };
        #[expect(clippy::disallowed_methods, reason = "the outermost edge")]
        let start = Instant::now();
        let shared = Arc::new(Shared {
            start,
            delay,
            front,
            backs: (0..flows).map(back).collect::<io::Result<_>>()?,
            clients: (0..flows).map(|_| OnceLock::new()).collect(),
            lost: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let mut relay = Self {
            address,
            shared,
            threads: Vec::new(),
        };
        for direction in [Direction::ToServer, Direction::ToClients] {
            let shared = relay.shared.clone();
            let thread = thread::Builder::new().name("relay".to_owned());
            relay
                .threads
                .push(thread.spawn(move || shared.run(direction))?);
        }
        Ok(relay)
    }

    /// Where clients send to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Trains that were lost here: those of more clients than there may be, and those that a socket refused.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // a thread that panicked has said so
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    ToServer,
    ToClients,
}

/// What both threads use.
#[derive(Debug)]
struct Shared {
    /// What the threads count time from.
    start: Instant,
    delay: Duration,
    /// Where clients send to.
    front: UdpSocket,
    /// Each stands for a client towards the server.
    backs: Vec<UdpSocket>,
    /// The clients that the sockets in `backs` stand for. Only the thread that receives from clients sets them.
    clients: Vec<OnceLock<SockaddrStorage>>,
    lost: AtomicU64,
    stop: AtomicBool,
}

/// A train that waits.
struct Held {
    /// Its client, by the place in [`Shared::clients`].
    flow: usize,
    /// The first `len` bytes of it.
    buffer: Vec<u8>,
    len: usize,
    segment: usize,
}

impl Shared {
    fn run(&self, direction: Direction) {
        let inputs = match direction {
            Direction::ToServer => slice::from_ref(&self.front),
            Direction::ToClients => &self.backs,
        };
        let mut queue = Queue::new(self.delay);
        let mut spare = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.start.elapsed();
            let next = queue.next().map(|due| due.saturating_sub(now));
            wait(inputs, next.unwrap_or(IDLE).min(IDLE));
            for (index, input) in inputs.iter().enumerate() {
                for _ in 0..BATCH {
                    if queue.len() == MAX_HELD {
                        break;
                    }
                    let mut buffer: Vec<u8> =
                        spare.pop().unwrap_or_else(|| vec![0; train::MAX_LEN]);
                    let Ok(train) = train::receive(input, &mut buffer, MsgFlags::MSG_DONTWAIT)
                    else {
                        spare.push(buffer);
                        break;
                    };
                    let flow = match direction {
                        Direction::ToServer => train.from.and_then(|from| self.flow(&from)),
                        Direction::ToClients => Some(index),
                    };
                    let Some(flow) = flow else {
                        self.count_lost();
                        spare.push(buffer);
                        continue;
                    };
                    let held = Held {
                        flow,
                        buffer,
                        len: train.len,
                        segment: train.segment,
                    };
                    queue.push(held, self.start.elapsed());
                }
            }
            while let Some(held) = queue.pop(self.start.elapsed()) {
                self.send(direction, &held);
                spare.push(held.buffer);
            }
        }
    }

    /// The place of a client, a new one if it has none.
    fn flow(&self, client: &SockaddrStorage) -> Option<usize> {
        let mut clients = self.clients.iter();
        clients.position(|slot| slot.get_or_init(|| *client) == client)
    }

    fn send(&self, direction: Direction, held: &Held) {
        let bytes = &held.buffer[..held.len];
        let sent = match direction {
            Direction::ToServer => train::send(&self.backs[held.flow], bytes, held.segment, None),
            Direction::ToClients => match self.clients[held.flow].get() {
                Some(client) => train::send(&self.front, bytes, held.segment, Some(client)),
                // the server does not know the address of a socket that nothing was sent from
                None => return self.count_lost(),
            },
        };
        if sent.is_err() {
            self.count_lost();
        }
    }

    fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until there is something to receive, or `limit` is over.
fn wait(inputs: &[UdpSocket], limit: Duration) {
    let mut fds: Vec<PollFd<'_>> = inputs
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    let nanos = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
    let limit = TimeSpec::nanoseconds(nanos);
    // an interrupted wait is a short wait
    let _ = ppoll(&mut fds, Some(limit), Some(SigSet::empty()));
}

/// What waits for its time, in the order in which it came. Times are since any one moment.
struct Queue<T> {
    delay: Duration,
    waiting: VecDeque<(Duration, T)>,
}

impl<T> Queue<T> {
    const fn new(delay: Duration) -> Self {
        Self {
            delay,
            waiting: VecDeque::new(),
        }
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }

    fn push(&mut self, item: T, now: Duration) {
        self.waiting.push_back((now + self.delay, item));
    }

    /// When the first may leave.
    fn next(&self) -> Option<Duration> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// The first, if it may leave.
    fn pop(&mut self, now: Duration) -> Option<T> {
        let (_, item) = self.waiting.pop_front_if(|(due, _)| *due <= now)?;
        Some(item)
    }
}

/// How often a thread looks whether it is to end.
const IDLE: Duration = Duration::from_millis(20);
/// Trains that one socket may have in a row before others are looked at, and what is due is sent. Arbitrary.
const BATCH: usize = 16;
/// Trains that a direction holds, 64 MiB of buffers; more wait in its sockets. What 64 Gbit/s need for 8 ms if trains are full.
const MAX_HELD: usize = 1024;
/// What each socket asks for in each direction, in bytes: what comes while a thread is not running must not be lost.
const SOCKET_BUFFER: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_leaves_the_queue_before_its_time_and_the_order_stays() {
        let mut queue = Queue::new(10 * MILLI);
        assert_eq!((queue.next(), queue.pop(100 * MILLI)), (None, None));
        queue.push('a', MILLI);
        queue.push('b', 3 * MILLI);
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.next(), Some(11 * MILLI));
        assert_eq!(queue.pop(11 * MILLI - Duration::from_nanos(1)), None);
        assert_eq!(queue.pop(11 * MILLI), Some('a'));
        assert_eq!(queue.pop(11 * MILLI), None);
        assert_eq!(queue.next(), Some(13 * MILLI));
        assert_eq!(queue.pop(20 * MILLI), Some('b'));
        assert_eq!(queue.len(), 0);
    }

    fn socket() -> UdpSocket {
        let socket = buffers::socket(SOCKET_BUFFER).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        socket
    }

    /// Ten datagrams of 1000 bytes and one of 300, each with other bytes.
    fn datagrams(seed: u8) -> Vec<Vec<u8>> {
        (0..11)
            .map(|number| vec![seed + number; if number == 10 { 300 } else { 1000 }])
            .collect()
    }

    /// Receives as many datagrams as `expected`, compares them, and returns where the last came from.
    fn expect(socket: &UdpSocket, expected: &[Vec<u8>]) -> SocketAddr {
        let mut from = None;
        for datagram in expected {
            let mut buffer = [0; 2000];
            let (len, sender) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], datagram);
            from = Some(sender);
        }
        from.unwrap()
    }

    #[test]
    fn trains_arrive_unchanged_and_not_before_the_delay_is_over_in_both_directions() {
        let server = socket();
        let delay = 10 * MILLI;
        let relay = Relay::start(server.local_addr().unwrap(), delay, 2).unwrap();
        let clients = [socket(), socket()];
        let mut seen = Vec::new();
        for (client, seed) in clients.iter().zip([0, 50]) {
            client.connect(relay.address()).unwrap();
            // before the first byte is on its way
            let start = relay.shared.start.elapsed();
            train::send(client, &datagrams(seed).concat(), 1000, None).unwrap();
            seen.push(expect(&server, &datagrams(seed)));
            assert!(relay.shared.start.elapsed() >= start + delay);
        }
        assert_ne!(seen[0], seen[1]);
        for ((client, from), seed) in clients.iter().zip(&seen).zip([100, 150]) {
            let start = relay.shared.start.elapsed();
            let bytes = datagrams(seed).concat();
            train::send(&server, &bytes, 1000, Some(&(*from).into())).unwrap();
            assert_eq!(expect(client, &datagrams(seed)), relay.address());
            assert!(relay.shared.start.elapsed() >= start + delay);
        }
        assert_eq!(relay.lost(), 0);
    }

    #[test]
    fn what_comes_from_more_clients_than_there_may_be_is_counted() {
        let server = socket();
        let relay = Relay::start(server.local_addr().unwrap(), Duration::ZERO, 1).unwrap();
        let (first, second) = (socket(), socket());
        first.send_to(b"first", relay.address()).unwrap();
        expect(&server, &[b"first".to_vec()]);
        second.send_to(b"second", relay.address()).unwrap();
        // in order: when this has arrived, the one before has been looked at
        first.send_to(b"third", relay.address()).unwrap();
        expect(&server, &[b"third".to_vec()]);
        assert_eq!(relay.lost(), 1);
    }
}
