// SPDX-License-Identifier: Apache-2.0

//! Rounds made by hand.

use super::*;
use crate::{compare::child, system::System};
use s2n_quic_dc_perf::workload::Kind;

fn failed(system: System, kind: Kind) -> Record {
    let workload = crate::system::tests::workload(kind);
    child::failed(system, &workload, "no".to_owned())
}

fn upload(system: System, gbps: f64) -> Record {
    Record {
        gbps: Some(gbps),
        failed: Some(0),
        error: None,
        ..failed(system, Kind::Upload)
    }
}

#[test]
fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0]), Some(3.0));
    assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    assert_eq!(median_of_whole(vec![]), None);
    assert_eq!(median_of_whole(vec![9, 1, 2]), Some(2));
    assert_eq!(median_of_whole(vec![9, 1, 2, 5]), Some(3));
    assert_eq!(median_of_whole(vec![u64::MAX, u64::MAX]), Some(u64::MAX));
}

#[test]
fn ratios_are_made_round_by_round() {
    // the machine slows down: medians of figures would give 4 / 2, and extremes 10 / 1
    let rounds = [
        vec![upload(System::Wheel, 10.0), upload(System::Quinn, 4.0)],
        vec![upload(System::Wheel, 4.0), upload(System::Quinn, 1.0)],
        vec![upload(System::Wheel, 3.0), upload(System::Quinn, 2.0)],
    ];
    let summaries = summarise("quinn", &rounds);
    let ratio = &summaries[0].ratio;
    assert_eq!(ratio.base, "quinn");
    assert_eq!(
        (ratio.median, ratio.min, ratio.max),
        (Some(2.5), Some(1.5), Some(4.0))
    );
    assert_eq!((ratio.rounds, ratio.left_out), (3, 0));
    assert_eq!(summaries[0].figures.gbps, Some(4.0));
    assert_eq!(summaries[1].ratio.median, Some(1.0));
    assert_eq!(summaries[1].figures.gbps, Some(2.0));
}

#[test]
fn a_round_without_either_figure_is_left_out_and_counted() {
    let rounds = [
        vec![upload(System::Wheel, 8.0), upload(System::Quinn, 2.0)],
        vec![
            failed(System::Wheel, Kind::Upload),
            upload(System::Quinn, 1.0),
        ],
        vec![
            upload(System::Wheel, 9.0),
            failed(System::Quinn, Kind::Upload),
        ],
        vec![upload(System::Wheel, 9.0), upload(System::Quinn, 0.0)],
        vec![upload(System::Wheel, 9.0)],
    ];
    let summaries = summarise("quinn", &rounds);
    let ratio = &summaries[0].ratio;
    assert_eq!(
        (ratio.median, ratio.rounds, ratio.left_out),
        (Some(4.0), 1, 4)
    );
    assert_eq!(summaries[0].rounds.len(), 5);
    assert_eq!(summaries[1].rounds.len(), 4);
    assert_eq!(summaries[1].ratio.rounds, 2);
}

#[test]
fn calls_are_compared_by_calls() {
    let rpc = |system, rps| Record {
        gbps: Some(1.0),
        rps: Some(rps),
        ..failed(system, Kind::Rpc)
    };
    let rounds = [vec![rpc(System::Wheel, 300.0), rpc(System::Quinn, 100.0)]];
    assert_eq!(summarise("quinn", &rounds)[0].ratio.median, Some(3.0));
}

#[test]
fn one_bad_round_shows() {
    let bad = Record {
        failed: Some(7),
        failures: BTreeMap::from([("reset".to_owned(), 7)]),
        ..upload(System::Wheel, 1.0)
    };
    let worse = Record {
        failed: Some(9),
        failures: BTreeMap::from([("reset".to_owned(), 5), ("late".to_owned(), 4)]),
        ..upload(System::Wheel, 1.0)
    };
    let good = upload(System::Wheel, 3.0);
    let crash = failed(System::Wheel, Kind::Upload);
    let rounds = [good.clone(), bad, crash, worse, good].map(|record| vec![record]);
    let figures = &summarise("wheel", &rounds)[0].figures;
    assert_eq!(figures.failed, Some(9));
    let failures = [("late".to_owned(), 4), ("reset".to_owned(), 12)];
    assert_eq!(figures.failures, BTreeMap::from(failures));
    assert_eq!(
        figures.error.as_deref(),
        Some("1 of 5 rounds gave nothing, first round 3: no")
    );
    assert_eq!(figures.gbps, Some(2.0));
}

#[test]
fn a_system_that_always_fails_has_its_own_words_and_all_fields() {
    let rounds = [vec![failed(System::RawUdp, Kind::Rpc)]];
    let summaries = summarise("quinn", &rounds);
    assert_eq!(summaries[0].figures.error.as_deref(), Some("no"));
    let json = serde_json::to_value(&summaries[0]).unwrap();
    let fields = json.as_object().unwrap();
    for field in [
        "system",
        "workload",
        "streams",
        "bytes",
        "mtu",
        "seconds",
        "gbps",
        "rps",
        "p50_us",
        "p99_us",
        "p999_us",
        "failed",
        "retransmitted_ratio",
        "lost_ratio",
        "cpu_s_per_gb",
        "peak_rss_bytes",
        "pool_peak_bytes",
        "wheel_peak_entries",
        "verified",
        "name",
        "error",
        "failures",
        "segments_per_send",
        "segments_per_recv",
        "wait_share",
        "ratio",
        "rounds",
    ] {
        assert!(fields.contains_key(field), "{field}");
    }
    assert!(fields["gbps"].is_null() && fields["bytes"].is_null());
    for field in ["base", "median", "min", "max", "rounds", "left_out"] {
        assert!(fields["ratio"].as_object().unwrap().contains_key(field));
    }
    assert_eq!(fields["ratio"]["left_out"], 1);
}

#[test]
fn nothing_gives_nothing() {
    assert!(summarise("wheel", &[]).is_empty());
    assert!(summarise("wheel", &[vec![]]).is_empty());
}
