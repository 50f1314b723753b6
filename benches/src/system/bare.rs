// SPDX-License-Identifier: Apache-2.0

//! What a call costs at the least (`ceiling` for calls): the wire format and its crypto between two threads over loopback.
//!
//! The one rule: nothing is done that a transport could leave out, and nothing is left out that every call of this wire format
//! pays for: keys of its own at both ends, a request and a response that are encrypted and compared, and an acknowledgement with
//! a tag each way, without which the peer would send its data again.
//!
//! What is left out against a transport: tasks, timers, retransmissions, windows, and the ranges of acknowledgements. A call of
//! which a datagram is lost has failed.
//!
//! ```text
//! client                                                           server
//! pair ─▶ seal ──── request ───────────────────────────────▶ pair_for_credentials ─▶ open ─▶ compare
//! compare ◀─ open ◀──── response ───────────────────────────────── seal ◀─┘
//! verify ◀──── acknowledgement ──────────────────────────────────── sign ◀─┘
//!   └─▶ sign ──── acknowledgement ─────────────────────────▶ verify ─▶ the keys go
//! ```
//!
//! Each round of a thread is one receive, and at most one send of data and one of acknowledgements unless sizes differ.

mod calls;
mod client;
mod outbox;
mod packet;
mod server;

use crate::{
    batch::Secret,
    buffers,
    settings::{Settings, StartError},
    train,
};
use calls::Tally;
use client::{Client, Made};
use nix::sys::socket::{setsockopt, sockopt};
use outbox::Tamper;
use s2n_quic_dc_perf::{
    exchange::{Exchange, Verdict},
    measure::{process::Meter, Sample},
    outcome::{End, Outcome},
    workload::{Kind, Workload},
};
use server::{Served, Server};
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Makes the calls of `workload` from one thread to another. Blocks until that is done.
///
/// # Errors
///
/// [`StartError`] if the workload is not calls to one peer, if a request or a response does not fit into a datagram, or if a
/// socket or a thread fails.
pub fn run(workload: &Workload, settings: &Settings) -> Result<Outcome, StartError> {
    let fanout = &workload.fanout;
    let is_plain = fanout.peers == 1 && fanout.quorum == 1 && fanout.hedge_after.is_none();
    if workload.kind != Kind::Rpc || !is_plain || !fits(workload) {
        return Err(StartError::DoesNotApply);
    }
    let load = Load {
        // what is not validated has none, and then each slot makes one call
        until: workload.duration.unwrap_or_default(),
        limit: workload.deadline(),
        patience: PATIENCE,
        tamper: None,
        workload: workload.clone(),
    };
    let usage = Meter::start();
    let mut called = call(&load, settings)?;
    let usage = usage.stop();
    let sample = called.sample();
    called.settle();
    let Tally {
        calls,
        bytes,
        latency,
        failures,
        ..
    } = called.made.tally;
    Ok(Outcome {
        workload: workload.clone(),
        elapsed: called.made.elapsed,
        verified_bytes: bytes,
        bulk_bytes: 0,
        calls,
        streams: 0,
        latency,
        failures,
        usage,
        sample,
        series: Vec::new(),
        end: if called.made.is_timed_out {
            End::TimedOut
        } else {
            End::Completed
        },
        both_ends: true,
    })
}

/// How it is configured, for people.
#[must_use]
pub fn settings() -> Vec<(String, String)> {
    let line = |name: &str, value: String| (name.to_owned(), value);
    vec![
        line(
            "threads",
            "one that calls, one that answers; all clients as one".to_owned(),
        ),
        line(
            "crypto",
            "AES-128-GCM and HMAC by aws-lc, keys for each call from one path secret, without a handshake"
                .to_owned(),
        ),
        line(
            "GSO and GRO",
            format!("on; at most {MOST_CALLS} calls at once, no retransmissions"),
        ),
    ]
}

