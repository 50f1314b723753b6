// SPDX-License-Identifier: Apache-2.0

//! The window against a sender and an application that are as simple as can be.

use super::*;
use crate::stream::recv::budget::Budget;
use bolero::{check, TypeGenerator};
use std::{collections::VecDeque, sync::Arc};

/// What the handshake says by default
const DEFAULT: u64 = 89_400;
const DATAGRAM: u64 = 1450;
const PLENTY: usize = 256 << 20;

fn at(micros: u64) -> Timestamp {
    crate::clock::at_tick(1_000_000 + micros)
}

fn window(size: u64) -> Window {
    Window::new(size, size, Budget::new(PLENTY).holding())
}

fn promising(number: u64, end: u64) -> Promising {
    Promising {
        number,
        end,
        datagram_len: DATAGRAM,
        is_repetition: false,
    }
}

/// A sender with as much to send as it may, a path, and an application
struct Flow {
    window: Window,
    budget: Arc<Budget>,
    /// There and back, in microseconds
    round_trip: u64,
    /// What the sender has in flight at most, whatever the window
    in_flight: u64,
    /// Bytes that the application takes at a time, and how long it pauses then
    reads: (u64, u64),
    now: u64,
    sent: u64,
    received: u64,
    consumed: u64,
    acknowledged: u64,
    limit: u64,
    next_control: u64,
    seen: Option<u64>,
    next_read: u64,
    to_receiver: VecDeque<(u64, u64, Option<u64>)>,
    to_sender: VecDeque<(u64, u64, u64, u64)>,
    /// Control packets that are lost
    is_lost: fn(u64) -> bool,
}

impl Flow {
    fn new(round_trip: u64, reads: (u64, u64)) -> Self {
        let budget = Budget::new(PLENTY);
        Self {
            window: Window::new(DEFAULT, DEFAULT, budget.holding()),
            budget,
            round_trip,
            in_flight: u64::MAX,
            reads,
            now: 0,
            sent: 0,
            received: 0,
            consumed: 0,
            acknowledged: 0,
            limit: DEFAULT,
            next_control: 0,
            seen: None,
            next_read: 0,
            to_receiver: VecDeque::new(),
            to_sender: VecDeque::new(),
            is_lost: |_| false,
        }
    }

    /// Promises, and acknowledges all that was received
    fn control(&mut self, is_repetition: bool) {
        let number = self.next_control;
        self.next_control += 1;
        let promising = Promising {
            is_repetition,
            ..promising(number, self.received)
        };
        let limit = self.window.promise(promising, at(self.now));
        if !(self.is_lost)(number) {
            let arrival = self.now + self.round_trip / 2;
            self.to_sender
                .push_back((arrival, number, limit, self.received));
        }
    }

    fn send(&mut self) {
        let free = self.in_flight.saturating_sub(self.sent - self.acknowledged);
        let end = self.limit.min(self.sent.saturating_add(free));
        let arrival = self.now + self.round_trip.div_ceil(2);
        while self.sent < end {
            self.sent = end.min(self.sent + 64 * DATAGRAM);
            self.to_receiver.push_back((arrival, self.sent, self.seen));
        }
    }

    fn receive(&mut self, end: u64, seen: Option<u64>) {
        assert!(
            self.window.accepts(end),
            "the sender keeps to what it was told"
        );
        self.received = end;
        if let Some(seen) = seen {
            self.window.on_answered(seen, at(self.now));
        }
        self.read();
        self.control(false);
    }

    /// What the application does now; true if that is to be told at once
    fn read(&mut self) -> bool {
        let (amount, pause) = self.reads;
        let mut is_due = false;
        while self.next_read <= self.now && self.consumed < self.received {
            let amount = amount.min(self.received - self.consumed);
            self.consumed += amount;
            if pause > 0 {
                self.next_read = self.now + pause;
            }
            is_due |= self.window.on_consumed(self.consumed, at(self.now));
        }
        is_due
    }

