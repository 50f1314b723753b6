// SPDX-License-Identifier: Apache-2.0

//! A client and a server on loopback, a transfer between them, and a call: those of `dc-perf`.
//!
//! The one rule: nothing is believed. Every byte is compared at the end that it arrives at, and what arrived has left through the timing
//! wheel, by the count of the environments.

use s2n_quic_dc_perf::{
    endpoint::{loopback, Loopback, WheelClient},
    engine::{self, Failure},
    exchange::{Exchange, Then},
    measure::Sample,
    runtime,
    transport::Ends as Transport,
};
use std::{
    error::Error,
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::runtime::Runtime;

/// Both ends, and the runtime that streams are polled by.
pub struct Ends {
    ends: Transport<WheelClient>,
    peer: Peer,
    runtime: Runtime,
}

impl Ends {
    /// Starts both ends on free ports, lets them shake hands, and serves.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from starting.
    pub fn start() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let runtime = runtime::multi_thread()?;
        let Loopback { ends, servers } = runtime.block_on(loopback(1, 1, DATAGRAM_LEN))?;
        for server in servers {
            runtime.spawn(engine::serve(server));
        }
        let client = ends.clients.first().and_then(|peers| peers.first());
        let peer = Peer {
            client: client.ok_or("no client")?.clone(),
            next_seed: AtomicU64::new(0),
        };
        Ok(Self {
            ends,
            peer,
            runtime,
        })
    }

    /// Runs a future of [`Peer`] to its end.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The way from the client to the server.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The counters of both ends.
    #[must_use]
    pub fn sample(&self) -> Sample {
        self.ends.probe.sample()
    }

    /// Checks that `bytes` have left through the wheels: with no more in a packet than a datagram holds.
    ///
    /// # Panics
    ///
    /// If they took another way.
    pub fn assert_sent(&self, bytes: u64) {
        let sample = self.sample();
        let least = bytes / u64::from(DATAGRAM_LEN);
        assert!(
            sample.packets_sent >= Some(least) && sample.segments_sent >= Some(least),
            "{bytes} bytes were transferred, with {sample:?}"
        );
    }
}

/// One client's way to one server.
pub struct Peer {
    client: WheelClient,
    next_seed: AtomicU64,
}

impl Peer {
    /// Writes `bytes` bytes on a stream of their own, from opening it until the server has confirmed all of them.
    ///
    /// # Errors
    ///
    /// What went wrong, wrong bytes too.
    pub async fn transfer(&self, bytes: u64) -> Result<(), Failure> {
        engine::stream(&self.client, &self.exchange(bytes, 0), |_| ()).await
    }

    /// Sends a request of `request` bytes and reads the response of `response` bytes.
    ///
    /// # Errors
    ///
    /// What went wrong, wrong bytes too.
    pub async fn call(&self, request: u64, response: u64) -> Result<(), Failure> {
        engine::call(&self.client, self.exchange(request, response)).await
    }

    fn exchange(&self, request: u64, response: u64) -> Exchange {
        Exchange {
            seed: self.next_seed.fetch_add(1, Ordering::Relaxed),
            request,
            response,
            then: Then::End,
        }
    }
}

/// Bytes of UDP payload of the largest datagrams.
const DATAGRAM_LEN: u16 = 1450;
