// SPDX-License-Identifier: Apache-2.0

//! Whole pages.
//!
//! The one rule: whatever was measured or not, the page is well-formed and says so.
//!
//! To look at the pages, set `DC_PERF_PLOTS` to a folder: they are written there.

use super::*;
use crate::{
    failures::Failures,
    measure::{Sample, Usage},
    outcome::Point,
    size::Size,
    workload::{Fanout, Workload},
};
use hdrhistogram::Histogram;
use std::time::Duration;

fn outcome(name: &str, kind: Kind, series: Vec<Point>, latency: &[u64]) -> Outcome {
    let mut recorded = Histogram::new(3).unwrap();
    for nanos in latency {
        recorded.record(*nanos).unwrap();
    }
    let last = series.last().copied().unwrap_or_default();
    Outcome {
        workload: Workload {
            name: name.into(),
            kind,
            streams: 10,
            bytes: Size::new(100_000_000).unwrap(),
            duration: None,
            calls: 4,
            mix: Vec::new(),
            clients: 1,
            fanout: Fanout::NONE,
            mtu: 1400,
            timeout: Duration::from_secs(60),
        },
        elapsed: last.at,
        verified_bytes: last.moved,
        bulk_bytes: last.moved,
        calls: last.calls,
        streams: 10,
        latency: recorded,
        failures: Failures::default(),
        usage: Usage::default(),
        sample: Sample::default(),
        series,
        end: End::Completed,
        both_ends: true,
    }
}

/// Numbers without pattern, the same each time.
fn noise(number: u64) -> f64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// `count` points, 5 ms apart, of which number `spike` stands out a thousandfold.
fn series(count: u64, spike: Option<u64>) -> Vec<Point> {
    let (mut moved, mut calls) = (0, 0);
    (1..=count)
        .map(|n| {
            let factor = if spike == Some(n) { 1000 } else { 1 };
            moved += (1_000_000.0 + 600_000.0 * noise(n)) as u64 * factor;
            calls += (40.0 * noise(n + 7)) as u64 * factor;
            let ramp = (n as f64 / 80.0).min(1.0);
            Point {
                at: Duration::from_millis(5 * n),
                moved,
                calls,
                wheel_entries: Some((900.0 * ramp * (0.5 + noise(n + 1))) as u64 * factor),
                pool_bytes: Some((9e6 * ramp * (0.8 + 0.3 * noise(n + 2))) as u64 * factor),
            }
        })
        .collect()
}

/// Times with a long tail, in nanoseconds.
fn tail(count: u64) -> Vec<u64> {
    (0..count)
        .map(|n| (80_000.0 / (1.0 - noise(n)).powf(0.6)) as u64)
        .collect()
}

/// The page of `outcome` with a histogram of lateness that has a few peaks.
fn svg_with_pacing(outcome: &Outcome) -> String {
    let at = |bucket: i32| Duration::from_secs_f64(1e-6 * 2_f64.powf(f64::from(bucket) / 2.0));
    let mut buckets = vec![(Duration::ZERO, at(0), 3000)];
    buckets.extend((0..26).map(|n| {
        let count = 90_000.0 * (-0.08 * f64::from(n - 6).powi(2)).exp();
        (at(n), at(n + 1), count as u64)
    }));
    let marks = [("p50", at(7)), ("p99", at(12))];
    let panels = [
        throughput::panel(outcome),
        pacing::histogram(&buckets, marks.into_iter()),
        depth::panel(outcome),
        latency::panel(outcome),
    ];
    let summary = summary(&Record::new("wheel", outcome), outcome);
    page(&title("wheel", outcome), &summary, &panels).unwrap()
}

/// The same where all that was sent left at once.
fn svg_with_one_bucket(outcome: &Outcome) -> String {
    let end = Duration::from_micros(1);
    let panels = [
        throughput::panel(outcome),
        pacing::histogram(
            &[(Duration::ZERO, end, 1)],
            [("p50", end), ("p99", end)].into_iter(),
        ),
        depth::panel(outcome),
        latency::panel(outcome),
    ];
    page("one", "one", &panels).unwrap()
}

