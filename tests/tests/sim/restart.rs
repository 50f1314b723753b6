// SPDX-License-Identifier: Apache-2.0

//! A server that goes, and comes back at the same address without its secrets.
//!
//! The rule: the client's streams end with an error, and do not wait for the idle timeout.

use super::{check, echo, millis, near, upload, LONG};
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{peer::Socket, Ending, Restart, Round, Simulation},
};
use std::io::ErrorKind;

/// What a client's stream ends with
const REFUSED: Ending = Ending::Fail(&[ErrorKind::PermissionDenied, ErrorKind::ConnectionReset]);

/// The server is gone after two milliseconds, and the next one there. `send_window`: bytes that a stream keeps unacknowledged.
fn crash(send_window: u32) -> Simulation {
    let simulation = near(echo(10, LONG));
    let mut simulation = Simulation {
        restart: Some(Restart::Crash(millis(2))),
        ending: REFUSED,
        // of the streams of the old server, nobody hears anything any more
        ending_at_server: Some(Ending::Either(&[ErrorKind::TimedOut])),
        socket: Socket {
            shares_port: true,
            ..simulation.socket
        },
        ..simulation
    };
    simulation.agreed.send_window = send_window;
    let limit = simulation.idle_timeout() + millis(99);
    simulation.within(limit)
}

/// Has streams be opened a tenth of a second after the start.
fn and_another_round(simulation: Simulation) -> Simulation {
    Simulation {
        later: Some(Round {
            after: millis(100),
            streams: 2,
            ending: REFUSED,
        }),
        ..simulation
    }
}

/// With more unacknowledged than the path's window holds, and with less
#[test]
fn streams_that_are_opened_after_a_crash_are_refused_at_once() {
    for send_window in [1 << 14, 1 << 25] {
        let report = check(&and_another_round(crash(send_window)));
        let (before, after): (Vec<_>, Vec<_>) = report.ends_of(true).partition(|end| end.key < 10);
        assert_eq!(after.len(), 2);
        for end in before {
            assert!(end.at < millis(99), "{end:?}");
        }
        for end in after {
            assert!((millis(100)..millis(199)).contains(&end.at), "{end:?}");
        }
        let server = report.server.expect("it is new");
        assert!(server.dropped_unknown_secret > 0, "{server:#?}");
    }
}

#[test]
fn a_crash_ends_streams_that_go_on_sending() {
    let report = check(&crash(1 << 14));
    for end in report.ends_of(true) {
        assert!(end.at < millis(99), "{end:?}");
    }
}

/// What holds today, and what published peers do: an end that nobody answers gives up at the idle timeout.
#[test]
fn a_crash_is_noticed_at_the_idle_timeout_at_the_latest() {
    const KINDS: &[ErrorKind] = &[
        ErrorKind::TimedOut,
        ErrorKind::PermissionDenied,
        ErrorKind::ConnectionReset,
    ];
    for pairing in [
        Pairing::NEW_TO_NEW,
        Pairing::NEW_TO_OLD,
        Pairing::OLD_TO_NEW,
    ] {
        let report = check(&Simulation {
            pairing,
            ending: Ending::Fail(KINDS),
            ..crash(1 << 25)
        });
        assert_eq!(report.ends_of(true).count(), 10);
    }
}

#[test]
fn a_server_that_goes_in_order_says_so() {
    let simulation = Simulation {
        restart: Some(Restart::Orderly(millis(2))),
        ending: REFUSED,
        ..near(upload(10, LONG))
    };
    let report = check(&simulation.within(millis(99)));
    assert_eq!(report.ends_of(true).count(), 10);
}
