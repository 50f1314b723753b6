// SPDX-License-Identifier: Apache-2.0

//! The engine over a system that lives in memory and does wrong what a test wants. Time is simulated.

use super::*;
use crate::{
    exchange::Verdict,
    measure::Sample,
    size::Size,
    transport::{Probe, Server, Stream},
    workload::{CallSize, Fanout, Losers},
};
use memory::{Fault, Memory};
use std::{io, time::Duration};

mod memory;

fn workload(kind: Kind, streams: u32, bytes: u64) -> Workload {
    Workload {
        name: "test".into(),
        kind,
        streams,
        bytes: Size::new(bytes).unwrap(),
        duration: None,
        calls: u32::from(kind == Kind::Mixed),
        mix: vec![CallSize {
            weight: 1,
            request: Size::new(1000).unwrap(),
            response: Size::new(2000).unwrap(),
        }],
        clients: 1,
        fanout: Fanout::NONE,
        mtu: 1450,
        timeout: Duration::from_secs(10),
    }
}

async fn run_on(memory: &Memory, workload: &Workload) -> Outcome {
    let (_stop, stopped) = watch::channel(false);
    run(&memory.ends(), workload, 7, stopped, &mut |_| ()).await
}

#[tokio::test(start_paused = true)]
async fn bulk_streams_are_verified_both_ways() {
    for kind in [Kind::Upload, Kind::Download] {
        let outcome = run_on(&Memory::new(&[Fault::None]), &workload(kind, 3, 1_000_003)).await;
        assert_eq!(outcome.end, End::Completed);
        assert_eq!((outcome.streams, outcome.calls), (3, 0));
        assert_eq!(outcome.bulk_bytes, 3 * 1_000_003);
        assert_eq!(outcome.verified_bytes, outcome.bulk_bytes);
        assert_eq!(outcome.failures.streams(), 0, "{}", outcome.failures);
        assert_eq!(outcome.latency.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn fanin_is_uploads_of_each_client() {
    let fanin = Workload {
        clients: 4,
        ..workload(Kind::Fanin, 2, 1000)
    };
    let outcome = run_on(&Memory::new(&[Fault::None]), &fanin).await;
    assert_eq!((outcome.streams, outcome.bulk_bytes), (8, 8000));
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_until_the_time_is_over() {
    let memory = Memory::new(&[Fault::Slow(Duration::from_millis(100))]);
    let rpc = Workload {
        duration: Some(Duration::from_millis(950)),
        ..workload(Kind::Rpc, 2, 1)
    };
    let outcome = run_on(&memory, &rpc).await;
    assert_eq!(outcome.calls, 20);
    assert_eq!(outcome.verified_bytes, 20 * 3000);
    assert_eq!(outcome.elapsed, Duration::from_secs(1));
    assert_eq!(outcome.latency.len(), 20);
    assert!(outcome.latency.max() >= 100_000_000);
}

#[tokio::test(start_paused = true)]
async fn calls_beside_bulk_streams_end_with_them() {
    let memory = Memory::new(&[Fault::Slow(Duration::from_millis(10))]);
    let outcome = run_on(&memory, &workload(Kind::Mixed, 2, 500_000)).await;
    assert_eq!(outcome.streams, 2);
    assert!(outcome.calls > 0);
    assert_eq!(outcome.latency.len(), outcome.calls);
    assert_eq!(outcome.failures.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_wrong_byte_fails_its_stream_at_its_place() {
    // the header is not data, and neither is the verdict
    for (kind, prefix, says) in [
        (
            Kind::Upload,
            crate::exchange::Exchange::HEADER_LEN,
            "server: wrong content",
        ),
        (Kind::Download, Verdict::LEN, "client: wrong content"),
    ] {
        let memory = Memory::new(&[Fault::Flip(prefix + 70_001)]);
        let outcome = run_on(&memory, &workload(kind, 1, 100_000)).await;
        assert_eq!((outcome.streams, outcome.verified_bytes), (0, 0));
        let text = outcome.failures.to_string();
        assert!(text.contains(says), "{text}");
        assert!(text.contains("byte 70001"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_answer_fails_its_call() {
    let memory = Memory::new(&[Fault::Flip(Verdict::LEN + 1500)]);
    let outcome = run_on(&memory, &workload(Kind::Rpc, 1, 1)).await;
    assert_eq!((outcome.calls, outcome.verified_bytes), (0, 0));
    assert!(outcome
        .failures
        .to_string()
        .contains("client: wrong content"));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_missing_or_too_many_are_failures() {
    for (kind, fault, says) in [
        (Kind::Upload, Fault::CutClient(5000), "server: ended early"),
        (
            Kind::Download,
            Fault::CutServer(5000),
            "client: ended early",
        ),
        (Kind::Download, Fault::CutServer(3), "verdict is cut short"),
        (Kind::Download, Fault::Append, "client: too many bytes"),
        (Kind::Rpc, Fault::CutServer(1000), "client: ended early"),
        (Kind::Rpc, Fault::Append, "client: too many bytes"),
    ] {
        let outcome = run_on(&Memory::new(&[fault]), &workload(kind, 1, 10_000)).await;
        assert_eq!(outcome.verified_bytes, 0);
        let text = outcome.failures.to_string();
        assert!(text.contains(says), "{kind:?} {fault:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_opened_is_a_failure() {
    let outcome = run_on(
        &Memory::new(&[Fault::Refuse]),
        &workload(Kind::Upload, 2, 10),
    )
    .await;
    assert_eq!(outcome.failures.streams(), 2);
    assert!(outcome.failures.to_string().contains("connect: "));
}

#[tokio::test(start_paused = true)]
async fn what_is_unfinished_at_the_deadline_has_failed() {
    let memory = Memory::new(&[Fault::Hang]);
    let outcome = run_on(&memory, &workload(Kind::Upload, 3, 10)).await;
    assert_eq!(outcome.end, End::TimedOut);
    assert_eq!(outcome.failures.streams(), 3);
    assert_eq!(outcome.elapsed, Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn an_interruption_ends_the_run_and_fails_nothing() {
    let memory = Memory::new(&[Fault::Hang]);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.send(true)
    });
    let workload = workload(Kind::Upload, 3, 10);
    let outcome = run(&memory.ends(), &workload, 0, stopped, &mut |_| ()).await;
    assert_eq!(outcome.end, End::Interrupted);
    assert_eq!(outcome.failures.streams(), 0);
    assert_eq!(outcome.elapsed, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure() {
    let outcome = run_on(
        &Memory::new(&[Fault::Panic]),
        &workload(Kind::Upload, 2, 10),
    )
    .await;
    assert_eq!(outcome.failures.streams(), 2);
}

fn fanout(peers: u32, quorum: u32, hedge_after: Option<u64>, losers: Losers) -> Workload {
    Workload {
        fanout: Fanout {
            peers,
            quorum,
            hedge_after: hedge_after.map(Duration::from_millis),
            losers,
        },
        ..workload(Kind::Rpc, 1, 1)
    }
}

#[tokio::test(start_paused = true)]
async fn a_quorum_does_not_wait_for_the_slowest() {
    let memory = Memory::new(&[
        Fault::Slow(Duration::from_millis(10)),
        Fault::Slow(Duration::from_secs(5)),
        Fault::Slow(Duration::from_millis(20)),
    ]);
    let finish = run_on(&memory, &fanout(3, 2, None, Losers::Finish)).await;
    assert_eq!((finish.calls, finish.latency.max() / 1_000_000), (1, 20));
    assert_eq!(finish.verified_bytes, 2 * 3000);
    // the slot waits for the straggler before it ends
    assert_eq!(finish.elapsed, Duration::from_secs(5));

    let cancel = run_on(&memory, &fanout(3, 2, None, Losers::Cancel)).await;
    assert_eq!(cancel.elapsed, Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_goes_out_only_after_its_delay() {
    let memory = Memory::new(&[
        Fault::Slow(Duration::from_secs(5)),
        Fault::Slow(Duration::from_millis(1)),
    ]);
    let outcome = run_on(&memory, &fanout(2, 1, Some(50), Losers::Cancel)).await;
    assert_eq!(outcome.elapsed, Duration::from_millis(51));
    assert_eq!(memory.opened(), [1, 1]);

    let memory = Memory::new(&[Fault::Slow(Duration::from_millis(10)), Fault::None]);
    let outcome = run_on(&memory, &fanout(2, 1, Some(50), Losers::Cancel)).await;
    assert_eq!(outcome.calls, 1);
    assert_eq!(memory.opened(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_fails_is_replaced_at_once_and_too_many_fail_the_call() {
    let memory = Memory::new(&[Fault::Refuse, Fault::None]);
    let outcome = run_on(&memory, &fanout(2, 1, Some(5000), Losers::Cancel)).await;
    assert_eq!((outcome.calls, outcome.failures.streams()), (1, 0));
    assert!(outcome.elapsed < Duration::from_secs(1));

    let memory = Memory::new(&[Fault::Refuse, Fault::Refuse, Fault::None]);
    let outcome = run_on(&memory, &fanout(3, 2, None, Losers::Finish)).await;
    assert_eq!(outcome.calls, 0);
    assert!(outcome.failures.to_string().contains("no quorum"));
}

#[tokio::test(start_paused = true)]
async fn points_are_taken_while_it_runs() {
    let memory = Memory::new(&[Fault::Slow(Duration::from_millis(200))]);
    let (_stop, stopped) = watch::channel(false);
    let mut seen = 0;
    let workload = workload(Kind::Upload, 1, 10_000);
    let outcome = run(&memory.ends(), &workload, 0, stopped, &mut |_| seen += 1).await;
    assert!(seen >= 20, "{seen}");
    assert_eq!(outcome.series.len(), seen);
    assert!(outcome.series.is_sorted_by_key(|point| point.at));
    assert_eq!(outcome.series.last().unwrap().moved, 10_000);
}
