// SPDX-License-Identifier: Apache-2.0

//! The packets of one number space against an ordered map.
//!
//! The one rule under test: what was pushed and not removed is there, in order, and comes out once.

use super::*;
use bolero::{check, TypeGenerator};
use std::collections::BTreeMap;

/// A packet that is known again by its sequence
fn info(sequence: u64) -> Info {
    Info {
        sequence,
        record: RecordId(0),
        content: Content::Probe,
        packet_len: PACKET,
        held: PACKET,
    }
}

#[derive(Debug, TypeGenerator)]
enum Op {
    Push { gap: u8 },
    Remove(u8),
    RemoveRange { start: u8, len: u8 },
    RemoveIf { divisor: u8, rest: u8 },
    RemoveAll,
}

#[derive(Default)]
struct Model {
    packets: SentPackets,
    map: BTreeMap<u64, u64>,
    next: u64,
    sequence: u64,
}

impl Model {
    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Push { gap } => {
                // mostly without a gap, as numbers are given out
                let number = self.next + u64::from(gap / 64);
                self.packets.push(number, info(self.sequence));
                self.map.insert(number, self.sequence);
                self.next = number + 1;
                self.sequence += 1;
            }
            Op::Remove(back) => {
                let number = self.recent(back);
                let removed = self.packets.remove(number).map(|info| info.sequence);
                assert_eq!(removed, self.map.remove(&number));
            }
            Op::RemoveRange { start, len } => {
                let start = self.recent(start);
                let end = start + u64::from(len / 16);
                let mut removed = Vec::new();
                let take = |number, info: Info| removed.push((number, info.sequence));
                self.packets.remove_range(start, end, take);
                let expected: Vec<_> = self.map.range(start..=end).map(pair).collect();
                assert_eq!(removed, expected);
                self.map.retain(|number, _| !(start..=end).contains(number));
            }
            Op::RemoveIf { divisor, rest } => {
                let divisor = 2 + u64::from(divisor % 4);
                let hits = |number: u64| number % divisor == u64::from(rest) % divisor;
                let mut asked = Vec::new();
                let mut removed = Vec::new();
                self.packets.remove_if(
                    |number, info| {
                        asked.push((number, info.sequence));
                        hits(number)
                    },
                    |number, info| removed.push((number, info.sequence)),
                );
                let all: Vec<_> = self.map.iter().map(pair).collect();
                assert_eq!(asked, all);
                let expected: Vec<_> = all.into_iter().filter(|(n, _)| hits(*n)).collect();
                assert_eq!(removed, expected);
                self.map.retain(|number, _| !hits(*number));
            }
            Op::RemoveAll => {
                let mut count = 0;
                self.packets.remove_range(0, u64::MAX, |_, _| count += 1);
                assert_eq!(count, self.map.len());
                self.map.clear();
            }
        }
    }

    /// A number near the newest: given out, left out, removed already, or still to come
    fn recent(&self, back: u8) -> u64 {
        (self.next + 2).saturating_sub(u64::from(back / 4))
    }

    fn check(&self) {
        assert_eq!(self.packets.is_empty(), self.map.is_empty());
        let packets = self
            .packets
            .iter()
            .map(|(number, info)| (number, info.sequence));
        assert!(packets.eq(self.map.iter().map(pair)));
        // the memory follows what is alive: nothing is kept outside of the oldest and the newest
        let first = self.packets.entries.front().map(|(number, _)| *number);
        let last = self.packets.entries.back().map(|(number, _)| *number);
        assert_eq!(first, self.map.keys().next().copied());
        assert_eq!(last, self.map.keys().next_back().copied());
    }
}

fn pair((number, sequence): (&u64, &u64)) -> (u64, u64) {
    (*number, *sequence)
}

#[test]
fn packets_behave_as_an_ordered_map() {
    check!().with_type::<Vec<Op>>().for_each(|ops| {
        let mut model = Model::default();
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
        packets.push(number, info(number));
    }
    assert_eq!(packets.remove(9).map(|info| info.sequence), Some(9));
    for gone_or_never_sent in [9, 2, 5, 11] {
        assert!(packets.remove(gone_or_never_sent).is_none());
    }
    let mut removed = Vec::new();
    packets.remove_range(4, 10, |number, _| removed.push(number));
    packets.remove_range(4, 10, |number, _| removed.push(number));
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
        packets.push(number, info(number));
    }
    let mut removed = Vec::new();
    packets.remove_range(12, 14, |number, _| removed.push(number));
    packets.remove_range(0, 10, |number, _| removed.push(number));
    packets.remove_range(19, u64::MAX, |number, _| removed.push(number));
    packets.remove_range(18, 17, |number, _| removed.push(number));
    assert_eq!(removed, [12, 13, 14, 10, 19]);
    let rest: Vec<u64> = packets.iter().map(|(number, _)| number).collect();
    assert_eq!(rest, [11, 15, 16, 17, 18]);
}
