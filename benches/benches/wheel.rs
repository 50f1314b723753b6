// SPDX-License-Identifier: Apache-2.0

//! The timing wheel against the heap of the standard library and a published wheel.
//!
//! Path measured: what a socket worker does with the wheel. All figures are per entry, so those at 1 000 000 entries can be
//! held against the goal of at most 100 ns for each insert and each expiry.
//!
//! * `insert`: into a structure that is empty at first, until it holds all entries
//! * `expire`: out of a full structure, in order, until it is empty; cascades are in the figure
//! * `expire and insert`: the steady state. Each expired entry is inserted again, later, with the number of entries constant.
//!   This is the sum of both, with the cache misses that entries of long ago cost
//!
//! Deadlines are random within a span: 1 s, as timers, and in the steady state of our wheel also 10 ms, as pacing. Left out:
//! growing. Each structure was full once before it is measured; ours gives memory back when it is empty, so its growth is in
//! `insert` all the same. With one entry, 64 structures take turns in `insert` and `expire`, because one call is shorter than the reading
//! of a clock.
//!
//! The published wheel (`hierarchical_hash_wheel_timer`) has the same levels and slots. It knows no deadline of what is next,
//! so it is ticked, and skips the ticks that it says can be skipped; with few entries in a wide span that is what its figures
//! are made of.
//!
//! The one rule: entries leave in order and none is lost. Every expiry compares its deadline with the one before, and the
//! deadlines that come out add up to those that went in.

use criterion::{
    criterion_group, criterion_main,
    measurement::{Measurement as _, WallTime},
    BenchmarkId, Criterion, SamplingMode,
};
use hierarchical_hash_wheel_timer::wheels::{quad_wheel::QuadWheelWithOverflow, Skip};
use s2n_quic_dc::socket::send::wheel::Wheel;
use std::{cmp::Reverse, collections::BinaryHeap, hint::black_box, time::Duration, vec};

/// Keeps values until their deadlines, in ticks. The value of an entry is its deadline.
trait Timers {
    const NAME: &'static str;

    fn starting_at(now: u64) -> Self;

    /// `deadline` is later than the last one that expired.
    fn insert(&mut self, deadline: u64);

    /// Lets time pass until the next entry is due.
    fn expire(&mut self) -> Option<u64>;
}

impl Timers for Wheel<u64> {
    const NAME: &'static str = "wheel";

    fn starting_at(now: u64) -> Self {
        Self::new(now)
    }

    fn insert(&mut self, deadline: u64) {
        self.insert(deadline, deadline);
    }

    fn expire(&mut self) -> Option<u64> {
        // an empty wheel would take the time given as its current tick
        if self.is_empty() {
            return None;
        }
        self.pop(u64::MAX)
    }
}

impl Timers for BinaryHeap<Reverse<u64>> {
    const NAME: &'static str = "heap of std";

    fn starting_at(_now: u64) -> Self {
        Self::new()
    }

    fn insert(&mut self, deadline: u64) {
        self.push(Reverse(deadline));
    }

    fn expire(&mut self) -> Option<u64> {
        self.pop().map(|Reverse(deadline)| deadline)
    }
}

struct Published {
    wheel: QuadWheelWithOverflow<u64>,
    now: u64,
    /// What the last tick gave
    due: vec::IntoIter<u64>,
}

impl Timers for Published {
    const NAME: &'static str = "published wheel";

    fn starting_at(now: u64) -> Self {
        Self {
            wheel: QuadWheelWithOverflow::default(),
            now,
            due: Vec::new().into_iter(),
        }
    }

    fn insert(&mut self, deadline: u64) {
        // its ticks are called milliseconds; what they stand for is the caller's affair
        let delay = Duration::from_millis(deadline - self.now);
        assert!(self.wheel.insert_with_delay(deadline, delay).is_ok());
    }

    fn expire(&mut self) -> Option<u64> {
        loop {
            if let Some(deadline) = self.due.next() {
                return Some(deadline);
            }
            match self.wheel.can_skip() {
                Skip::Empty => return None,
                Skip::Millis(ticks) => {
                    self.wheel.skip(ticks);
                    self.now += u64::from(ticks);
                }
                Skip::None => {}
            }
            self.now += 1;
            self.due = self.wheel.tick().into_iter();
        }
    }
}

/// Structures that are filled with `count` entries each, and emptied again.
struct Bank<T> {
    /// Each with the last deadline that expired
    structures: Vec<(T, u64)>,
    count: usize,
    span: u64,
    random: Random,
}

impl<T: Timers> Bank<T> {
    fn new(structures: usize, count: usize, span: u64) -> Self {
        Self {
            structures: (0..structures)
                .map(|_| (T::starting_at(START), START))
                .collect(),
            count,
            span,
            random: Random::default(),
        }
    }

    /// Empty structures that have been full.
    fn empty_again(count: usize, span: u64) -> Self {
        let mut bank = Self::new(MIN_ROUND.div_ceil(count), count, span);
        assert_eq!(bank.fill(), bank.empty(), "an entry was lost");
        bank
    }

    /// One structure that is full.
    fn full(count: usize, span: u64) -> Self {
        let mut bank = Self::new(1, count, span);
        bank.fill();
        bank
    }

