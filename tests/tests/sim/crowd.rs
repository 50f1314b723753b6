// SPDX-License-Identifier: Apache-2.0

//! Many streams at once, of one client and of many.
//!
//! The published server completes all of them as well, opened by a new client, which has no more than 512 opens unconfirmed:
//! its replay window and its accept queue never come into play.
//!
//! The rule: every one of them completes, and the time is that of the bytes, not of the streams.

use super::{check, loss, micros, millis, near, scenarios, upload};
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{
        network::{Node, Way},
        Simulation,
    },
};

/// In bytes: a small message
const SMALL: usize = 2_000;

fn to_old(streams: usize) -> Simulation {
    Simulation::new(Pairing::NEW_TO_OLD, upload(streams, SMALL), micros(100))
}

scenarios! {
    a_stream: near(upload(1, SMALL)).within(millis(1));
    ten_streams: near(upload(10, SMALL)).within(millis(1));
    a_hundred_streams: near(upload(100, SMALL)).within(millis(1));
    a_thousand_streams: near(upload(1_000, SMALL)).within(micros(2300));
    ten_thousand_streams: near(upload(10_000, SMALL)).within(micros(8600));
    a_hundred_streams_and_loss: near(upload(100, SMALL)).with(loss(5)).within(millis(61));
    a_thousand_streams_and_loss: near(upload(1_000, SMALL)).with(loss(1)).within(millis(27));
    ten_thousand_streams_and_loss: near(upload(10_000, SMALL)).with(loss(1)).within(millis(37));

    a_stream_to_the_published_server: to_old(1).within(millis(1));
    ten_streams_to_the_published_server: to_old(10).within(millis(1));
    a_hundred_streams_to_the_published_server: to_old(100).within(millis(1));
    a_thousand_streams_to_the_published_server: to_old(1_000).within(micros(2100));
    ten_thousand_streams_to_the_published_server: to_old(10_000).within(micros(8400));
    a_thousand_streams_and_loss_to_the_published_server: to_old(1_000).with(loss(1)).within(millis(28));
    ten_thousand_streams_and_loss_to_the_published_server: to_old(10_000).with(loss(1)).within(millis(100));
}

fn incast(size: usize) -> Simulation {
    Simulation {
        clients: 64,
        ..near(upload(1, size))
    }
}

scenarios! {
    an_incast: incast(100_000).within(millis(1));
    an_incast_with_loss: incast(100_000).with(loss(3)).within(millis(48));
}

#[test]
fn an_incast_through_one_link() {
    // 10 Gbit/s, and a millisecond of it in the queue
    let rate = Node::Rate {
        bytes_per_second: 1_250_000_000,
        queue: 1_250_000,
    };
    let simulation = incast(200_000).with_one_way(Way::ToServer, rate);
    let report = check(&simulation.within(millis(34)));
    // the bytes alone take 10.2 ms
    assert!(report.took > millis(10), "{:?}", report.took);
    assert_eq!(report.ends.len(), 128);
}
