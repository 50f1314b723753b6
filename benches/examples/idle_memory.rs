// SPDX-License-Identifier: Apache-2.0

//! How much memory a client and a server hold during a thousand uploads at once, and while they idle after it.
//!
//! Prints a line as a table of comma-separated values: the time, what the descriptor pools of both have in use and have
//! taken from the system, and what of the whole process is resident. Arguments: streams (1000), bytes of each
//! (1 000 000), seconds of idling (20).
//!
//! The one rule: nothing is done about the memory that a service would not do.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use futures_util::future::join_all;
use s2n_quic_dc_benches::ends::Ends;
use std::{
    env,
    error::Error,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>());
    let streams = arguments.next().transpose()?.unwrap_or(1000);
    let bytes = arguments.next().transpose()?.unwrap_or(1_000_000);
    let seconds = arguments.next().transpose()?.unwrap_or(20);

    let ends = Ends::start()?;
    let start = Instant::now();
    let report = |phase: &str| {
        let sample = ends.sample();
        let mb = |bytes: Option<u64>| bytes.unwrap_or_default() as f64 / 1e6;
        println!(
            "{:.1},{phase},{:.1},{:.1},{:.1}",
            start.elapsed().as_secs_f64(),
            mb(sample.pool_bytes),
            mb(sample.pool_allocated_bytes),
            mb(resident()),
        );
    };
    println!("seconds,phase,pool in use (MB),pool allocated (MB),resident (MB)");
    report("before");

    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(500));
                report("uploading");
            }
        });
        let uploads = (0..streams).map(|_| ends.peer().transfer(bytes));
        let verdicts = ends.run(join_all(uploads));
        is_done.store(true, Ordering::Relaxed);
        verdicts.into_iter().collect::<Result<Vec<_>, _>>()
    })?;
    report("uploaded");
    for _ in 0..seconds {
        thread::sleep(Duration::from_secs(1));
        report("idle");
    }
    Ok(())
}

/// What is resident of this process, in bytes.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
