// SPDX-License-Identifier: Apache-2.0

//! The packets of one number space against an ordered map.
//!
//! The one rule under test: what was pushed and not removed is there, in order, and comes out once.

use super::*;
use bolero::{check, TypeGenerator};
use std::collections::BTreeMap;

/// A packet of the test's only transmission
fn info(sequence: u64) -> Info {
    Info {
        sequence,
        record: RecordId(0),
        content: Content::Probe,
        packet_len: PACKET,
        held: PACKET,
    }
}

/// In what a packet differs from the one before it, besides what does in every batch
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Change {
    Nothing,
    /// It begins a transmission
    Record,
    Probe,
    Short,
    Fin,
    Held,
    /// It carries other bytes than the next ones
    Offset,
    /// It was sent under another number before
    Number,
    /// Another packet was made meanwhile
    Sequence,
}

#[derive(Debug, TypeGenerator)]
enum Op {
    Push { gap: u8, change: Change },
    Batch(u8),
    Remove(u8),
    RemoveRange { start: u8, len: u8 },
    RemoveIf { divisor: u8, rest: u8, records: u8 },
    TakeHeld,
    RemoveAll,
}

struct Model {
    packets: SentPackets,
    map: BTreeMap<u64, Info>,
    next: u64,
    /// The packet to come, if nothing changes
    info: Info,
}

impl Model {
    fn new() -> Self {
        let data = Data {
            origin: RecordId(0),
            segment: 0,
            number: 0,
            offset: 0,
            payload_len: PACKET - 2,
            is_fin: false,
        };
        Self {
            packets: SentPackets::default(),
            map: BTreeMap::new(),
            next: 0,
            info: Info {
                content: Content::Data(data),
                ..info(0)
            },
        }
    }

    fn push(&mut self, gap: u64, change: Change) {
        let number = self.next + gap;
        let mut info = self.info;
        if let Content::Data(data) = &mut info.content {
            data.number = number;
            match change {
                Change::Record => {
                    info.record = RecordId(info.record.0 + 1);
                    (data.origin, data.segment) = (info.record, 0);
                }
                Change::Short => {
                    data.payload_len /= 2;
                    info.packet_len /= 2;
                    info.held /= 2;
                }
                Change::Fin => data.is_fin = true,
                Change::Held => info.held = 0,
                Change::Offset => data.offset += 7,
                Change::Number => data.number += 1,
                Change::Sequence => info.sequence += 1,
                Change::Nothing | Change::Probe => {}
            }
            // a batch has fewer packets than a record has bits
            if data.segment == 64 {
                info.record = RecordId(info.record.0 + 1);
                (data.origin, data.segment) = (info.record, 0);
            }
            self.info.record = info.record;
            self.info.sequence = info.sequence + 1;
            self.info.content = Content::Data(Data {
                segment: data.segment + 1,
                offset: data.offset + u64::from(data.payload_len),
                payload_len: PACKET - 2,
                is_fin: false,
                ..*data
            });
        }
        if matches!(change, Change::Probe) {
            info.content = Content::Probe;
        }
        self.packets.push(number, &info);
        self.map.insert(number, info);
        self.next = number + 1;
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            // mostly without a gap, as numbers are given out
            Op::Push { gap, change } => self.push(u64::from(gap / 64), change),
            Op::Batch(len) => {
                self.push(0, Change::Record);
                (0..len % 64).for_each(|_| self.push(0, Change::Nothing));
            }
            Op::Remove(back) => {
                let number = self.recent(back);
                assert_eq!(self.packets.remove(number), self.map.remove(&number));
            }
            Op::RemoveRange { start, len } => {
                let start = self.recent(start);
                self.remove_range(start, start + u64::from(len / 4));
            }
            Op::RemoveIf {
                divisor,
                rest,
                records,
            } => {
                let divisor = 2 + u64::from(divisor % 4);
                let hits = |number: u64| number % divisor == u64::from(rest) % divisor;
                let may_be = |info: &Info| info.record.0 % 4 != u32::from(records % 8);
                let mut asked = Vec::new();
                let mut removed = Vec::new();
                self.packets.remove_if(
                    may_be,
                    |number, info| {
                        asked.push((number, *info));
                        hits(number)
                    },
                    |number, info| removed.push((number, info)),
                );
                let all = self.map.iter().map(pair);
                let all: Vec<_> = all.filter(|(_, info)| may_be(info)).collect();
                assert_eq!(asked, all);
                let expected: Vec<_> = all.into_iter().filter(|(n, _)| hits(*n)).collect();
                assert_eq!(removed, expected);
                self.map
                    .retain(|number, info| !(hits(*number) && may_be(info)));
            }
            Op::TakeHeld => {
                let held = self.map.values().map(|info| u64::from(info.held)).sum();
                assert_eq!(self.packets.take_held(), held);
                self.map.values_mut().for_each(|info| info.held = 0);
            }
            Op::RemoveAll => self.remove_range(0, u64::MAX),
        }
    }

    fn remove_range(&mut self, start: u64, end: u64) {
        let expected: Vec<_> = self.map.range(start..=end).map(pair).collect();
        let mut removed = Vec::new();
        self.packets.remove_range(start, end, |part| {
            check_part(&part);
            removed.extend(part.iter());
        });
        assert_eq!(removed, expected);
        self.map.retain(|number, _| !(start..=end).contains(number));
    }

    /// A number near the newest: given out, left out, removed already, or still to come
    fn recent(&self, back: u8) -> u64 {
        (self.next + 2).saturating_sub(u64::from(back))
    }

    fn check(&self) {
        assert_eq!(self.packets.is_empty(), self.map.is_empty());
        assert!(self.packets.iter().eq(self.map.iter().map(pair)));
        let newest = self.map.last_key_value().map(|(_, info)| *info);
        assert_eq!(self.packets.newest(), newest);
        for back in [0, 1, 9, 70] {
            let start = self.recent(back);
            let expected = self.map.range(start..).map(pair);
            assert!(self.packets.iter_from(start).eq(expected));
        }
        // the memory follows what is alive: nothing is kept outside of the oldest and the newest
        assert!(self.packets.ends_are_alive());
    }
}

