// SPDX-License-Identifier: Apache-2.0

//! The socket worker on sockets that take, block and fail.
//!
//! Here is what leaves, when, and with what; `lifetime` has streams and workers that end, `faults` sockets that do not take, and
//! `model` all of it at random.
//!
//! The one rule: no test reads a clock. Times are microseconds after the start of a made-up one.

#![allow(clippy::unwrap_used)]

mod deputy;
mod faults;
mod fixture;
mod lifetime;
mod model;

use super::*;
use crate::socket::send::completion::Queue;
use fixture::{at, ends, Bench, End, Plan, PACKET};
use s2n_quic_core::inet::ExplicitCongestionNotification::{Ect0, NotEct};

/// The numbers of the transmissions in each message of one call
fn serials(call: &[fixture::Sent]) -> Vec<Vec<u32>> {
    call.iter().map(fixture::Sent::serials).collect()
}

#[test]
fn a_transmission_leaves_at_its_departure_time_and_not_a_microsecond_before() {
    let mut bench = Bench::new();
    let departures = [1, 255, 256, 257, 70_000, 20_000_000];
    for (serial, departure) in departures.into_iter().enumerate() {
        bench.submit(Plan {
            departure,
            ..Plan::new(serial as u32)
        });
    }
    for (serial, departure) in departures.into_iter().enumerate() {
        bench.run(departure - 1);
        assert_eq!(bench.left(), [] as [u32; 0], "before {departure}");
        assert_eq!(ends(&bench.stream), []);
        bench.run(departure);
        assert_eq!(bench.left(), [serial as u32], "at {departure}");
        let sent = (serial as u32, End::Sent(departure));
        assert_eq!(ends(&bench.stream), [sent]);
    }
    assert_eq!(bench.pinned(), 0);
}

#[test]
fn what_was_due_while_the_worker_slept_leaves_by_departure_and_within_a_tick_as_submitted() {
    let mut bench = Bench::new();
    for (serial, departure) in [(0, 30), (1, 20), (2, 30), (3, 10), (4, 20), (5, 31)] {
        bench.submit(Plan {
            departure,
            ..Plan::new(serial)
        });
    }
    bench.run(30);
    assert_eq!(bench.left(), [3, 1, 4, 0, 2]);
    // the time that is reported is that of the call, not the one that was asked for
    let sent = [3, 1, 4, 0, 2].map(|serial| (serial, End::Sent(30)));
    assert_eq!(ends(&bench.stream), sent);
}

#[test]
fn a_departure_in_the_past_leaves_at_once_behind_what_was_due_already() {
    let mut bench = Bench::new();
    bench.run(1000);
    bench.submit(Plan {
        departure: 1000,
        ..Plan::new(0)
    });
    bench.submit(Plan::new(1));
    assert_eq!(bench.poll(1000), Next::Now);
    assert_eq!(bench.left(), [0, 1]);
}

#[test]
fn the_next_departure_is_reported_exactly_whatever_its_priority() {
    let mut bench = Bench::new();
    assert_eq!(bench.run(0), Next::At(None));
    let plans = [
        (Priority::Data, 70_001),
        (Priority::Control, 70_003),
        (Priority::Recovery, 70_002),
        (Priority::Control, 5_000_000_000),
    ];
    for (serial, (priority, departure)) in plans.into_iter().enumerate() {
        bench.submit(Plan {
            departure,
            priority,
            ..Plan::new(serial as u32)
        });
    }
    assert_eq!(bench.run(0), Next::At(Some(at(70_001))));
    assert_eq!(bench.run(70_000), Next::At(Some(at(70_001))));
    assert_eq!(bench.run(70_001), Next::At(Some(at(70_002))));
    assert_eq!(bench.run(70_002), Next::At(Some(at(70_003))));
    assert_eq!(bench.run(70_003), Next::At(Some(at(5_000_000_000))));
    assert_eq!(bench.run(5_000_000_000), Next::At(None));
    assert_eq!(bench.left(), [0, 2, 1, 3]);
}

#[test]
fn of_what_is_due_control_leaves_before_recovery_and_recovery_before_data() {
    let mut bench = Bench::new();
    let plans = [
        (Priority::Data, 1),
        (Priority::Recovery, 2),
        (Priority::Control, 3),
        (Priority::Data, 1),
        (Priority::Recovery, 2),
        (Priority::Control, 3),
        // not due, so it has to wait in spite of its priority
        (Priority::Control, 4),
    ];
    for (serial, (priority, departure)) in plans.into_iter().enumerate() {
        bench.submit(Plan {
            departure,
            priority,
            ..Plan::new(serial as u32)
        });
    }
    bench.run(3);
    assert_eq!(bench.left(), [2, 5, 1, 4, 0, 3]);
}

#[test]
fn control_that_becomes_due_overtakes_data_that_waits_for_the_next_round() {
    let mut bench = Bench::new();
    for serial in 0..3 {
        bench.submit(Plan::of(serial, 44, 1450));
    }
    assert_eq!(bench.poll(0), Next::Now);
    bench.submit(Plan {
        priority: Priority::Control,
        ..Plan::new(9)
    });
    bench.run(0);
    // the one that did not fit the first round is out of the wheel already, but no more than that one
    assert_eq!(bench.left(), [0, 1, 9, 2]);
}

