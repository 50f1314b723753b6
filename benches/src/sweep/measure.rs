// SPDX-License-Identifier: Apache-2.0

//! One measurement: a new client and a new server in this process, and uploads from one to the other.
//!
//! The one rule: every byte is compared at the server before it counts. The limit is the client's, which is what sends.
//!
//! Time runs from opening the first stream until the client has the last verdict, so that one way back is in it: with a delay, a
//! millisecond of it.

use super::{relay::Relay, table::Setup};
use s2n_quic_dc_perf::{
    endpoint::{
        mtu, ClientConfig, ClientEnd, Identity, IdentityError, ServerConfig, ServerEnd, StartError,
        Trust,
    },
    engine,
    failures::Failures,
    runtime,
    size::{Size, SizeError},
    transport::Ends,
    workload::{limits::WorkloadError, settings::Settings, Kind},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    thread::available_parallelism,
};
use tokio::sync::watch;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// There are more streams than bytes.
    #[error("bytes of each stream: {0}")]
    Size(#[from] SizeError),
    /// The workload is out of range.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// There is no certificate to show.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An end did not start, or did not reach the other.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Threads or the relay's sockets could not be had.
    #[error(transparent)]
    System(#[from] io::Error),
    /// Not all bytes arrived. What failed, the most frequent first.
    #[error("{0}")]
    Failed(Failures),
}

/// A figure, and what may have spoiled it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Gbit/s of verified data, over all streams.
    pub gbps: f64,
    /// Trains that the relay lost. Should be 0.
    pub lost: u64,
}

/// Uploads equal parts of `bytes` on each of the streams of `setup`. Blocks until all of it was verified.
///
/// # Errors
///
/// [`MeasureError`] says what did not work.
pub fn measure(setup: &Setup, bytes: u64) -> Result<Measured, MeasureError> {
    let settings = Settings {
        streams: Some(setup.streams.into()),
        bytes: Some(Size::new(bytes / u64::from(setup.streams.max(1)))?),
        ..Settings::new(Kind::Upload)
    };
    let workload = settings.build()?;
    let runtime = runtime::multi_thread()?;
    runtime.block_on(async {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let identity = Identity::self_signed(&[listen.ip()])?;
        let config = ServerConfig {
            listen,
            mtu: mtu::DEFAULT,
            sockets: None,
        };
        let server = ServerEnd::start(&config, &identity).await?;
        let sockets = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let config = ClientConfig {
            server: server.address(),
            mtu: mtu::DEFAULT,
            trust: Trust::Pinned(vec![identity.fingerprint()]),
            sockets: Some(sockets),
            max_in_flight_transmissions: Some(setup.limit),
        };
        let mut client = ClientEnd::start(&config)?;
        let mut way = client.reach(server.address()).await?;
        let mut relay = None;
        if !setup.delay.is_zero() {
            let relay = relay.insert(Relay::start(way.streams(), setup.delay, sockets.get())?);
            way = way.through(relay.address());
        }

        let serving = tokio::spawn(engine::serve(server.acceptor()));
        let ends = Ends {
            clients: vec![vec![way]],
            probe: Box::new(server.probe()),
            both_ends: true,
        };
        let (_never, stop) = watch::channel(false);
        let outcome = engine::run(&ends, &workload, 0, stop, &mut |_| ()).await;
        serving.abort();
        if outcome.failures.streams() > 0 {
            return Err(MeasureError::Failed(outcome.failures));
        }
        Ok(Measured {
            gbps: outcome.verified_bytes as f64 * 8.0 / 1e9 / outcome.elapsed.as_secs_f64(),
            lost: relay.map_or(0, |relay| relay.lost()),
        })
    })
}
