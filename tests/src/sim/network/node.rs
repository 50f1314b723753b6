// SPDX-License-Identifier: Apache-2.0

//! What may happen to a packet between two ends.
//!
//! The rule: a node decides from what it remembers, the packet's length and the time at which it comes, and from nothing else.

use crate::seed::Random;
use std::time::Duration;

/// What happens to a packet on its way.
#[derive(Clone, Copy, Debug)]
pub enum Node {
    /// It takes this long.
    Delay(Duration),
    /// So many of a million packets are lost, each by itself.
    Loss {
        /// In millionths.
        per_million: u32,
    },
    /// So many of a million packets are held back, so that others overtake them.
    Hold {
        /// In millionths.
        per_million: u32,
        /// For so long.
        by: Duration,
    },
    /// So many of a million packets are lost together with those behind them, as by a queue that is full for a moment.
    Burst {
        /// In millionths.
        per_million: u32,
        /// How many are lost in a row.
        packets: u32,
    },
    /// All packets of a time are lost.
    Blackhole {
        /// Since the simulation's start.
        from: Duration,
        /// The first moment that is good again.
        until: Duration,
    },
    /// It is sent on at a limited rate, and waits in a queue for its turn.
    Rate {
        /// On the wire: with IP and UDP headers.
        bytes_per_second: u64,
        /// What the queue holds, in bytes. A packet that finds no room is dropped.
        queue: u64,
    },
}

/// Why a packet is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The network lost it.
    Lost,
    /// A queue was full.
    Overflowed,
}

/// A node and what it remembers.
pub(super) struct Passage {
    node: Node,
    /// Of a [`Node::Burst`]: how many packets more are lost.
    burst: u32,
    /// Of a [`Node::Rate`]: when the last packet in its queue has left.
    idle_at: Duration,
}

impl Passage {
    pub(super) fn new(node: Node) -> Self {
        Self {
            node,
            burst: 0,
            idle_at: Duration::ZERO,
        }
    }

    /// When a packet that comes at `at` leaves.
    pub(super) fn pass(
        &mut self,
        len: usize,
        random: &mut Random,
        at: Duration,
    ) -> Result<Duration, Dropped> {
        match self.node {
            Node::Delay(delay) => Ok(at + delay),
            Node::Loss { per_million } => match random.happens(per_million) {
                true => Err(Dropped::Lost),
                false => Ok(at),
            },
            Node::Hold { per_million, by } => match random.happens(per_million) {
                true => Ok(at + by),
                false => Ok(at),
            },
            Node::Burst {
                per_million,
                packets,
            } => {
                if self.burst == 0 && random.happens(per_million) {
                    self.burst = packets;
                }
                if self.burst == 0 {
                    return Ok(at);
                }
                self.burst -= 1;
                Err(Dropped::Lost)
            }
            Node::Blackhole { from, until } => match (from..until).contains(&at) {
                true => Err(Dropped::Lost),
                false => Ok(at),
            },
            Node::Rate {
                bytes_per_second,
                queue,
            } => {
                let time = |bytes: u64| {
                    // seconds of nanoseconds times bytes: 64 bits hold 18 GB of them
                    Duration::from_nanos(bytes.saturating_mul(NANOS) / bytes_per_second.max(1))
                };
                let len = len as u64 + HEADERS;
                let start = self.idle_at.max(at);
                if start - at + time(len) > time(queue) {
                    return Err(Dropped::Overflowed);
                }
                self.idle_at = start + time(len);
                Ok(self.idle_at)
            }
        }
    }
}

/// Of IPv4 and UDP, in bytes.
const HEADERS: u64 = 28;

const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
