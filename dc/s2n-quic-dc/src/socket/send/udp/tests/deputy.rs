// SPDX-License-Identifier: Apache-2.0

//! Rounds that are done in the worker's place by whoever flushes.

use super::*;
use crate::stream::{
    environment::drive::{Sending, Turn},
    testing::clock::Clock,
};
use nix::errno::Errno;

/// A worker that its thread has just let go of, because there was nothing to do
fn asleep(bench: &mut Bench, clock: &Clock) -> Arc<Sending<fixture::FakeSocket>> {
    let sending = bench.hand_over(clock.clone());
    assert_eq!(sending.turn(), Turn::Sleep(Next::At(None)));
    sending
}

fn due(serial: u32, departure: u64) -> Plan {
    Plan {
        departure,
        ..Plan::new(serial)
    }
}

#[test]
fn who_flushes_sends_if_the_worker_sleeps() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let _sending = asleep(&mut bench, &clock);
    bench.submit(Plan::new(1));
    assert_eq!(bench.left(), [1]);
    assert_eq!(ends(&bench.stream), [(1, End::Sent(0))]);
    assert_eq!(bench.rings.count(), 0);
}

#[test]
fn what_waits_for_company_leaves_with_it() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let _sending = asleep(&mut bench, &clock);
    bench.sender.expect_company(true);
    bench.submit(Plan::new(1));
    bench.submit(Plan::new(2));
    assert_eq!(bench.left(), []);
    bench.sender.flush_for_all();
    assert_eq!(bench.left(), [1, 2]);
    bench.submit(Plan::new(3));
    assert_eq!(bench.left(), [3], "nobody is expected any more");
}

#[test]
fn only_so_many_wait_for_company() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let _sending = asleep(&mut bench, &clock);
    bench.sender.expect_company(true);
    for first in [0, MAX_PATIENT + 1] {
        let last = first + MAX_PATIENT;
        for serial in first..last {
            bench.submit(Plan::new(serial));
            assert_eq!(bench.left(), []);
        }
        bench.submit(Plan::new(last));
        assert_eq!(bench.left(), (first..=last).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_long_does_not_wait_for_company() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let _sending = asleep(&mut bench, &clock);
    bench.sender.expect_company(true);
    bench.submit(Plan::new(1));
    bench.submit(Plan::of(2, MAX_PATIENT_LEN / 1450 + 1, 1450));
    assert_eq!(bench.left(), [1, 2]);
}

#[test]
fn data_does_not_wait_for_the_company_of_acknowledgements() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let _sending = asleep(&mut bench, &clock);
    bench.sender.expect_company(false);
    bench.submit(Plan {
        priority: Priority::Control,
        ..Plan::new(1)
    });
    assert_eq!(bench.left(), []);
    bench.submit(Plan::new(2));
    assert_eq!(bench.left(), [1, 2]);
}

#[test]
fn a_worker_that_is_awake_sends_by_itself() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let sending = asleep(&mut bench, &clock);
    sending.wake_up();
    bench.submit(Plan::new(1));
    assert_eq!(bench.left(), []);
    assert_eq!(sending.turn(), Turn::Sleep(Next::At(None)));
    assert_eq!(bench.left(), [1]);
    assert_eq!(bench.rings.count(), 0);
}

#[test]
fn the_worker_is_woken_for_what_leaves_before_it_gets_up() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let sending = asleep(&mut bench, &clock);
    bench.submit(due(1, 100));
    assert_eq!(bench.rings.count(), 1, "it would have slept for ever");
    sending.wake_up();
    assert_eq!(sending.turn(), Turn::Sleep(Next::At(Some(at(100)))));
    bench.submit(due(2, 100));
    bench.submit(due(3, 200));
    assert_eq!(bench.rings.count(), 1, "it gets up in time");
    bench.submit(due(4, 50));
    assert_eq!(bench.rings.count(), 2);
    assert_eq!(bench.left(), []);
}

#[test]
fn a_full_socket_is_left_to_the_worker() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let sending = asleep(&mut bench, &clock);
    bench.fail(0, Errno::EAGAIN);
    bench.submit(Plan::new(1));
    assert_eq!(bench.rings.count(), 1, "it does not wait for the socket");
    sending.wake_up();
    // it looks once more before it sleeps
    bench.fail(0, Errno::EAGAIN);
    bench.fail(0, Errno::EAGAIN);
    assert_eq!(sending.turn(), Turn::Sleep(Next::Writable));
    let _ = bench.calls();
    bench.submit(Plan::new(2));
    assert!(bench.calls().is_empty(), "nothing has changed");
    assert_eq!(bench.rings.count(), 1, "it does wait for the socket");
    sending.wake_up();
    assert_eq!(sending.turn(), Turn::Sleep(Next::At(None)));
    assert_eq!(bench.left(), [1, 2]);
}

#[test]
fn more_than_what_a_writer_makes_at_once_is_left_to_the_worker() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let sending = asleep(&mut bench, &clock);
    for serial in 0..7 {
        bench.submit(Plan {
            departure: 10,
            ..Plan::of(serial, 44, 1450)
        });
    }
    sending.wake_up();
    assert_eq!(sending.turn(), Turn::Sleep(Next::At(Some(at(10)))));
    let rings = bench.rings.count();
    clock.advance_to(clock.micros() + 10);
    bench.submit(due(7, 10));
    let left = bench.left();
    assert_eq!(
        left,
        [0, 1, 2, 3, 4],
        "five sends are enough for one who has better things to do"
    );
    assert_eq!(bench.rings.count(), rings + 1);
    sending.wake_up();
    assert_eq!(sending.turn(), Turn::Sleep(Next::At(None)));
    assert_eq!(bench.left(), [5, 6, 7]);
}

#[test]
fn the_worker_may_end_while_there_are_those_who_flush() {
    let (mut bench, clock) = (Bench::new(), Clock::new());
    let sending = asleep(&mut bench, &clock);
    drop(sending);
    bench.submit(Plan::new(1));
    assert_eq!(ends(&bench.stream), [(1, End::Cancelled)]);
}
