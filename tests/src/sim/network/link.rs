// SPDX-License-Identifier: Apache-2.0

//! One direction of the network: the nodes, and the packets that are on their way.
//!
//! A packet walks through the nodes when it is sent, and its time of delivery is known then. The exception is one that a node
//! holds back for others to overtake it: it walks on when they have, behind the last of them.
//!
//! The rule: time is passed in, and nothing here waits for it.

use super::{
    node::{Dropped, Kind, Node, Passage, Seen, Verdict},
    Counts, Fate, Record,
};
use crate::seed::Random;
use bach::environment::net::ip::{Packet, Transport};
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hasher as _},
    task::Waker,
    time::Duration,
};

/// What the packets of one direction pass through.
pub(super) struct Link {
    nodes: Vec<Passage>,
    random: Random,
    pub(super) counts: Counts,
    held: Vec<Held>,
    /// By the time of delivery, then by when that was known.
    in_flight: BTreeMap<(Duration, u64), Packet>,
    admitted: u64,
    /// Of the task that delivers, once there is one.
    pub(super) waker: Option<Waker>,
    pub(super) has_task: bool,
}

/// A packet between two nodes.
#[derive(Clone)]
struct Walker {
    packet: Packet,
    seen: Seen,
    /// The index of the node that it comes to.
    next: usize,
}

/// A packet that others are to overtake at the node before `walker.next`.
struct Held {
    walker: Walker,
    packets: u32,
    until: Duration,
}

impl Link {
    pub(super) fn new(nodes: &[Node], random: Random) -> Self {
        Self {
            nodes: nodes.iter().copied().map(Passage::new).collect(),
            random,
            counts: Counts::default(),
            held: Vec::new(),
            in_flight: BTreeMap::new(),
            admitted: 0,
            waker: None,
            has_task: false,
        }
    }

    /// Each node, and how often it did what it is for.
    pub(super) fn acts(&self) -> Vec<(Node, u64)> {
        self.nodes.iter().map(Passage::acts).collect()
    }

    /// Has a packet walk as far as it comes.
    pub(super) fn admit(&mut self, packet: Packet, now: Duration) -> Record {
        let payload = packet.transport.payload();
        let mut hasher = DefaultHasher::new();
        hasher.write(payload);
        let mut record = Record {
            sent: now,
            source: packet.source(),
            destination: packet.destination(),
            kind: Kind::of(payload),
            len: payload.len(),
            hash: hasher.finish(),
            fate: Fate::Held,
        };
        self.counts.sent += 1;
        let seen = Seen {
            at: now,
            len: record.len,
            kind: record.kind,
            source: record.source.port(),
            destination: record.destination.port(),
        };
        record.fate = self.walk(Walker {
            packet,
            seen,
            next: 0,
        });
        record
    }

    /// The next packet whose time has come, else when to ask again, if ever.
    pub(super) fn take(&mut self, now: Duration) -> Result<Packet, Option<Duration>> {
        while let Some(index) = self.held.iter().position(|held| held.until <= now) {
            let mut held = self.held.remove(index);
            held.walker.seen.at = held.until;
            self.walk(held.walker);
        }
        let first_held = self.held.iter().map(|held| held.until).min();
        let Some(first) = self.in_flight.first_entry() else {
            return Err(first_held);
        };
        let (at, _) = *first.key();
        if at <= now {
            Ok(first.remove())
        } else {
            Err(Some(first_held.map_or(at, |held| held.min(at))))
        }
    }

    /// Walks on with `walker`, then with all that follows from that. Returns what became of the first.
    fn walk(&mut self, walker: Walker) -> Fate {
        let mut walkers = VecDeque::from([walker]);
        let mut fate = None;
        while let Some(walker) = walkers.pop_front() {
            let ended = self.walk_alone(walker, &mut walkers);
            fate.get_or_insert(ended);
        }
        fate.unwrap_or(Fate::Held)
    }

    fn walk_alone(&mut self, mut walker: Walker, behind: &mut VecDeque<Walker>) -> Fate {
        while let Some(passage) = self.nodes.get_mut(walker.next) {
            let verdict = passage.pass(&mut walker.seen, &mut self.random);
            walker.next += 1;
            match verdict {
                Verdict::Pass => {}
                Verdict::Twice => {
                    self.counts.duplicated += 1;
                    behind.push_back(walker.clone());
                }
                Verdict::Hold { packets, until } => {
                    self.counts.held += 1;
                    self.held.push(Held {
                        walker,
                        packets,
                        until,
                    });
                    return Fate::Held;
                }
                Verdict::Drop(reason) => {
                    match reason {
                        Dropped::Lost => self.counts.lost += 1,
                        Dropped::Overflowed => self.counts.overflowed += 1,
                    }
                    return Fate::Dropped(reason);
                }
            }
            self.overtake(&walker, behind);
        }
        let Walker {
            mut packet, seen, ..
        } = walker;
        if let Transport::Udp(udp) = &mut packet.transport {
            (udp.source, udp.destination) = (seen.source, seen.destination);
        }
        self.admitted += 1;
        self.counts.delivered += 1;
        self.in_flight.insert((seen.at, self.admitted), packet);
        Fate::Arrives(seen.at)
    }

    /// Lets those go on that have waited for `walker` to pass their node.
    fn overtake(&mut self, walker: &Walker, behind: &mut VecDeque<Walker>) {
        let mut index = 0;
        while let Some(held) = self.held.get_mut(index) {
            if held.walker.next == walker.next {
                held.packets = held.packets.saturating_sub(1);
            }
            if held.packets > 0 {
                index += 1;
                continue;
            }
            let mut held = self.held.remove(index);
            held.walker.seen.at = held.walker.seen.at.max(walker.seen.at);
            behind.push_back(held.walker);
        }
    }
}

#[cfg(test)]
mod tests;
