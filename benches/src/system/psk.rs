// SPDX-License-Identifier: Apache-2.0

//! The handshake of the published crate: a secret for each pair of a client and a server.
//!
//! The one rule: no stream is opened before every pair has found the datagram size that was
//! asked for, because a stream keeps the size it was opened with.

use crate::{
    settings::{Settings, StartError},
    tls::{Tls, NAME},
};
use published_dc::{
    event,
    path::secret::{stateless_reset::Signer, Map},
    psk::{client, server},
};
use s2n_quic::provider::event::{
    events::MtuUpdated, ConnectionInfo, ConnectionMeta, Subscriber as QuicSubscriber,
};
use s2n_quic_core::time::StdClock;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        atomic::{AtomicU16, AtomicU32, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// The handshaking ends of all clients and servers.
pub(super) struct Handshakes {
    /// The datagrams that the pairs are to find, in bytes of UDP payload.
    payload: u16,
    found: Found,
}

impl Handshakes {
    /// Prepares handshakes for the datagrams of `settings`, or the largest that the handshake can find.
    ///
    /// # Errors
    ///
    /// [`StartError::Mtu`] if they are smaller than QUIC allows.
    pub(super) fn new(settings: &Settings) -> Result<Self, StartError> {
        if settings.mtu < LEAST_MTU {
            return Err(StartError::Mtu {
                mtu: settings.mtu,
                least: LEAST_MTU,
                most: u16::MAX,
            });
        }
        let payload = effective_mtu(settings.mtu);
        Ok(Self {
            payload,
            found: Found::new(payload),
        })
    }

    /// Starts the handshaking end of a server whose secrets report to `events`.
    ///
    /// # Errors
    ///
    /// Whatever keeps the socket or the thread from being made.
    pub(super) async fn server<S: event::Subscriber>(
        &self,
        events: S,
    ) -> Result<server::Provider, StartError> {
        server::Provider::builder()
            .with_mtu(self.payload + HEADERS)
            // it would follow the MTU otherwise, and be ten datagrams
            .with_initial_data_window(WINDOW)
            .with_data_window(WINDOW)
            .start(loopback(), Tls, self.found.clone(), map(events)?)
            .await
            .map_err(StartError::at("handshake server"))
    }

    /// Starts the handshaking end of a client.
    ///
    /// # Errors
    ///
    /// As [`Self::server`].
    pub(super) fn client<S: event::Subscriber>(
        &self,
        events: S,
    ) -> Result<client::Provider, StartError> {
        client::Provider::builder()
            .with_mtu(self.payload + HEADERS)
            .with_data_window(WINDOW)
            .start(
                loopback(),
                map(events)?,
                Tls,
                self.found.clone(),
                NAME.into(),
            )
            .map_err(StartError::at("handshake client"))
    }

    /// Waits until both ends of `pairs` connections know that their datagrams pass.
    ///
    /// # Errors
    ///
    /// [`StartError::MtuDiscovery`] if that takes longer than a few seconds.
    pub(super) async fn settle(&self, pairs: u32) -> Result<(), StartError> {
        if self.payload + HEADERS <= BASE_MTU {
            return Ok(());
        }
        let all_found = async {
            while self.found.ends.load(Ordering::Relaxed) < pairs.saturating_mul(2) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DISCOVERY, all_found)
            .await
            .map_err(|_| StartError::MtuDiscovery {
                found: self.found.largest.load(Ordering::Relaxed),
                wanted: self.payload,
            })
    }
}

/// The datagrams that a pair uses when `mtu` is asked for, in bytes of UDP payload: the handshake looks for no larger ones.
#[must_use]
pub(super) fn effective_mtu(mtu: u16) -> u16 {
    mtu.min(MOST_MTU - HEADERS)
}

/// What differs from the defaults of the handshake, for people.
pub(super) fn settings(mtu: u16) -> Vec<(String, String)> {
    let windows = (
        "windows".to_owned(),
        "32 MiB for streams in both directions, from the start".to_owned(),
    );
    [windows].into_iter().chain(mtu_setting(mtu)).collect()
}

/// The datagrams, if they are smaller than those that were asked for.
pub(super) fn mtu_setting(mtu: u16) -> Option<(String, String)> {
    let effective = effective_mtu(mtu);
    (effective < mtu).then(|| {
        (
            "MTU".to_owned(),
            format!("{effective}: the most that the handshake finds"),
        )
    })
}

/// Counts the ends of connections that found their datagram size.
#[derive(Clone)]
struct Found {
    wanted: u16,
    largest: Arc<AtomicU16>,
    ends: Arc<AtomicU32>,
}

impl Found {
    fn new(wanted: u16) -> Self {
        Self {
            wanted,
            largest: Arc::default(),
            ends: Arc::default(),
        }
    }
}

impl QuicSubscriber for Found {
    /// Whether this end has been counted.
    type ConnectionContext = bool;

    fn create_connection_context(&mut self, _: &ConnectionMeta, _: &ConnectionInfo) -> bool {
        false
    }

    fn on_mtu_updated(&mut self, counted: &mut bool, _: &ConnectionMeta, event: &MtuUpdated) {
        self.largest.fetch_max(event.mtu, Ordering::Relaxed);
        if event.mtu >= self.wanted && !*counted {
            *counted = true;
            self.ends.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A map of its own for each endpoint, with a signer of its own: as in processes of their own.
fn map<S: event::Subscriber>(events: S) -> Result<Map, StartError> {
    Map::builder()
        .with_signer(Signer::random())
        .with_capacity(SECRETS)
        .with_clock(StdClock::default())
        .with_subscriber(events)
        .build()
        .map_err(|error| StartError::Step {
            step: "path secret map",
            source: error.into(),
        })
}

/// A free port.
pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// The least that QUIC allows, in bytes of UDP payload (RFC 9000, section 14).
const LEAST_MTU: u16 = 1200;

/// The most that the handshake finds, in bytes with headers (`psk::io::DEFAULT_MTU`).
const MOST_MTU: u16 = 8940;

/// What the handshake starts with, in bytes with headers (`psk::io::DEFAULT_BASE_MTU`). It looks for more only if that is set.
const BASE_MTU: u16 = 1450;

/// Bytes of the headers of IPv4 and UDP.
const HEADERS: u16 = 20 + 8;

/// Bytes that a stream may be ahead of its reader: the handshake's own default for the data window.
const WINDOW: u64 = 1 << 25;

/// Secrets that a map can hold: more than there are pairs.
const SECRETS: usize = 1024;

/// How long looking for the datagram size may take. On loopback it takes milliseconds.
const DISCOVERY: Duration = Duration::from_secs(5);
