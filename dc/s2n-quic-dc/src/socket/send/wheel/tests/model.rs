// SPDX-License-Identifier: Apache-2.0

//! The wheel against an ordered map of (tick, number of the insert).
//!
//! The one rule: after each operation, the wheel and the map agree on everything that can be asked.

use super::{layout, Wheel, HORIZON, SPANS};
use bolero::{check, TypeGenerator};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Time {
    /// Within the lowest level
    Near(u8),
    /// A few slots of a level ahead, or nearly a rotation of it, give or take a few ticks
    Boundary {
        #[generator(0..4)]
        level: usize,
        slots: u8,
        #[generator(-3..4)]
        off: i64,
        /// Counted from the start of the current slot of that level, not from now
        aligned: bool,
    },
    /// Anywhere within the horizon
    Far(u32),
    BeyondHorizon(#[generator(0..4 * HORIZON)] u64),
    /// Now, or before it
    Past(u16),
    /// When the entry that is due last leaves
    SameAsLast,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Op {
    Insert(Time),
    InsertAtTheEndOfTime,
    /// Several at the same tick
    InsertBurst(Time, #[generator(1..40)] u8),
    /// Pop until nothing is due
    PopAll(Time),
    /// Pop some, and leave the drain there
    PopSome(Time, #[generator(1..20)] u8),
    /// Pop until nothing is due, inserting one after each of the first entries
    InsertInsideDrain(Time, [Time; 3]),
    /// Decided by lot, so that most runs get to fill the wheel
    Drain {
        #[generator(0..16)]
        lot: u8,
    },
}

#[derive(Debug, TypeGenerator)]
enum Start {
    Zero,
    Any(#[generator(0..4 * HORIZON)] u64),
    /// So close to the end of time that most deadlines saturate
    End(u32),
}

struct Model {
    wheel: Wheel<u64>,
    map: BTreeMap<(u64, u64), u64>,
    cursor: u64,
    now: u64,
    inserted: u64,
    last_deadline: u64,
}

impl Model {
    fn new(start: u64) -> Self {
        Self {
            wheel: Wheel::new(start),
            map: BTreeMap::new(),
            cursor: start,
            now: start,
            inserted: 0,
            last_deadline: start,
        }
    }

    fn resolve(&self, time: Time) -> u64 {
        let now = self.now;
        match time {
            Time::Near(ticks) => now.saturating_add(ticks.into()),
            Time::Boundary {
                level,
                slots,
                off,
                aligned,
            } => {
                let span = SPANS[level];
                let base = if aligned { now - now % span } else { now };
                base.saturating_add(span * u64::from(slots))
                    .saturating_add_signed(off)
            }
            Time::Far(ticks) => now.saturating_add(ticks.into()),
            Time::BeyondHorizon(ticks) => now.saturating_add(HORIZON).saturating_add(ticks),
            Time::Past(ticks) => now.saturating_sub(ticks.into()),
            Time::SameAsLast => self.last_deadline,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Insert(time) => self.insert(time),
            Op::InsertAtTheEndOfTime => self.insert_at(u64::MAX),
            Op::InsertBurst(time, count) => {
                let deadline = self.resolve(time);
                for _ in 0..count {
                    self.insert_at(deadline);
                }
            }
            Op::PopAll(time) => {
                let now = self.resolve(time);
                while self.pop(now) {}
                self.check_nothing_due();
            }
            Op::PopSome(time, count) => {
                let now = self.resolve(time);
                for _ in 0..count {
                    self.pop(now);
                }
            }
            Op::InsertInsideDrain(time, inserts) => {
                let now = self.resolve(time);
                let mut inserts = inserts.into_iter();
                while self.pop(now) {
                    if let Some(time) = inserts.next() {
                        self.insert(time);
                    }
                }
                self.check_nothing_due();
            }
            Op::Drain { lot } if lot > 0 => {}
            Op::Drain { .. } => {
                let mut drained: Vec<u64> = self.wheel.drain().collect();
                drained.sort();
                let mut expected: Vec<u64> = std::mem::take(&mut self.map).into_values().collect();
                expected.sort();
                assert_eq!(drained, expected);
            }
        }
        self.check();
    }

    fn insert(&mut self, time: Time) {
        let deadline = self.resolve(time);
        self.insert_at(deadline);
    }

    fn insert_at(&mut self, deadline: u64) {
        let id = self.inserted;
        self.inserted += 1;
        self.last_deadline = deadline;
        self.map.insert((deadline.max(self.cursor), id), id);
        self.wheel.insert(id, deadline);
        self.check();
    }

    fn pop(&mut self, now: u64) -> bool {
        self.now = self.now.max(now);
        let due = self
            .map
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now);
        let expected = due.map(|entry| {
            self.cursor = entry.key().0;
            entry.remove()
        });
        if expected.is_none() {
            self.cursor = self.now;
        }
        assert_eq!(self.wheel.pop(now), expected);
        self.check();
        expected.is_some()
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.map.len());
        assert_eq!(self.wheel.is_empty(), self.map.is_empty());
        let next = self.map.keys().next().map(|(tick, _)| *tick);
        assert_eq!(self.wheel.next_expiry(), next);
    }

    fn check_nothing_due(&self) {
        if let Some(next) = self.wheel.next_expiry() {
            assert!(self.now < next, "{next} is due at {}", self.now);
        }
    }
}

#[test]
fn the_wheel_agrees_with_an_ordered_map() {
    check!()
        .with_type::<(Start, Vec<Op>)>()
        .with_iterations(30_000)
        .with_max_len(1024)
        .for_each(|(start, ops)| {
            let mut model = Model::new(match *start {
                Start::Zero => 0,
                Start::Any(tick) => tick,
                Start::End(ticks) => u64::MAX - u64::from(ticks),
            });
            for op in ops {
                model.apply(op);
            }
            while model.pop(u64::MAX) {}
            assert!(model.wheel.is_empty());
            assert!(model.wheel.memory() <= layout::MAX_MEMORY_WHEN_EMPTY);
        });
}