    /// Lets the next entry of the first structure expire and inserts it again.
    fn renew_next(&mut self) {
        let (timers, latest) = &mut self.structures[0];
        let deadline = timers.expire().expect("an entry was lost");
        assert!(*latest <= deadline, "an entry left out of order");
        *latest = deadline;
        timers.insert(black_box(deadline + 1 + self.random.below(self.span)));
    }

    /// Entries in all structures when they are full.
    fn len(&self) -> u64 {
        (self.structures.len() * self.count) as u64
    }

    fn fill(&mut self) -> Moved {
        let mut moved = Moved::default();
        for (timers, latest) in &mut self.structures {
            for _ in 0..self.count {
                let deadline = *latest + 1 + self.random.below(self.span);
                moved.add(deadline);
                timers.insert(black_box(deadline));
            }
        }
        moved
    }

    fn empty(&mut self) -> Moved {
        let mut moved = Moved::default();
        for (timers, latest) in &mut self.structures {
            while let Some(deadline) = timers.expire() {
                assert!(*latest <= deadline, "an entry left out of order");
                *latest = deadline;
                moved.add(deadline);
            }
        }
        moved
    }

    /// As [`Self::fill`], and the time that it took.
    fn fill_timed(&mut self) -> (Moved, Duration) {
        let start = WallTime.start();
        let moved = self.fill();
        (moved, WallTime.end(start))
    }

    /// As [`Self::empty`], and the time that it took.
    fn empty_timed(&mut self) -> (Moved, Duration) {
        let start = WallTime.start();
        let moved = self.empty();
        (moved, WallTime.end(start))
    }

    /// The time for `entries` insertions, measured over whole rounds of filling.
    fn time_inserts(&mut self, entries: u64) -> Duration {
        per_entry(entries, self.len(), || {
            let (inserted, time) = self.fill_timed();
            assert_eq!(inserted, self.empty(), "an entry was lost");
            time
        })
    }

    /// The time for `entries` expiries, measured over whole rounds of emptying.
    fn time_expiries(&mut self, entries: u64) -> Duration {
        per_entry(entries, self.len(), || {
            let inserted = self.fill();
            let (expired, time) = self.empty_timed();
            assert_eq!(inserted, expired, "an entry was lost");
            time
        })
    }
}

/// What went in, or came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moved {
    entries: u64,
    /// Of their deadlines, modulo 2^64
    sum: u64,
}

impl Moved {
    fn add(&mut self, deadline: u64) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(deadline);
    }
}

/// Runs as many rounds of `round_len` entries as it takes for `entries`, and scales the time to exactly those.
fn per_entry(entries: u64, round_len: u64, mut round: impl FnMut() -> Duration) -> Duration {
    let rounds = entries.div_ceil(round_len);
    let time: Duration = (0..rounds).map(|_| round()).sum();
    time.mul_f64(entries as f64 / (rounds * round_len) as f64)
}

fn fill_and_empty<T: Timers>(c: &mut Criterion) {
    for count in COUNTS {
        // made when the first bench runs, since a filter may skip both
        let mut bank = None;
        let make = || Bank::<T>::empty_again(count, SPAN_OF_TIMERS);
        let mut group = c.benchmark_group("wheel/insert");
        group.sampling_mode(SamplingMode::Flat).bench_function(
            BenchmarkId::new(T::NAME, count),
            |b| {
                let bank = bank.get_or_insert_with(make);
                b.iter_custom(|entries| bank.time_inserts(entries));
            },
        );
        group.finish();
        let mut group = c.benchmark_group("wheel/expire");
        group.sampling_mode(SamplingMode::Flat).bench_function(
            BenchmarkId::new(T::NAME, count),
            |b| {
                let bank = bank.get_or_insert_with(make);
                b.iter_custom(|entries| bank.time_expiries(entries));
            },
        );
        group.finish();
    }
}

fn steady_state<T: Timers>(c: &mut Criterion, span_name: &str, span: u64) {
    let mut group = c.benchmark_group(format!("wheel/expire and insert/{span_name}"));
    for count in COUNTS {
        let mut bank = None;
        group.bench_function(BenchmarkId::new(T::NAME, count), |b| {
            let bank = bank.get_or_insert_with(|| Bank::<T>::full(count, span));
            b.iter(|| bank.renew_next());
        });
        if let Some(mut bank) = bank {
            assert_eq!(bank.empty().entries, count as u64, "an entry was lost");
        }
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    fill_and_empty::<Wheel<u64>>(c);
    fill_and_empty::<BinaryHeap<Reverse<u64>>>(c);
    fill_and_empty::<Published>(c);

    steady_state::<Wheel<u64>>(c, "10ms", SPAN_OF_PACING);
    steady_state::<Wheel<u64>>(c, "1s", SPAN_OF_TIMERS);
    steady_state::<BinaryHeap<Reverse<u64>>>(c, "1s", SPAN_OF_TIMERS);
    steady_state::<Published>(c, "1s", SPAN_OF_TIMERS);
}

/// Marsaglia's xorshift64: the cost of the random number is about a nanosecond, the same for all.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

const COUNTS: [usize; 4] = [1, 1_000, 100_000, 1_000_000];

/// Ticks of a microsecond
const SPAN_OF_PACING: u64 = 10_000;
const SPAN_OF_TIMERS: u64 = 1_000_000;

/// Any time but zero, and not aligned to a level
const START: u64 = 1_234_567_890;

/// Fewest entries between two readings of the clock, so that the reading is lost in them
const MIN_ROUND: usize = 64;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500));
    targets = all
}
criterion_main!(benches);
