// SPDX-License-Identifier: Apache-2.0

//! Which figures a record has, and which are null.
//!
//! The one rule: every null of the JSON has a test that would see a zero.

use super::*;
use crate::{
    failures::Failures,
    measure::{Datagrams, Usage},
    size::Size,
    workload::Fanout,
};
use hdrhistogram::Histogram;
use s2n_quic_dc::stream::metrics::Waits;

fn workload(kind: Kind) -> Workload {
    Workload {
        name: "ten".into(),
        kind,
        streams: 10,
        bytes: Size::new(100_000_000).unwrap(),
        duration: None,
        calls: 6,
        mix: Vec::new(),
        clients: 3,
        fanout: Fanout::NONE,
        mtu: 1400,
        timeout: Duration::from_secs(60),
    }
}

/// Everything measured, with figures that are exact in binary, so that they compare as they are.
fn outcome(kind: Kind) -> Outcome {
    let mut latency = Histogram::new(3).unwrap();
    for nanos in [1_000, 2_000, 4_000] {
        latency.record(nanos).unwrap();
    }
    let mut waits = Waits::default();
    waits.stream_credit = Duration::from_secs(10);
    waits.path_window = Duration::from_secs(20);
    waits.pending = Duration::from_secs(5);
    waits.application = Duration::from_secs(40);
    let mut failures = Failures::default();
    failures.add(2, "the peer closed", None);
    Outcome {
        workload: workload(kind),
        elapsed: Duration::from_secs(4),
        verified_bytes: 2_000_000_000,
        bulk_bytes: 1_000_000_000,
        calls: 100,
        streams: 8,
        latency,
        failures,
        usage: Usage {
            cpu: Some(Duration::from_secs(6)),
            peak_rss_bytes: Some(50_000_000),
            datagrams: Some(Datagrams {
                delivered: 96,
                dropped: 32,
            }),
        },
        sample: Sample {
            packets_sent: Some(1000),
            packets_retransmitted: Some(250),
            packets_lost: Some(500),
            send_calls: Some(8),
            segments_sent: Some(100),
            recv_calls: Some(16),
            segments_received: Some(100),
            pool_bytes: Some(0),
            pool_allocated_bytes: None,
            pool_peak_bytes: Some(12_000),
            wheel_entries: Some(0),
            wheel_peak_entries: Some(77),
            waits: Some(waits),
            lateness: None,
        },
        series: Vec::new(),
        end: End::Completed,
        both_ends: true,
    }
}

/// Nothing ran, and the system counts nothing.
fn nothing(kind: Kind) -> Outcome {
    Outcome {
        elapsed: Duration::ZERO,
        verified_bytes: 0,
        bulk_bytes: 0,
        calls: 0,
        streams: 0,
        latency: Histogram::new(3).unwrap(),
        failures: Failures::default(),
        usage: Usage::default(),
        sample: Sample::default(),
        ..outcome(kind)
    }
}

#[test]
fn an_upload_has_all_figures_but_those_of_calls() {
    let record = Record::new("wheel", &outcome(Kind::Upload));
    let expected = Record {
        system: "wheel".into(),
        workload: "upload".into(),
        streams: 10,
        bytes: Some(100_000_000),
        mtu: Some(1400),
        seconds: Some(4.0),
        gbps: Some(2.0),
        rps: None,
        p50_us: Some(2.0),
        p99_us: record.p99_us,
        p999_us: record.p999_us,
        failed: Some(2),
        retransmitted_ratio: Some(0.25),
        lost_ratio: Some(0.25),
        cpu_s_per_gb: Some(3.0),
        peak_rss_bytes: Some(50_000_000),
        pool_peak_bytes: Some(12_000),
        wheel_peak_entries: Some(77),
        verified: Some(2_000_000_000),
        name: "ten".into(),
        error: None,
        end: Some(RecordEnd::Completed),
        failures: BTreeMap::from([("the peer closed".into(), 2)]),
        segments_per_send: Some(12.5),
        segments_per_recv: Some(6.25),
        wait_share: Some(WaitShare {
            stream_credit: 0.25,
            path_window: 0.5,
            pending: 0.125,
            pool: 0.0,
            key_update: 0.0,
            application: 1.0,
        }),
    };
    assert_eq!(record, expected);
    // a histogram of three digits is that exact
    for percentile in [record.p99_us, record.p999_us] {
        assert!((percentile.unwrap() - 4.0).abs() < 0.01, "{percentile:?}");
    }
}

#[test]
fn calls_have_a_rate_and_no_size() {
    let record = Record::new("wheel", &outcome(Kind::Rpc));
    assert_eq!((record.rps, record.bytes), (Some(25.0), None));
    // of the bytes of calls
    assert_eq!(record.gbps, Some(4.0));
    let record = Record::new("wheel", &outcome(Kind::Mixed));
    assert_eq!((record.rps, record.bytes), (Some(25.0), Some(100_000_000)));
    assert_eq!(record.gbps, Some(2.0));
    for kind in [Kind::Upload, Kind::Download, Kind::Fanin] {
        assert_eq!(Record::new("wheel", &outcome(kind)).rps, None, "{kind:?}");
    }
}

