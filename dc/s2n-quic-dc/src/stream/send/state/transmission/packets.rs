// SPDX-License-Identifier: Apache-2.0

//! The packets of one number space that are not settled, in the order of their numbers.
//!
//! The packets of a batch differ in little: each has the next number, and carries the next bytes in the next segment of one descriptor. So they
//! are kept as a run, of which each packet is a bit: a megabyte on its way takes 16 runs, which the next acknowledgement finds in the cache,
//! where each packet for itself took 50 kB.
//!
//! The one rule: what comes out is what was pushed. Only the cost tells whether packets were in a run.

use super::{Content, Data, Info, RecordId};
use std::collections::VecDeque;

/// Runs that a stream keeps room for while none is outstanding: of thousands of streams only a few have bulk on its way, and those should
/// find memory that others have just used
const KEPT_CAPACITY: usize = 2;

/// A sorted ring of runs: lookups are binary searches, and the cost follows the runs in which something is alive, not the distance between
/// the lowest and the highest number
#[derive(Debug, Default)]
pub(crate) struct SentPackets {
    /// The first and the last have packets that are alive
    runs: VecDeque<Run>,
}

/// Packets with numbers in a row
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Of the first packet
    number: u64,
    first: Info,
    /// Of the packet that was pushed last; the others are as the first one
    last: Shape,
    count: u8,
    /// A bit per packet that is not settled
    alive: u64,
}

/// What does not follow from the place in a run
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) packet_len: u16,
    pub(crate) held: u16,
    pub(crate) payload_len: u16,
    pub(crate) is_fin: bool,
}

impl Info {
    fn shape(&self) -> Shape {
        let (payload_len, is_fin) = match &self.content {
            Content::Data(data) => (data.payload_len, data.is_fin),
            Content::Probe => (0, false),
        };
        Shape {
            packet_len: self.packet_len,
            held: self.held,
            payload_len,
            is_fin,
        }
    }

    /// The packet that is `index` behind this one, of a run where those between are as this one
    fn nth(&self, index: u8, shape: Shape) -> Self {
        let nth = u64::from(index);
        let content = match self.content {
            Content::Data(data) => Content::Data(Data {
                segment: data.segment + index,
                number: data.number + nth,
                offset: data.offset + nth * u64::from(data.payload_len),
                payload_len: shape.payload_len,
                is_fin: shape.is_fin,
                ..data
            }),
            Content::Probe => Content::Probe,
        };
        Self {
            sequence: self.sequence + nth,
            record: self.record,
            content,
            packet_len: shape.packet_len,
            held: shape.held,
        }
    }
}

impl Run {
    fn new(number: u64, info: Info) -> Self {
        Self {
            number,
            first: info,
            last: info.shape(),
            count: 1,
            alive: 1,
        }
    }

    /// Takes a packet in; false if it is not the next one
    fn extend(&mut self, number: u64, info: &Info) -> bool {
        let (Content::Data(first), Content::Data(data)) = (&self.first.content, &info.content)
        else {
            return false;
        };
        let index = u64::from(self.count);
        let segment = u64::from(first.segment) + index;
        let is_next = number == self.number + index
            && info.record == self.first.record
            && info.sequence == self.first.sequence + index
            && data.origin == first.origin
            && u64::from(data.segment) == segment
            && data.number == first.number + index
            && data.offset == first.offset + index * u64::from(first.payload_len);
        is_next && self.extend_by(info.shape())
    }

    /// Takes the next packet in; false if the one before it is not as the first one, or if there is no bit for it
    #[inline]
    fn extend_by(&mut self, shape: Shape) -> bool {
        let Content::Data(first) = &self.first.content else {
            return false;
        };
        let has_bit = u64::from(first.segment) + u64::from(self.count) < u64::from(u64::BITS);
        let is_alike = has_bit && self.last == self.first.shape();
        if is_alike {
            self.last = shape;
            self.alive |= 1 << self.count;
            self.count += 1;
        }
        is_alike
    }

    /// One more than the highest number
    fn end(&self) -> u64 {
        self.number + u64::from(self.count)
    }

    /// Those of the packets with numbers from `start` to `end`, without the latter, that are not settled
    fn within(&self, start: u64, end: u64) -> u64 {
        let index = |number: u64| number.saturating_sub(self.number).min(u64::from(u64::BITS));
        self.alive & below(index(end)) & !below(index(start))
    }

    fn shape(&self, index: u8) -> Shape {
        match index + 1 == self.count {
            true => self.last,
            false => self.first.shape(),
        }
    }

    fn get(&self, index: u8) -> (u64, Info) {
        let info = self.first.nth(index, self.shape(index));
        (self.number + u64::from(index), info)
    }

    fn part(&self, packets: u64) -> Part {
        Part {
            run: Self {
                alive: packets,
                ..*self
            },
        }
    }

    fn take(&mut self, packets: u64) -> Part {
        self.alive &= !packets;
        self.part(packets)
    }
}

/// As many bits, the lowest ones
fn below(count: u64) -> u64 {
    match count {
        ..64 => (1 << count) - 1,
        _ => u64::MAX,
    }
}

/// The indices of bits, the lowest first
fn bits(mut bits: u64) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let index = bits.trailing_zeros();
        // takes the lowest one away
        bits &= bits.checked_sub(1)?;
        Some(index as u8)
    })
}

/// Packets of one transmission that were taken out together; at least one
#[derive(Debug)]
pub(crate) struct Part {
    /// With a bit per packet of this part
    run: Run,
}

impl Part {
    /// The transmission that carried them
    pub(crate) fn record(&self) -> RecordId {
        self.run.first.record
    }

    pub(crate) fn len(&self) -> u8 {
        self.run.alive.count_ones() as u8
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let index = number.checked_sub(self.run.number);
        index.is_some_and(|index| index < 64 && self.run.alive & (1 << index) != 0)
    }

