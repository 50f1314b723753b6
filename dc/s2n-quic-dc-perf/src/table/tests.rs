// SPDX-License-Identifier: Apache-2.0

//! What a reader of the table sees.
//!
//! The one rule: a test looks at whole lines where it can, so that a shifted column fails it.

use super::*;
use crate::{
    failures::Failures,
    measure::{Datagrams, Usage},
    size::Size,
    workload::{Fanout, Kind, Workload},
};
use hdrhistogram::Histogram;

fn workload(name: &str) -> Workload {
    Workload {
        name: name.into(),
        kind: Kind::Upload,
        streams: 10,
        bytes: Size::new(100_000_000).unwrap(),
        duration: None,
        calls: 0,
        mix: Vec::new(),
        clients: 1,
        fanout: Fanout::NONE,
        mtu: 1400,
        timeout: Duration::from_secs(60),
    }
}

fn outcome() -> Outcome {
    Outcome {
        workload: workload("upload 10 x 100 MB"),
        elapsed: Duration::from_secs(4),
        verified_bytes: 1_000_000_000,
        bulk_bytes: 1_000_000_000,
        calls: 0,
        streams: 10,
        latency: Histogram::new(3).unwrap(),
        failures: Failures::default(),
        usage: Usage::default(),
        sample: Sample::default(),
        series: Vec::new(),
        end: End::Completed,
        both_ends: true,
    }
}

fn record() -> Record {
    Record {
        gbps: Some(2.0),
        rps: None,
        p50_us: Some(3210.0),
        p99_us: Some(3_980_000.0),
        failed: Some(0),
        retransmitted_ratio: Some(0.00001),
        lost_ratio: Some(0.0),
        cpu_s_per_gb: Some(1.25),
        peak_rss_bytes: Some(51_000_000),
        verified: Some(1_000_000_000),
        ..Record::failed("wheel", &workload("upload 10 x 100 MB"), "")
    }
}

fn finished() -> Record {
    Record {
        error: None,
        ..record()
    }
}

#[test]
fn figures_stand_under_their_headings() {
    let expected = "\
workload                   Gbit/s   calls/s      p50      p99  failed  resent %  lost %  CPU s/GB  peak RSS  verified
upload 10 x 100 MB           2.00         -  3.21 ms   3.98 s       0     <0.01       0      1.25   51.0 MB   1.00 GB
";
    assert_eq!(
        table(&[finished()], Colors::Off),
        expected.to_owned() + LEGEND + "\n"
    );
}

#[test]
fn a_table_fits_a_wide_terminal() {
    assert!(width() <= 120, "{}", width());
    assert_eq!(heading().chars().count(), width());
    assert!(LEGEND.chars().count() <= 120);
    // the widest figures that there are below a petabit per second
    let wide = Record {
        name: "µ".repeat(80),
        gbps: Some(123_456.0),
        rps: Some(9_999_999.0),
        p50_us: Some(999.4),
        p99_us: Some(0.999),
        failed: Some(999_999),
        retransmitted_ratio: Some(1.0),
        lost_ratio: Some(0.000_001),
        cpu_s_per_gb: Some(99.94),
        peak_rss_bytes: Some(999_400_000),
        verified: Some(99_940_000_000_000),
        ..finished()
    };
    assert_eq!(row(&wide, Colors::Off).chars().count(), width());
}

#[test]
fn what_does_not_apply_is_a_dash() {
    let nothing = Record {
        error: None,
        ..Record::failed("wheel", &workload("rpc"), "")
    };
    let line = row(&nothing, Colors::Off);
    assert_eq!(line.matches('-').count(), COLUMNS.len());
    assert_eq!(line.chars().count(), width());
    assert!(!line.contains('0'), "{line}");
}

#[test]
fn a_system_without_a_result_says_why_on_one_line() {
    let record = Record::failed("wheel", &workload("upload"), "signal 11\nin\u{1b}[2J free");
    let line = row(&record, Colors::Off);
    assert_eq!(
        line,
        "upload                    no result: signal 11 in [2J free"
    );
    let record = Record::failed("wheel", &workload("upload"), "x".repeat(500));
    assert_eq!(row(&record, Colors::Off).chars().count(), width());
}

