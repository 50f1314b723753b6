// SPDX-License-Identifier: Apache-2.0

//! Runs workloads over any system that implements the traits of [`transport`](crate::transport).
//!
//! A workload is a number of slots. A slot carries a bulk stream, or one call after the other. All slots run at once, and the run is
//! over when every slot is.
//!
//! The one rule: the engine decides what is done and what counts; a system only moves bytes.

mod client;
mod fanout;
mod group;
mod serve;
mod slots;
mod tally;
mod transfer;

pub use client::{call, stream};
pub use serve::{serve, serve_and_count, Served};
pub use transfer::Failure;

use crate::{
    measure::{process::Meter, Sample},
    outcome::{End, Outcome, Point, Series},
    pattern,
    transport::{Client, Ends},
    workload::{Kind, Workload},
};
use group::Group;
use slots::Plan;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{interval, sleep_until, Instant, MissedTickBehavior},
};

/// How often counters are read for the time series.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);

/// What is told while a workload runs, every few milliseconds.
pub type OnPoint<'a> = &'a mut (dyn FnMut(&Point) + Send);

/// Runs `workload` and waits until every slot is done, the time for that is over, or `stop` becomes true.
///
/// `first_seed` is the number of the first exchange's seed; runs with other seeds move other bytes. Dropping the future closes all
/// streams.
pub async fn run<C: Client>(
    ends: &Ends<C>,
    workload: &Workload,
    first_seed: u64,
    mut stop: watch::Receiver<bool>,
    on_point: OnPoint<'_>,
) -> Outcome {
    pattern::prepare();
    let meter = Meter::start();
    let start = Instant::now();
    let until = workload.duration.map(|duration| start + duration);
    let deadline = start + workload.deadline();
    let plan = Arc::new(Plan::new(workload, first_seed, until));
    let mut bulk = Group::default();
    let mut calls = Group::default();
    for (number, peers) in (0..workload.bulk_streams()).zip(ends.clients.iter().cycle()) {
        if let Some(client) = peers.first() {
            bulk.spawn(plan.clone().bulk(client.clone(), number));
        }
    }
    for (number, peers) in (0..plan.call_slots()).zip(ends.clients.iter().cycle()) {
        calls.spawn(plan.clone().calls(peers.clone(), number));
    }

    let mut series = Series::default();
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let end = loop {
        tokio::select! {
            biased;
            // calls beside bulk streams are of interest only as long as those run
            () = bulk.end() => plan.finish(),
            () = calls.end() => {}
            _ = ticks.tick() => {
                let point = point(start, &plan, &ends.probe.sample());
                on_point(&point);
                series.push(point);
                plan.check(bulk.join_ended());
                plan.check(calls.join_ended());
            }
            () = sleep_until(deadline) => break End::TimedOut,
            Ok(_) = stop.wait_for(|stop| *stop) => break End::Interrupted,
        }
        if bulk.running() + calls.running() == 0 {
            break End::Completed;
        }
    };
    let elapsed = start.elapsed();
    for slots in [&mut bulk, &mut calls] {
        // since the last tick
        plan.check(match end {
            End::Completed => slots.join_all().await,
            End::TimedOut | End::Interrupted => slots.join_ended(),
        });
    }
    let left = bulk.running() + calls.running();
    if end == End::TimedOut {
        let reason = format!("not finished in time ({:?})", workload.timeout);
        plan.scores.on_given_up(left, &reason);
    }
    let sample = ends.probe.sample();
    let last = point(start, &plan, &sample);
    on_point(&last);
    series.push(last);
    let usage = meter.stop();
    let tally = plan.scores.take();
    bulk.shutdown().await;
    calls.shutdown().await;
    let latency = match workload.kind {
        Kind::Rpc | Kind::Mixed => tally.call_time,
        Kind::Upload | Kind::Download | Kind::Fanin => tally.stream_time,
    };
    Outcome {
        workload: workload.clone(),
        elapsed,
        streams: tally.streams,
        bulk_bytes: tally.bulk_bytes,
        verified_bytes: tally.bulk_bytes + tally.call_bytes,
        calls: tally.calls,
        latency,
        failures: tally.failures,
        usage,
        sample,
        series: series.into_points(),
        end,
        both_ends: ends.both_ends,
    }
}

fn point(start: Instant, plan: &Plan, sample: &Sample) -> Point {
    let (moved, calls) = plan.scores.progress();
    Point {
        at: start.elapsed(),
        moved,
        calls,
        wheel_entries: sample.wheel_entries,
        pool_bytes: sample.pool_bytes,
    }
}

#[cfg(test)]
mod tests;
