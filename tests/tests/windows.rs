// SPDX-License-Identifier: Apache-2.0

//! Receive windows that tune themselves, over whole transfers in simulated time.
//!
//! The rule: each transfer is compared with the same one whose windows cannot limit it, so that what is measured is the window and
//! nothing else of the stack.

use s2n_quic_dc::stream::metrics::Metrics;
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{network::Node, peer::Socket, Report, Simulation},
    transfer::{Case, Kind},
};
use std::time::Duration;

const UPLOAD: Case = Case {
    kind: Kind::Upload,
    streams: 1,
    size: 20_000_000,
};

/// One way
const DELAYS: [Duration; 4] = [
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
];

/// What the server's receiver wants to be ahead by default: as much as the client may send at first
const DEFAULT_WINDOW: u32 = 89_400;

fn run(simulation: &Simulation) -> Report {
    match simulation.run() {
        Ok(report) => report,
        Err(error) => panic!("{error}\n{simulation:?}"),
    }
}

fn with_window(simulation: Simulation, recv_window: u32) -> Simulation {
    let mut simulation = simulation;
    simulation.agreed.recv_window = recv_window;
    simulation
}

/// With a window that holds the whole transfer from the start
fn unlimited(simulation: &Simulation) -> Simulation {
    let mut simulation = simulation.clone();
    simulation.agreed.recv_window = 1 << 25;
    simulation.agreed.initial_window = 1 << 25;
    simulation
}

/// With a budget of so many bytes
fn budget(simulation: Simulation, bytes: usize) -> Simulation {
    Simulation {
        socket: Socket {
            max_receive_window_bytes: Some(bytes),
            ..simulation.socket
        },
        ..simulation
    }
}

/// The server's, once all streams have ended
fn server(report: &Report) -> Metrics {
    report.server.expect("the server is new")
}

#[test]
fn one_upload_is_as_fast_as_its_sender_at_any_round_trip() {
    for delay in DELAYS {
        for recv_window in [DEFAULT_WINDOW, 1 << 20] {
            let simulation = Simulation::new(Pairing::NEW_TO_NEW, UPLOAD, delay);
            let simulation = with_window(simulation, recv_window);
            let (took, best) = (run(&simulation).took, run(&unlimited(&simulation)).took);
            // the first window is used up before anybody could know that it is too small, and the next follow the sender's
            let allowed = best + 2 * 2 * delay;
            assert!(took <= allowed, "{took:?}, not {best:?}: {simulation:?}");
        }
    }
}

#[test]
fn without_a_budget_the_window_of_the_handshake_is_the_limit_and_the_upload_ends() {
    for delay in DELAYS {
        let simulation = Simulation::new(Pairing::NEW_TO_NEW, UPLOAD, delay);
        let simulation = with_window(simulation, DEFAULT_WINDOW);
        let free = run(&simulation);
        assert_eq!(server(&free).receive_window_refusals, 0);
        let simulation = budget(simulation, 0);
        let held = run(&simulation);
        // 223 windows, one after the other
        let round_trips = UPLOAD.size as u32 / DEFAULT_WINDOW;
        assert!(held.took >= 2 * delay * round_trips, "{:?}", held.took);
        assert!(held.took > free.took * 4, "{:?}", held.took);
        assert!(server(&held).receive_window_refusals > 0);
        assert_eq!(server(&held).receive_window_bytes, 0);
    }
}

#[test]
fn a_small_budget_makes_uploads_faster_and_is_given_back() {
    let delay = Duration::from_millis(5);
    let simulation = Simulation::new(Pairing::NEW_TO_NEW, UPLOAD, delay);
    let simulation = with_window(simulation, DEFAULT_WINDOW);
    let mut last = Duration::MAX;
    // a stream alone gets half of it
    for bytes in [0, 2 * DEFAULT_WINDOW as usize, 2 << 20, 256 << 20] {
        let simulation = Simulation {
            listen: Duration::from_secs(1),
            ..budget(simulation.clone(), bytes)
        };
        let report = run(&simulation);
        assert!(report.took < last, "{bytes} bytes: {:?}", report.took);
        last = report.took;
        assert_eq!(server(&report).streams, 0);
        assert_eq!(server(&report).receive_window_bytes, 0);
    }
}

#[test]
fn streams_share_a_small_budget_and_all_end() {
    let case = Case {
        streams: 4,
        size: 5_000_000,
        ..UPLOAD
    };
    for percent in [0, 2] {
        let simulation = Simulation::new(Pairing::NEW_TO_NEW, case, Duration::from_millis(1));
        let simulation = Simulation {
            limit: Duration::from_secs(20),
            listen: Duration::from_secs(1),
            ..budget(with_window(simulation, DEFAULT_WINDOW), 200_000)
        };
        let report = run(&simulation.with(Node::Loss {
            per_million: percent * 10_000,
        }));
        assert_eq!(report.to_server.lost > 0, percent > 0);
        // with losses it is the path's window that is small
        assert!(percent > 0 || server(&report).receive_window_refusals > 0);
        assert_eq!(server(&report).receive_window_bytes, 0);
    }
}

#[test]
fn a_published_client_profits_as_well_and_keeps_to_its_window() {
    for delay in DELAYS {
        let simulation = Simulation::new(Pairing::OLD_TO_NEW, UPLOAD, delay);
        let simulation = with_window(simulation, DEFAULT_WINDOW);
        let (took, best) = (run(&simulation).took, run(&unlimited(&simulation)).took);
        let held = run(&budget(simulation.clone(), 0)).took;
        let allowed = best + best / 10 + 4 * 2 * delay;
        assert!(took <= allowed, "{took:?}, not {best:?}: {simulation:?}");
        assert!(took < held, "{took:?} with growth, {held:?} without");
    }
}
