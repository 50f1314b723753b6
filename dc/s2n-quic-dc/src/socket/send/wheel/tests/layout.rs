// SPDX-License-Identifier: Apache-2.0

//! What follows from where the wheel keeps its entries: order across the places, memory, and drops.
//!
//! The one rule: limits on memory are those that the documentation of the wheel promises.

use super::{pop_all, Wheel, HORIZON, SPANS};
use crate::socket::send::wheel::{slots::Place, spares::Spares};
use std::rc::Rc;

/// What is promised, without the slots
pub(super) const MAX_MEMORY_WHEN_EMPTY: usize = (256 - 32) * 1024;

const MANY: u64 = 100_000;

#[test]
fn the_place_is_the_highest_digit_that_differs() {
    let place = |cursor, deadline| Place::of(cursor, deadline);
    assert_eq!(place(0, 0), Place::Due);
    assert_eq!(place(u64::MAX, u64::MAX), Place::Due);
    assert_eq!(place(0, 1), Place::Slot(1));
    assert_eq!(place(254, 255), Place::Slot(255));
    // the next digit, even though it is one tick away
    assert_eq!(place(255, 256), Place::Slot(256 + 1));
    assert_eq!(place(0x1_ff, 0x3_00), Place::Slot(256 + 3));
    assert_eq!(place(0xff_ff, 0x1_00_00), Place::Slot(2 * 256 + 1));
    assert_eq!(place(0, 0xff_12_34), Place::Slot(2 * 256 + 255));
    assert_eq!(place(0, HORIZON - 1), Place::Slot(3 * 256 + 255));
    assert_eq!(place(HORIZON - 1, HORIZON), Place::Far);
    assert_eq!(place(0, u64::MAX), Place::Far);
}

#[test]
fn the_next_expiry_is_found_in_every_slot() {
    for span in SPANS {
        for digit in 1..256 {
            let mut wheel = Wheel::new(0);
            let deadline = digit * span;
            wheel.insert(1, deadline);
            // in a later slot of the level, and on all levels above
            for later in [deadline + span, HORIZON - 1, u64::MAX] {
                wheel.insert(2, later);
            }
            assert_eq!(wheel.next_expiry(), Some(deadline), "{digit} * {span}");
            assert_eq!(wheel.pop(deadline), Some(1), "{digit} * {span}");
            assert_eq!(wheel.pop(deadline), None, "{digit} * {span}");
            assert!(wheel.next_expiry() > Some(deadline), "{digit} * {span}");
        }
    }
}

#[test]
fn what_is_alone_in_its_slot_leaves_without_a_cascade_and_before_what_is_inserted_then() {
    for span in SPANS {
        let deadline = 7 * span;
        let mut wheel = Wheel::new(0);
        wheel.insert("alone", deadline);
        let visits = wheel.slot_visits;
        assert_eq!(wheel.pop(deadline), Some("alone"));
        assert_eq!(wheel.slot_visits, visits + 1, "span {span}");
        wheel.insert("same tick", deadline);
        wheel.insert("past", deadline - 1);
        assert_eq!(pop_all(&mut wheel, deadline), ["same tick", "past"]);
    }
}

#[test]
fn what_is_alone_in_the_slot_that_time_enters_is_not_released_early() {
    for span in &SPANS[1..] {
        let mut wheel = Wheel::new(0);
        wheel.insert((), 3 * span + 2);
        assert_eq!(wheel.pop(3 * span + 1), None, "span {span}");
        assert_eq!(wheel.next_expiry(), Some(3 * span + 2), "span {span}");
        assert_eq!(wheel.pop(3 * span + 2), Some(()), "span {span}");
    }
}

#[test]
fn entries_of_one_tick_keep_their_order_in_a_drain_that_is_interrupted() {
    let mut wheel = Wheel::new(0);
    let tick = 70_000;
    for id in 0..1_000 {
        wheel.insert(id, tick);
    }
    let first: Vec<u64> = (0..500).filter_map(|_| wheel.pop(tick)).collect();
    for id in 1_000..1_500 {
        wheel.insert(id, tick - id % 3);
    }
    let rest = pop_all(&mut wheel, tick);
    assert!(first.into_iter().chain(rest).eq(0..1_500));
}

#[test]
fn a_slot_that_is_used_again_has_forgotten_its_earlier_deadlines() {
    for span in SPANS {
        let rotation = 256 * span;
        let mut wheel = Wheel::new(0);
        // two entries, so that the slot cascades and is not left by a single one
        wheel.insert((), span);
        wheel.insert((), span);
        assert_eq!(pop_all(&mut wheel, rotation).len(), 2);
        let again = rotation + 2 * span - 1;
        wheel.insert((), again);
        assert_eq!(wheel.next_expiry(), Some(again), "span {span}");
    }
    let mut wheel = Wheel::new(0);
    wheel.insert((), HORIZON);
    wheel.insert((), 3 * HORIZON + 1);
    assert_eq!(wheel.pop(HORIZON), Some(()));
    assert_eq!(wheel.next_expiry(), Some(3 * HORIZON + 1));
}

#[test]
fn an_empty_wheel_keeps_little_memory() {
    let deadlines: [fn(u64) -> u64; 5] = [
        |id| id * 9_973 % 1_000_000,
        |_| 300,
        |id| id / (MANY / 3) * 70_000,
        |id| HORIZON + id,
        // half at one tick, and then as many that leave one by one from slots of their own
        |id| if id % 2 == 0 { 300 } else { 300 + id * 256 },
    ];
    for deadline_of in deadlines {
        let mut wheel = Wheel::new(0);
        for id in 0..MANY {
            wheel.insert(id, deadline_of(id));
        }
        assert_eq!(pop_all(&mut wheel, u64::MAX).len(), MANY as usize);
        assert!(wheel.is_empty());
        let memory = wheel.memory();
        assert!(memory <= MAX_MEMORY_WHEN_EMPTY, "{memory}");
    }
}

