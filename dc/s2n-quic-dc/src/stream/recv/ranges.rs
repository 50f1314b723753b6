// SPDX-License-Identifier: Apache-2.0

//! The packet numbers of one space that were received, as ranges: what an ACK says.
//!
//! The one rule: a number is in here only after its packet was authenticated and its payload accepted.

use core::ops::RangeInclusive;
use s2n_codec::EncoderValue as _;
use s2n_quic_core::{frame::ack::AckRanges, varint::VarInt};
use smallvec::SmallVec;

/// Ranges that are kept at most; the lowest are forgotten, and what they said is sent again by the peer
const MAX_RANGES: usize = 64;

/// Disjoint ranges, highest first, with a gap of at least one number between any two
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    /// In place while nothing is missing, as mostly
    ranges: SmallVec<[(VarInt, VarInt); 1]>,
}

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn contains(&self, number: VarInt) -> bool {
        // the highest ranges come first, and almost every packet is near the highest
        self.ranges
            .iter()
            .find(|(start, _)| *start <= number)
            .is_some_and(|(_, end)| number <= *end)
    }

    pub(crate) fn insert(&mut self, number: VarInt) {
        let above = |start: VarInt| start.as_u64() == number.as_u64() + 1;
        let below = |end: VarInt| end.as_u64() + 1 == number.as_u64();
        // the first range that starts at or below the number
        let index = self
            .ranges
            .iter()
            .position(|(start, _)| *start <= number)
            .unwrap_or(self.ranges.len());
        let joins_above = index > 0 && above(self.ranges[index - 1].0);
        let joins_below = match self.ranges.get(index) {
            Some((_, end)) if number <= *end => return,
            Some((_, end)) => below(*end),
            None => false,
        };
        match (joins_above, joins_below) {
            (true, true) => {
                let (start, _) = self.ranges.remove(index);
                self.ranges[index - 1].0 = start;
            }
            (true, false) => self.ranges[index - 1].0 = number,
            (false, true) => self.ranges[index].1 = number,
            (false, false) => {
                self.ranges.insert(index, (number, number));
                self.ranges.truncate(MAX_RANGES);
            }
        }
    }

    /// All numbers above the largest, up to `last`
    pub(crate) fn extend(&mut self, last: VarInt) {
        if let Some((_, end)) = self.ranges.first_mut() {
            debug_assert!(*end < last);
            *end = last;
        }
    }

    /// Forgets the numbers up to `number`: the peer knows that they arrived
    pub(crate) fn remove_up_to(&mut self, number: VarInt) {
        self.ranges.retain_mut(|(start, end)| {
            if *end <= number {
                return false;
            }
            if *start <= number {
                // below `end`, so there is a next number
                *start = VarInt::new(number.as_u64() + 1).unwrap_or(*end);
            }
            true
        });
    }

    pub(crate) fn largest(&self) -> Option<VarInt> {
        self.ranges.first().map(|(_, end)| *end)
    }

    /// The highest ranges whose encoding takes at most `budget` bytes; at least one if there is any
    pub(crate) fn encodable(&self, budget: usize) -> Encodable<'_> {
        let mut used = 0;
        let mut previous: Option<VarInt> = None;
        let count = self
            .ranges
            .iter()
            .take_while(|(start, end)| {
                let gap = previous.map_or(*end, |previous| previous - *end);
                used += gap.encoding_size() + (*end - *start).encoding_size();
                let is_first = previous.is_none();
                previous = Some(*start);
                is_first || used <= budget
            })
            .count();
        Encodable {
            ranges: &self.ranges[..count],
        }
    }
}

/// Ranges that are known to fit a packet
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encodable<'a> {
    ranges: &'a [(VarInt, VarInt)],
}

impl<'a> AckRanges for Encodable<'a> {
    type Iter = core::iter::Map<
        core::slice::Iter<'a, (VarInt, VarInt)>,
        fn(&'a (VarInt, VarInt)) -> RangeInclusive<VarInt>,
    >;

    fn ack_ranges(&self) -> Self::Iter {
        self.ranges.iter().map(|(start, end)| *start..=*end)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn v(number: u64) -> VarInt {
        VarInt::new(number).expect("small")
    }

    /// Random numbers against a plain set
    #[test]
    fn ranges_say_what_a_set_says() {
        bolero::check!()
            .with_type::<Vec<(bool, u8)>>()
            .with_iterations(5000)
            .for_each(|ops| {
                let mut ranges = Ranges::default();
                let mut set = BTreeSet::new();
                for (insert, number) in ops {
                    // at most 64 ranges fit into 128 numbers, so nothing is forgotten for want of room
                    let number = u64::from(*number % 128);
                    if *insert {
                        ranges.insert(v(number));
                        set.insert(number);
                    } else {
                        ranges.remove_up_to(v(number));
                        set.retain(|n| *n > number);
                    }
                    for n in 0..128 {
                        assert_eq!(ranges.contains(v(n)), set.contains(&n), "{n}");
                    }
                    assert_eq!(ranges.largest().map(|n| n.as_u64()), set.last().copied());
                    let listed: BTreeSet<u64> = ranges
                        .encodable(usize::MAX)
                        .ack_ranges()
                        .flat_map(|r| r.start().as_u64()..=r.end().as_u64())
                        .collect();
                    assert_eq!(listed, set);
                }
            });
    }

    #[test]
    fn the_lowest_ranges_are_forgotten_when_there_are_too_many() {
        let mut ranges = Ranges::default();
        for n in 0..MAX_RANGES as u64 + 10 {
            ranges.insert(v(2 * n));
        }
        assert_eq!(ranges.ranges.len(), MAX_RANGES);
        assert!(!ranges.contains(v(0)));
        assert_eq!(ranges.largest(), Some(v(2 * (MAX_RANGES as u64 + 9))));
    }

    #[test]
    fn a_small_budget_keeps_the_highest_and_at_least_one() {
        let mut ranges = Ranges::default();
        for n in 0..20u64 {
            ranges.insert(v(1_000_000 + 3 * n));
        }
        assert_eq!(ranges.encodable(0).ack_ranges().len(), 1);
        let some = ranges.encodable(20);
        assert!(some.ack_ranges().len() > 1 && some.ack_ranges().len() < 20);
        assert_eq!(some.largest_acknowledged(), v(1_000_000 + 57));
    }
}
