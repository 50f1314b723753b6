// SPDX-License-Identifier: Apache-2.0

//! The wheel's behaviour, one sentence each. The comparison with an ordered map is in `model`, what follows from the
//! places of entries in `layout`.
//!
//! The one rule: no test reads a clock.

use super::Wheel;
use std::cell::Cell;

mod layout;
mod model;

/// Ticks that a slot spans, by level
const SPANS: [u64; 4] = [1, 1 << 8, 1 << 16, 1 << 24];

/// A distance that no level reaches
const HORIZON: u64 = 1 << 32;

/// Longer than the horizon: 2 hours
const TWO_HOURS: u64 = 2 * 60 * 60 * 1_000_000;

fn pop_all<T>(wheel: &mut Wheel<T>, now: u64) -> Vec<T> {
    std::iter::from_fn(|| wheel.pop(now)).collect()
}

#[test]
fn an_empty_wheel_has_nothing_to_release_and_nothing_to_wait_for() {
    let mut wheel = Wheel::<u8>::new(7);
    assert!(wheel.is_empty());
    assert_eq!(wheel.len(), 0);
    assert_eq!(wheel.next_expiry(), None);
    assert_eq!(wheel.pop(u64::MAX), None);
}

#[test]
fn an_entry_leaves_at_its_deadline_and_not_a_tick_before() {
    for start in [0, 1, 255, 256, 65_535, HORIZON - 1, u64::MAX / 3] {
        for span in SPANS {
            for distance in [span - 1, span, span + 1, 255 * span, 256 * span] {
                let deadline = start + distance;
                let mut wheel = Wheel::new(start);
                wheel.insert((), deadline);
                if let Some(before) = deadline.checked_sub(1).filter(|tick| *tick >= start) {
                    assert_eq!(wheel.pop(before), None, "{start} + {distance}");
                }
                assert_eq!(wheel.pop(deadline), Some(()), "{start} + {distance}");
            }
        }
    }
}

// TW-1
#[test]
fn an_earlier_deadline_inserted_behind_a_later_one_leaves_first() {
    let mut wheel = Wheel::new(0);
    wheel.insert("far", 70_000);
    wheel.insert("near", 20);
    assert_eq!(wheel.pop(19), None);
    wheel.insert("nearer than both at time 19", 19);
    assert_eq!(
        pop_all(&mut wheel, 70_000),
        ["nearer than both at time 19", "near", "far"]
    );
}

// TW-1
#[test]
fn the_time_of_an_empty_wheel_is_set_without_visiting_slots() {
    let mut wheel = Wheel::<()>::new(0);
    assert_eq!(wheel.pop(TWO_HOURS), None);
    assert!(wheel.slot_visits <= 4, "{}", wheel.slot_visits);
    wheel.insert((), TWO_HOURS + 1);
    assert_eq!(wheel.next_expiry(), Some(TWO_HOURS + 1));
}

// TW-2
#[test]
fn every_deadline_within_two_hours_is_accepted_and_released_once() {
    // a prime, so that the deadlines fall on all positions of all levels
    let deadlines: Vec<u64> = (0..=TWO_HOURS).step_by(999_983).collect();
    let mut wheel = Wheel::new(0);
    for deadline in deadlines.iter().rev() {
        wheel.insert(*deadline, *deadline);
    }
    assert_eq!(wheel.len(), deadlines.len());

    let step = 123_456;
    let mut released = vec![];
    for now in (0..TWO_HOURS + step).step_by(step as usize) {
        for deadline in pop_all(&mut wheel, now) {
            assert!(now - deadline < step, "{deadline} left at {now}");
            released.push(deadline);
        }
    }
    assert_eq!(released, deadlines);
}

// TW-2
#[test]
fn deadlines_beyond_the_horizon_are_never_released_early() {
    let deadlines = [
        HORIZON,
        HORIZON + 1,
        3 * HORIZON + 5,
        u64::MAX - 1,
        u64::MAX,
    ];
    let mut wheel = Wheel::new(0);
    for deadline in deadlines {
        wheel.insert(deadline, deadline);
    }
    for deadline in deadlines {
        assert_eq!(wheel.next_expiry(), Some(deadline));
        assert_eq!(wheel.pop(deadline - 1), None);
        assert_eq!(wheel.pop(deadline), Some(deadline));
    }
    assert!(wheel.is_empty());
}

// TW-2, TW-4
#[test]
fn entries_of_one_tick_beyond_the_horizon_keep_their_order_when_they_come_within_reach() {
    let mut wheel = Wheel::new(0);
    let tick = 2 * HORIZON + 77;
    wheel.insert(1, tick);
    wheel.insert(2, tick);
    wheel.insert(0, HORIZON + 9);
    assert_eq!(wheel.pop(HORIZON + 9), Some(0));
    for (id, distance) in (3..).zip([HORIZON - 1, 1 << 25, 1 << 17, 1 << 9, 7]) {
        assert_eq!(wheel.pop(tick - distance), None);
        wheel.insert(id, tick);
    }
    assert_eq!(pop_all(&mut wheel, tick), [1, 2, 3, 4, 5, 6, 7]);
}

