// SPDX-License-Identifier: Apache-2.0

//! Item 8: what leaves keeps to a rate, however many streams there are.
//!
//! The rule: what counts is when the socket sent, not when it was meant to.

use super::stage::{Ends, Stage};
use bach::{ext::*, time::Instant};
use s2n_quic_dc_tests::sim::{
    network::Node,
    peer::{Endpoint, Socket},
};
use std::{net::SocketAddr, time::Duration};

/// One send: when, and how many bytes
type Send = (Duration, u64);

const MBIT: u64 = 125_000;

/// The datagrams that take the line 250 µs, from two to what one send carries
fn burst(bytes_per_second: u64) -> u64 {
    (bytes_per_second / 4000 / 1450).clamp(2, 44) * 1450
}

/// Streams that always have something to write, limited to a rate
fn run(streams: usize, bytes_per_second: u64) -> Vec<Send> {
    let delay = Node::Delay(Duration::from_micros(20));
    let stage = Stage {
        to_server: vec![delay],
        to_client: vec![delay],
        client: Socket {
            max_bytes_per_second: Some(bytes_per_second as usize),
            ..Socket::default()
        },
    };
    let bursts = 300.0 * burst(bytes_per_second) as f64;
    // each stream may have a turn before the next one is open, and the first round trips are slower than the rate
    let opening = (streams as u64 * (burst(bytes_per_second) + 150)) as f64 + 1e6;
    let runs_for = Duration::from_secs_f64((bursts + opening) / bytes_per_second as f64);
    stage.play(move |ends| write(ends, streams, runs_for))
}

async fn write(ends: Ends, streams: usize, runs_for: Duration) -> Vec<Send> {
    let until = Instant::now() + runs_for;
    let server = ends.server.addr();
    sink(ends.server.clone()).spawn_named("sink");
    for stream in 0..streams {
        let client = ends.client.clone();
        async move {
            let mut stream = client.connect(server).await.unwrap();
            let bytes = vec![7; 1 << 16];
            while Instant::now() < until {
                stream.write_all_from(&mut &bytes[..]).await.unwrap();
            }
        }
        .spawn_named(format_args!("write/{stream}"));
    }
    bach::time::sleep(runs_for).await;
    let metrics = ends.client.metrics().unwrap();
    assert_eq!(metrics.packets_retransmitted, 0, "{metrics:#?}");
    assert_eq!(metrics.streams_opened, streams as u64, "{metrics:#?}");
    sends(&ends, server)
}

async fn sink(server: Endpoint) {
    while let Ok(mut stream) = server.accept().await {
        async move {
            let mut bytes = Vec::<u8>::new();
            while stream.read_into(&mut bytes).await.unwrap() > 0 {
                bytes.clear();
            }
        }
        .spawn_named("read");
    }
}

/// The client's packets by the time at which they left
fn sends(ends: &Ends, server: SocketAddr) -> Vec<Send> {
    let mut sends: Vec<Send> = Vec::new();
    for record in ends.network.trace() {
        if record.destination != server {
            continue;
        }
        let len = record.len as u64;
        match sends.last_mut() {
            Some((time, bytes)) if *time == record.sent => *bytes += len,
            _ => sends.push((record.sent, len)),
        }
    }
    sends
}

/// The most bytes that left within the time of one burst, as well as a clock of microseconds can tell
fn most_within_a_burst(sends: &[Send], bytes_per_second: u64) -> u64 {
    let window = Duration::from_secs_f64(burst(bytes_per_second) as f64 / bytes_per_second as f64)
        - Duration::from_micros(1);
    let (mut first, mut sum, mut most) = (0, 0, 0);
    for (time, bytes) in sends {
        sum += bytes;
        while *time - sends[first].0 >= window {
            sum -= sends[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

/// How far the rate of any 200 bursts is off, once all streams are open, as a share
fn largest_deviation(sends: &[Send], bytes_per_second: u64) -> f64 {
    let length = 200 * burst(bytes_per_second);
    // that much is said about openings in `run`
    let total: u64 = sends.iter().map(|(_, bytes)| bytes).sum();
    let skipped = total - 280 * burst(bytes_per_second);
    let (mut before, mut start) = (0, 0);
    while before < skipped {
        before += sends[start].1;
        start += 1;
    }
    let mut worst: f64 = 0.0;
    let mut intervals = 0;
    for first in start..sends.len() {
        let mut bytes = 0;
        for (time, len) in &sends[first + 1..] {
            bytes += len;
            if bytes >= length {
                let took = (*time - sends[first].0).as_secs_f64();
                let rate = bytes as f64 / took;
                worst = worst.max((rate / bytes_per_second as f64 - 1.0).abs());
                intervals += 1;
                break;
            }
        }
    }
    assert!(intervals > 50, "{intervals} intervals");
    worst
}

fn check(streams: usize, megabits: u64) {
    let bytes_per_second = megabits * MBIT;
    let sends = run(streams, bytes_per_second);
    let deviation = largest_deviation(&sends, bytes_per_second);
    let most = most_within_a_burst(&sends, bytes_per_second);
    assert!(
        deviation < 0.005,
        "{streams} streams, {megabits} Mbit/s: {deviation}"
    );
    assert!(
        most <= 2 * burst(bytes_per_second),
        "{streams} streams, {megabits} Mbit/s: {most} bytes at once"
    );
}

#[test]
fn one_stream_keeps_to_a_rate() {
    for megabits in [10, 100, 1000, 5000, 10_000, 25_000] {
        check(1, megabits);
    }
}

#[test]
fn a_thousand_streams_keep_to_a_rate() {
    for megabits in [10, 100, 1000, 5000, 10_000, 25_000] {
        check(1000, megabits);
    }
}
