// SPDX-License-Identifier: Apache-2.0

//! The life of a stream's transmissions at random, against a model that keeps everything in sets.
//!
//! The one rule under test: a name is taken from its reservation until nothing refers to it any more, and no longer.

use super::*;
use bolero::{check, TypeGenerator};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, TypeGenerator)]
enum Op {
    /// A burst of first sends
    Send {
        packets: u8,
    },
    /// A packet that was lost goes out again
    Retransmit(u8),
    /// An unacknowledged packet goes out once more without being called lost
    ProbeWithData(u8),
    Probe,
    /// A name is taken, and nothing comes of it
    Cancel,
    /// The socket worker reports some transmission
    Complete(u8),
    /// Some packet is acknowledged, and copies of it are superseded
    Acknowledge(u8),
    /// Some packet that has departed is lost
    Lose(u8),
    /// The stream gives everything up
    GiveUp,
}

/// What the model knows of a record
struct Expected {
    /// The wheel's share of the message, until it completes
    in_wheel: Option<Option<Message>>,
    /// Packets that were not acknowledged and can be sent again
    unacknowledged: BTreeSet<u8>,
    departed: Option<u64>,
}

#[derive(Clone, Copy)]
struct Packet {
    record: u32,
    content: Option<Data>,
}

struct Model {
    pool: Pool,
    records: Records,
    expected: BTreeMap<u32, Expected>,
    /// The infos: packets that are neither acknowledged, lost nor superseded
    packets: Vec<Packet>,
    lost: Vec<Data>,
    clock: u64,
}

impl Model {
    fn new() -> Self {
        Self {
            pool: pool(),
            records: Records::default(),
            expected: BTreeMap::new(),
            packets: Vec::new(),
            lost: Vec::new(),
            clock: 0,
        }
    }

    fn reserve(&mut self) -> RecordId {
        let id = self.records.reserve();
        assert!(!self.expected.contains_key(&id.0), "the name was taken");
        assert!(self.packets.iter().all(|packet| packet.record != id.0));
        assert!(self.lost.iter().all(|data| data.origin != id));
        id
    }

    fn send(&mut self, packets: u8) {
        let id = self.reserve();
        let message = message(&self.pool, packets);
        self.records.fill(id, Some(message.clone()), packets);
        self.expect(id, Some(message), (0..packets).collect());
        for segment in 0..packets {
            self.packets.push(Packet {
                record: id.0,
                content: Some(data(id, segment)),
            });
        }
    }

    fn send_single(&mut self, content: Option<Data>) {
        let id = self.reserve();
        self.records.fill(id, None, 1);
        self.expect(id, None, BTreeSet::new());
        self.packets.push(Packet {
            record: id.0,
            content,
        });
    }

    fn expect(&mut self, id: RecordId, message: Option<Message>, unacknowledged: BTreeSet<u8>) {
        let expected = Expected {
            in_wheel: Some(message),
            unacknowledged,
            departed: None,
        };
        self.expected.insert(id.0, expected);
    }

    fn complete(&mut self, id: u32) {
        self.clock += 1;
        let now = departed(self.clock);
        self.records.on_departed(RecordId(id), now);
        let expected = self.expected.get_mut(&id).unwrap();
        expected.in_wheel = None;
        expected.departed = Some(self.clock);
    }

    fn settle(&mut self, packet: Packet) {
        self.records.settle(RecordId(packet.record));
    }

    fn acknowledge(&mut self, packet: Packet) {
        if let Some(data) = packet.content {
            let is_first = match self.expected.get_mut(&data.origin.0) {
                Some(expected) => expected.unacknowledged.remove(&data.segment),
                None => false,
            };
            assert_eq!(self.records.acknowledge(&data), is_first);
            assert!(self.records.is_acknowledged(&data));
            assert!(!self.records.acknowledge(&data));
        }
        self.settle(packet);
        if packet.content.is_some() {
            // as the stream does: nobody waits for the other copies any more
            let is_copy = |data: &Data| packet.content == Some(*data);
            self.lost.retain(|data| !is_copy(data));
            let (superseded, rest) = std::mem::take(&mut self.packets)
                .into_iter()
                .partition(|other| other.content.as_ref().is_some_and(is_copy));
            self.packets = rest;
            let superseded: Vec<Packet> = superseded;
            for copy in superseded {
                self.settle(copy);
            }
        }
    }