// TW-3
#[test]
fn the_next_expiry_is_exact_at_every_distance() {
    for start in [0, 1, 200, 256, 65_535, HORIZON - 1, u64::MAX / 3] {
        for span in SPANS {
            for distance in [span - 1, span, span + 1, 255 * span, 256 * span] {
                let mut wheel = Wheel::new(start);
                wheel.insert((), start + distance + 1);
                wheel.insert((), start + distance);
                assert_eq!(wheel.next_expiry(), Some(start + distance));
            }
        }
    }
}

// TW-3
#[test]
fn the_next_expiry_is_found_behind_the_end_of_each_level() {
    for span in SPANS {
        // the cursor is in the last slot of the level, so the entry's slot is the first of the array
        let start = 255 * span;
        let mut wheel = Wheel::new(start);
        let deadline = start + 2 * span;
        wheel.insert((), deadline);
        assert_eq!(wheel.next_expiry(), Some(deadline), "span {span}");
        assert_eq!(wheel.pop(deadline), Some(()), "span {span}");
    }
}

// TW-3
#[test]
fn the_next_expiry_sees_an_upper_level_that_is_due_before_a_lower_one() {
    let mut wheel = Wheel::new(0);
    wheel.insert("level 1", 256);
    assert_eq!(wheel.pop(250), None);
    wheel.insert("level 0", 300);
    assert_eq!(wheel.next_expiry(), Some(256));
    assert_eq!(pop_all(&mut wheel, 300), ["level 1", "level 0"]);
}

// TW-4
#[test]
fn entries_of_one_tick_keep_their_order_on_either_side_of_a_cascade() {
    for span in [1 << 8, 1 << 16, 1 << 24] {
        // `tick` is in the slot behind the cursor's, and less than 256 slots of the level below away
        let tick = 5 * span + 3;
        let mut wheel = Wheel::new(0);
        wheel.insert(188, tick);
        wheel.insert(189, tick);
        assert_eq!(wheel.pop(5 * span - 2), None);
        wheel.insert(190, tick);
        wheel.insert(191, tick);
        assert_eq!(
            pop_all(&mut wheel, tick),
            [188, 189, 190, 191],
            "span {span}"
        );
    }
}

// TW-4
#[test]
fn entries_of_one_tick_keep_their_order_when_all_levels_cascade_at_once() {
    // the cursor goes from the last tick before a boundary of all levels to the first behind it, in one move
    let tick = HORIZON + 1;
    let mut wheel = Wheel::new(0);
    wheel.insert("far list", tick);
    for (name, distance) in [
        ("level 3", 1 << 25),
        ("level 2", 1 << 17),
        ("level 1", 1 << 9),
        ("level 0", 9),
    ] {
        assert_eq!(wheel.pop(tick - distance), None);
        wheel.insert(name, tick);
    }
    let expected = ["far list", "level 3", "level 2", "level 1", "level 0"];
    assert_eq!(pop_all(&mut wheel, tick), expected);
}

// TW-5
#[test]
fn catching_up_after_ten_seconds_visits_a_handful_of_slots() {
    let ten_seconds = 10_000_000;
    for deadline in [1, 300, 70_000, 9_999_999, ten_seconds] {
        let mut wheel = Wheel::new(0);
        wheel.insert((), deadline);
        assert_eq!(wheel.pop(ten_seconds), Some(()));
        assert_eq!(wheel.pop(ten_seconds), None);
        // two moves of the cursor, each with a cascade on at most three levels
        assert!(wheel.slot_visits <= 8, "{}", wheel.slot_visits);
    }
}

// TW-5
#[test]
fn an_entry_beyond_the_horizon_is_not_touched_until_it_comes_within_reach() {
    let mut wheel = Wheel::new(0);
    wheel.insert((), u64::MAX);
    for hour in 1..=100 {
        assert_eq!(wheel.pop(hour * TWO_HOURS / 2), None);
    }
    // each move of the cursor looks into one slot of each upper level
    assert!(wheel.slot_visits <= 100 * 4, "{}", wheel.slot_visits);
}

// TW-6
#[test]
fn a_past_deadline_leaves_behind_what_is_already_at_the_current_tick() {
    let mut wheel = Wheel::new(10);
    wheel.insert("current", 10);
    wheel.insert("past", 5);
    wheel.insert("long past", 0);
    wheel.insert("next", 11);
    assert_eq!(wheel.next_expiry(), Some(10));
    assert_eq!(pop_all(&mut wheel, 10), ["current", "past", "long past"]);
    assert_eq!(pop_all(&mut wheel, 11), ["next"]);
}

