// SPDX-License-Identifier: Apache-2.0

//! A server that goes, and comes back at the same address without its secrets.
//!
//! The rule: the client's streams end with an error, and do not wait for the idle timeout.

use super::{check, echo, millis, near, upload, LONG};
use s2n_quic_dc_tests::sim::{peer::Socket, Ending, Restart, Round, Simulation};
use std::io::ErrorKind;

/// What a client's stream may end with
const REFUSED: Ending = Ending::Fail(&[ErrorKind::PermissionDenied, ErrorKind::ConnectionReset]);

fn crash(simulation: Simulation) -> Simulation {
    Simulation {
        restart: Some(Restart::Crash(millis(2))),
        ending: REFUSED,
        // of these streams, nobody hears anything any more
        ending_at_server: Some(Ending::Either(&[ErrorKind::TimedOut])),
        socket: Socket {
            shares_port: true,
            ..simulation.socket
        },
        ..simulation
    }
}

#[test]
fn a_crash_ends_streams_when_the_next_one_is_opened() {
    let simulation = Simulation {
        later: Some(Round {
            after: millis(500),
            streams: 2,
            ending: REFUSED,
        }),
        ..crash(near(echo(10, LONG)))
    };
    let report = check(&simulation.within(millis(31_000)));
    for end in report.ends_of(true) {
        assert!(end.at < millis(599), "{end:?}");
    }
}

#[test]
fn a_crash_ends_streams_that_have_been_answered() {
    let report = check(&crash(near(echo(10, LONG))).within(millis(31_000)));
    for end in report.ends_of(true) {
        assert!(end.at < millis(5_000), "{end:?}");
    }
}

#[test]
fn a_server_that_goes_in_order_says_so() {
    let simulation = near(upload(10, LONG));
    let simulation = Simulation {
        restart: Some(Restart::Orderly(millis(2))),
        ending: REFUSED,
        ..simulation
    };
    let report = check(&simulation.within(millis(99_000)));
    for end in report.ends_of(true) {
        assert!(end.at < millis(99), "{end:?}");
    }
}
