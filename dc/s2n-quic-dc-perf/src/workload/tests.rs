// SPDX-License-Identifier: Apache-2.0

//! Tests of workloads: what is accepted, what it is called, and what is drawn from a mix.

mod refused;

use super::{limits::*, settings::*, *};
use std::collections::HashMap;

fn of(kind: Kind) -> Settings {
    Settings::new(kind)
}

fn refused(settings: Settings) -> String {
    settings.build().unwrap_err().to_string()
}

const KINDS: [Kind; 5] = [
    Kind::Upload,
    Kind::Download,
    Kind::Rpc,
    Kind::Mixed,
    Kind::Fanin,
];

#[test]
fn every_kind_runs_without_settings() {
    let described = KINDS.map(|kind| of(kind).build().unwrap().to_string());
    let expected = [
        "upload 10 x 100 MB",
        "download 10 x 100 MB",
        "rpc x 100, 1 KiB / 1 KiB",
        "mixed 10 x 100 MB + 1 x 1 KiB / 1 KiB",
        "fanin 32 x 1 x 10 MB",
    ];
    assert_eq!(described, expected);
}

#[test]
fn the_name_says_what_differs() {
    let rpc = Settings {
        peers: Some(3),
        quorum: Some(2),
        hedge_after: Some(Duration::from_millis(2)),
        clients: Some(4),
        ..of(Kind::Rpc)
    };
    assert_eq!(
        rpc.build().unwrap().name,
        "rpc x 100 to 2 of 3 hedged after 2 ms, 1 KiB / 1 KiB, 4 clients"
    );
    let upload = Settings {
        duration: Some(Duration::from_secs(90)),
        ..of(Kind::Upload)
    };
    assert_eq!(upload.build().unwrap().name, "upload 10 x 100 MB for 90 s");
    let named = Settings {
        name: Some("mine".to_owned()),
        ..of(Kind::Upload)
    };
    assert_eq!(format!("{:<6}|", named.build().unwrap()), "mine  |");
}

#[test]
fn the_default_set_is_small_enough_to_wait_for() {
    let set = default_set();
    let names: Vec<_> = set.iter().map(ToString::to_string).collect();
    let expected = [
        "upload 1 x 1 GB",
        "upload 10 x 100 MB",
        "upload 1000 x 1 MB",
        "rpc x 1, 1 KiB / 1 KiB",
        "rpc x 100, 1 KiB / 1 KiB",
        "mixed 10 x 100 MB + 1 x 1 KiB / 1 KiB",
    ];
    assert_eq!(names, expected);
    // at 2 Gbit/s: 4 ns a byte
    let seconds: f64 = set
        .iter()
        .map(|workload| match workload.duration {
            Some(duration) => duration.as_secs_f64(),
            None => (u64::from(workload.streams) * workload.bytes.bytes()) as f64 * 4e-9,
        })
        .sum();
    assert!((20.0..40.0).contains(&seconds), "{seconds}");
}

#[test]
fn streams_are_limited_over_all_clients_peers_and_calls() {
    let fanin = |streams| Settings {
        streams: Some(streams),
        clients: Some(1000),
        ..of(Kind::Fanin)
    };
    assert_eq!(fanin(100).build().unwrap().total_streams(), 100_000);
    assert_eq!(
        refused(fanin(101)),
        "streams is 101000 over all clients, peers and calls, allowed are 1 to 100000"
    );
    let rpc = |streams| Settings {
        streams: Some(streams),
        peers: Some(10),
        ..of(Kind::Rpc)
    };
    assert_eq!(rpc(10_000).build().unwrap().total_streams(), 100_000);
    rpc(10_001).build().unwrap_err();
    let mixed = |calls| Settings {
        calls: Some(calls),
        ..of(Kind::Mixed)
    };
    assert_eq!(mixed(5).build().unwrap().total_streams(), 15);
    mixed(99_991).build().unwrap_err();
}

#[test]
fn every_client_has_a_stream() {
    let clients = |clients| Settings {
        clients: Some(clients),
        ..of(Kind::Upload)
    };
    clients(10).build().unwrap();
    assert_eq!(
        refused(clients(11)),
        "clients is 11, allowed are 1 to 10, since each needs a stream"
    );
}

