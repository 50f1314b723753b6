// SPDX-License-Identifier: Apache-2.0

//! From options to something that can be run.
//!
//! The one rule: what an option would silently not do is refused here, with what to do instead.

use super::{
    output::Outputs, ClientArgs, FanoutArgs, RunArgs, ServerArgs, TrustArgs, WorkloadArgs,
};
use crate::{
    config::{self, ConfigError},
    endpoint::Fingerprint,
    workload::{
        default_set,
        limits::{WorkloadError, PEERS},
        settings::Settings,
        Kind, Workload,
    },
};
use clap::error::ErrorKind;
use std::{net::SocketAddr, path::PathBuf};

/// Servers and clients in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlan {
    /// What to run, in order; at least one.
    pub workloads: Vec<Workload>,
    /// Where the results go.
    pub outputs: Outputs,
}

/// A server for clients elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// The address to serve. Port 0: one that is free.
    pub listen: SocketAddr,
    /// Bytes of UDP payload of the largest datagrams.
    pub mtu: u16,
    /// Who the server is.
    pub identity: Identity,
    /// Nothing is printed but errors and what clients need.
    pub quiet: bool,
}

/// Who a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Whoever has the new certificate, whose fingerprint the server prints.
    SelfSigned,
    /// Whom the certificate names. Both files are PEM, and not read yet.
    Files {
        /// The certificate chain.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

/// Clients of servers elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPlan {
    /// The servers; at least as many as any workload has peers. A workload goes to the first ones.
    pub connect: Vec<SocketAddr>,
    /// Which servers are trusted.
    pub trust: Trust,
    /// What to run, in order; at least one.
    pub workloads: Vec<Workload>,
    /// Where the results go.
    pub outputs: Outputs,
}

/// Which servers are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those whose certificate has the fingerprint: one for each address of [`ClientPlan::connect`].
    Fingerprints(Vec<Fingerprint>),
    /// Those whose certificate was signed by one in this PEM file, which is not read yet.
    Ca(PathBuf),
}

/// Why options that are right one by one cannot be run together.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// An option of a workload was given, but no workload.
    #[error(
        "--{} needs --workload, such as --workload {example}: \
         the default workloads and those of --config have numbers of their own",
        option.replace('_', "-")
    )]
    NoWorkload {
        /// The option's name, as in a configuration.
        option: &'static str,
        /// A kind that has the option.
        example: Kind,
    },
    /// The workload of the command line cannot be run.
    #[error("--{option}: {error}")]
    Workload {
        /// The option's name, without dashes before it.
        option: String,
        /// Why not.
        error: WorkloadError,
    },
    /// The configuration is wrong.
    #[error("--config: {0}")]
    Config(#[from] ConfigError),
    /// A server's address has port 0.
    #[error("--connect: {0} has port 0, which nobody can connect to")]
    PortZero(SocketAddr),
    /// A workload goes to more servers than there are, or none to as many as there are.
    #[error(
        "--connect: the number of addresses is {given}, and the workloads need {needed}; \
         only calls of --workload rpc go to several, and in --config as many as peers says"
    )]
    Peers {
        /// The number of addresses.
        given: usize,
        /// The number of peers of the workload that has most.
        needed: u32,
    },
    /// One workload is needed, and the configuration has another number.
    #[error("--config: one workload is needed, and {0} are chosen; --only chooses")]
    NotOne(usize),
    /// There are more servers than a workload can have peers.
    #[error("--connect: the number of addresses is {given}, allowed are {} to {}", PEERS.start(), PEERS.end())]
    TooManyPeers {
        /// The number of addresses.
        given: usize,
    },
    /// It is not clear which fingerprint is whose.
    #[error("--fingerprint: {fingerprints} were given for {addresses} addresses, allowed are 1 for all or 1 for each --connect")]
    Fingerprints {
        /// The number of fingerprints.
        fingerprints: usize,
        /// The number of addresses.
        addresses: usize,
    },
}

impl UsageError {
    /// What clap calls it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoWorkload { .. } => ErrorKind::MissingRequiredArgument,
            _ => ErrorKind::ValueValidation,
        }
    }
}

impl RunArgs {
    pub(super) fn plan(self) -> Result<RunPlan, UsageError> {
        Ok(RunPlan {
            workloads: self.workload.workloads(&self.fanout, self.peers)?,
            outputs: self.output.into(),
        })
    }
}

