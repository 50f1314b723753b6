// SPDX-License-Identifier: Apache-2.0

//! Sockets that block, refuse, or take a part of what they are handed.
//!
//! The one rule under test: a message is sent whole, stays whole in its place, or fails alone.

use super::{
    fixture::{at, ends, Bench, End, Plan, Sent},
    serials, Next, Ordering, Priority,
};
use crate::{
    socket::send::{
        completion::{Batch, Outcome},
        transmission::Completions,
    },
    stream::path::Departed,
};
use nix::errno::Errno;

/// A plan that shares no send with those of other numbers
fn alone(serial: u32) -> Plan {
    Plan {
        port: 100 + serial as u16,
        ..Plan::new(serial)
    }
}

#[test]
fn what_would_block_is_kept_whole_in_its_order_and_completes_only_when_sent() {
    let mut bench = Bench::new();
    for plan in [Plan::of(0, 3, 100), Plan::of(1, 2, 100), alone(2), alone(3)] {
        bench.submit(plan);
    }
    for _ in 0..3 {
        bench.fail(0, Errno::EAGAIN);
    }
    let pinned = bench.pinned();
    for attempt in 0..3 {
        assert_eq!(bench.poll(attempt), Next::Writable);
        assert_eq!(bench.left(), [] as [u32; 0]);
        assert_eq!(ends(&bench.stream), []);
        assert_eq!(bench.pinned(), pinned);
        assert_eq!(bench.sender.metrics.depth.get(), 4);
    }
    assert_eq!(bench.run(9), Next::At(None));
    let calls: Vec<_> = bench.calls().iter().map(|call| serials(call)).collect();
    assert_eq!(calls, [[vec![0, 1], vec![2], vec![3]]]);
    let sent = [0, 1, 2, 3].map(|serial| (serial, End::Sent(9)));
    assert_eq!(ends(&bench.stream), sent);
    assert_eq!(bench.sender.metrics.would_block.get(), 3);
    assert_eq!((bench.pinned(), bench.sender.metrics.depth.get()), (0, 0));
}

#[test]
fn a_single_message_that_would_block_waits_too() {
    let mut bench = Bench::new();
    bench.submit(Plan::new(0));
    bench.fail(0, Errno::EAGAIN);
    assert_eq!(bench.poll(0), Next::Writable);
    assert_eq!(ends(&bench.stream), []);
    bench.run(1);
    assert_eq!(ends(&bench.stream), [(0, End::Sent(1))]);
}

#[test]
fn what_came_while_the_socket_was_full_leaves_behind_what_it_held_up() {
    let mut bench = Bench::new();
    bench.submit(alone(0));
    bench.submit(alone(1));
    bench.fail(0, Errno::EAGAIN);
    assert_eq!(bench.poll(0), Next::Writable);
    bench.submit(alone(2));
    bench.fail(1, Errno::EAGAIN);
    assert_eq!(bench.poll(0), Next::Writable);
    bench.submit(alone(3));
    bench.run(0);
    assert_eq!(bench.left(), [0, 1, 2, 3]);
}

#[test]
fn what_would_block_goes_back_in_front_of_what_did_not_fit_its_round() {
    let mut bench = Bench::new();
    for serial in 0..3 {
        bench.submit(Plan::of(serial, 44, 1450));
    }
    // the second is out of the wheel as well
    bench.fail(0, Errno::EAGAIN);
    assert_eq!(bench.poll(0), Next::Writable);
    bench.run(0);
    assert_eq!(bench.left(), [0, 1, 2]);
}

#[test]
fn a_batch_that_waits_while_the_socket_finds_that_it_cannot_segment_leaves_packet_by_packet_in_order(
) {
    let mut bench = Bench::new();
    for serial in 0..40 {
        bench.submit(Plan::new(serial));
    }
    bench.fail(0, Errno::EAGAIN);
    assert_eq!(bench.poll(0), Next::Writable);
    bench.socket.max_segments.store(1, Ordering::Relaxed);
    bench.run(0);
    let calls = bench.calls();
    let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
    // the refused call took nothing
    assert_eq!(sizes, [0, 32, 8]);
    let left = calls.iter().flatten().flat_map(Sent::serials);
    assert!(left.eq(0..40));
}

#[test]
fn of_a_call_that_took_some_those_complete_and_the_rest_waits_in_order() {
    let mut bench = Bench::new();
    for serial in 0..5 {
        bench.submit(alone(serial));
    }
    bench.fail(2, Errno::EAGAIN);
    assert_eq!(bench.poll(0), Next::Writable);
    assert_eq!(ends(&bench.stream), [0, 1].map(|s| (s, End::Sent(0))));
    assert_eq!(bench.left(), [0, 1]);
    assert_eq!(bench.sender.metrics.depth.get(), 3);
    bench.run(5);
    assert_eq!(ends(&bench.stream), [2, 3, 4].map(|s| (s, End::Sent(5))));
    assert_eq!(bench.left(), [2, 3, 4]);
}

