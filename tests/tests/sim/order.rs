// SPDX-License-Identifier: Apache-2.0

//! Packets that arrive twice, or behind later ones.
//!
//! The rule: nothing is lost, so that whatever is slow is slow because of the order.

use super::{echo, micros, millis, near, percent, scenarios, MEGABYTE};
use s2n_quic_dc_tests::sim::{
    network::{Node, Way},
    Simulation,
};

const TWICE: Node = Node::Duplicate {
    per_million: 500_000,
};

fn overtake(percent_held: u32, packets: u32) -> Node {
    Node::Overtake {
        per_million: percent(percent_held),
        packets,
        at_most: millis(5),
    }
}

fn streams(node: Node) -> Simulation {
    near(echo(10, 500_000)).with(node)
}

scenarios! {
    every_second_packet_twice: streams(TWICE).within(micros(2900));
    every_packet_twice: streams(Node::Duplicate { per_million: 1_000_000 }).within(micros(2900));
    every_second_packet_twice_and_held_back: streams(TWICE)
        .with(Node::Hold { per_million: percent(10), by: millis(1) })
        .within(millis(76));
    some_packets_held_back: streams(Node::Hold { per_million: percent(5), by: micros(300) }).within(millis(63));
    some_packets_held_back_for_long: near(echo(100, 20_000))
        .with(Node::Hold { per_million: percent(5), by: millis(250) })
        .within(millis(82));
    a_tenth_overtaken_by_three: streams(overtake(10, 3)).within(millis(14));
    a_tenth_overtaken_by_fifty: streams(overtake(10, 50)).within(millis(93));
    half_overtaken_by_three: streams(overtake(50, 3)).within(millis(150));
    a_single_stream_overtaken_by_fifty: near(echo(1, MEGABYTE)).with(overtake(2, 50)).within(millis(15));
    only_to_the_server_overtaken_by_fifty: near(echo(10, 500_000))
        .with_one_way(Way::ToServer, overtake(10, 50))
        .within(millis(65));
}