#[test]
fn the_time_that_an_empty_wheel_sees_costs_no_memory() {
    let mut wheel = Wheel::<u64>::new(0);
    for round in 0..1_000 {
        // into new slots of all levels, and into the far list
        for now in [0, 255, 256, 70_000, 1 << 25] {
            assert_eq!(wheel.pop(round * HORIZON + now), None);
        }
    }
    assert_eq!(wheel.memory(), 0);
}

#[test]
fn a_steady_state_allocates_nothing() {
    let mut wheel = Wheel::new(0);
    for id in 0..100 {
        wheel.insert(id, id * 37);
    }
    let mut renewed = 0;
    for now in 0..1_000_000 {
        while let Some(id) = wheel.pop(now) {
            wheel.insert(id, now + 1 + id * 37);
            renewed += 1;
        }
    }
    assert_eq!(wheel.len(), 100);
    assert!(renewed > 100_000);
    // no more vectors than entries, each of which has room for all after it has grown to 4, 8, 16, 32, 64 and 128
    assert!(wheel.spares.growths <= 6 * 100);
    assert!(wheel.memory() <= 100 * (128 * 2 * size_of::<u64>() + 100));
}

#[test]
fn the_vector_of_a_full_slot_is_not_passed_on() {
    let mut spares = Spares::<u64>::new();
    spares.give(Vec::with_capacity(257));
    assert_eq!(spares.capacity(), 0);
    spares.give(Vec::with_capacity(256));
    assert_eq!(spares.capacity(), 256);
    assert_eq!(spares.take().capacity(), 256);
    assert_eq!(spares.capacity(), 0);
}

#[test]
fn a_drained_wheel_keeps_little_memory() {
    let mut wheel = Wheel::new(0);
    for id in 0..MANY {
        wheel.insert(id, id);
    }
    assert_eq!(wheel.drain().count(), MANY as usize);
    assert!(wheel.memory() <= MAX_MEMORY_WHEN_EMPTY);
}

#[test]
fn one_entry_that_stays_keeps_no_memory_of_those_that_left() {
    for span in [1_000_000, 1] {
        let mut wheel = Wheel::new(0);
        wheel.insert(0, u64::MAX);
        for id in 0..MANY {
            wheel.insert(id, 300 + id * 9_973 % span);
        }
        assert_eq!(pop_all(&mut wheel, HORIZON).len(), MANY as usize);
        assert_eq!(wheel.len(), 1);
        let memory = wheel.memory();
        assert!(memory <= MAX_MEMORY_WHEN_EMPTY + 1_000, "{memory}");
    }
}

#[test]
fn memory_is_in_proportion_to_the_entries() {
    let mut wheel = Wheel::new(0);
    for id in 0..MANY {
        wheel.insert(id, id * 9_973 % 1_000_000);
    }
    let entry = 2 * size_of::<u64>();
    for now in (0..2_000_000).step_by(1_000) {
        while let Some(id) = wheel.pop(now) {
            // half of them stay, and the others leave in the course of time
            if id % 2 == 0 {
                wheel.insert(id, now + 1 + id * 9_973 % 1_000_000);
            }
        }
        // what a slot keeps beyond twice its entries is at most the largest spare
        let most = 3 * entry * wheel.len() + MAX_MEMORY_WHEN_EMPTY + 1024 * 4096;
        assert!(wheel.memory() <= most, "{} at {now}", wheel.memory());
    }
}

#[test]
fn values_are_dropped_with_the_wheel_wherever_they_are() {
    let value = Rc::new(());
    let mut wheel = Wheel::new(0);
    let near = [5, 5, 5, 6, 300, 70_000, 1 << 25];
    for deadline in near.into_iter().chain([HORIZON, u64::MAX]) {
        wheel.insert(value.clone(), deadline);
    }
    // one released, and two of its tick on their way out
    drop(wheel.pop(5));
    assert_eq!(Rc::strong_count(&value), 1 + wheel.len());
    assert_eq!(wheel.len(), 8);
    drop(wheel);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn draining_takes_from_everywhere_in_the_middle_of_a_tick() {
    let mut wheel = Wheel::new(0);
    let deadlines = [5, 5, 5, 6, 300, 70_000, 1 << 25, HORIZON, u64::MAX];
    for (id, deadline) in deadlines.into_iter().enumerate() {
        wheel.insert(id, deadline);
    }
    assert_eq!(wheel.pop(5), Some(0));
    let mut drained: Vec<usize> = wheel.drain().collect();
    drained.sort();
    assert!(drained.into_iter().eq(1..deadlines.len()));
    assert_eq!((wheel.len(), wheel.next_expiry()), (0, None));
    // the current tick stays
    wheel.insert(9, 0);
    assert_eq!(wheel.next_expiry(), Some(5));
}

#[test]
fn a_drain_that_is_dropped_early_drops_the_rest() {
    let value = Rc::new(());
    let mut wheel = Wheel::new(0);
    for deadline in 0..10 {
        wheel.insert(value.clone(), deadline);
    }
    assert!(wheel.drain().next().is_some());
    assert!(wheel.is_empty());
    assert_eq!(Rc::strong_count(&value), 1);
}
