// SPDX-License-Identifier: Apache-2.0

//! What may happen to a packet between two ends.
//!
//! The rule: a node decides from what it remembers and from what it sees of the packet, which is its length, its kind, its
//! ports and the time at which it comes.

use crate::seed::Random;
use std::time::Duration;

/// What happens to a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// It takes this long.
    Delay(Duration),
    /// So many of a million packets are lost, each by itself.
    Loss {
        /// In millionths.
        per_million: u32,
    },
    /// So many of a million packets of one kind are lost, each by itself.
    LossOf {
        /// Those that may be lost.
        kind: Kind,
        /// In millionths.
        per_million: u32,
    },
    /// Packets of one kind are lost by their number, once.
    Cut {
        /// Those that are counted.
        kind: Kind,
        /// How many pass before.
        after: u64,
        /// How many are lost.
        packets: u64,
    },
    /// So many of a million packets arrive twice, the second time right behind the first.
    Duplicate {
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
    /// So many of a million packets are held back until a number of others have overtaken them.
    Overtake {
        /// In millionths.
        per_million: u32,
        /// So many others.
        packets: u32,
        /// They are not waited for any longer than this.
        at_most: Duration,
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
    /// A translator of addresses forgets the port that it gave out as `inside`, and gives out `outside` instead.
    ///
    /// What was sent to the port that it has forgotten is lost. It has to stand in both directions.
    Rebind {
        /// Since the simulation's start.
        at: Duration,
        /// The port of the socket behind the translator, and what the other end sees until then.
        inside: u16,
        /// What the other end sees from then on.
        outside: u16,
    },
    /// It is sent on at a limited rate, and waits in a queue for its turn.
    Rate {
        /// On the wire: with IP and UDP headers.
        bytes_per_second: u64,
        /// What the queue holds, in bytes. A packet that finds no room is dropped.
        queue: u64,
    },
}

impl Node {
    /// Whether a simulation that this node did nothing in shows nothing.
    pub fn must_act(&self) -> bool {
        match *self {
            Self::Delay(_) | Self::Rate { .. } => false,
            Self::Loss { per_million }
            | Self::LossOf { per_million, .. }
            | Self::Duplicate { per_million }
            | Self::Hold { per_million, .. }
            | Self::Overtake { per_million, .. }
            | Self::Burst { per_million, .. } => per_million > 0,
            Self::Cut { .. } | Self::Blackhole { .. } | Self::Rebind { .. } => true,
        }
    }
}

/// What a packet is, as far as its first byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sender's: data, probes and ends of streams.
    Stream,
    /// A receiver's: acknowledgements, credit and closes.
    Control,
    /// Answers to secrets that are unknown or stale, and whatever else.
    Other,
}

impl Kind {
    /// Of the packet that is a UDP payload.
    pub fn of(payload: &[u8]) -> Self {
        match payload.first() {
            Some(0x00..=0x3f) => Self::Stream,
            Some(0x50..=0x5f) => Self::Control,
            _ => Self::Other,
        }
    }
}

/// Why a packet is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The network lost it.
    Lost,
    /// A queue was full.
    Overflowed,
}

/// What a node sees of a packet, and may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When it comes, and when it leaves.
    pub(super) at: Duration,
    /// Of the UDP payload, in bytes.
    pub(super) len: usize,
    pub(super) kind: Kind,
    /// Ports.
    pub(super) source: u16,
    pub(super) destination: u16,
}

/// What a node has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// The packet goes on, and a copy behind it.
    Twice,
    /// Once so many others have passed, or the time has come.
    Hold {
        packets: u32,
        until: Duration,
    },
    Drop(Dropped),
}

/// A node and what it remembers.
pub(super) struct Passage {
    node: Node,
    /// How often it did what it is for.
    acts: u64,
    /// Of a [`Node::Burst`]: how many packets more are lost.
    burst: u32,
    /// Of a [`Node::Cut`]: how many packets of its kind have come.
    counted: u64,
    /// Of a [`Node::Rate`]: when the last packet in its queue has left.
    idle_at: Duration,
}

