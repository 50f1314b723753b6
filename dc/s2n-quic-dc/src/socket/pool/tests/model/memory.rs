// SPDX-License-Identifier: Apache-2.0

//! The obvious account of memory: how many descriptors of each class are out and idle, and the most that were out.
//!
//! The pool keeps no such peak, it derives the surplus from the level of its shelves. That both say the same is what is
//! tested here.

use super::*;

const INTERVAL: u64 = 1_000_000;

pub(super) struct Memory {
    pub(super) max: usize,
    /// When the next trim is, in microseconds, if the keeper is not asleep.
    pub(super) due: Option<u64>,
    /// How often the sleeping keeper was woken.
    pub(super) expected_wakes: usize,
    /// The keeper was woken and has not looked yet.
    is_woken: bool,
    packets: Count,
    bursts: Count,
    hits: u64,
    misses: u64,
    trims: u64,
    returned: u64,
}

#[derive(Default)]
struct Count {
    out: usize,
    idle: usize,
    /// The most that were out since the last trim.
    peak: usize,
}

impl Memory {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            due: None,
            expected_wakes: 0,
            is_woken: false,
            packets: Count::default(),
            bursts: Count::default(),
            hits: 0,
            misses: 0,
            trims: 0,
            returned: 0,
        }
    }

    fn of(&mut self, class: Class) -> &mut Count {
        match class {
            Class::Packet => &mut self.packets,
            Class::Burst => &mut self.bursts,
        }
    }

    fn allocated(&self) -> usize {
        (self.packets.out + self.packets.idle) * PACKET
            + (self.bursts.out + self.bursts.idle) * BURST
    }

    /// A descriptor goes out.
    pub(super) fn supply(&mut self, class: Class) {
        if self.of(class).idle > 0 {
            self.hits += 1;
            self.of(class).idle -= 1;
        } else {
            self.misses += 1;
            self.evict(class.other(), len_of(class));
        }
        let count = self.of(class);
        count.out += 1;
        count.peak = count.peak.max(count.out);
    }

    /// A descriptor comes back.
    pub(super) fn release(&mut self, class: Class) {
        let is_above = self.allocated() > self.max;
        self.of(class).out -= 1;
        if is_above {
            self.returned += len_of(class) as u64;
            return;
        }
        self.of(class).idle += 1;
        if self.due.is_none() && !self.is_woken {
            self.is_woken = true;
            self.expected_wakes += 1;
        }
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.evict(Class::Burst, 0);
        self.evict(Class::Packet, 0);
    }

    fn evict(&mut self, class: Class, room: usize) {
        while self.allocated() + room > self.max && self.of(class).idle > 0 {
            self.give_back(class, 1);
        }
    }

    fn give_back(&mut self, class: Class, count: usize) {
        self.of(class).idle -= count;
        self.returned += (count * len_of(class)) as u64;
    }

    /// The keeper looks.
    pub(super) fn trim(&mut self, now: u64) {
        if let Some(due) = self.due {
            if now < due {
                return;
            }
            let mut any = false;
            for class in [Class::Packet, Class::Burst] {
                let count = self.of(class);
                let beyond_peak = (count.out + count.idle).saturating_sub(count.peak);
                count.peak = count.out;
                let surplus = beyond_peak - beyond_peak / 2;
                any |= surplus > 0;
                self.give_back(class, surplus);
            }
            self.trims += u64::from(any);
        }
        self.is_woken = false;
        let is_idle = self.packets.idle + self.bursts.idle > 0;
        self.due = is_idle.then_some(now + INTERVAL);
    }

    pub(super) fn check(&self, stats: &Stats) {
        assert_eq!(stats.allocated_bytes, self.allocated());
        assert_eq!(stats.max_bytes, self.max);
        assert_eq!((stats.hits, stats.misses), (self.hits, self.misses));
        assert_eq!(
            (stats.trims, stats.returned_bytes),
            (self.trims, self.returned)
        );
    }
}
