// SPDX-License-Identifier: Apache-2.0

//! Packets that were called lost, remembered for a while in case they arrive after all.
//!
//! An acknowledgement of one of them shows that the network has reordered and lost nothing: the window need not have shrunk, and packets
//! should be given more time (RFC 9002, section 6.1.1; for TCP, RFC 3522).
//!
//! The one rule: each entry holds on to the record of its packet, so that the record's name is not given to another. Whoever
//! takes an entry out settles it.

use super::transmission::Data;
use crate::stream::path::Departed;
use core::time::Duration;
use s2n_quic_core::time::Timestamp;
use std::collections::VecDeque;

/// More are not remembered: they are as many as two windows of a fast path have on the way
const MAX_ENTRIES: usize = 1024;

/// A first send that was called lost
#[derive(Clone, Copy, Debug)]
pub(super) struct LostPacket {
    /// In the stream's number space
    pub(super) number: u64,
    /// The order in which it was made
    pub(super) sequence: u64,
    pub(super) departed: Departed,
    pub(super) data: Data,
    /// When it was called lost
    pub(super) since: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct LostPackets {
    entries: VecDeque<LostPacket>,
}

impl LostPackets {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the oldest entry if there are too many
    pub(super) fn push(&mut self, packet: LostPacket) -> Option<LostPacket> {
        self.entries.push_back(packet);
        match self.entries.len() > MAX_ENTRIES {
            true => self.entries.pop_front(),
            false => None,
        }
    }

    /// Takes those with numbers from `start` to `end` out
    pub(super) fn take_range(&mut self, start: u64, end: u64, out: &mut Vec<LostPacket>) {
        self.entries.retain(|packet| {
            let is_in = (start..=end).contains(&packet.number);
            if is_in {
                out.push(*packet);
            }
            !is_in
        });
    }

    /// The oldest entry, if it is older than `lifetime`
    pub(super) fn pop_expired(&mut self, lifetime: Duration, now: Timestamp) -> Option<LostPacket> {
        let oldest = self.entries.front()?;
        match now.saturating_duration_since(oldest.since) > lifetime {
            true => self.entries.pop_front(),
            false => None,
        }
    }

    /// All entries
    pub(super) fn take(&mut self) -> VecDeque<LostPacket> {
        core::mem::take(&mut self.entries)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stream::send::state::transmission::Records;

    fn at(micros: u64) -> Timestamp {
        crate::clock::at_tick(1_000_000 + micros)
    }

    fn packet(number: u64, since: u64) -> LostPacket {
        LostPacket {
            number,
            sequence: number,
            departed: Departed { time: at(0) },
            data: Data {
                origin: Records::default().reserve(),
                segment: 0,
                number,
                offset: 0,
                payload_len: 0,
                is_fin: false,
            },
            since: at(since),
        }
    }

    #[test]
    fn what_arrives_is_taken_once() {
        let mut lost = LostPackets::default();
        for number in [3, 5, 9] {
            assert!(lost.push(packet(number, 0)).is_none());
        }
        let mut out = Vec::new();
        lost.take_range(4, 9, &mut out);
        let numbers: Vec<_> = out.iter().map(|packet| packet.number).collect();
        assert_eq!(numbers, [5, 9]);
        out.clear();
        lost.take_range(0, 20, &mut out);
        assert_eq!(out.len(), 1);
        assert!(lost.is_empty());
    }

    #[test]
    fn what_does_not_arrive_is_forgotten() {
        let mut lost = LostPackets::default();
        lost.push(packet(1, 0));
        lost.push(packet(2, 50));
        let lifetime = Duration::from_micros(100);
        assert!(lost.pop_expired(lifetime, at(100)).is_none());
        assert_eq!(lost.pop_expired(lifetime, at(101)).unwrap().number, 1);
        assert!(lost.pop_expired(lifetime, at(101)).is_none());
        assert_eq!(lost.take().len(), 1);
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let mut lost = LostPackets::default();
        for number in 0..MAX_ENTRIES as u64 {
            assert!(lost.push(packet(number, 0)).is_none());
        }
        assert_eq!(lost.push(packet(5000, 0)).unwrap().number, 0);
    }
}