impl From<ServerArgs> for ServerPlan {
    fn from(args: ServerArgs) -> Self {
        Self {
            listen: args.listen,
            mtu: args.mtu,
            identity: match (args.cert, args.key) {
                (Some(cert), Some(key)) => Identity::Files { cert, key },
                // the parser refuses one without the other
                _ => Identity::SelfSigned,
            },
            quiet: args.quiet,
        }
    }
}

impl ClientArgs {
    pub(super) fn plan(self) -> Result<ClientPlan, UsageError> {
        let connect = self.connect;
        if let Some(address) = connect.iter().find(|address| address.port() == 0) {
            return Err(UsageError::PortZero(*address));
        }
        let given = connect.len();
        let count = u32::try_from(given).ok().filter(|n| PEERS.contains(n));
        let count = count.ok_or(UsageError::TooManyPeers { given })?;
        let asks_all = self.workload.workload == Some(Kind::Rpc);
        let workloads = self
            .workload
            .workloads(&self.fanout, asks_all.then_some(count))?;
        let needed = workloads.iter().map(|workload| workload.fanout.peers).max();
        let needed = needed.unwrap_or(1);
        if needed != count {
            return Err(UsageError::Peers { given, needed });
        }
        Ok(ClientPlan {
            trust: self.trust.plan(given)?,
            connect,
            workloads,
            outputs: self.output.into(),
        })
    }
}

impl TrustArgs {
    fn plan(self, addresses: usize) -> Result<Trust, UsageError> {
        if let Some(file) = self.ca {
            return Ok(Trust::Ca(file));
        }
        match &self.fingerprint[..] {
            [one] => Ok(Trust::Fingerprints(vec![*one; addresses])),
            each if each.len() == addresses => Ok(Trust::Fingerprints(self.fingerprint)),
            each => Err(UsageError::Fingerprints {
                fingerprints: each.len(),
                addresses,
            }),
        }
    }
}

impl WorkloadArgs {
    /// The one workload that was asked for: of the command line or the configuration, or else an upload.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if it cannot be run, or if the configuration has several.
    pub fn single(mut self) -> Result<Workload, UsageError> {
        if self.config.is_none() {
            self.workload.get_or_insert(Kind::Upload);
        }
        let mut workloads = self.workloads(&FanoutArgs::default(), None)?;
        match workloads.pop() {
            Some(workload) if workloads.is_empty() => Ok(workload),
            popped => Err(UsageError::NotOne(
                workloads.len() + usize::from(popped.is_some()),
            )),
        }
    }

    /// What to run. `peers` is the number of servers that a call goes to, if it was given.
    fn workloads(
        self,
        fanout: &FanoutArgs,
        peers: Option<u32>,
    ) -> Result<Vec<Workload>, UsageError> {
        let settings = self.settings(fanout, peers);
        if self.workload.is_some() {
            let workload = settings.build().map_err(|error| UsageError::Workload {
                option: error.field().replace('_', "-"),
                error,
            })?;
            return Ok(vec![workload]);
        }
        let own = |field: &&str| !FOR_ALL.contains(field);
        if let Some(option) = settings.set_fields().into_iter().find(own) {
            let example = match option {
                "calls" => Kind::Mixed,
                "streams" | "bytes" | "duration" => Kind::Upload,
                "clients" => Kind::Fanin,
                _ => Kind::Rpc,
            };
            return Err(UsageError::NoWorkload { option, example });
        }
        let mut workloads = match &self.config {
            Some(file) => config::read(file, &self.only)?,
            None => default_set(),
        };
        // no other range depends on these two, so the workloads stay valid
        for workload in &mut workloads {
            workload.mtu = self.mtu.unwrap_or(workload.mtu);
            workload.timeout = self.timeout.unwrap_or(workload.timeout);
        }
        Ok(workloads)
    }

    fn settings(&self, fanout: &FanoutArgs, peers: Option<u32>) -> Settings {
        // without a kind nothing is built of them: they only say which options were given
        let kind = self.workload.unwrap_or(Kind::Upload);
        Settings {
            streams: self.streams.map(i64::from),
            bytes: self.bytes,
            duration: self.duration,
            calls: self.calls.map(i64::from),
            request: self.request,
            response: self.response,
            clients: self.clients.map(i64::from),
            peers: peers.map(i64::from),
            quorum: fanout.quorum.map(i64::from),
            hedge_after: fanout.hedge_after,
            losers: fanout.losers,
            mtu: self.mtu.map(i64::from),
            timeout: self.timeout,
            ..Settings::new(kind)
        }
    }
}

/// The fields that can be set for workloads of any set, in place of what they say themselves.
const FOR_ALL: [&str; 2] = ["mtu", "timeout"];
