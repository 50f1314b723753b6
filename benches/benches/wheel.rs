// SPDX-License-Identifier: Apache-2.0

//! The timing wheel: one `pop` and one `insert`, with a constant number of entries in the wheel.
//!
//! Path measured: the steady state of a socket worker. Each iteration releases the next entry and inserts it again, at a
//! random time within the span (10 ms: what pacing does; 1 s: timers). The time of the bitmap scan and of each entry's cascades
//! is in the figure, and so is the cache miss on an entry that was inserted long ago. Not measured: growing the slab, which is
//! full before the measurement starts.
//!
//! The bench stops if an entry leaves out of order or is lost: deadlines never decrease, and every entry comes out in the end.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use s2n_quic_dc::socket::send::wheel::Wheel;
use std::hint::black_box;

const COUNTS: [usize; 4] = [1, 1_000, 100_000, 1_000_000];
const SPANS: [(&str, u64); 2] = [("10ms", 10_000), ("1s", 1_000_000)];

/// Any time but zero, and not aligned to a level
const START: u64 = 1_234_567_890;

/// Marsaglia's xorshift64: the cost of the random number is a nanosecond, so the figure is the wheel's
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn pop_and_insert(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel/pop_and_insert");
    // one iteration is one `pop` and one `insert`
    group.throughput(Throughput::Elements(1));

    for (name, span) in SPANS {
        for count in COUNTS {
            group.bench_function(BenchmarkId::new(name, count), |b| {
                let mut random = Random(0x9e37_79b9_7f4a_7c15);
                let mut wheel = Wheel::new(START);
                for _ in 0..count {
                    let deadline = START + random.below(span);
                    wheel.insert(deadline, deadline);
                }

                let mut latest = START;
                b.iter(|| {
                    // the value is the deadline, so it tells the time without another call to the wheel
                    let deadline = wheel.pop(u64::MAX).expect("an entry was lost");
                    assert!(latest <= deadline, "an entry left out of order");
                    latest = deadline;
                    let next = deadline + 1 + random.below(span);
                    wheel.insert(black_box(next), next);
                });

                assert_eq!(wheel.len(), count);
                let mut left = 0;
                while let Some(deadline) = wheel.pop(u64::MAX) {
                    assert!(latest <= deadline, "an entry left out of order");
                    latest = deadline;
                    left += 1;
                }
                assert_eq!(left, count, "an entry was lost");
            });
        }
    }

    group.finish();
}

criterion_group!(benches, pop_and_insert);
criterion_main!(benches);
