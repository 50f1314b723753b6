// SPDX-License-Identifier: Apache-2.0

//! A network that is gone for a while, or for ever.
//!
//! The rule: an outage that is shorter than the idle timeout is survived, and one that is not ends the streams at both ends
//! in time.

use super::{check, echo, millis, near, scenarios, upload, LONG, MEGABYTE};
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{
        network::{Node, Way},
        Ending, Simulation,
    },
};
use std::{io::ErrorKind, time::Duration};

fn hole(from: u64, until: u64) -> Node {
    Node::Blackhole {
        from: millis(from),
        until: millis(until),
    }
}

fn for_ever(from: u64) -> Node {
    Node::Blackhole {
        from: millis(from),
        until: Duration::MAX,
    }
}

// after an outage, the next probe comes within 250 ms
scenarios! {
    ten_milliseconds: near(echo(10, MEGABYTE)).with(hole(1, 11)).within(millis(30));
    ten_milliseconds_from_the_start: near(echo(10, 100_000)).with_one_way(Way::ToServer, hole(0, 10)).within(millis(42));
    ten_milliseconds_of_answers: near(echo(10, MEGABYTE))
        .with_one_way(Way::ToClient, hole(1, 11))
        .within(millis(30));
    a_tenth_of_a_second: near(echo(10, MEGABYTE)).with(hole(1, 101)).within(millis(260));
    five_seconds: near(echo(10, MEGABYTE)).with(hole(1, 5_001)).within(millis(5_300));
    five_seconds_from_the_start: near(echo(10, 100_000)).with_one_way(Way::ToServer, hole(0, 5_000)).within(millis(5_300));
    five_seconds_to_the_server: near(echo(10, MEGABYTE))
        .with_one_way(Way::ToServer, hole(1, 5_001))
        .within(millis(5_300));
    five_seconds_to_the_client: near(upload(10, MEGABYTE))
        .with_one_way(Way::ToClient, hole(1, 5_001))
        .within(millis(5_300));
}

/// Both ends find out at the idle timeout, neither before nor much later, and nobody says anything any more.
#[test]
fn a_peer_that_vanishes_for_ever_is_given_up_at_the_idle_timeout() {
    for pairing in [
        Pairing::NEW_TO_NEW,
        Pairing::NEW_TO_OLD,
        Pairing::OLD_TO_NEW,
    ] {
        let simulation = Simulation {
            pairing,
            ..near(echo(10, LONG)).with(for_ever(2))
        };
        let idle = simulation.idle_timeout();
        let simulation = simulation
            .ending(Ending::Fail(&[ErrorKind::TimedOut]))
            .within(idle + millis(99));
        let report = check(&simulation);
        assert_eq!(report.ends.len(), 20);
        for end in &report.ends {
            assert!(end.at >= idle, "{end:?}");
        }
        let last = report.trace.last().expect("there was a beginning");
        assert!(last.sent <= idle + millis(99), "{last:?}");
    }
}

/// What the client sends still arrives, so that it can tell the server when it gives up.
#[test]
fn a_peer_that_nothing_comes_from_any_more_is_given_up_and_told() {
    const KINDS: &[ErrorKind] = &[
        ErrorKind::TimedOut,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
    ];
    let simulation = near(echo(10, LONG)).with_one_way(Way::ToClient, for_ever(2));
    let idle = simulation.idle_timeout();
    let simulation = simulation
        .ending(Ending::Fail(KINDS))
        .within(2 * idle + millis(99));
    let report = check(&simulation);
    for end in report.ends_of(true) {
        assert!((idle..idle + millis(99)).contains(&end.at), "{end:?}");
    }
}
