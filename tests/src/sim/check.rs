// SPDX-License-Identifier: Apache-2.0

//! What must hold for every simulation, whatever its network does.
//!
//! The rule: a test that runs a simulation runs it here, and adds what is particular about it.

use super::{network::Record, Quiet, Report, Simulation};
use s2n_quic_dc::stream::metrics::Metrics;

/// Runs `simulation`, and shows that
///
/// * every stream ended as it is to, within the limit of simulated time;
/// * every node did what it is for, so that none is there in vain;
/// * every packet that was sent was delivered, or dropped by a node, and the ends count the same ones;
/// * nothing happened that has no reason to happen between peers that keep to the protocol;
/// * afterwards everything was given back, and there was silence for ten idle timeouts;
/// * a second run has the same packets, if a run is cheap.
///
/// # Panics
///
/// When one of these is not so.
pub fn check(simulation: &Simulation) -> Report {
    let listening = Simulation {
        listen: 10 * simulation.idle_timeout(),
        ..simulation.clone()
    };
    let report = run(&listening);
    // for those who choose limits
    println!("took {:?} of {:?}", report.took, simulation.limit);
    for (way, node, acts) in &report.acts {
        let is_in_vain = *acts == 0 && node.must_act();
        assert!(!is_in_vain, "{node:?} {way:?} did nothing\n{simulation:?}");
    }
    assert_eq!(report.quiet, Quiet::default(), "{simulation:?}");
    for metrics in report.metrics() {
        assert_nothing_impossible(metrics);
        assert_at_rest(metrics, simulation.socket.count);
        if simulation.restart.is_none() {
            assert_eq!(metrics.dropped_unknown_secret, 0, "{metrics:#?}");
        }
    }
    assert_conserved(&report, simulation);
    if report.trace.len() < CHEAP {
        assert_same(&report, &run(&listening), simulation);
    }
    report
}

/// Runs `simulation` once.
///
/// # Panics
///
/// When it does not end as it is to.
pub fn run(simulation: &Simulation) -> Report {
    match simulation.run() {
        Ok(report) => report,
        Err(error) => panic!("{error}\n{simulation:?}"),
    }
}

/// Shows that two runs had the same packets.
///
/// # Panics
///
/// When they had not, with the first that differs.
pub fn assert_same(first: &Report, second: &Report, simulation: &Simulation) {
    if first.trace != second.trace {
        let difference = first_difference(&first.trace, &second.trace);
        panic!("{difference}\n{simulation:?}");
    }
}

/// Shows that no packet is missing, in the network and between its counters and those of the ends.
///
/// # Panics
///
/// When one is.
pub fn assert_conserved(report: &Report, simulation: &Simulation) {
    for counts in [report.to_server, report.to_client] {
        let came = counts.sent + counts.duplicated;
        let went = counts.delivered + counts.lost + counts.overflowed;
        assert_eq!(came, went, "{counts:?}\n{simulation:?}");
    }
    if simulation.restart.is_some() {
        // what was on its way to a server that is gone is nobody's
        return;
    }
    let clients: Vec<_> = report.client.iter().chain(&report.others).collect();
    let ends = [
        (
            report.server.iter().collect(),
            report.to_client,
            report.to_server,
        ),
        (clients, report.to_server, report.to_client),
    ];
    for (ends, out, back) in ends {
        if ends.is_empty() {
            // the published one does not count
            continue;
        }
        let sent: u64 = ends.iter().map(|metrics| metrics.segments_sent).sum();
        let received: u64 = ends.iter().map(|metrics| metrics.segments_received).sum();
        assert_eq!((sent, received), (out.sent, back.delivered), "{ends:#?}");
    }
}

/// Shows that nothing was counted that has no reason to happen between peers that keep to the protocol, whatever the network
/// does.
///
/// # Panics
///
/// When something was.
pub fn assert_nothing_impossible(metrics: &Metrics) {
    assert_eq!(metrics.dropped_undecodable, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_unexpected, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_credentials, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_unauthenticated, 0, "{metrics:#?}");
    assert_eq!(metrics.dropped_overflow, 0, "{metrics:#?}");
    assert_eq!(metrics.transmissions_failed, 0, "{metrics:#?}");
    assert_eq!(metrics.would_block, 0, "{metrics:#?}");
    assert_eq!(metrics.pool.exhausted, 0, "{metrics:#?}");
}

/// Shows that everything was given back, as it must be once all streams are gone, by an end with so many sockets.
///
/// # Panics
///
/// When something was not.
pub fn assert_at_rest(metrics: &Metrics, sockets: usize) {
    assert_eq!(metrics.streams, 0, "{metrics:#?}");
    assert_eq!(metrics.wheel_entries, 0, "{metrics:#?}");
    assert_eq!(metrics.window_outstanding, 0, "{metrics:#?}");
    assert_eq!(metrics.opens_unconfirmed, 0, "{metrics:#?}");
    assert_eq!(metrics.opens_waiting, 0, "{metrics:#?}");
    assert_eq!(metrics.receive_window_bytes, 0, "{metrics:#?}");
    assert_eq!(metrics.pool.data_bytes, 0, "{metrics:#?}");
    // into which each socket will receive
    let kept = sockets * RECEIVED;
    assert_eq!(metrics.pool.in_use_bytes, kept, "{metrics:#?}");
    assert_eq!(metrics.pool.allocated_bytes, kept, "{metrics:#?}");
    assert_eq!(metrics.pool.waiters, 0, "{metrics:#?}");
}

/// Where two traces part
fn first_difference(a: &[Record], b: &[Record]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b);
    let at = at.unwrap_or(a.len().min(b.len()));
    let (lens, records) = ((a.len(), b.len()), (a.get(at), b.get(at)));
    format!("packet {at} of {lens:?}: {records:#?}")
}

/// Of a descriptor that a socket receives into, in bytes.
const RECEIVED: usize = 1 << 16;

/// In packets: a simulation with fewer is run twice.
const CHEAP: usize = 30_000;
