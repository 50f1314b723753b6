// SPDX-License-Identifier: Apache-2.0

//! A client whose port changes, because a translator of addresses has forgotten it.
//!
//! Streams do not migrate: a client learns the server's port from the first authenticated answer, a server knows the client's
//! from the first packet, as published peers do, and neither ever changes. What follows is that a client's packets still
//! arrive, as they are routed by queue and authenticated by key, and that what the server sends on streams of before is lost.
//! The client gives such a stream up when it has heard nothing for the idle timeout, and the server, which has heard the
//! client's probes until then, an idle timeout later. Streams that are opened afterwards come from the new port.
//!
//! The rule: a stream of before ends with an error in time, and one of afterwards is as fast as ever.

use super::{check, echo, millis, near, LONG};
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{network::Node, peer::CLIENT_PORT, Ending, Report, Round, Simulation},
};
use std::io::ErrorKind;

/// The streams of before
const STREAMS: u64 = 4;

/// Opens streams so many milliseconds after the start, of which two have passed with the old port. `send_window`: bytes that
/// a stream keeps unacknowledged.
fn rebound(pairing: Pairing, later: u64, send_window: u32) -> Report {
    let simulation = near(echo(STREAMS as usize, LONG)).with(Node::Rebind {
        at: millis(2),
        inside: CLIENT_PORT,
        outside: CLIENT_PORT + 1,
    });
    let idle = simulation.idle_timeout();
    let mut simulation = Simulation {
        pairing,
        ending: Ending::Fail(&[ErrorKind::TimedOut]),
        // a published client says that it has given up
        ending_at_server: Some(Ending::Either(&[
            ErrorKind::TimedOut,
            ErrorKind::ConnectionReset,
        ])),
        later: Some(Round {
            after: millis(later),
            streams: STREAMS as usize,
            ending: Ending::Complete,
        }),
        ..simulation.within(millis(999) + millis(later).max(2 * idle))
    };
    simulation.agreed.send_window = send_window;
    let report = check(&simulation);
    for end in report.ends_of(true).filter(|end| end.key < STREAMS) {
        assert!((idle..idle + millis(99)).contains(&end.at), "{end:?}");
    }
    let at_server = report.ends_of(false);
    let ended = at_server.filter(|end| end.outcome.is_err()).count() as u64;
    assert_eq!(ended, STREAMS);
    report
}

fn assert_new_ones_work_at_once(pairing: Pairing, later: u64, send_window: u32) {
    let report = rebound(pairing, later, send_window);
    let new = report.ends_of(true).filter(|end| end.key >= STREAMS);
    let slow = new.filter(|end| end.at > millis(later + 250)).count();
    assert_eq!(slow, 0, "{:#?}", report.ends);
}

/// Bytes that a stream keeps unacknowledged: so few that those of all streams of before fit into the path's window
const FEW: u32 = 1 << 14;

/// More than the path's window
const MANY: u32 = 1 << 25;

#[test]
fn streams_of_before_end_in_time_and_new_ones_work() {
    for pairing in [
        Pairing::NEW_TO_NEW,
        Pairing::NEW_TO_OLD,
        Pairing::OLD_TO_NEW,
    ] {
        for (later, send_window) in [(10, FEW), (70_000, FEW), (70_000, MANY)] {
            assert_new_ones_work_at_once(pairing, later, send_window);
        }
    }
}

#[test]
fn new_streams_work_at_once_while_those_of_before_are_probed() {
    for (later, send_window) in [(10, MANY), (1_000, FEW), (1_000, MANY)] {
        assert_new_ones_work_at_once(Pairing::NEW_TO_NEW, later, send_window);
    }
}