/// Whether every request and response is one datagram.
fn fits(workload: &Workload) -> bool {
    workload.mix.iter().all(|size| {
        let request = packet::len(Exchange::HEADER_LEN, size.request.bytes());
        let response = packet::len(Verdict::LEN, size.response.bytes());
        [request, response]
            .into_iter()
            .all(|len| len.is_some_and(|len| len <= mtu(workload)))
    })
}

/// Bytes of a datagram at most.
fn mtu(workload: &Workload) -> usize {
    usize::from(workload.mtu.min(train::MOST_PAYLOAD))
}

/// What is to be done.
struct Load {
    workload: Workload,
    /// Calls are begun until then, and at least as many as are made at once.
    until: Duration,
    /// Those that are left then have failed.
    limit: Duration,
    /// How long silence lasts until the calls that wait have failed.
    patience: Duration,
    /// What is to go wrong, for tests.
    tamper: Option<Tamper>,
}

/// What became of it.
struct Called {
    made: Made,
    served: Served,
}

impl Called {
    /// Takes back what the client took for a success, and of which the server never got the acknowledgement. The times of such
    /// calls stay: there are none on a loopback that loses nothing.
    fn settle(&mut self) {
        for (key_id, bytes) in &self.served.unconfirmed {
            self.made.tally.revoke(*key_id, *bytes);
        }
    }

    fn sample(&self) -> Sample {
        let (made, served) = (&self.made, &self.served);
        let outboxes = [made.requests, made.acks, served.responses, served.acks];
        let sent = made.requests.datagrams + served.responses.datagrams;
        Sample {
            packets_sent: Some(sent),
            packets_lost: Some(sent.saturating_sub(made.opened + served.opened)),
            send_calls: Some(outboxes.iter().map(|sent| sent.calls).sum()),
            segments_sent: Some(outboxes.iter().map(|sent| sent.datagrams).sum()),
            recv_calls: Some(made.received.calls + served.received.calls),
            segments_received: Some(made.received.datagrams + served.received.datagrams),
            ..Sample::default()
        }
    }
}

/// What a thread received.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    datagrams: u64,
    /// System calls that received something.
    calls: u64,
}

/// Runs both threads to their ends.
fn call(load: &Load, settings: &Settings) -> Result<Called, StartError> {
    let serving = buffers::socket(settings.socket_buffer)?;
    let calling = buffers::socket(settings.socket_buffer)?;
    calling.connect(serving.local_addr()?)?;
    serving.connect(calling.local_addr()?)?;
    for (socket, timeout) in [
        (&serving, PATIENCE),
        // zero would be for ever
        (&calling, PATIENCE.min(load.patience).max(MILLI)),
    ] {
        setsockopt(socket, sockopt::UdpGroSegment, &true).map_err(io::Error::from)?;
        socket.set_read_timeout(Some(timeout))?;
    }
    let room = buffers::granted(&serving)?.recv / 2;
    let most = MOST_CALLS.min(room / mtu(&load.workload)).max(1);

    let secret = Secret::new();
    let is_over = AtomicBool::new(false);
    let client = Client::new(load, secret.peer(), &calling, most);
    let server = Server::new(load, &secret, &serving);
    let (made, served) = thread::scope(|scope| {
        let serving = thread::Builder::new()
            .name("bare-server".into())
            .spawn_scoped(scope, || server.run(&is_over))?;
        let made = client.run(now(), &is_over);
        let served = serving
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the server's thread panicked")));
        // a server that is gone is why a client fails
        let served = served?;
        Ok::<_, io::Error>((made?, served))
    })?;
    Ok(Called { made, served })
}

/// Tells the other thread, however this one ends.
struct OverOnDrop<'a>(&'a AtomicBool);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the outermost edge")]
    Instant::now()
}

/// Far longer than a thread waits for a processor.
const PATIENCE: Duration = Duration::from_millis(200);

const MILLI: Duration = Duration::from_millis(1);

/// Calls at once at most: as many as this tree's stack lets one path secret have, since a server forgets older key ids.
const MOST_CALLS: usize = 512;

/// How far apart the oldest and the newest call are at most: a server knows so many key ids of a secret.
const WINDOW: usize = 896;

#[cfg(test)]
mod tests;