#[test]
fn lost_is_what_the_kernel_dropped_only_if_both_ends_are_here() {
    let mut outcome = outcome(Kind::Upload);
    outcome.both_ends = false;
    let record = Record::new("wheel", &outcome);
    assert_eq!(record.lost_ratio, Some(0.5));
    assert_eq!(record.cpu_s_per_gb, None);
    // what the kernel counts and what a sender believes are not the same; one does not stand in for the other
    outcome.both_ends = true;
    outcome.usage.datagrams = None;
    assert_eq!(Record::new("wheel", &outcome).lost_ratio, None);
}

#[test]
fn a_system_without_datagrams_has_no_mtu_and_loses_none() {
    let record = Record::new("tcp-tls", &outcome(Kind::Upload));
    assert_eq!((record.mtu, record.lost_ratio), (None, None));
}

#[test]
fn what_was_not_measured_is_null() {
    for kind in [Kind::Upload, Kind::Rpc, Kind::Mixed] {
        let record = Record::new("wheel", &nothing(kind));
        let expected = Record {
            seconds: Some(0.0),
            failed: Some(0),
            verified: Some(0),
            end: Some(RecordEnd::Completed),
            ..Record::empty("wheel", &workload(kind))
        };
        assert_eq!(record, expected);
    }
}

#[test]
fn what_was_measured_as_zero_is_zero() {
    let mut outcome = outcome(Kind::Mixed);
    outcome.bulk_bytes = 0;
    outcome.calls = 0;
    outcome.sample.packets_retransmitted = Some(0);
    outcome.usage.datagrams = Some(Datagrams {
        delivered: 5,
        dropped: 0,
    });
    let record = Record::new("wheel", &outcome);
    assert_eq!((record.gbps, record.rps), (Some(0.0), Some(0.0)));
    assert_eq!(record.retransmitted_ratio, Some(0.0));
    assert_eq!(record.lost_ratio, Some(0.0));
}

#[test]
fn a_cost_needs_bytes_and_time() {
    let mut no_bytes = outcome(Kind::Upload);
    no_bytes.verified_bytes = 0;
    assert_eq!(Record::new("wheel", &no_bytes).cpu_s_per_gb, None);
    let mut no_time = outcome(Kind::Upload);
    no_time.usage.cpu = None;
    assert_eq!(Record::new("wheel", &no_time).cpu_s_per_gb, None);
}

#[test]
fn a_system_that_crashed_has_no_figures() {
    let workload = workload(Kind::Upload);
    let record = Record::failed("wheel", &workload, "signal 11");
    assert_eq!(record.error.as_deref(), Some("signal 11"));
    let json = serde_json::to_value(&record).unwrap();
    for (field, value) in json.as_object().unwrap() {
        let is_given = [
            "system", "workload", "streams", "bytes", "mtu", "name", "error", "failures",
        ]
        .contains(&field.as_str());
        assert_eq!(value.is_null(), !is_given, "{field}");
    }
}

#[test]
fn the_fields_come_in_the_order_of_the_table() {
    let fields = "system workload streams bytes mtu seconds gbps rps p50_us p99_us p999_us failed retransmitted_ratio lost_ratio \
        cpu_s_per_gb peak_rss_bytes pool_peak_bytes wheel_peak_entries verified name error end failures segments_per_send \
        segments_per_recv wait_share";
    let full = Record::new("wheel", &outcome(Kind::Upload));
    // null is written out
    let empty = Record::failed("wheel", &workload(Kind::Rpc), "");
    let [text, empty] = [full, empty].map(|record| serde_json::to_string(&record).unwrap());
    for text in [&text, &empty] {
        let mut from = 0;
        for field in fields.split_ascii_whitespace() {
            let place = text[from..].find(&format!("\"{field}\":"));
            from += place.unwrap_or_else(|| panic!("{field} is missing or out of order"));
        }
    }
    assert!(text.contains(r#""rps":null"#), "{text}");
    assert!(text.contains(r#""end":"completed""#), "{text}");
}

#[test]
fn a_file_reads_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.json");
    let records = [
        Record::new("wheel", &outcome(Kind::Mixed)),
        Record::new("wheel", &nothing(Kind::Rpc)),
        Record::failed("quinn", &workload(Kind::Upload), "hung \"twice\"\n"),
    ];
    write_json(&path, &records).unwrap();
    assert_eq!(read_json(&path).unwrap(), records);
    write_json(&path, &[]).unwrap();
    assert_eq!(read_json(&path).unwrap(), []);
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none").join("results.json");
    let error = write_json(&path, &[]).unwrap_err();
    assert!(matches!(error, RecordError::Io { .. }));
    assert!(error.to_string().contains("results.json"), "{error}");
    let error = read_json(&path).unwrap_err();
    assert!(matches!(error, RecordError::Io { .. }));
    let path = dir.path().join("results.json");
    for text in ["", "{}", "[1]", r#"[{"system":"wheel"}]"#] {
        fs::write(&path, text).unwrap();
        let error = read_json(&path).unwrap_err();
        assert!(matches!(error, RecordError::Json { .. }), "{text:?}");
        assert!(error.to_string().contains("results.json"), "{error}");
    }
}