    fn run(&mut self, duration: u64) -> &mut Self {
        let deadline = self.now + duration;
        self.send();
        loop {
            let read = (self.consumed < self.received).then_some(self.next_read.max(self.now));
            let next = [
                self.to_receiver.front().map(|(at, ..)| *at),
                self.to_sender.front().map(|(at, ..)| *at),
                read,
            ];
            // a sender that waits for a promise that was lost gets it again
            let next = next.into_iter().flatten().min();
            let is_stuck = next.is_none();
            self.now = next.unwrap_or(self.now + 20_000);
            if self.now > deadline {
                self.now = deadline;
                return self;
            }
            if is_stuck {
                self.control(true);
            }
            if self.read() {
                self.control(false);
            }
            while let Some((_, number, limit, received)) =
                self.to_sender.pop_front_if(|(at, ..)| *at <= self.now)
            {
                self.seen = self.seen.max(Some(number));
                self.limit = self.limit.max(limit);
                self.acknowledged = self.acknowledged.max(received);
            }
            self.send();
            while let Some((_, end, seen)) =
                self.to_receiver.pop_front_if(|(at, ..)| *at <= self.now)
            {
                self.receive(end, seen);
            }
        }
    }
}

/// Round trips from those within a rack to those around the world, in microseconds
const ROUND_TRIPS: [u64; 6] = [20, 100, 1_000, 10_000, 50_000, 300_000];

#[test]
fn a_fast_application_widens_the_window_to_the_largest_at_any_round_trip() {
    for round_trip in ROUND_TRIPS {
        let mut flow = Flow::new(round_trip, (65_536, 0));
        // each trip widens it fourfold
        flow.run(8 * round_trip);
        assert_eq!(flow.window.size, MAX_SIZE, "at {round_trip} µs");
        assert_eq!(flow.budget.taken(), MAX_SIZE - DEFAULT);
    }
}

#[test]
fn the_window_follows_what_the_path_holds_and_then_stays() {
    for round_trip in ROUND_TRIPS {
        for in_flight in [300_000, 2 << 20] {
            let mut flow = Flow::new(round_trip, (65_536, 0));
            flow.in_flight = in_flight;
            flow.run(20 * round_trip);
            let size = flow.window.size;
            assert!(size >= 2 * in_flight, "{size} at {round_trip} µs");
            assert!(
                size <= 2 * HEADROOM * in_flight,
                "{size} at {round_trip} µs"
            );
            flow.run(100 * round_trip);
            assert_eq!(flow.window.size, size);
        }
    }
}

#[test]
fn a_sender_that_needs_little_of_the_window_does_not_widen_it() {
    for round_trip in ROUND_TRIPS {
        let mut flow = Flow::new(round_trip, (65_536, 0));
        flow.in_flight = DEFAULT / HEADROOM / 2;
        flow.run(100 * round_trip);
        assert!(flow.consumed > 20 * flow.in_flight);
        assert_eq!(flow.window.size, DEFAULT, "at {round_trip} µs");
        assert_eq!(flow.budget.taken(), 0);
    }
}

#[test]
fn a_slow_application_does_not_widen_the_window() {
    for round_trip in ROUND_TRIPS {
        // a tenth of a window per round trip: in one piece, in crumbs, and rarely as much as there is
        for reads in [
            (DEFAULT / 10, round_trip),
            (DEFAULT / 200, (round_trip / 20).max(1)),
            (DEFAULT, 10 * round_trip),
        ] {
            let mut flow = Flow::new(round_trip, reads);
            flow.run(200 * round_trip);
            assert!(flow.consumed > 10 * DEFAULT, "{}", flow.consumed);
            assert_eq!(flow.window.size, DEFAULT, "{reads:?} at {round_trip} µs");
        }
    }
}

