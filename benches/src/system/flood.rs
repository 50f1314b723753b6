// SPDX-License-Identifier: Apache-2.0

//! The limits that no stream can pass: datagrams from one thread to another over loopback, plain (`raw-udp`) or encrypted
//! (`ceiling`).
//!
//! The one rule: nothing is done that a transport could leave out, and nothing is left out that the others pay for: the pattern
//! is written into the application's buffer at one end, and compared at the other.
//!
//! What is left out against a transport: streams, acknowledgements on the wire, retransmissions, and tasks. All bytes of the
//! workload go as one flow. A datagram that is lost stays lost and is counted.
//!
//! ```text
//! sending thread                                    receiving thread
//! pattern ─▶ buffer ─seal─▶ packets ─GSO─▶ socket ─GRO─▶ packets ─open─▶ buffer ─▶ compare
//!      ▲                                                                              │
//!      └────────────────────── flight: the next packet number ◀───────────────────────┘
//! ```

mod batch;
mod flight;
mod packet;
mod recv;
mod send;

pub use batch::Batch;
pub use packet::Protection;

use crate::{
    buffers,
    settings::{Settings, StartError},
};
use flight::{Flight, PATIENCE};
use hdrhistogram::Histogram;
use packet::{Layout, Opener, Sealer};
use recv::{Received, Receiver};
use s2n_quic_dc_perf::{
    failures::Failures,
    measure::{process::Meter, Sample},
    outcome::{End, Outcome},
    pattern::Pattern,
    workload::{Kind, Workload},
};
use send::{Sender, Sent};
use std::{
    io, thread,
    time::{Duration, Instant},
};

/// Moves all bytes of `workload` from one thread to another. Blocks until that is done.
///
/// # Errors
///
/// [`StartError`] if the workload is not an upload, or if a socket or a thread fails.
pub fn run(
    protection: Protection,
    workload: &Workload,
    settings: &Settings,
) -> Result<Outcome, StartError> {
    if !matches!(workload.kind, Kind::Upload | Kind::Fanin) {
        return Err(StartError::DoesNotApply);
    }
    let layout = Layout::new(protection, settings.mtu)?;
    let load = Load {
        // with a duration, that is what ends it
        bytes: match workload.duration {
            Some(_) => u64::MAX,
            None => workload.bulk_bytes(),
        },
        limit: workload.duration.unwrap_or(workload.timeout),
        patience: PATIENCE,
        layout,
        pattern: Pattern::new(0),
    };

    let usage = Meter::start();
    let Flooded {
        sent,
        received,
        elapsed,
    } = flood(&load, settings, None)?;
    let ended_early = workload.duration.is_none() && sent.bytes < load.bytes;
    let mut failures = Failures::default();
    let wrong = usize::try_from(received.wrong).unwrap_or(usize::MAX);
    failures.add(wrong, "a datagram with wrong content", None);
    if ended_early {
        failures.add(1, "not finished in time", None);
    }
    Ok(Outcome {
        workload: workload.clone(),
        elapsed,
        verified_bytes: received.bytes,
        bulk_bytes: received.bytes,
        calls: 0,
        streams: u64::from(!ended_early),
        latency: Histogram::new(3).map_err(StartError::at("histogram"))?,
        failures,
        usage: usage.stop(),
        sample: sample(&sent, &received),
        series: Vec::new(),
        end: if ended_early {
            End::TimedOut
        } else {
            End::Completed
        },
        both_ends: true,
    })
}

/// How it is configured, for people.
#[must_use]
pub fn settings(protection: Protection, mtu: u16) -> Vec<(String, String)> {
    let batch = Layout::new(protection, mtu).map_or(0, |layout| layout.segments());
    let line = |name: &str, value: String| (name.to_owned(), value);
    vec![
        line(
            "threads",
            "one that sends, one that receives; all streams as one flow".to_owned(),
        ),
        line(
            "crypto",
            match protection {
                Protection::None => "none".to_owned(),
                Protection::Aes128Gcm => {
                    "AES-128-GCM by aws-lc-rs, from and into the application's buffer".to_owned()
                }
            },
        ),
        line(
            "GSO and GRO",
            format!("on, {batch} datagrams a send; at most {FLIGHT} bytes in flight"),
        ),
    ]
}

/// What is to be moved.
struct Load {
    /// Bytes of data.
    bytes: u64,
    /// When to stop sending.
    limit: Duration,
    /// How long the sender waits in silence.
    patience: Duration,
    layout: Layout,
    pattern: Pattern,
}

/// What became of it.
struct Flooded {
    sent: Sent,
    received: Received,
    /// From the start to the last datagram that arrived.
    elapsed: Duration,
}

/// Runs both threads to their ends. `drop_every`: of how many datagrams one is left out by the sender, for tests.
fn flood(load: &Load, settings: &Settings, drop_every: Option<u64>) -> Result<Flooded, StartError> {
    let receiving = buffers::socket(settings.socket_buffer)?;
    let sending = buffers::socket(settings.socket_buffer)?;
    sending.connect(receiving.local_addr()?)?;
    receiving.connect(sending.local_addr()?)?;
    let room = buffers::granted(&receiving)?.recv / 2;

    let (sealer, opener) = match load.layout.protection() {
        Protection::None => (Sealer::Plain, Opener::Plain),
        Protection::Aes128Gcm => packet::keys().map_err(StartError::at("keys"))?,
    };
    let flight = Flight::new(room.min(FLIGHT) / load.layout.datagram(), load.patience);
    let receiver = Receiver::new(load.layout, opener, load.pattern, receiving)?;
    let sender = Sender::new(load, sealer, sending, drop_every);

    #[expect(clippy::disallowed_methods, reason = "the outermost edge")]
    let start = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let receiving = thread::Builder::new()
            .name("flood-receive".into())
            .spawn_scoped(scope, || receiver.run(&flight))?;
        let sent = sender.run(start, &flight);
        flight.finish(sent.as_ref().map_or(0, |sent| sent.packets));
        let received = receiving
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the receiving thread panicked")));
        Ok::<_, io::Error>((sent?, received?))
    })?;
    let end = received.last.unwrap_or(start);
    Ok(Flooded {
        elapsed: end.saturating_duration_since(start),
        sent,
        received,
    })
}

fn sample(sent: &Sent, received: &Received) -> Sample {
    Sample {
        packets_sent: Some(sent.packets),
        packets_lost: Some(
            sent.packets
                .saturating_sub(received.packets + received.wrong),
        ),
        send_calls: Some(sent.calls),
        segments_sent: Some(sent.packets),
        recv_calls: Some(received.calls),
        segments_received: Some(received.packets),
        ..Sample::default()
    }
}

/// Bytes of datagrams in flight at most: where measurements stopped to gain by more. Less if the receive buffer is smaller.
const FLIGHT: usize = 2 << 20;

#[cfg(test)]
mod tests;
