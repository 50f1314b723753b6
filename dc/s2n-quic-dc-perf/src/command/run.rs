// SPDX-License-Identifier: Apache-2.0

//! `dc-perf run`: clients and servers in this process.
//!
//! The one rule: nothing is tuned but what the workload says, so a figure is one that a service would see.

use super::{run_all, CommandError, Verdict};
use crate::{cli::plan::RunPlan, endpoint::loopback, engine};
use tokio::{sync::watch, task::JoinSet};

pub(super) async fn execute(
    plan: RunPlan,
    stop: watch::Receiver<bool>,
) -> Result<Verdict, CommandError> {
    run_all(&plan.workloads, plan.outputs, stop, |workload| async move {
        let started = loopback(workload.clients, workload.fanout.peers, workload.mtu).await?;
        let mut serving = JoinSet::new();
        for server in started.servers {
            serving.spawn(engine::serve(server));
        }
        Ok((started.ends, serving))
    })
    .await
}