#[test]
fn an_application_that_takes_in_small_pieces_and_then_sleeps_is_slow() {
    for round_trip in [20, 100, 1_000] {
        let mut flow = Flow::new(round_trip, (1_000, 0));
        for _ in 0..50 {
            flow.reads = (1_000, 0);
            flow.next_read = 0;
            flow.run(1);
            flow.next_read = u64::MAX;
            flow.run(100 * round_trip);
        }
        assert!(flow.consumed > 20 * DEFAULT);
        assert_eq!(flow.window.size, DEFAULT, "at {round_trip} µs");
    }
}

#[test]
fn an_application_that_becomes_fast_widens_the_window() {
    let mut flow = Flow::new(1_000, (1_000, 1_000));
    flow.run(100_000);
    assert_eq!(flow.window.size, DEFAULT);
    flow.reads = (65_536, 0);
    flow.run(20_000);
    assert_eq!(flow.window.size, MAX_SIZE);
}

#[test]
fn the_window_grows_where_promises_are_lost_and_not_because_they_are() {
    for round_trip in ROUND_TRIPS {
        let mut flow = Flow::new(round_trip, (65_536, 0));
        flow.is_lost = |number| number % 3 != 0;
        flow.run(1_000_000 + 20 * round_trip);
        assert_eq!(flow.window.size, MAX_SIZE, "at {round_trip} µs");
    }
    // a slow application drains a whole window until a promise is said again, which is no round trip
    let mut flow = Flow::new(100, (DEFAULT / 10, 1_000));
    flow.is_lost = |number| number % 4 != 0;
    flow.run(2_000_000);
    assert!(flow.consumed > 10 * DEFAULT, "{}", flow.consumed);
    assert_eq!(flow.window.size, DEFAULT);
}

#[test]
fn a_budget_that_is_used_up_leaves_the_window_as_it_is() {
    let mut flow = Flow::new(1_000, (65_536, 0));
    flow.budget = Budget::new(0);
    flow.window = Window::new(DEFAULT, DEFAULT, flow.budget.holding());
    flow.run(100_000);
    assert_eq!(flow.window.size, DEFAULT);
    assert!(flow.consumed > 90 * DEFAULT);
    assert!(flow.budget.refused() > 0);

    flow.budget = Budget::new(100_000);
    flow.window.holding = Some(flow.budget.holding());
    flow.run(100_000);
    assert_eq!(flow.window.size, DEFAULT + flow.budget.taken());
    assert!(flow.budget.taken() > 40_000);
}

#[test]
fn a_closed_window_gives_back_what_it_took_and_keeps_its_promise() {
    let mut flow = Flow::new(1_000, (65_536, 0));
    flow.run(20_000);
    let promised = flow.window.promised();
    assert!(flow.budget.taken() > 0);
    flow.window.close();
    assert_eq!(flow.budget.taken(), 0);
    assert!(flow.window.accepts(promised));
    flow.run(20_000);
    assert_eq!(flow.budget.taken(), 0);
    assert!(flow.window.promised() > promised);
}

#[test]
fn a_window_of_the_handshake_that_is_larger_than_the_largest_stays() {
    assert_eq!(target(2 * MAX_SIZE, u64::MAX), 2 * MAX_SIZE);
    assert_eq!(target(DEFAULT, u64::MAX), MAX_SIZE);
    assert_eq!(target(DEFAULT, DEFAULT / HEADROOM), DEFAULT);
    assert_eq!(target(DEFAULT, DEFAULT), HEADROOM * DEFAULT);
}

#[test]
fn what_is_drained_late_counts_by_its_part_of_the_time() {
    let millis = Duration::from_millis;
    assert_eq!(drained_per_trip(1000, millis(10), millis(10)), 1000);
    assert_eq!(drained_per_trip(1000, millis(10), millis(100)), 100);
    assert_eq!(drained_per_trip(1000, millis(0), millis(0)), 1000);
    assert_eq!(drained_per_trip(1000, millis(0), millis(1)), 0);
    assert_eq!(drained_per_trip(u64::MAX, millis(1), Duration::MAX), 0);
}