/// What is said of all packets of a part is the sum of what each of them says
fn check_part(part: &Part) {
    let all: Vec<_> = part.iter().collect();
    let infos = || all.iter().map(|(_, info)| info);
    assert!(!all.is_empty());
    assert_eq!(usize::from(part.len()), all.len());
    assert!(infos().all(|info| info.record == part.record()));
    assert_eq!(Some(part.newest()), infos().map(|info| info.sequence).max());
    assert_eq!(
        part.bytes(),
        infos().map(|info| u64::from(info.packet_len)).sum()
    );
    assert_eq!(part.held(), infos().map(|info| u64::from(info.held)).sum());
    let (first, last) = (all[0].0, all[all.len() - 1].0);
    for number in first.saturating_sub(2)..last + 70 {
        let is_in = all.iter().any(|(n, _)| *n == number);
        assert_eq!(part.contains(number), is_in, "{number}");
    }
    let datas = infos().filter_map(|info| match info.content {
        Content::Data(data) => Some(data),
        Content::Probe => None,
    });
    let datas: Vec<_> = datas.collect();
    let Some((origin, segments)) = part.segments() else {
        assert!(datas.is_empty());
        assert_eq!(part.payload_len(u64::MAX), 0);
        return;
    };
    assert_eq!(datas.len(), all.len());
    assert!(datas.iter().all(|data| data.origin == origin));
    let bits = datas.iter().map(|data| 1 << data.segment);
    assert_eq!(segments, bits.fold(0, |all, bit| all | bit));
    // of some of them
    for some in [segments, segments & 0x5555_5555_5555_5555, 0] {
        let those = datas.iter().filter(|data| some & 1 << data.segment != 0);
        let expected: u64 = those.map(|data| u64::from(data.payload_len)).sum();
        assert_eq!(part.payload_len(some), expected);
    }
}

fn pair((number, info): (&u64, &Info)) -> (u64, Info) {
    (*number, *info)
}

fn numbers(part: &Part) -> impl Iterator<Item = u64> + '_ {
    part.iter().map(|(number, _)| number)
}

#[test]
fn packets_behave_as_an_ordered_map() {
    check!().with_type::<Vec<Op>>().for_each(|ops| {
        let mut model = Model::new();
        for op in ops {
            model.apply(op);
            model.check();
        }
    });
}

#[test]
fn a_packet_comes_out_once() {
    let mut packets = SentPackets::default();
    for number in [3, 4, 9, 10] {
        packets.push(number, &info(number));
    }
    assert_eq!(packets.remove(9).map(|info| info.sequence), Some(9));
    for gone_or_never_sent in [9, 2, 5, 11] {
        assert!(packets.remove(gone_or_never_sent).is_none());
    }
    let mut removed = Vec::new();
    packets.remove_range(4, 10, |part| removed.extend(numbers(&part)));
    packets.remove_range(4, 10, |part| removed.extend(numbers(&part)));
    assert_eq!(removed, [4, 10]);
    assert!(!packets.is_empty());
    packets.remove(3);
    assert!(packets.is_empty());
    assert_eq!(packets.iter().count(), 0);
}

#[test]
fn a_range_includes_both_ends_and_may_reach_beyond_all_numbers() {
    let mut packets = SentPackets::default();
    for number in 10..20 {
        packets.push(number, &info(number));
    }
    let mut removed = Vec::new();
    packets.remove_range(12, 14, |part| removed.extend(numbers(&part)));
    packets.remove_range(0, 10, |part| removed.extend(numbers(&part)));
    packets.remove_range(19, u64::MAX, |part| removed.extend(numbers(&part)));
    packets.remove_range(18, 17, |part| removed.extend(numbers(&part)));
    assert_eq!(removed, [12, 13, 14, 10, 19]);
    let rest: Vec<u64> = packets.iter().map(|(number, _)| number).collect();
    assert_eq!(rest, [11, 15, 16, 17, 18]);
}

#[test]
fn a_batch_is_one_run() {
    let mut model = Model::new();
    for _ in 0..16 {
        model.apply(&Op::Batch(43));
    }
    model.push(0, Change::Short);
    assert_eq!(model.packets.iter().count(), 16 * 44 + 1);
    assert_eq!(model.packets.runs(), 16);
}