#[test]
fn the_deadline_is_the_timeout_after_the_duration() {
    let settings = Settings {
        duration: Some(Duration::from_secs(300)),
        timeout: Some(Duration::from_secs(20)),
        ..of(Kind::Upload)
    };
    assert_eq!(
        settings.build().unwrap().deadline(),
        Duration::from_secs(320)
    );
    let once = of(Kind::Upload).build().unwrap();
    assert_eq!(once.deadline(), Duration::from_secs(120));
}

#[test]
fn validate_refuses_what_was_not_built_here() {
    let rpc = of(Kind::Rpc).build().unwrap();
    let upload = of(Kind::Upload).build().unwrap();
    let fanout = Fanout {
        peers: 2,
        ..Fanout::NONE
    };
    for (broken, field) in [
        (
            Workload {
                mix: Vec::new(),
                ..rpc.clone()
            },
            "mix",
        ),
        (
            Workload {
                duration: None,
                ..rpc.clone()
            },
            "duration",
        ),
        (
            Workload {
                mix: rpc.mix.clone(),
                ..upload.clone()
            },
            "mix",
        ),
        (
            Workload {
                fanout,
                ..upload.clone()
            },
            "peers",
        ),
        (
            Workload {
                calls: 1,
                ..upload.clone()
            },
            "calls",
        ),
        (
            Workload {
                name: " ".to_owned(),
                ..upload.clone()
            },
            "name",
        ),
        (
            Workload {
                name: "x".repeat(65),
                ..upload.clone()
            },
            "name",
        ),
        (
            Workload {
                mtu: 1199,
                ..upload
            },
            "mtu",
        ),
    ] {
        assert_eq!(broken.validate().unwrap_err().field(), field);
    }
}

#[test]
fn a_mix_is_drawn_by_weight_and_the_same_again() {
    let entry = |weight, bytes| CallSettings {
        weight,
        request: size(bytes),
        response: size(bytes),
    };
    let settings = Settings {
        mix: Some(vec![entry(70, 1), entry(29, 2), entry(1, 3)]),
        ..of(Kind::Rpc)
    };
    let workload = settings.build().unwrap();
    let mut drawn = HashMap::new();
    for n in 0..100_000 {
        let size = workload.pick(n);
        assert_eq!(workload.pick(n), size);
        *drawn.entry(size.request.bytes()).or_insert(0_u32) += 1;
    }
    for (bytes, expected) in [(1, 70_000_i64), (2, 29_000), (3, 1_000)] {
        let off = i64::from(drawn[&bytes]) - expected;
        assert!(off.abs() < 500, "{bytes}: {off}");
    }
    // neighbours differ: a run of one size would hide the others
    let first: Vec<_> = (0..20).map(|n| workload.pick(n).request.bytes()).collect();
    assert!(first.contains(&1) && first.contains(&2), "{first:?}");
}

#[test]
fn drawing_without_a_mix_and_with_the_largest_does_not_panic() {
    let upload = of(Kind::Upload).build().unwrap();
    assert_eq!(upload.pick(7), DEFAULT_CALL);
    let entry = CallSettings {
        weight: 1_000_000,
        request: size(1),
        response: size(2),
    };
    let settings = Settings {
        mix: Some(vec![entry; 64]),
        ..of(Kind::Rpc)
    };
    let workload = settings.build().unwrap();
    for n in [0, 1, u64::MAX] {
        assert_eq!(workload.pick(n).response.bytes(), 2);
    }
}

#[test]
fn a_mix_is_checked_and_excludes_request_and_response() {
    let large = size((64 << 20) + 1);
    let with = |entry| Settings {
        mix: Some(vec![entry]),
        ..of(Kind::Rpc)
    };
    let entry = CallSettings {
        weight: 1,
        request: size(1),
        response: size(1),
    };
    let request = CallSettings {
        request: large,
        ..entry
    };
    let response = CallSettings {
        response: large,
        ..entry
    };
    for (entry, field) in [(request, "mix.request"), (response, "mix.response")] {
        assert_eq!(with(entry).build().unwrap_err().field(), field);
    }
    let one = Some(size(1));
    for (settings, message) in [
        (
            Settings {
                request: one,
                ..with(entry)
            },
            "request and mix exclude each other",
        ),
        (
            Settings {
                response: one,
                ..with(entry)
            },
            "response and mix exclude each other",
        ),
    ] {
        assert!(refused(settings).starts_with(message));
    }
}