    fn give_up(&mut self) {
        for packet in std::mem::take(&mut self.packets) {
            self.settle(packet);
        }
        self.lost.clear();
        self.records.forget_data();
        for expected in self.expected.values_mut() {
            expected.unacknowledged.clear();
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Send { packets } => self.send(1 + packets % 44),
            Op::Retransmit(which) => {
                if let Some(index) = pick(which, self.lost.len()) {
                    let data = self.lost.swap_remove(index);
                    self.send_single(Some(data));
                }
            }
            Op::ProbeWithData(which) => {
                if let Some(index) = pick(which, self.packets.len()) {
                    let content = self.packets[index].content;
                    self.send_single(content);
                }
            }
            Op::Probe => self.send_single(None),
            Op::Cancel => {
                let id = self.reserve();
                self.records.cancel(id);
            }
            Op::Complete(which) => {
                let in_wheel: Vec<u32> = self
                    .expected
                    .iter()
                    .filter_map(|(id, expected)| expected.in_wheel.as_ref().map(|_| *id))
                    .collect();
                if let Some(index) = pick(which, in_wheel.len()) {
                    self.complete(in_wheel[index]);
                }
            }
            Op::Acknowledge(which) => {
                if let Some(index) = pick(which, self.packets.len()) {
                    let packet = self.packets.remove(index);
                    self.acknowledge(packet);
                }
            }
            Op::Lose(which) => {
                let Some(index) = pick(which, self.packets.len()) else {
                    return;
                };
                if self.expected[&self.packets[index].record]
                    .departed
                    .is_some()
                {
                    let packet = self.packets.remove(index);
                    self.settle(packet);
                    // twice, if a copy is lost as well: both wait to be sent again
                    self.lost.extend(packet.content);
                }
            }
            Op::GiveUp => self.give_up(),
        }
    }

    fn check(&mut self) {
        let packets = &self.packets;
        self.expected.retain(|id, expected| {
            expected.in_wheel.is_some()
                || !expected.unacknowledged.is_empty()
                || packets.iter().any(|packet| packet.record == *id)
        });
        assert_eq!(self.records.is_empty(), self.expected.is_empty());
        let slots = self.records.slots.iter();
        let taken = slots.filter(|slot| matches!(slot, Slot::Taken(_))).count();
        assert_eq!(taken, self.expected.len());

        let mut descriptors = 0;
        for (id, expected) in &self.expected {
            let id = RecordId(*id);
            let time = self.records.departed(id).map(|departed| departed.time);
            assert_eq!(time, expected.departed.map(|micros| departed(micros).time));
            let is_kept = !expected.unacknowledged.is_empty();
            assert_eq!(self.records.message(id).is_some(), is_kept);
            let is_in_wheel = matches!(expected.in_wheel, Some(Some(_)));
            descriptors += usize::from(is_kept || is_in_wheel);
            for segment in &expected.unacknowledged {
                assert!(!self.records.is_acknowledged(&data(id, *segment)));
            }
        }
        assert_eq!(pinned(&self.pool), descriptors * 1024);
    }
}

fn pick(which: u8, len: usize) -> Option<usize> {
    usize::from(which).checked_rem(len)
}

#[test]
fn a_name_is_reused_exactly_when_nothing_refers_to_its_record() {
    check!()
        .with_type::<(bool, Vec<Op>)>()
        .for_each(|(give_up, ops)| {
            let mut model = Model::new();
            for op in ops {
                model.apply(op);
                model.check();
            }
            // the end of a stream, either way: everything is acknowledged, or nothing is waited for
            if *give_up {
                model.give_up();
            }
            while let Some(data) = model.lost.pop() {
                model.send_single(Some(data));
            }
            while let Some(packet) = model.packets.pop() {
                model.acknowledge(packet);
            }
            model.check();
            let in_wheel: Vec<u32> = model.expected.keys().copied().collect();
            for id in in_wheel {
                model.complete(id);
            }
            model.check();
            assert!(model.records.is_empty());
            assert_eq!(pinned(&model.pool), 0);
        });
}
