// SPDX-License-Identifier: Apache-2.0

//! Every system moves a few streams, in every direction that it knows.

use super::*;
use s2n_quic_dc_perf::{
    size::Size,
    workload::{CallSize, Fanout, Losers},
};
use std::time::Duration;
use tokio::runtime::Builder;

/// A small workload.
pub(crate) fn workload(kind: Kind) -> Workload {
    let size = |bytes| Size::new(bytes).unwrap();
    Workload {
        name: "test".to_owned(),
        kind,
        streams: 3,
        bytes: size(300_001),
        duration: (kind == Kind::Rpc).then_some(Duration::from_millis(300)),
        calls: 0,
        mix: vec![CallSize {
            weight: 1,
            request: size(1000),
            response: size(3001),
        }],
        clients: 2,
        fanout: Fanout {
            peers: 1,
            quorum: 1,
            hedge_after: None,
            losers: Losers::Cancel,
        },
        mtu: 1450,
        timeout: Duration::from_secs(60),
    }
}

fn run(system: System, kind: Kind) -> Outcome {
    run_with(system, &workload(kind))
}

fn run_with(system: System, workload: &Workload) -> Outcome {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(system.run(workload));
    // what the system leaves to the end of the process must not be dropped by a task
    std::mem::forget(runtime);
    outcome.unwrap()
}

/// Runs all kinds over a system that has streams.
fn moves_streams(system: System) {
    for kind in [Kind::Upload, Kind::Download] {
        let outcome = run(system, kind);
        assert_eq!(outcome.failures.streams(), 0, "{:?}", outcome.failures);
        assert_eq!(outcome.verified_bytes, 3 * 300_001, "{kind:?}");
        assert!(outcome.both_ends);
    }
    let outcome = run(system, Kind::Rpc);
    assert_eq!(outcome.failures.streams(), 0, "{:?}", outcome.failures);
    assert!(outcome.calls > 0);
}

#[test]
fn wheel_moves_streams() {
    moves_streams(System::Wheel);
}

#[test]
fn published_moves_streams() {
    moves_streams(System::Published);
}

#[test]
fn published_counts_its_packets() {
    let sample = run(System::Published, Kind::Upload).sample;
    assert!(sample.packets_sent.unwrap() >= 3 * 300_001 / 1450);
}

#[test]
fn quinn_moves_streams() {
    moves_streams(System::Quinn);
}

#[test]
fn quinn_counts_its_packets() {
    let sample = run(System::Quinn, Kind::Upload).sample;
    assert!(sample.packets_sent.unwrap() >= 3 * 300_001 / 1450);
    assert!(sample.segments_sent.unwrap() >= sample.send_calls.unwrap());
}

#[test]
fn large_datagrams_are_not_lost() {
    for system in [
        System::Wheel,
        System::Published,
        System::Quinn,
        System::S2nQuic,
    ] {
        let outcome = run_with(
            system,
            &Workload {
                mtu: 8950,
                bytes: Size::new(3_000_000).unwrap(),
                ..workload(Kind::Upload)
            },
        );
        assert_eq!(outcome.failures.streams(), 0, "{:?}", outcome.failures);
        if let (Some(lost), Some(sent)) = (outcome.sample.packets_lost, outcome.sample.packets_sent)
        {
            // a system that sends what the kernel refuses loses a third of it
            assert!(lost * 5 < sent, "{system}: {lost} of {sent}");
            // that many would not do with smaller datagrams, acknowledgements apart
            assert!(sent < 9_000_000 / 1450, "{system}: {sent}");
        }
    }
}

#[test]
fn s2n_quic_moves_streams() {
    moves_streams(System::S2nQuic);
}

#[test]
fn s2n_quic_counts_its_packets() {
    let sample = run(System::S2nQuic, Kind::Upload).sample;
    assert!(sample.packets_sent.unwrap() >= 3 * 300_001 / 1450);
}

#[test]
fn tcp_tls_moves_streams() {
    moves_streams(System::TcpTls);
}

#[test]
fn the_floods_move_all_bytes() {
    for system in [System::RawUdp, System::Ceiling] {
        let outcome = run(system, Kind::Upload);
        assert_eq!(outcome.verified_bytes, 3 * 300_001);
        assert_eq!(outcome.sample.packets_lost, Some(0));
    }
}

#[test]
fn the_ceiling_makes_calls() {
    let mut workload = workload(Kind::Rpc);
    workload.mix[0].response = workload.mix[0].request;
    let outcome = run_with(System::Ceiling, &workload);
    // however slow the machine is, each slot makes one
    assert!(outcome.calls + outcome.failures.streams() as u64 >= 3);
    assert_eq!(outcome.verified_bytes, outcome.calls * 2000);
}

#[test]
fn names_on_the_command_line_are_those_in_records() {
    for system in System::value_variants() {
        let value = system.to_possible_value().unwrap();
        assert_eq!(value.get_name(), system.name());
    }
}

#[test]
fn every_system_says_how_it_is_configured() {
    for kind in [Kind::Upload, Kind::Rpc] {
        for system in System::value_variants() {
            let lines = system.settings(&workload(kind));
            assert!(lines.iter().any(|(name, _)| name == "crypto"), "{system}");
        }
    }
}

#[test]
fn datagrams_are_no_larger_than_the_handshake_finds() {
    assert_eq!(System::Wheel.effective_mtu(1450), Some(1450));
    assert_eq!(System::Wheel.effective_mtu(8950), Some(8912));
    assert_eq!(System::Quinn.effective_mtu(8950), Some(8950));
    assert_eq!(System::TcpTls.effective_mtu(8950), None);
}
