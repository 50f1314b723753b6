// SPDX-License-Identifier: Apache-2.0

//! Tests of what is refused: values out of range, and settings that do nothing.

use super::*;

#[test]
fn both_ends_of_each_range_are_allowed_and_what_is_past_them_is_not() {
    type Set = fn(&mut Settings, i64);
    let fields: [(&str, Kind, Set, i64, i64); 6] = [
        (
            "streams",
            Kind::Upload,
            |s, n| s.streams = Some(n),
            1,
            100_000,
        ),
        ("clients", Kind::Fanin, |s, n| s.clients = Some(n), 1, 1024),
        ("peers", Kind::Rpc, |s, n| s.peers = Some(n), 1, 64),
        ("mtu", Kind::Upload, |s, n| s.mtu = Some(n), 1200, 8912),
        ("calls", Kind::Mixed, |s, n| s.calls = Some(n), 1, 99_990),
        (
            "quorum",
            Kind::Rpc,
            |s, n| (s.peers, s.quorum) = (Some(7), Some(n)),
            1,
            7,
        ),
    ];
    for (field, kind, set, low, high) in fields {
        let build = |value| {
            let mut settings = of(kind);
            set(&mut settings, value);
            settings.build()
        };
        for value in [low, high] {
            build(value).unwrap();
        }
        for value in [low - 1, high + 1, -1, i64::MIN, i64::MAX] {
            let error = build(value).unwrap_err();
            assert!(
                matches!(error, WorkloadError::OutOfRange { .. }),
                "{field} {value}: {error}"
            );
        }
    }
}

#[test]
fn times_and_call_sizes_are_checked_however_they_were_set() {
    let ms = Duration::from_millis;
    let set: [(Settings, &str); 4] = [
        (
            Settings {
                duration: Some(Duration::from_micros(999)),
                ..of(Kind::Upload)
            },
            "duration is 999 us, allowed are 1 ms to 24 h",
        ),
        (
            Settings {
                timeout: Some(ms(999)),
                ..of(Kind::Upload)
            },
            "timeout is 999 ms, allowed are 1 s to 24 h",
        ),
        (
            Settings {
                hedge_after: Some(ms(60_001)),
                peers: Some(2),
                quorum: Some(1),
                ..of(Kind::Rpc)
            },
            "hedge_after is 60001 ms, allowed are 10 us to 60 s",
        ),
        (
            Settings {
                response: Some(size((64 << 20) + 1)),
                ..of(Kind::Rpc)
            },
            "response is 67108865 B, allowed are 1 B to 64 MiB",
        ),
    ];
    for (settings, message) in set {
        // `m` is the largest whole unit of 60 s
        assert_eq!(refused(settings), message.replace("60 s", "1 m"));
    }
    let largest = Settings {
        request: Some(size(64 << 20)),
        ..of(Kind::Rpc)
    };
    largest.build().unwrap();
}

#[test]
fn what_does_nothing_for_the_kind_is_refused() {
    let five = Some(size(5));
    type Set = fn(&mut Settings, Option<Size>);
    let fields: [(&str, Set, &[Kind]); 9] = [
        (
            "bytes",
            |s, five| s.bytes = five,
            &[Kind::Upload, Kind::Download, Kind::Mixed, Kind::Fanin],
        ),
        (
            "request",
            |s, five| s.request = five,
            &[Kind::Rpc, Kind::Mixed],
        ),
        (
            "response",
            |s, five| s.response = five,
            &[Kind::Rpc, Kind::Mixed],
        ),
        (
            "mix",
            |s, five| {
                let size = five.unwrap();
                s.mix = Some(vec![CallSettings {
                    weight: 1,
                    request: size,
                    response: size,
                }]);
            },
            &[Kind::Rpc, Kind::Mixed],
        ),
        ("calls", |s, _| s.calls = Some(1), &[Kind::Mixed]),
        ("peers", |s, _| s.peers = Some(1), &[Kind::Rpc]),
        ("quorum", |s, _| s.quorum = Some(1), &[Kind::Rpc]),
        ("streams", |s, _| s.streams = Some(50), &KINDS),
        (
            "duration",
            |s, _| s.duration = Some(Duration::from_secs(1)),
            &KINDS,
        ),
    ];
    for (field, set, used_by) in fields {
        for kind in KINDS {
            let mut settings = of(kind);
            set(&mut settings, five);
            assert_eq!(settings.set_fields(), [field]);
            match settings.build() {
                Ok(_) => assert!(used_by.contains(&kind), "{field} {kind}"),
                Err(error) => {
                    assert!(
                        matches!(error, WorkloadError::Unused { .. }),
                        "{field} {kind}: {error}"
                    );
                    assert_eq!(error.field(), field);
                    assert!(!used_by.contains(&kind), "{field} {kind}: {error}");
                }
            }
        }
    }
}

#[test]
fn losers_and_hedging_need_a_peer_beyond_the_quorum() {
    let asked = |peers, quorum| Settings {
        peers,
        quorum,
        ..of(Kind::Rpc)
    };
    for (peers, quorum) in [(None, None), (Some(3), None), (Some(3), Some(3))] {
        let losers = Settings {
            losers: Some(Losers::Cancel),
            ..asked(peers, quorum)
        };
        let hedge = Settings {
            hedge_after: Some(Duration::from_millis(1)),
            ..asked(peers, quorum)
        };
        for (settings, field) in [(losers, "losers"), (hedge, "hedge_after")] {
            let message = refused(settings);
            assert!(message.starts_with(&format!("{field} does nothing here: the quorum is all")));
        }
    }
    let losers = Settings {
        losers: Some(Losers::Cancel),
        ..asked(Some(3), Some(2))
    };
    assert_eq!(losers.build().unwrap().fanout.losers, Losers::Cancel);
}