impl Passage {
    pub(super) fn new(node: Node) -> Self {
        Self {
            node,
            acts: 0,
            burst: 0,
            counted: 0,
            idle_at: Duration::ZERO,
        }
    }

    /// The node, and how often it did what it is for.
    pub(super) fn acts(&self) -> (Node, u64) {
        (self.node, self.acts)
    }

    /// What becomes of a packet that comes at `seen.at`.
    pub(super) fn pass(&mut self, seen: &mut Seen, random: &mut Random) -> Verdict {
        let before = *seen;
        let verdict = self.decide(seen, random);
        let is_act = match self.node {
            Node::Delay(_) => false,
            Node::Rate { .. } => verdict != Verdict::Pass,
            Node::Hold { .. } => seen.at != before.at,
            Node::Rebind { .. } => {
                verdict != Verdict::Pass
                    || (seen.source, seen.destination) != (before.source, before.destination)
            }
            _ => verdict != Verdict::Pass,
        };
        self.acts += u64::from(is_act);
        verdict
    }

    fn decide(&mut self, seen: &mut Seen, random: &mut Random) -> Verdict {
        let lost_if = |is_lost| match is_lost {
            true => Verdict::Drop(Dropped::Lost),
            false => Verdict::Pass,
        };
        match self.node {
            Node::Delay(delay) => {
                seen.at += delay;
                Verdict::Pass
            }
            Node::Loss { per_million } => lost_if(random.happens(per_million)),
            Node::LossOf { kind, per_million } => {
                lost_if(seen.kind == kind && random.happens(per_million))
            }
            Node::Cut {
                kind,
                after,
                packets,
            } => {
                if seen.kind != kind {
                    return Verdict::Pass;
                }
                self.counted += 1;
                lost_if((after + 1..=after + packets).contains(&self.counted))
            }
            Node::Duplicate { per_million } => match random.happens(per_million) {
                true => Verdict::Twice,
                false => Verdict::Pass,
            },
            Node::Hold { per_million, by } => {
                if random.happens(per_million) {
                    seen.at += by;
                }
                Verdict::Pass
            }
            Node::Overtake {
                per_million,
                packets,
                at_most,
            } => match random.happens(per_million) {
                true => Verdict::Hold {
                    packets,
                    until: seen.at + at_most,
                },
                false => Verdict::Pass,
            },
            Node::Burst {
                per_million,
                packets,
            } => {
                if self.burst == 0 && random.happens(per_million) {
                    self.burst = packets;
                }
                let is_lost = self.burst > 0;
                self.burst = self.burst.saturating_sub(1);
                lost_if(is_lost)
            }
            Node::Blackhole { from, until } => lost_if((from..until).contains(&seen.at)),
            Node::Rebind { at, .. } if seen.at < at => Verdict::Pass,
            Node::Rebind {
                inside, outside, ..
            } => {
                if seen.destination == inside {
                    return Verdict::Drop(Dropped::Lost);
                }
                for (port, from, to) in [
                    (&mut seen.source, inside, outside),
                    (&mut seen.destination, outside, inside),
                ] {
                    if *port == from {
                        *port = to;
                    }
                }
                Verdict::Pass
            }
            Node::Rate {
                bytes_per_second,
                queue,
            } => {
                let time = |bytes: u64| {
                    // seconds of nanoseconds times bytes: 64 bits hold 18 GB of them
                    Duration::from_nanos(bytes.saturating_mul(NANOS) / bytes_per_second.max(1))
                };
                let len = seen.len as u64 + HEADERS;
                let start = self.idle_at.max(seen.at);
                if start - seen.at + time(len) > time(queue) {
                    return Verdict::Drop(Dropped::Overflowed);
                }
                self.idle_at = start + time(len);
                seen.at = self.idle_at;
                Verdict::Pass
            }
        }
    }
}

/// Of IPv4 and UDP, in bytes.
const HEADERS: u64 = 28;

const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