fn pages() -> Vec<(&'static str, Outcome)> {
    let upload = outcome(
        "upload 10 x 100 MB",
        Kind::Upload,
        series(900, None),
        &tail(10),
    );
    let mut mixed = outcome(
        "mixed of many",
        Kind::Mixed,
        series(40_000, Some(9000)),
        &tail(100_000),
    );
    mixed.failures.add(3, "reset", None);
    let rpc = outcome("rpc 64", Kind::Rpc, series(300, None), &tail(2000));
    let nothing = outcome("nothing", Kind::Upload, Vec::new(), &[]);
    let one = outcome("upload 1 x 1 B", Kind::Upload, series(1, None), &[5000]);
    let name = "<b>a & \"b\"</b>\u{1b}[31m\u{0} µ漢 ".repeat(9);
    let mut odd = outcome(&name, Kind::Fanin, series(50, None), &[0, u64::MAX >> 1]);
    odd.end = End::TimedOut;
    for point in &mut odd.series {
        point.wheel_entries = None;
    }
    vec![
        ("upload", upload),
        ("mixed", mixed),
        ("rpc", rpc),
        ("nothing", nothing),
        ("one", one),
        ("odd", odd),
    ]
}

#[test]
fn every_page_is_well_formed() {
    for (name, outcome) in pages() {
        let text = match name {
            "nothing" | "odd" => svg("wheel", &outcome).unwrap(),
            "one" => svg_with_one_bucket(&outcome),
            _ => svg_with_pacing(&outcome),
        };
        if let Some(folder) = std::env::var_os("DC_PERF_PLOTS") {
            fs::write(Path::new(&folder).join(format!("{name}.svg")), &text).unwrap();
        }
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        let opened = text.matches('<').count();
        let closed = text.matches("</").count() + text.matches("/>").count();
        let pairs = text.matches("</").count();
        // each tag either closes itself or has an end
        assert_eq!(opened, closed + pairs, "{name}");
        let is_allowed = |c: char| !c.is_control() || c == '\n';
        assert!(text.chars().all(is_allowed), "{name}");
        for wrong in ["NaN", "inf", "<b>"] {
            assert!(!text.contains(wrong), "{name} has {wrong}");
        }
    }
}

#[test]
fn every_colour_has_a_dark_one() {
    for (name, outcome) in pages() {
        let text = svg_with_pacing(&outcome);
        let (_, shapes) = text.split_once("</style>").unwrap();
        for attribute in ["fill=\"#", "stroke=\"#"] {
            for part in shapes.split(attribute).skip(1) {
                let color = format!("#{}", &part[..6]);
                assert!(theme::is_listed(&color), "{name}: {color}");
            }
        }
    }
}

#[test]
fn no_page_is_large() {
    for (name, outcome) in pages() {
        let len = svg("wheel", &outcome).unwrap().len();
        assert!(len < 100_000, "{name} has {len} bytes");
    }
}

#[test]
fn panels_without_data_say_so() {
    let text = svg("tcp-tls", &outcome("nothing", Kind::Rpc, Vec::new(), &[])).unwrap();
    assert_eq!(text.matches("not measured by this system").count(), 3);
    assert_eq!(text.matches("nothing was recorded").count(), 1);
}

#[test]
fn title_and_summary_do_not_depend_on_the_command() {
    let pages = pages();
    let of = |wanted| pages.iter().find(|(name, _)| *name == wanted).unwrap();
    let (_, upload) = of("upload");
    assert_eq!(title("wheel", upload), "upload 10 x 100 MB on wheel");
    let mut record = Record::new("wheel", upload);
    record.gbps = Some(2.0);
    assert!(summary(&record, upload).starts_with("2.00 Gbit/s   ·   10 streams   ·   0 failed"));
    let (_, odd) = of("odd");
    assert!(title("wheel", odd).chars().count() <= MAX_TITLE);
    let odd = summary(&Record::new("wheel", odd), odd);
    assert!(odd.ends_with("timed out"), "{odd}");
    let (_, mixed) = of("mixed");
    let mixed = summary(&Record::new("wheel", mixed), mixed);
    assert!(
        mixed.contains("calls/s") && mixed.contains("3 failed"),
        "{mixed}"
    );
}

#[test]
fn a_page_is_written_where_it_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (_, outcome) = pages().swap_remove(4);
    let path = dir.path().join("page.svg");
    write_svg(&path, "wheel", &outcome).unwrap();
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, svg("wheel", &outcome).unwrap());
    let error = write_svg(&path.join("none"), "wheel", &outcome).unwrap_err();
    assert!(error.to_string().contains("page.svg"), "{error}");
}
