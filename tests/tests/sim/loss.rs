// SPDX-License-Identifier: Apache-2.0

//! Packets that are lost: any of them, those of one kind, the last ones, and many in a row.
//!
//! The rule: what is lost is said by the network's own counter, and the limits are of the time that it costs.

use super::{check, echo, loss, micros, millis, near, percent, scenarios, upload, MEGABYTE};
use s2n_quic_dc_tests::{
    sim::{
        network::{Kind, Node, Record, Way},
        peer::{CLIENT_PORT, SERVER_PORT},
        Ending, Simulation,
    },
    transfer::{self, Case},
};
use std::io::ErrorKind;

fn per_mille(per_mille: u32) -> Node {
    Node::Loss {
        per_million: per_mille * 1000,
    }
}

fn of_kind(kind: Kind, percent_lost: u32) -> Node {
    Node::LossOf {
        kind,
        per_million: percent(percent_lost),
    }
}

fn to_server(case: Case, node: Node) -> Simulation {
    near(case).with_one_way(Way::ToServer, node)
}

fn to_client(case: Case, node: Node) -> Simulation {
    near(case).with_one_way(Way::ToClient, node)
}

fn both_ways(case: Case, node: Node) -> Simulation {
    near(case).with(node)
}

/// So few packets come through that the timeout may be first
const OR_TIMED_OUT: Ending = Ending::Either(&[ErrorKind::TimedOut]);

scenarios! {
    one_of_a_thousand_to_the_server: to_server(echo(10, MEGABYTE), per_mille(1)).within(millis(25));
    one_of_a_thousand_to_the_client: to_client(echo(10, MEGABYTE), per_mille(1)).within(millis(20));
    one_of_a_thousand_both_ways: both_ways(echo(10, MEGABYTE), per_mille(1)).within(millis(25));
    one_percent_to_the_server: to_server(echo(10, 300_000), loss(1)).within(millis(16));
    one_percent_to_the_client: to_client(echo(10, 300_000), loss(1)).within(millis(30));
    one_percent_both_ways: both_ways(echo(10, 300_000), loss(1)).within(millis(26));
    ten_percent_to_the_server: to_server(echo(10, 200_000), loss(10)).within(millis(44));
    ten_percent_to_the_client: to_client(echo(10, 200_000), loss(10)).within(millis(44));
    ten_percent_both_ways: both_ways(echo(10, 200_000), loss(10)).within(millis(94));
    half_to_the_server: to_server(echo(4, 100_000), loss(50)).within(millis(520));
    half_to_the_client: to_client(echo(4, 100_000), loss(50)).within(millis(280));
    half_both_ways: both_ways(echo(4, 100_000), loss(50)).within(millis(14_000));
    nine_of_ten_to_the_server: to_server(echo(2, 20_000), loss(90)).within(millis(15_000));
    nine_of_ten_to_the_client: to_client(echo(2, 20_000), loss(90)).within(millis(26_000));
    nine_of_ten_both_ways: both_ways(echo(2, 20_000), loss(90)).ending(OR_TIMED_OUT).within(millis(320_000));

    a_tenth_of_control_packets: both_ways(echo(10, MEGABYTE), of_kind(Kind::Control, 10)).within(millis(13));
    half_of_control_packets: both_ways(echo(10, 200_000), of_kind(Kind::Control, 50)).within(millis(1100));
    nine_of_ten_control_packets: both_ways(echo(4, 100_000), of_kind(Kind::Control, 90)).within(millis(32_000));
    a_tenth_of_stream_packets: both_ways(echo(10, 200_000), of_kind(Kind::Stream, 10)).within(millis(54));
    half_of_stream_packets: both_ways(echo(4, 100_000), of_kind(Kind::Stream, 50)).within(millis(560));

    // probes are lost as well, until there were as many as the burst is long

    bursts_of_twenty: both_ways(echo(10, 500_000), Node::Burst { per_million: 2_000, packets: 20 }).within(millis(130));
    bursts_of_a_hundred: both_ways(echo(10, 500_000), Node::Burst { per_million: 2_000, packets: 100 }).within(millis(22_000));
}

/// A packet that is lost with all behind it is only missed by a timer: its probe goes out after 6 ms on a path of which
/// nothing is known, the next one 12 ms later. Each of the two that a timer sends may be lost as well.
#[test]
fn the_last_packets_of_a_transfer_cost_no_more_than_some_probes() {
    for kind in [transfer::Kind::Upload, transfer::Kind::Download] {
        let case = Case {
            kind,
            ..upload(1, 100_000)
        };
        let clean = check(&near(case));
        for (way, port) in [(Way::ToServer, SERVER_PORT), (Way::ToClient, CLIENT_PORT)] {
            for kind in [Kind::Stream, Kind::Control] {
                let is_of =
                    |record: &&Record| record.kind == kind && record.destination.port() == port;
                let sent = clean.trace.iter().filter(is_of).count() as u64;
                assert!(sent > 0, "{kind:?} {way:?}");
                for packets in [1, 2, 3, 10] {
                    let tail = Node::Cut {
                        kind,
                        after: sent.saturating_sub(packets),
                        packets: packets.min(sent),
                    };
                    let simulation = near(case).with_one_way(way, tail);
                    check(&simulation.within(clean.took + millis(99)));
                }
            }
        }
    }
}

#[test]
fn what_is_lost_is_what_the_scenario_says() {
    for (percent, streams, limit) in [
        (1, 1, 50),
        (1, 100, 2_000),
        (10, 1, 1_000),
        (10, 100, 10_000),
    ] {
        let simulation = both_ways(echo(streams, MEGABYTE), loss(percent));
        let report = check(&simulation.within(millis(limit)));
        for counts in [report.to_server, report.to_client] {
            let expected = counts.sent * u64::from(percent) / 100;
            assert!(counts.lost < 10 + expected * 2, "{counts:?}");
        }
        for metrics in report.metrics() {
            assert!(metrics.packets_lost > 0, "{metrics:#?}");
            assert!(metrics.packets_retransmitted > 0, "{metrics:#?}");
        }
    }
}

#[test]
fn many_seeds_find_no_network_that_a_stream_does_not_survive() {
    // what the slowest of sixty seeds took, and as much again
    for (percent, streams, limit) in [
        (1, 10, micros(20_000)),
        (10, 10, micros(130_000)),
        (30, 1, micros(500_000)),
        (50, 1, micros(8_000_000)),
    ] {
        for step in 0..20 {
            let simulation = both_ways(echo(streams, 200_000), loss(percent)).within(limit);
            check(&Simulation {
                seed: simulation.seed + step,
                ..simulation
            });
        }
    }
}