#[test]
fn an_error_fails_the_message_that_it_belongs_to_and_the_rest_goes_on() {
    let mut bench = Bench::new();
    for serial in 0..4 {
        bench.submit(alone(serial));
    }
    bench.fail(1, Errno::ENOBUFS);
    assert_eq!(bench.poll(0), Next::Now);
    let expected = [(0, End::Sent(0)), (1, End::Failed(Errno::ENOBUFS))];
    assert_eq!(ends(&bench.stream), expected);
    bench.run(5);
    assert_eq!(ends(&bench.stream), [2, 3].map(|s| (s, End::Sent(5))));
    assert_eq!(bench.left(), [0, 2, 3]);
    assert_eq!(bench.pinned(), 0);
}

#[test]
fn every_error_but_would_block_is_reported_by_its_number() {
    let mut bench = Bench::new();
    let errors = [
        Errno::EPERM,
        Errno::EMSGSIZE,
        Errno::EIO,
        Errno::ECONNREFUSED,
        Errno::ENOBUFS,
    ];
    for (serial, errno) in errors.into_iter().enumerate() {
        bench.submit(Plan::new(serial as u32));
        bench.fail(0, errno);
        assert_eq!(bench.poll(0), Next::Now);
        assert_eq!(ends(&bench.stream), [(serial as u32, End::Failed(errno))]);
    }
    assert_eq!(bench.run(0), Next::At(None));
    assert_eq!(bench.left(), [] as [u32; 0]);
    assert_eq!(bench.sender.metrics.failed.get(), 5);
    assert_eq!((bench.sender.metrics.sent.get(), bench.pinned()), (0, 0));
}

#[test]
fn transmissions_that_share_a_failed_send_all_fail_and_no_other_does() {
    let mut bench = Bench::new();
    let elsewhere = |serial| Plan {
        port: 9,
        ..Plan::new(serial)
    };
    for plan in [
        Plan::new(0),
        Plan::new(1),
        alone(2),
        elsewhere(3),
        elsewhere(4),
    ] {
        bench.submit(plan);
    }
    bench.fail(0, Errno::EPERM);
    bench.fail(1, Errno::EIO);
    bench.run(0);
    let expected = [
        (0, End::Failed(Errno::EPERM)),
        (1, End::Failed(Errno::EPERM)),
        (2, End::Sent(0)),
        (3, End::Failed(Errno::EIO)),
        (4, End::Failed(Errno::EIO)),
    ];
    assert_eq!(ends(&bench.stream), expected);
    assert_eq!(bench.left(), [2]);
}

#[test]
fn the_last_message_of_a_call_can_fail() {
    let mut bench = Bench::new();
    for serial in 0..3 {
        bench.submit(alone(serial));
    }
    bench.fail(2, Errno::EIO);
    bench.run(0);
    let expected = [
        (0, End::Sent(0)),
        (1, End::Sent(0)),
        (2, End::Failed(Errno::EIO)),
    ];
    assert_eq!(ends(&bench.stream), expected);
}

/// The departures of what was sent; none of what failed
fn departures(stream: &Completions) -> Vec<Option<Departed>> {
    let mut completions = Batch::new();
    stream.drain_into(&mut completions);
    completions
        .into_iter()
        .map(|completion| match completion.outcome {
            Outcome::Sent(departed) => Some(departed),
            Outcome::Failed { .. } | Outcome::Cancelled => None,
        })
        .collect()
}

#[test]
fn departures_carry_the_time_of_the_call_that_took_them() {
    let mut bench = Bench::new();
    bench.submit(alone(0));
    bench.submit(alone(1));
    bench.submit(Plan {
        priority: Priority::Control,
        ..alone(2)
    });
    bench.fail(2, Errno::EAGAIN);
    bench.poll(10);
    bench.run(30);
    let departed = departures(&bench.stream);
    let times: Vec<_> = departed.iter().map(|d| d.map(|d| d.time)).collect();
    assert_eq!(times, [at(10), at(10), at(30)].map(Some));
}

#[test]
fn what_fails_has_no_departure() {
    let mut bench = Bench::new();
    for serial in 0..3 {
        bench.submit(alone(serial));
    }
    bench.fail(1, Errno::ENOBUFS);
    bench.run(0);
    let departed = departures(&bench.stream);
    assert!(departed.iter().map(Option::is_some).eq([true, false, true]));
}
