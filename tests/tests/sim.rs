// SPDX-License-Identifier: Apache-2.0

//! Whole transfers in simulated time, on networks that lose what the seed says.
//!
//! The rule: every run has a limit of simulated time, and shows that its network did what it is named for. `DC_TEST_SEED` chooses
//! other losses.

use s2n_quic_dc::stream::metrics::Metrics;
use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{
        network::{Node, Record},
        peer::Socket,
        Quiet, Report, Simulation,
    },
    transfer::{Case, Kind},
};
use std::time::Duration;

const MEGABYTE: usize = 1_000_000;

fn upload(streams: usize) -> Case {
    Case {
        kind: Kind::Upload,
        streams,
        size: MEGABYTE,
    }
}

fn echo(streams: usize) -> Case {
    Case {
        kind: Kind::Echo,
        ..upload(streams)
    }
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn loss(percent: u32) -> Node {
    Node::Loss {
        per_million: percent * 10_000,
    }
}

fn run(simulation: &Simulation) -> Report {
    match simulation.run() {
        Ok(report) => report,
        Err(error) => panic!("{error}\n{simulation:?}"),
    }
}

/// What has no reason to happen between peers that keep to the protocol, whatever the network does
fn assert_nothing_impossible(metrics: &Metrics) {
    assert_eq!(metrics.dropped_undecodable, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_unexpected, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_credentials, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_unauthenticated, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_unknown_secret, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_overflow, 0, "{metrics:#?}");
    assert_eq!(metrics.transmissions_failed, 0, "{metrics:#?}");
    assert_eq!(metrics.would_block, 0, "{metrics:#?}");
}

/// What must be given back once all streams are gone
fn assert_at_rest(metrics: &Metrics) {
    assert_eq!(metrics.streams, 0, "{metrics:#?}");
    assert_eq!(metrics.wheel_entries, 0, "{metrics:#?}");
    assert_eq!(metrics.window_outstanding, 0, "{metrics:#?}");
    assert_eq!(metrics.opens_unconfirmed, 0, "{metrics:#?}");
    assert_eq!(metrics.opens_waiting, 0, "{metrics:#?}");
    assert_eq!(metrics.receive_window_bytes, 0, "{metrics:#?}");
    assert_eq!(metrics.pool.data_bytes, 0, "{metrics:#?}");
}

#[test]
fn streams_on_a_clean_network_lose_nothing_and_end_in_time() {
    for delay in [micros(100), micros(5000)] {
        for streams in [1, 10, 100] {
            let simulation = Simulation {
                limit: Duration::from_secs(5),
                ..Simulation::new(Pairing::NEW_TO_NEW, upload(streams), delay)
            };
            let report = run(&simulation);
            assert_eq!(report.to_server.lost + report.to_client.lost, 0);
            for metrics in [&report.client, &report.server].into_iter().flatten() {
                assert_nothing_impossible(metrics);
                assert_eq!(metrics.packets_lost, 0, "{metrics:#?}");
            }
        }
    }
}

#[test]
fn streams_on_a_lossy_network_recover_within_a_bound() {
    // both ways, so that both have enough packets to lose
    for (percent, streams, limit) in [
        (1, 1, micros(50_000)),
        (1, 10, micros(500_000)),
        (1, 100, micros(2_000_000)),
        (10, 1, micros(1_000_000)),
        (10, 10, micros(2_000_000)),
        (10, 100, micros(10_000_000)),
    ] {
        let simulation = Simulation {
            limit,
            ..Simulation::new(Pairing::NEW_TO_NEW, echo(streams), micros(100))
        };
        let report = run(&simulation.with(loss(percent)));
        for counts in [report.to_server, report.to_client] {
            assert!(counts.lost > 0, "{counts:?}");
            let expected = counts.sent * u64::from(percent) / 100;
            assert!(counts.lost < 10 + expected * 2, "{counts:?}");
        }
        for metrics in [&report.client, &report.server].into_iter().flatten() {
            assert_nothing_impossible(metrics);
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
        let case = Case {
            size: 200_000,
            ..echo(streams)
        };
        for step in 0..20 {
            let simulation = Simulation {
                limit,
                listen: Duration::from_secs(1),
                ..Simulation::new(Pairing::NEW_TO_NEW, case, micros(100))
            };
            let simulation = Simulation {
                seed: simulation.seed + step,
                ..simulation.with(loss(percent))
            };
            let report = run(&simulation);
            assert!(report.to_server.lost > 0 && report.to_client.lost > 0);
            assert_eq!(report.quiet, Quiet::default(), "{simulation:?}");
            for metrics in [&report.client, &report.server].into_iter().flatten() {
                assert_nothing_impossible(metrics);
                assert_at_rest(metrics);
            }
        }
    }
}

#[test]
fn a_megabyte_both_ways_survives_loss_over_a_long_path() {
    let simulation = Simulation {
        limit: Duration::from_secs(10),
        ..Simulation::new(Pairing::NEW_TO_NEW, echo(10), micros(5000))
    };
    let simulation = simulation.with(loss(5));
    let report = run(&simulation);
    assert!(report.to_server.lost > 0 && report.to_client.lost > 0);
}

#[test]
fn reordering_bursts_and_an_outage_are_survived() {
    let hold = Node::Hold {
        per_million: 50_000,
        by: micros(300),
    };
    let burst = Node::Burst {
        per_million: 2_000,
        packets: 20,
    };
    let outage = Node::Blackhole {
        from: micros(1_000),
        until: micros(101_000),
    };
    for node in [hold, burst, outage] {
        let simulation = Simulation {
            limit: Duration::from_secs(3),
            ..Simulation::new(Pairing::NEW_TO_NEW, echo(10), micros(200))
        };
        let simulation = simulation.with(node);
        let report = run(&simulation);
        let is_lossy = !matches!(node, Node::Hold { .. });
        assert_eq!(report.to_server.lost > 0, is_lossy, "{simulation:?}");
        assert_eq!(report.to_client.lost > 0, is_lossy, "{simulation:?}");
        for metrics in [&report.client, &report.server].into_iter().flatten() {
            assert_nothing_impossible(metrics);
        }
    }
}

#[test]
fn a_slow_link_with_a_short_queue_is_filled_and_not_flooded() {
    // 100 Mbit/s, and 20 ms of it in the queue
    let rate = Node::Rate {
        bytes_per_second: 12_500_000,
        queue: 250_000,
    };
    let simulation = Simulation::new(Pairing::NEW_TO_NEW, upload(10), micros(1000)).with(rate);
    let report = run(&simulation);
    // ten megabytes and their headers alone take 0.83 s
    assert!(report.took > Duration::from_millis(800), "{report:?}");
    assert!(report.took < Duration::from_secs(2), "{:?}", report.took);
    // the window doubles until it finds the end of the queue
    assert!(report.to_server.overflowed * 5 < report.to_server.sent);
}

/// Where two traces part
fn first_difference(a: &[Record], b: &[Record]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b);
    let at = at.unwrap_or(a.len().min(b.len()));
    let (lens, records) = ((a.len(), b.len()), (a.get(at), b.get(at)));
    format!("packet {at} of {lens:?}: {records:#?}")
}

#[test]
fn a_seed_gives_the_same_packets_every_time() {
    let new = Pairing::NEW_TO_NEW;
    for (pairing, case, percent, sockets) in [
        (new, upload(1), 0, 1),
        (new, echo(10), 5, 1),
        (new, echo(10), 5, 2),
        (new, upload(100), 1, 1),
        (Pairing::NEW_TO_OLD, upload(10), 1, 1),
        (Pairing::OLD_TO_NEW, upload(10), 1, 1),
    ] {
        let simulation = Simulation {
            socket: Socket {
                count: sockets,
                ..Socket::default()
            },
            ..Simulation::new(pairing, case, micros(100)).with(loss(percent))
        };
        let (first, second) = (run(&simulation), run(&simulation));
        if first.trace != second.trace {
            let difference = first_difference(&first.trace, &second.trace);
            panic!("{difference}\n{simulation:?}");
        }
        let other = Simulation {
            seed: simulation.seed + 1,
            ..simulation.clone()
        };
        assert_eq!(first.trace == run(&other).trace, percent == 0);
    }
}

#[test]
fn after_the_last_stream_there_is_silence() {
    for percent in [0, 10] {
        let simulation = Simulation::new(Pairing::NEW_TO_NEW, upload(10), micros(100));
        let idle = Duration::from_millis(simulation.agreed.idle_timeout_ms.into());
        let simulation = Simulation {
            listen: 10 * idle,
            ..simulation.with(loss(percent))
        };
        let report = run(&simulation);
        assert_eq!(report.quiet, Quiet::default(), "with {percent} % lost");
        assert!(report.turns > 100, "{}", report.turns);
        for metrics in [&report.client, &report.server].into_iter().flatten() {
            assert_nothing_impossible(metrics);
            assert_at_rest(metrics);
        }
    }
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
                // so that nothing is between a socket's counter and the network's
                listen: micros(1),
                ..Simulation::new(Pairing::NEW_TO_NEW, upload(10), micros(100)).with(loss(2))
            };
            let report = run(&simulation);
            let (client, server) = (report.client.unwrap(), report.server.unwrap());
            assert_eq!(client.segments_sent, report.to_server.sent);
            let batches = client.segments_sent > 2 * client.send_calls;
            assert_eq!(batches, max_segments > 1, "{client:#?}");
            let trains = server.segments_received > 2 * server.recv_calls;
            assert_eq!(trains, joins, "{server:#?}");
        }
    }
}

#[test]
fn old_and_new_peers_meet_in_one_simulation() {
    for pairing in [Pairing::NEW_TO_OLD, Pairing::OLD_TO_NEW] {
        for percent in [0, 1] {
            for streams in [1, 10] {
                let case = upload(streams);
                let simulation = Simulation::new(pairing, case, micros(100)).with(loss(percent));
                let report = run(&simulation);
                assert_eq!(report.to_server.lost > 0, percent > 0);
                for metrics in [&report.client, &report.server].into_iter().flatten() {
                    assert_nothing_impossible(metrics);
                }
            }
        }
    }
}