    /// The order in which the last of them was made
    pub(crate) fn newest(&self) -> u64 {
        let index = self.run.alive.checked_ilog2().unwrap_or(0);
        self.run.first.sequence + u64::from(index)
    }

    /// Bytes of all packets
    pub(crate) fn bytes(&self) -> u64 {
        self.sum(self.run.alive, |shape| shape.packet_len)
    }

    /// Bytes of the window that they hold
    pub(crate) fn held(&self) -> u64 {
        self.sum(self.run.alive, |shape| shape.held)
    }

    /// The record that keeps what they carry, and which segments of it, a bit each; nothing if they carry nothing
    pub(crate) fn segments(&self) -> Option<(RecordId, u64)> {
        match &self.run.first.content {
            Content::Data(data) => Some((data.origin, self.run.alive << data.segment)),
            Content::Probe => None,
        }
    }

    /// Bytes of the stream in those packets that carry `segments`
    pub(crate) fn payload_len(&self, segments: u64) -> u64 {
        match &self.run.first.content {
            Content::Data(data) => self.sum(segments >> data.segment, |shape| shape.payload_len),
            Content::Probe => 0,
        }
    }

    /// Each with its number, the lowest first
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Info)> + '_ {
        bits(self.run.alive).map(|index| self.run.get(index))
    }

    fn sum(&self, packets: u64, of: impl Fn(Shape) -> u16) -> u64 {
        let last = 1 << (self.run.count - 1);
        let others = u64::from((packets & !last).count_ones());
        let of_last = match packets & last {
            0 => 0,
            _ => u64::from(of(self.run.last)),
        };
        others * u64::from(of(self.run.first.shape())) + of_last
    }
}

impl SentPackets {
    /// `number` is larger than all before
    pub(crate) fn push(&mut self, number: u64, info: &Info) {
        if let Some(last) = self.runs.back_mut() {
            debug_assert!(last.end() <= number);
            if last.extend(number, info) {
                return;
            }
        }
        if self.runs.capacity() == 0 {
            // most streams carry one message
            self.runs.reserve_exact(1);
        }
        self.runs.push_back(Run::new(number, *info));
    }

    /// Pushes the packet after the one that was pushed last: it has the next number, sequence and segment, and the next bytes. False if that has to be
    /// [said](Self::push) of it.
    #[inline]
    pub(crate) fn push_next(&mut self, shape: Shape) -> bool {
        self.runs.back_mut().is_some_and(|run| run.extend_by(shape))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The one that was made last
    pub(crate) fn newest(&self) -> Option<Info> {
        let run = self.runs.back()?;
        let index = run.alive.checked_ilog2()?;
        Some(run.get(index as u8).1)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Info> {
        let mut removed = None;
        self.remove_range(number, number, |part| {
            removed = part.iter().next().map(|(_, info)| info);
        });
        removed
    }

    /// Takes every packet with a number in the range out, lowest first
    pub(crate) fn remove_range(&mut self, start: u64, end: u64, mut f: impl FnMut(Part)) {
        let first = self.index_of(start);
        for run in self.runs.range_mut(first..) {
            if run.number > end {
                break;
            }
            match run.within(start, end.saturating_add(1)) {
                0 => {}
                packets => f(run.take(packets)),
            }
        }
        self.trim();
    }

    /// Takes out what `is_wanted` says. `may_be` is asked first, once for packets that were made together and by the first of these, whether any
    /// of them may be.
    pub(crate) fn remove_if(
        &mut self,
        mut may_be: impl FnMut(&Info) -> bool,
        mut is_wanted: impl FnMut(u64, &Info) -> bool,
        mut removed: impl FnMut(u64, Info),
    ) {
        for run in &mut self.runs {
            if !may_be(&run.first) {
                continue;
            }
            let is_wanted = |index: &u8| {
                let (number, info) = run.get(*index);
                is_wanted(number, &info)
            };
            let packets = bits(run.alive)
                .filter(is_wanted)
                .fold(0, |packets, index| packets | 1 << index);
            run.take(packets)
                .iter()
                .for_each(|(number, info)| removed(number, info));
        }
        self.trim();
    }

    /// Takes the window from all of them, and returns how much it was
    pub(crate) fn take_held(&mut self) -> u64 {
        let take = |run: &mut Run| {
            let held = run.part(run.alive).held();
            run.first.held = 0;
            run.last.held = 0;
            held
        };
        self.runs.iter_mut().map(take).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Info)> + '_ {
        self.iter_from(0)
    }

    /// Those with at least this number
    pub(crate) fn iter_from(&self, number: u64) -> impl Iterator<Item = (u64, Info)> + '_ {
        self.runs
            .range(self.index_of(number)..)
            .flat_map(move |run| {
                let packets = run.within(number, u64::MAX);
                bits(packets).map(|index| run.get(index))
            })
    }

    /// The first run that has the number or a higher one
    fn index_of(&self, number: u64) -> usize {
        self.runs.partition_point(|run| run.end() <= number)
    }

    /// Drops what is over at both ends; in the middle there is at most as much as was sent since the oldest packet that is alive
    fn trim(&mut self) {
        while self.runs.pop_front_if(|run| run.alive == 0).is_some() {}
        while self.runs.pop_back_if(|run| run.alive == 0).is_some() {}
        if self.runs.is_empty() && self.runs.capacity() > KEPT_CAPACITY {
            self.runs = VecDeque::new();
        }
    }
}

#[cfg(all(test, not(loom)))]
impl SentPackets {
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn ends_are_alive(&self) -> bool {
        let ends = [self.runs.front(), self.runs.back()];
        ends.into_iter().flatten().all(|run| run.alive != 0)
    }
}
