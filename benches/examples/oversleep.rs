// SPDX-License-Identifier: Apache-2.0

//! How much too late a sleep ends on this machine: what socket workers can do it with.
//!
//! Prints a line per way and length, with the median, the 99th percentile and the worst, in microseconds. Argument: sleeps of
//! each (2000).
//!
//! The one rule: each way sleeps alone, as a worker that has nothing else to do.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use hdrhistogram::Histogram;
use nix::{
    poll::{ppoll, PollFd, PollFlags},
    sys::{eventfd::EventFd, prctl, signal::SigSet, time::TimeSpec},
};
use std::{
    env,
    error::Error,
    os::fd::AsFd as _,
    thread,
    time::{Duration, Instant},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let sleeps = env::args().nth(1).map_or(Ok(2000), |count| count.parse())?;
    println!("way,sleep (us),median (us),p99 (us),worst (us)");
    for micros in [50, 200, 1000] {
        let length = Duration::from_micros(micros);
        report("ppoll, timer slack of 50 us", length, sleeps, || {
            poll(length)
        })?;
        let precise = thread::scope(|scope| {
            let worker = scope.spawn(|| {
                prctl::set_timerslack(1)?;
                report("ppoll, timer slack of 1 ns", length, sleeps, || {
                    poll(length)
                })
            });
            worker.join()
        });
        precise.map_err(|_| "the worker panicked")??;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        runtime.block_on(async {
            let mut late = histogram()?;
            for _ in 0..sleeps {
                let start = Instant::now();
                tokio::time::sleep(length).await;
                late.record(excess(start, length))?;
            }
            print("tokio::time::sleep", length, &late);
            Outcome::Ok(())
        })?;
    }
    Ok(())
}

/// As a worker sleeps: on its event, with a timeout
fn poll(length: Duration) -> Outcome {
    let event = EventFd::new()?;
    let mut fds = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
    ppoll(&mut fds, Some(TimeSpec::from(length)), None::<SigSet>)?;
    Ok(())
}

fn report(way: &str, length: Duration, sleeps: u64, sleep: impl Fn() -> Outcome) -> Outcome {
    let mut late = histogram()?;
    for _ in 0..sleeps {
        let start = Instant::now();
        sleep()?;
        late.record(excess(start, length))?;
    }
    print(way, length, &late);
    Ok(())
}

fn histogram() -> Outcome<Histogram<u64>> {
    // up to a minute, in tenths of a microsecond
    Ok(Histogram::new_with_bounds(1, 600_000_000, 3)?)
}

fn excess(start: Instant, length: Duration) -> u64 {
    let nanos = start.elapsed().saturating_sub(length).as_nanos();
    u64::try_from(nanos / 100).unwrap_or(u64::MAX).max(1)
}

fn print(way: &str, length: Duration, late: &Histogram<u64>) {
    let micros = |value: u64| value as f64 / 10.0;
    println!(
        "{way},{},{:.0},{:.0},{:.0}",
        length.as_micros(),
        micros(late.value_at_quantile(0.5)),
        micros(late.value_at_quantile(0.99)),
        micros(late.max())
    );
}
