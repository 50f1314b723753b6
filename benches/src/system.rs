// SPDX-License-Identifier: Apache-2.0

//! The systems that are put beside each other.
//!
//! The one rule: one file each, which shows how it is configured; whatever can run the engine's workloads runs them by the
//! engine.

mod psk;

pub mod bare;
pub mod flood;
pub mod inbox;
pub mod published;
pub mod quinn;
pub mod s2n_quic;
pub mod tcp_tls;
pub mod wheel;

use crate::settings::{Settings, StartError};
use clap::ValueEnum;
use s2n_quic_dc_perf::{
    engine,
    outcome::Outcome,
    transport::{Client, Ends, Server},
    workload::{Kind, Workload},
};
use std::fmt;
use tokio::sync::watch;

/// A system that moves bytes from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum System {
    /// The stack of this tree
    Wheel,
    /// The published s2n-quic-dc over UDP
    Published,
    /// quinn
    Quinn,
    /// s2n-quic
    #[value(name = "s2n-quic")]
    S2nQuic,
    /// TLS 1.3 over TCP, by rustls
    TcpTls,
    /// Plain datagrams on two threads: what the kernel can do. Uploads only
    RawUdp,
    /// The same with AES-128-GCM: what no encrypted stream can pass; and bare calls: what a call costs at the least. Uploads and
    /// calls to one peer only
    Ceiling,
}

impl System {
    /// What it is called on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wheel => "wheel",
            Self::Published => "published",
            Self::Quinn => "quinn",
            Self::S2nQuic => "s2n-quic",
            Self::TcpTls => "tcp-tls",
            Self::RawUdp => "raw-udp",
            Self::Ceiling => "ceiling",
        }
    }

    /// How it is configured for `workload`, for people: names and values.
    #[must_use]
    pub fn settings(self, workload: &Workload) -> Vec<(String, String)> {
        let settings = &Settings::new(workload);
        match self {
            Self::Wheel => wheel::settings(settings.mtu),
            Self::Published => published::settings(settings.mtu),
            Self::Quinn => quinn::settings(),
            Self::S2nQuic => s2n_quic::settings(),
            Self::TcpTls => tcp_tls::settings(),
            Self::RawUdp => flood::settings(flood::Protection::None, settings.mtu),
            Self::Ceiling if workload.kind == Kind::Rpc => bare::settings(),
            Self::Ceiling => flood::settings(flood::Protection::Aes128Gcm, settings.mtu),
        }
    }

    /// The datagrams that it sends when `mtu` is asked for, in bytes of UDP payload; nothing if it sends none.
    #[must_use]
    pub fn effective_mtu(self, mtu: u16) -> Option<u16> {
        match self {
            Self::Wheel | Self::Published => Some(psk::effective_mtu(mtu)),
            Self::TcpTls => None,
            Self::Quinn | Self::S2nQuic | Self::RawUdp | Self::Ceiling => Some(mtu),
        }
    }

    /// Starts it and runs `workload` to its end. What it started is left to the end of the process.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it cannot run the workload or did not start. Streams that fail are part of the outcome.
    pub async fn run(self, workload: &Workload) -> Result<Outcome, StartError> {
        let settings = &Settings::new(workload);
        match self {
            Self::Wheel => Ok(drive(wheel::start(settings).await?, workload).await),
            Self::Published => Ok(drive(published::start(settings).await?, workload).await),
            Self::Quinn => Ok(drive(quinn::start(settings).await?, workload).await),
            Self::S2nQuic => Ok(drive(s2n_quic::start(settings).await?, workload).await),
            Self::TcpTls => Ok(drive(tcp_tls::start(settings).await?, workload).await),
            Self::RawUdp => flood::run(flood::Protection::None, workload, settings),
            Self::Ceiling if workload.kind == Kind::Rpc => bare::run(workload, settings),
            Self::Ceiling => flood::run(flood::Protection::Aes128Gcm, workload, settings),
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

async fn drive<C: Client, S: Server>(
    (ends, servers): (Ends<C>, Vec<S>),
    workload: &Workload,
) -> Outcome {
    for server in servers {
        tokio::spawn(engine::serve(server));
    }
    // nothing stops a run but the end of its process
    let (_stop, stopped) = watch::channel(false);
    let outcome = engine::run(&ends, workload, 0, stopped, &mut |_| ()).await;
    // some ends own runtimes, which must not be dropped by a task; the process is about to end
    std::mem::forget(ends);
    outcome
}

#[cfg(test)]
pub(crate) mod tests;