#[test]
fn nothing_beyond_the_promise_is_accepted() {
    let mut window = window(1000);
    assert!(window.accepts(1000));
    assert!(!window.accepts(1001));
    // what is free but was not said is not promised
    window.on_consumed(600, at(0));
    assert!(!window.accepts(1001));
    assert_eq!(window.promise(promising(0, 600), at(0)), 1600);
    assert!(window.accepts(1600));
    assert!(!window.accepts(1601));
}

#[test]
fn another_reading_of_the_handshake_is_accepted_but_not_encouraged() {
    let mut window = Window::new(1000, 5000, Budget::new(PLENTY).holding());
    assert!(window.accepts(5000));
    assert!(!window.accepts(5001));
    assert_eq!(window.promise(promising(0, 0), at(0)), 1000);
}

#[test]
fn the_limit_follows_what_the_application_takes() {
    let mut window = window(1000);
    assert!(!window.on_consumed(100, at(0)), "too little to talk about");
    assert!(window.on_consumed(600, at(100)));
    assert_eq!(window.promise(promising(0, 600), at(100)), 1600);
}

#[test]
fn a_promise_is_open_until_it_is_confirmed() {
    let mut window = window(1000);
    window.on_consumed(1000, at(100));
    let limit = window.promise(promising(7, 1000), at(100));
    assert!(window.may_block(1000, 100), "the peer has sent all it may");
    assert!(!window.may_block(500, 100), "the peer has room left");
    window.on_answered(6, at(200));
    assert!(window.may_block(1000, 100), "that was an earlier one");
    let mut other = Window::new(1000, 1000, Budget::new(PLENTY).holding());
    core::mem::swap(&mut other, &mut window);
    window.on_consumed(1000, at(100));
    window.promise(promising(7, 1000), at(100));
    window.on_confirmed(limit);
    assert!(!window.may_block(1000, 100));
    // a later control packet has said at least as much
    other.on_answered(9, at(200));
    assert!(!other.may_block(1000, 100));
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Consume { bytes: u32, after: u16 },
    Promise { is_repetition: bool, end: u32 },
    Answer { back: u8, after: u16 },
    Close,
}

#[test]
fn whatever_happens_limits_never_fall_and_the_window_stays_in_bounds() {
    check!()
        .with_type::<(u32, u32, Vec<Operation>)>()
        .for_each(|(size, agreed, operations)| {
            let (size, agreed) = (u64::from(*size), u64::from(*agreed));
            let budget = Budget::new(PLENTY);
            let mut window = Window::new(size, agreed, budget.holding());
            let (mut now, mut consumed, mut number, mut told) = (0, 0, 0, size);
            let mut most = 0;
            for operation in operations {
                match *operation {
                    Operation::Consume { bytes, after } => {
                        now += u64::from(after);
                        // as a reader can: no more than what may have come
                        let bytes = u64::from(bytes).min(told.max(agreed).saturating_sub(consumed));
                        consumed += bytes;
                        window.on_consumed(consumed, at(now));
                        most = most.max(consumed);
                    }
                    Operation::Promise { is_repetition, end } => {
                        let promising = Promising {
                            is_repetition,
                            ..promising(number, u64::from(end))
                        };
                        number += 1;
                        let limit = window.promise(promising, at(now));
                        assert!(limit >= told && limit >= consumed + size);
                        told = limit;
                    }
                    Operation::Answer { back, after } => {
                        now += u64::from(after);
                        if let Some(seen) = u64::checked_sub(number, 1 + u64::from(back)) {
                            window.on_answered(seen, at(now));
                        }
                    }
                    Operation::Close => window.close(),
                }
                assert_eq!(window.promised(), told);
                assert!(window.confirmed <= told);
                assert!(window.accepts(told.max(agreed)));
                assert!(!window.accepts(told.max(agreed) + 1));
                assert!(window.size >= size && window.size <= size.max(MAX_SIZE));
                assert!(window.size <= size.max(HEADROOM * most));
                let grown = window.size - size;
                assert!(budget.taken() == grown || budget.taken() == 0);
            }
            drop(window);
            assert_eq!(budget.taken(), 0);
        });
}
