// SPDX-License-Identifier: Apache-2.0

//! What the path that all streams to one peer share costs for each batch: its window, and its departure times.
//!
//! Path measured: the calls that `stream::path::Path` makes on `Window` and `Departures` for one GSO batch, under its lock:
//! room is taken or waited for when the batch is written, and handed on when it is acknowledged. Left out: the lock itself,
//! the congestion controller, and waking; the tokens here are the flows' numbers, not wakers.
//!
//! * `take and release`: there is room, nobody waits
//! * `release, grant, take, wait`: bulk. The window is full and every flow waits for its turn; with one flow, for its own
//!   bytes
//! * `a new flow passes`: one short stream after the other comes and goes while all others wait
//!
//! The one rule: nothing is lost or made up. Turns go round in order, a new flow goes ahead, departures never decrease, and
//! after the bench the window is empty again.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use s2n_quic_core::{
    recovery::{
        bandwidth::Departures,
        window::{FlowId, Window},
    },
    time::{Clock as _, StdClock, Timestamp},
};
use std::{cell::Cell, hint::black_box, time::Duration};

fn room(c: &mut Criterion) {
    let mut group = c.benchmark_group("path/window/take and release");
    for count in FLOWS {
        let mut window = Window::<usize>::default();
        let flows: Vec<FlowId> = (0..count).map(|_| window.insert()).collect();
        let mut turn = flows.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let flow = turn.next().expect("there is at least one flow");
                let taken = window.take(black_box(*flow), BATCH, BATCH, LIMIT);
                assert_eq!(taken, BATCH);
                window.release(taken);
            });
        });
        assert_eq!(window.outstanding(), 0);
    }
    group.finish();
}

/// A window that is full, with all flows waiting in the order of their numbers.
struct Full {
    window: Window<usize>,
    flows: Vec<FlowId>,
    now: Timestamp,
}

impl Full {
    fn new(count: usize) -> Self {
        let mut window = Window::default();
        let flows: Vec<FlowId> = (0..count).map(|_| window.insert()).collect();
        window.take_unchecked(LIMIT);
        for (number, flow) in flows.iter().enumerate() {
            window.wait(*flow, BATCH, BATCH, number);
        }
        assert_eq!(window.outstanding(), LIMIT);
        let now = StdClock::default().get_time();
        Self { window, flows, now }
    }

    /// A batch is acknowledged: returns whose turn it is.
    fn acknowledge(&mut self) -> usize {
        self.window.release(BATCH);
        let granted = self.window.grant(BATCH, LIMIT, self.now);
        // as the path does: until there is no more
        assert_eq!(self.window.grant(BATCH, LIMIT, self.now), None);
        granted.expect("a batch is free and somebody waits")
    }

    /// The flow whose turn it is takes it, and waits again.
    fn serve(&mut self, number: usize) {
        let flow = self.flows[number];
        assert_eq!(self.window.take(flow, BATCH, BATCH, LIMIT), BATCH);
        self.window.wait(flow, BATCH, BATCH, number);
    }

    /// Takes back everything there is; the window must then be empty.
    fn close(mut self) {
        for flow in &self.flows {
            self.window.cancel(*flow);
        }
        assert_eq!(self.window.waiters(), 0);
        self.window.release(LIMIT);
        assert_eq!(self.window.outstanding(), 0);
    }
}

fn turns(c: &mut Criterion) {
    let mut group = c.benchmark_group("path/window/release, grant, take, wait");
    for count in FLOWS {
        let mut full = Full::new(count);
        let mut expected = 0;
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let number = full.acknowledge();
                assert_eq!(number, expected, "out of turn");
                expected = (expected + 1) % count;

                full.serve(number);
            });
        });
        full.close();
    }
    group.finish();
}

fn newcomer(c: &mut Criterion) {
    let mut group = c.benchmark_group("path/window/a new flow passes");
    for count in FLOWS {
        let mut full = Full::new(count);
        // nobody is fresh any more once all had their first turn
        for number in 0..count {
            assert_eq!(full.acknowledge(), number);
            full.serve(number);
        }
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let flow = full.window.insert();
                assert_eq!(full.window.take(flow, BATCH, BATCH, LIMIT), 0);
                full.window.wait(flow, BATCH, BATCH, NEWCOMER);
                // now and then it is the turn of one who waits for long
                loop {
                    match full.acknowledge() {
                        NEWCOMER => break,
                        number => full.serve(number),
                    }
                }
                assert_eq!(full.window.take(flow, BATCH, BATCH, LIMIT), BATCH);
                full.window.remove(flow);
            });
        });
        full.close();
    }
    group.finish();
}

fn departures(c: &mut Criterion) {
    let mut group = c.benchmark_group("path/departures");
    group.throughput(Throughput::Elements(1));
    let start = StdClock::default().get_time();
    // how far the clock moves from one batch to the next, as a part of what the line takes for it
    for (name, rate, step) in [
        ("before the first sample", None, LINE_TIME),
        ("behind schedule", Some(RATE), 2 * LINE_TIME),
        ("ahead of schedule", Some(RATE), LINE_TIME / 2),
    ] {
        group.bench_function(name, |b| {
            let mut schedule = Departures::new(DATAGRAM, BATCH as u32);
            let mut now = start;
            let mut last = start;
            let calls = Cell::new(0);
            b.iter(|| {
                calls.set(calls.get() + 1);
                now += step;
                let departure = schedule.schedule(black_box(BATCH as u32), rate, now);
                assert!(departure >= last && departure >= now);
                last = departure;
            });
            let calls = calls.get();
            if step >= LINE_TIME || rate.is_none() {
                assert_eq!(last, now, "the line was free");
            } else if calls > BURSTS {
                let waits = last.saturating_duration_since(now);
                assert!(waits >= (LINE_TIME - step) * (calls - BURSTS), "too early");
            }
        });
    }
    group.finish();
}

const FLOWS: [usize; 3] = [1, 100, 10_000];

/// Bytes of a datagram
const DATAGRAM: u32 = 1450;

/// Bytes of a GSO batch: 44 of them
const BATCH: u64 = 44 * DATAGRAM as u64;

/// Room for 32 batches: about the most that a path may have outstanding
const LIMIT: u64 = 32 * BATCH;

/// Bytes per second; 25 Gbit/s
const RATE: u64 = 25_000_000_000 / 8;

/// What a batch takes at that rate
const LINE_TIME: Duration = Duration::from_nanos(BATCH * 1_000_000_000 / RATE);

/// Batches that may leave ahead of the rate: the burst after idling, the first one, and one for each rounding to the microsecond
const BURSTS: u32 = 4;

/// The token of a flow that is not among the others
const NEWCOMER: usize = usize::MAX;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = room, turns, newcomer, departures
}
criterion_main!(benches);
