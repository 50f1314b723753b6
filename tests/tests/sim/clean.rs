// SPDX-License-Identifier: Apache-2.0

//! Networks that lose nothing by themselves.
//!
//! The rule: what is lost, sent again or late here has no excuse.

use super::{check, echo, loss, micros, millis, near, upload, MEGABYTE};
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{network::Node, peer::Socket, Simulation},
};

#[test]
fn streams_lose_nothing_and_end_in_time() {
    for (delay, streams, limit) in [
        (100, 1, 1_800),
        (100, 10, 3_800),
        (100, 100, 22_000),
        (5_000, 1, 88_000),
        (5_000, 10, 190_000),
        (5_000, 100, 1_100_000),
    ] {
        let case = upload(streams, MEGABYTE);
        let simulation = Simulation::new(Pairing::NEW_TO_NEW, case, micros(delay));
        let report = check(&simulation.within(micros(limit)));
        assert_eq!(report.to_server.lost + report.to_client.lost, 0);
        for metrics in report.metrics() {
            assert_eq!(metrics.packets_lost, 0, "{metrics:#?}");
        }
    }
}

#[test]
fn a_megabyte_both_ways_survives_loss_over_a_long_path() {
    let simulation = Simulation::new(Pairing::NEW_TO_NEW, echo(10, MEGABYTE), micros(5000));
    check(&simulation.with(loss(5)).within(millis(6_900)));
}

#[test]
fn a_slow_link_with_a_short_queue_is_filled_and_not_flooded() {
    // 100 Mbit/s, and 20 ms of it in the queue
    let rate = Node::Rate {
        bytes_per_second: 12_500_000,
        queue: 250_000,
    };
    let case = upload(10, MEGABYTE);
    let simulation = Simulation::new(Pairing::NEW_TO_NEW, case, micros(1000)).with(rate);
    let report = check(&simulation.within(millis(1_700)));
    // ten megabytes and their headers alone take 0.83 s
    assert!(report.took > millis(800), "{report:?}");
    // the window doubles until it finds the end of the queue
    assert!(report.to_server.overflowed * 5 < report.to_server.sent);
}

#[test]
fn what_the_answers_of_calls_take_leaves_together() {
    let report = check(&near(echo(40, 1000)).within(millis(1)));
    // an acceptor hands them on to a task each, and only those have something to say
    let server = report.server.unwrap();
    assert_eq!(server.segments_sent, 2 * 40);
    // those of the empty packets that streams open with, which come one by one, and a few for forty answers
    assert!(server.send_calls < 40 + 40 / 4, "{server:#?}");
}

/// Each stream opens with an empty packet, which is acknowledged apart
#[test]
fn the_acknowledgement_of_a_call_comes_with_its_answer_between_new_peers() {
    for (pairing, packets) in [(Pairing::NEW_TO_NEW, 2 * 40), (Pairing::OLD_TO_NEW, 3 * 40)] {
        let simulation = Simulation::new(pairing, echo(40, 1000), micros(100));
        let report = check(&simulation.within(millis(3)));
        assert_eq!(report.to_client.sent, packets, "{pairing:?}");
    }
}

#[test]
fn workers_have_turns_while_there_is_something_to_do() {
    let report = check(&near(upload(10, MEGABYTE)).within(millis(4)));
    assert!(report.turns > 100, "{}", report.turns);
}

#[test]
fn segmentation_and_joining_are_invisible_to_streams() {
    for max_segments in [1, Socket::default().max_segments] {
        for joins in [false, true] {
            let simulation = Simulation {
                socket: Socket {
                    max_segments,
                    joins,
                    ..Socket::default()
                },
                ..near(upload(10, MEGABYTE)).with(loss(2)).within(millis(88))
            };
            let report = check(&simulation);
            let (client, server) = (report.client.unwrap(), report.server.unwrap());
            assert_eq!(client.segments_sent, report.to_server.sent);
            let batches = client.segments_sent > 2 * client.send_calls;
            assert_eq!(batches, max_segments > 1, "{client:#?}");
            let trains = server.segments_received > 2 * server.recv_calls;
            assert_eq!(trains, joins, "{server:#?}");
        }
    }
}