#[test]
fn failed_is_red_and_verified_is_green_and_neither_shifts_a_column() {
    let (red, green) = ("\u{1b}[31m", "\u{1b}[32m");
    let good = row(&finished(), Colors::On);
    assert!(
        good.contains(&format!("{green} 1.00 GB\u{1b}[0m")),
        "{good:?}"
    );
    assert!(!good.contains(red), "{good:?}");
    let bad = Record {
        failed: Some(3),
        ..finished()
    };
    let bad_line = row(&bad, Colors::On);
    assert!(
        bad_line.contains(&format!("{red}     3\u{1b}[0m")),
        "{bad_line:?}"
    );
    assert!(!bad_line.contains(green), "{bad_line:?}");
    let empty = Record {
        verified: Some(0),
        ..finished()
    };
    assert!(!row(&empty, Colors::On).contains(green));
    for record in [finished(), bad, empty, record()] {
        let mut plain = row(&record, Colors::On);
        for code in [red, green, "\u{1b}[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, row(&record, Colors::Off));
    }
}

#[test]
fn colours_need_a_terminal_and_no_refusal() {
    for (is_terminal, no_color, expected) in [
        (true, None, Colors::On),
        (true, Some(""), Colors::On),
        (true, Some("1"), Colors::Off),
        (true, Some("0"), Colors::Off),
        (false, None, Colors::Off),
        (false, Some(""), Colors::Off),
    ] {
        let chosen = Colors::choose(is_terminal, no_color.map(OsStr::new));
        assert_eq!(chosen, expected, "{is_terminal} {no_color:?}");
    }
}

#[test]
fn failures_follow_the_name_of_their_workload() {
    let mut outcome = outcome();
    assert_eq!(failures(&outcome, Colors::Off), "");
    outcome.failures.add(1, "rare", None);
    outcome
        .failures
        .add(4, "usual\u{7}", Some("stream 3".into()));
    assert_eq!(
        failures(&outcome, Colors::Off),
        "upload 10 x 100 MB: 5 failed\n         4 x usual  (first: stream 3)\n         1 x rare\n"
    );
    let red = failures(&outcome, Colors::On);
    assert!(red.starts_with("\u{1b}[31mupload 10 x 100 MB: 5 failed\u{1b}[0m\n"));
}

#[test]
fn an_end_before_the_end_is_said_even_if_nothing_failed() {
    let mut outcome = outcome();
    outcome.end = End::Interrupted;
    assert_eq!(
        failures(&outcome, Colors::Off),
        "upload 10 x 100 MB: interrupted; the figures are of the part that ran\n"
    );
    outcome.end = End::TimedOut;
    outcome.failures.add(1, "not finished", None);
    assert_eq!(
        failures(&outcome, Colors::Off),
        "upload 10 x 100 MB: not finished after 60.0 s; what was open has failed; 1 failed\n         1 x not finished\n"
    );
}

#[test]
fn details_are_a_line_each() {
    let mut outcome = outcome();
    outcome.sample = Sample {
        packets_sent: Some(1000),
        packets_retransmitted: Some(7),
        packets_lost: Some(5),
        pool_bytes: Some(0),
        pool_peak_bytes: Some(12_345_678),
        wheel_entries: Some(2),
        wheel_peak_entries: Some(99),
        ..Sample::default()
    };
    outcome.usage.datagrams = Some(Datagrams {
        delivered: 70,
        dropped: 3,
    });
    let record = Record {
        segments_per_send: Some(43.2),
        segments_per_recv: Some(21.0),
        wait_share: Some(WaitShare {
            stream_credit: 0.5,
            path_window: 0.125,
            pending: 0.0,
            pool: 0.00001,
            key_update: 0.0,
            application: 1.0,
        }),
        ..finished()
    };
    let expected = "\
upload 10 x 100 MB
  datagrams       43.2 per send call, 21.0 per receive call
  packets         1000 sent, 7 of them again, 5 declared lost
  kernel          70 delivered, 3 dropped as a receive buffer was full
  pool            12.3 MB at the peak, 0 B at the end
  wheel           99 transmissions at the peak, 2 at the end
  writers waited  peer's credit 50.0 %, path window 12.5 %, wheel 0 %, pool <0.01 %, application 100 % of all stream time
";
    assert_eq!(details(&record, &outcome), expected);
    let (name, text) = lateness_line(Duration::from_micros(4), Duration::from_micros(128));
    assert_eq!(
        format!("{name}: {text}"),
        "lateness: 50 % left within 4.00 µs of their departure times, 99 % within 128 µs"
    );
}

#[test]
fn details_leave_out_what_is_not_counted() {
    let text = details(&finished(), &outcome());
    assert_eq!(
        text,
        "upload 10 x 100 MB\n  this system counts none of the details\n"
    );
    let record = Record {
        segments_per_recv: Some(2.0),
        ..finished()
    };
    assert_eq!(
        details(&record, &outcome()),
        "upload 10 x 100 MB\n  datagrams       2.00 per receive call\n"
    );
}
