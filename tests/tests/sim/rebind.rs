// SPDX-License-Identifier: Apache-2.0

//! A client whose port changes, because a translator of addresses has forgotten it.
//!
//! Streams do not migrate: an end learns the peer's port from the first authenticated answer, as published peers do, and never again.
//! What follows is that a client's packets still arrive, as they are routed by queue and authenticated by key, and that what the server
//! sends on streams of before is lost. Such streams end when the client has heard nothing for the idle timeout. Streams that are
//! opened afterwards come from the new port, and work.
//!
//! The rule: a stream of before ends with an error in time, and one of afterwards is as fast as ever.

use super::{check, echo, millis, near, LONG};
use s2n_quic_dc_tests::sim::{network::Node, peer::CLIENT_PORT, Ending, Report, Round, Simulation};
use std::io::ErrorKind;

const GONE: Ending = Ending::Fail(&[
    ErrorKind::TimedOut,
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
]);

fn rebound(later: u64) -> (Simulation, Report) {
    let simulation = near(echo(4, LONG)).with(Node::Rebind {
        at: millis(2),
        inside: CLIENT_PORT,
        outside: CLIENT_PORT + 1,
    });
    let simulation = Simulation {
        ending: GONE,
        ending_at_server: Some(Ending::Either(&[
            ErrorKind::TimedOut,
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
        ])),
        later: Some(Round {
            after: millis(later),
            streams: 4,
            ending: Ending::Complete,
        }),
        ..simulation
    };
    let simulation = simulation.within(millis(99_000));
    let report = check(&simulation);
    (simulation, report)
}

#[test]
fn streams_of_before_end_in_time_and_new_ones_work_at_once() {
    for later in [10, 1_000, 40_000] {
        let (simulation, report) = rebound(later);
        let idle = simulation.idle_timeout();
        for end in report.ends_of(true) {
            if end.key < 4 {
                assert!(end.at < idle + millis(99), "{end:?}");
            } else {
                assert!(end.at < millis(later + 99), "{end:?}");
            }
        }
        println!("{:#?}", report.ends);
    }
}