// TW-6
#[test]
fn what_is_due_when_inserted_from_inside_a_drain_leaves_in_that_drain() {
    let mut wheel = Wheel::new(0);
    let now = 1_000;
    wheel.insert("first", now);
    assert_eq!(wheel.pop(now), Some("first"));
    wheel.insert("now + 1", now + 1);
    wheel.insert("now - 1", now - 1);
    wheel.insert("now", now);
    assert_eq!(pop_all(&mut wheel, now), ["now - 1", "now"]);
    wheel.insert("now - 1 again", now - 1);
    assert_eq!(pop_all(&mut wheel, now), ["now - 1 again"]);
    assert_eq!(pop_all(&mut wheel, now + 1), ["now + 1"]);
}

// TW-6
#[test]
fn an_entry_inserted_between_the_last_release_and_now_leaves_in_order_of_deadline() {
    let mut wheel = Wheel::new(0);
    wheel.insert(50, 50);
    wheel.insert(70, 70);
    assert_eq!(wheel.pop(100), Some(50));
    wheel.insert(60, 60);
    wheel.insert(40, 40);
    assert_eq!(pop_all(&mut wheel, 100), [40, 60, 70]);
}

// TW-7
#[test]
fn a_timer_is_moved_by_inserting_it_again_when_it_fires() {
    struct Timer {
        wanted: Cell<Option<u64>>,
    }
    let postponed = Timer {
        wanted: Cell::new(Some(10)),
    };
    let disarmed = Timer {
        wanted: Cell::new(Some(10)),
    };
    let mut wheel = Wheel::new(0);
    wheel.insert(&postponed, 10);
    wheel.insert(&disarmed, 10);
    postponed.wanted.set(Some(400));
    disarmed.wanted.set(None);

    let mut fired = vec![];
    for now in [10, 399, 400] {
        while let Some(timer) = wheel.pop(now) {
            match timer.wanted.get() {
                Some(wanted) if wanted > now => wheel.insert(timer, wanted),
                Some(wanted) => fired.push((wanted, now)),
                None => {}
            }
        }
    }
    assert_eq!(fired, [(400, 400)]);
    assert!(wheel.is_empty());
}

#[test]
fn time_that_goes_backwards_is_taken_as_the_latest_seen() {
    let mut wheel = Wheel::new(100);
    wheel.insert("first", 150);
    wheel.insert("second", 190);
    assert_eq!(wheel.pop(200), Some("first"));
    assert_eq!(wheel.pop(10), Some("second"));
    assert_eq!(wheel.pop(0), None);
    wheel.insert("at 200", 120);
    assert_eq!(wheel.next_expiry(), Some(200));
    assert_eq!(wheel.pop(0), Some("at 200"));
}

// TW-9
#[test]
fn the_length_counts_each_entry_until_it_is_popped() {
    let mut wheel = Wheel::new(0);
    for (len, deadline) in [0, 1, 1, 300, 70_000, HORIZON, u64::MAX]
        .into_iter()
        .enumerate()
    {
        assert_eq!(wheel.len(), len);
        wheel.insert((), deadline);
    }
    // cascades in between do not change it
    for (now, len) in [
        (0, 6),
        (1, 4),
        (299, 4),
        (300, 3),
        (80_000, 2),
        (HORIZON, 1),
        (u64::MAX, 0),
    ] {
        pop_all(&mut wheel, now);
        assert_eq!(wheel.len(), len, "at {now}");
        assert_eq!(wheel.is_empty(), len == 0);
    }
}

#[test]
fn draining_takes_everything_and_leaves_the_wheel_usable() {
    let deadlines = [0, 1, 1, 300, 70_000, HORIZON, u64::MAX];
    let mut wheel = Wheel::new(0);
    for deadline in deadlines {
        wheel.insert(deadline, deadline);
    }
    let mut drained: Vec<u64> = wheel.drain().collect();
    drained.sort();
    assert_eq!(drained, deadlines);
    assert_eq!((wheel.len(), wheel.next_expiry()), (0, None));
    assert_eq!(wheel.pop(500), None);

    wheel.insert(501, 501);
    assert_eq!(wheel.next_expiry(), Some(501));
    assert_eq!(pop_all(&mut wheel, 501), [501]);
}

#[test]
fn the_wheel_goes_where_its_values_go() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Wheel<Box<u8>>>();
}

#[test]
fn equal_deadlines_keep_their_order_when_one_move_enters_slots_of_two_levels() {
    let mut wheel = Wheel::new(34);
    wheel.insert(28, 1_033_402_657);
    wheel.insert(29, 247);
    let now = 1_047_268_215;
    assert_eq!(wheel.pop(now), Some(29));
    wheel.insert(30, 1_047_331_587);
    assert_eq!(wheel.pop(now), Some(28));
    wheel.insert(31, 1_047_331_587);
    assert_eq!(wheel.pop(now), None);
    assert_eq!(wheel.pop(u64::MAX), Some(30));
    assert_eq!(wheel.pop(u64::MAX), Some(31));
}
