// SPDX-License-Identifier: Apache-2.0

//! A bad network: a UDP relay in user space that loses, doubles and delays datagrams.
//!
//! A client is told the relay's address instead of the server's. Like a NAT, the relay has one socket towards the
//! server for each client address, and answers come from the address that the client sent to.
//!
//! The rule: what happens to a datagram depends on the seed, the direction and the datagram's number in that direction,
//! and on nothing else. Each kind of impairment is counted, so that a test can assert that it did happen.

mod forward;

use crate::seed;
use std::{
    fmt, io,
    net::{SocketAddr, UdpSocket},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, Mutex, PoisonError,
    },
    thread,
};

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    ToServer,
    /// From the server.
    ToClient,
}

/// How bad the network is, in datagrams of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impairments {
    /// How many are lost.
    pub drop: u32,
    /// How many arrive twice.
    pub duplicate: u32,
    /// How many let others overtake.
    pub reorder: u32,
}

impl Impairments {
    /// A good network.
    pub const NONE: Self = Self::all(0);
    /// No network.
    pub const BLACKHOLE: Self = Self {
        drop: 1000,
        duplicate: 0,
        reorder: 0,
    };

    /// Every kind at the same rate.
    pub const fn all(permille: u32) -> Self {
        Self {
            drop: permille,
            duplicate: permille,
            reorder: permille,
        }
    }

    /// What happens to datagram number `index` of a direction.
    pub fn fate(&self, seed: u64, direction: Direction, index: u64) -> Fate {
        let drawn = seed::mix(seed::mix(seed, direction as u64), index);
        let roll = (drawn % 1000) as u32;
        if roll < self.drop {
            Fate::Drop
        } else if roll < self.drop + self.duplicate {
            Fate::Duplicate
        } else if roll < self.drop + self.duplicate + self.reorder {
            // three packets late is what loss detection takes for lost, so both sides of that threshold are drawn
            Fate::Hold {
                behind: 1 + (drawn >> 32) % 8,
            }
        } else {
            Fate::Forward
        }
    }
}

/// What happens to one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Forward,
    /// It is lost.
    Drop,
    /// It goes on twice.
    Duplicate,
    /// It goes on after this many following datagrams, or after a few milliseconds without them.
    Hold {
        /// How many overtake it.
        behind: u64,
    },
}

/// How many datagrams there were, by what happened to them, in both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken from a socket.
    pub received: u64,
    /// Lost on purpose.
    pub dropped: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Held so that others could overtake.
    pub reordered: u64,
    /// Refused by a socket. Neither wanted nor excluded: a full socket buffer is a bad network as well.
    pub failed: u64,
}

impl Counts {
    /// A test of a bad network that was not bad tests nothing.
    ///
    /// # Panics
    ///
    /// When any kind of impairment never happened.
    pub fn assert_all_kinds(&self) {
        assert!(
            self.dropped > 0 && self.duplicated > 0 && self.reordered > 0,
            "the network was not bad: {self:?}"
        );
    }
}

/// A running relay. Dropping it ends its thread.
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay to `server` that decides by [`seed::from_env`].
    ///
    /// # Errors
    ///
    /// When a socket or the thread cannot be made.
    pub fn start(server: SocketAddr, impairments: Impairments) -> io::Result<Self> {
        let seed = seed::from_env();
        let front = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
        let addr = front.local_addr()?;
        let shared = Arc::new(Shared {
            impairments: Mutex::new(impairments),
            counters: Counters::default(),
            captured: Default::default(),
            stop: AtomicBool::new(false),
        });
        let forward = forward::Forward::new(front, server, seed, shared.clone())?;
        let thread = thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || forward.run())?;
        println!("relay with {impairments:?} and DC_TEST_SEED={seed}");
        Ok(Self {
            addr,
            shared,
            thread: Some(thread),
        })
    }

    /// Where clients send to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Makes the network better or worse from now on.
    pub fn set_impairments(&self, impairments: Impairments) {
        *lock(&self.shared.impairments) = impairments;
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.get()
    }

    /// A closure that gives [`Self::counts`] as text, for a log.
    pub fn state(&self) -> impl Fn() -> String + Send + 'static {
        let shared = self.shared.clone();
        move || format!("{:?}", shared.counters.get())
    }

    /// The first datagrams that came from that direction's sender, before any impairment.
    pub fn captured(&self, direction: Direction) -> Vec<Vec<u8>> {
        lock(&self.shared.captured[direction as usize]).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("addr", &self.addr)
            .field("counts", &self.counts())
            .finish()
    }
}

/// What the relay's thread and its handle share.
struct Shared {
    impairments: Mutex<Impairments>,
    counters: Counters,
    /// By direction.
    captured: [Mutex<Vec<Vec<u8>>>; 2],
    stop: AtomicBool,
}

#[derive(Default)]
struct Counters {
    received: AtomicU64,
    dropped: AtomicU64,
    duplicated: AtomicU64,
    reordered: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn get(&self) -> Counts {
        Counts {
            received: self.received.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            duplicated: self.duplicated.load(Ordering::Relaxed),
            reordered: self.reordered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