#[test]
fn transmissions_of_several_streams_share_a_send_of_up_to_44_packets() {
    let mut bench = Bench::new();
    let streams: Vec<_> = (0..46).map(|_| Queue::new()).collect();
    for (serial, stream) in streams.iter().enumerate() {
        bench.submit_for(stream, Plan::new(serial as u32));
    }
    assert_eq!(bench.poll(0), Next::Now);
    let calls = bench.calls();
    assert_eq!(calls.len(), 1, "one call takes both messages");
    let expected = [(0..44).collect::<Vec<u32>>(), vec![44, 45]];
    assert_eq!(serials(&calls[0]), expected);
    for sent in &calls[0] {
        assert_eq!((sent.port, sent.ecn, sent.segment_len), (7, Ect0, PACKET));
    }
    for (serial, stream) in streams.iter().enumerate() {
        assert_eq!(ends(stream), [(serial as u32, End::Sent(0))]);
    }
}

#[test]
fn a_send_and_a_round_stop_at_65_487_bytes() {
    let mut bench = Bench::new();
    for serial in 0..4 {
        // three of them are 65 487 bytes exactly
        bench.submit(Plan::of(serial, 1, 21_829));
    }
    bench.submit(Plan::of(4, 1, 21_830));
    bench.submit(Plan::of(5, 1, 21_830));
    bench.run(0);
    let calls: Vec<_> = bench.calls().iter().map(|call| serials(call)).collect();
    let expected = [
        vec![vec![0, 1, 2]],
        // 21 829 + 2 * 21 830 are two bytes too many
        vec![vec![3], vec![4]],
        vec![vec![5]],
    ];
    assert_eq!(calls, expected);
}

#[test]
fn a_burst_joins_another_only_as_a_whole() {
    let mut bench = Bench::new();
    bench.submit(Plan::of(0, 40, PACKET));
    bench.submit(Plan::of(1, 5, PACKET));
    bench.submit(Plan::of(2, 39, PACKET));
    bench.run(0);
    let calls: Vec<_> = bench.calls().iter().map(|call| serials(call)).collect();
    assert_eq!(calls, [[vec![0], vec![1, 2]]]);
}

#[test]
fn nothing_joins_a_send_that_ends_on_a_short_packet() {
    let mut bench = Bench::new();
    for serial in 0..2 {
        bench.submit(Plan::new(serial));
    }
    bench.submit(Plan {
        packets: 2,
        last: PACKET - 1,
        ..Plan::new(2)
    });
    bench.submit(Plan::new(3));
    bench.run(0);
    let calls = bench.calls();
    assert_eq!(serials(&calls[0]), [vec![0, 1, 2], vec![3]]);
    let packets = [(0, PACKET), (1, PACKET), (2, PACKET), (2, PACKET - 1)];
    assert_eq!(calls[0][0].packets, packets);
}

#[test]
fn a_difference_in_address_mark_or_packet_length_makes_a_message_of_its_own_in_the_same_call() {
    let mut bench = Bench::new();
    let plans = [
        Plan::new(0),
        Plan {
            port: 8,
            ..Plan::new(1)
        },
        Plan {
            ecn: NotEct,
            ..Plan::new(2)
        },
        Plan::of(3, 1, PACKET - 1),
        Plan::new(4),
    ];
    for plan in plans {
        bench.submit(plan);
    }
    assert_eq!(bench.poll(0), Next::Now);
    let calls = bench.calls();
    assert_eq!(calls.len(), 1);
    // order is kept across messages: the last does not join the first
    let expected: Vec<Vec<u32>> = (0..5).map(|serial| vec![serial]).collect();
    assert_eq!(serials(&calls[0]), expected);
    for (sent, plan) in calls[0].iter().zip(plans) {
        let expected = (plan.port, plan.ecn, plan.segment_len);
        assert_eq!((sent.port, sent.ecn, sent.segment_len), expected);
    }
}

#[test]
fn what_is_for_one_destination_leaves_together_and_in_its_order() {
    let mut bench = Bench::new();
    let to = |port, serial| Plan {
        port,
        ..Plan::new(serial)
    };
    let plans = [
        to(1, 0),
        to(2, 1),
        to(1, 2),
        to(3, 3),
        // the last of its message
        Plan {
            last: PACKET - 1,
            ..to(2, 4)
        },
        to(1, 5),
        // not in front of the one before it
        to(2, 6),
        Plan {
            ecn: NotEct,
            ..to(1, 7)
        },
        to(1, 8),
        to(2, 9),
    ];
    plans.into_iter().for_each(|plan| bench.submit(plan));
    bench.run(0);
    let calls = bench.calls();
    let messages = [
        vec![0, 2, 5],
        vec![1, 4],
        vec![3],
        vec![6, 9],
        vec![7],
        vec![8],
    ];
    assert_eq!(calls.len(), 1);
    assert_eq!(serials(&calls[0]), messages);
    let sent = messages.concat().into_iter();
    let sent: Vec<_> = sent.map(|serial| (serial, End::Sent(0))).collect();
    assert_eq!(ends(&bench.stream), sent);
}

#[test]
fn one_call_takes_32_destinations_and_the_next_call_goes_on() {
    let mut bench = Bench::new();
    for serial in 0..70 {
        bench.submit(Plan {
            port: 100 + serial as u16,
            ..Plan::new(serial)
        });
    }
    bench.run(0);
    let calls = bench.calls();
    let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
    assert_eq!(sizes, [32, 32, 6]);
    let left: Vec<u32> = calls
        .iter()
        .flatten()
        .flat_map(fixture::Sent::serials)
        .collect();
    assert_eq!(left, (0..70).collect::<Vec<u32>>());
}

#[test]
fn a_socket_that_cannot_segment_gets_single_packets_in_one_call() {
    let mut bench = Bench::new();
    bench.socket.max_segments.store(1, Ordering::Relaxed);
    for serial in 0..3 {
        bench.submit(Plan::new(serial));
    }
    bench.run(0);
    let calls: Vec<_> = bench.calls().iter().map(|call| serials(call)).collect();
    assert_eq!(calls, [[[0], [1], [2]]]);
}
