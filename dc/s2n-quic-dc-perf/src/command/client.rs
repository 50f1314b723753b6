// SPDX-License-Identifier: Apache-2.0

//! `dc-perf client`: clients of servers elsewhere.
//!
//! The one rule: a server is trusted because the user named its certificate, and for no other reason.

use super::{run_all, CommandError, Verdict};
use crate::{
    cli::plan::{self, ClientPlan},
    endpoint::{ClientConfig, ClientEnd, Trust, WheelProbe},
    transport::Ends,
    workload::Workload,
};
use std::{fs, net::SocketAddr};
use tokio::sync::watch;

pub(super) async fn execute(
    plan: ClientPlan,
    stop: watch::Receiver<bool>,
) -> Result<Verdict, CommandError> {
    let trust = match plan.trust {
        plan::Trust::Fingerprints(fingerprints) => Trust::Pinned(fingerprints),
        plan::Trust::Ca(path) => {
            let read = fs::read_to_string(&path).map_err(|source| CommandError::Read {
                path: path.display().to_string(),
                source,
            });
            Trust::Certificate(read?)
        }
    };
    let servers = &plan.connect;
    run_all(&plan.workloads, plan.outputs, stop, |workload| {
        let trust = trust.clone();
        async move { Ok((connect(&workload, servers, trust).await?, ())) }
    })
    .await
}

/// Starts the workload's clients and lets each shake hands with each server.
async fn connect(
    workload: &Workload,
    servers: &[SocketAddr],
    trust: Trust,
) -> Result<Ends<crate::endpoint::WheelClient>, CommandError> {
    let mut clients = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..workload.clients {
        let mut ways = Vec::new();
        let mut end = None;
        for &server in servers.iter().take(workload.fanout.peers as usize) {
            let end = match &mut end {
                Some(end) => end,
                none => none.insert(ClientEnd::start(&ClientConfig {
                    server,
                    mtu: workload.mtu,
                    trust: trust.clone(),
                    sockets: None,
                    max_in_flight_transmissions: None,
                })?),
            };
            ways.push(end.reach(server).await?);
        }
        clients.push(ways);
        ends.extend(end);
    }
    Ok(Ends {
        clients,
        probe: Box::new(WheelProbe::of_clients(&ends)),
        both_ends: false,
    })
}
