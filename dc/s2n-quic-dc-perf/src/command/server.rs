// SPDX-License-Identifier: Apache-2.0

//! `dc-perf server`: serves clients elsewhere until it is interrupted.
//!
//! The one rule: what a client needs to reach it is printed first, in a form that can be copied.

use super::{CommandError, Verdict};
use crate::{
    cli::plan::{self, ServerPlan},
    endpoint::{Identity, ServerConfig, ServerEnd},
    engine::{self, Served},
    human,
    measure::Sample,
    transport::Probe as _,
};
use std::{
    io::{stdout, Write as _},
    sync::Arc,
};
use tokio::{sync::watch, time::Instant};

pub(super) async fn execute(
    plan: ServerPlan,
    mut stop: watch::Receiver<bool>,
) -> Result<Verdict, CommandError> {
    let identity = match &plan.identity {
        plan::Identity::SelfSigned => Identity::self_signed(&[plan.listen.ip()]),
        plan::Identity::Files { cert, key } => Identity::from_files(cert, key),
    };
    let identity = identity.map_err(crate::endpoint::StartError::from)?;
    let config = ServerConfig {
        listen: plan.listen,
        mtu: plan.mtu,
        sockets: None,
    };
    let server = ServerEnd::start(&config, &identity).await?;
    writeln!(stdout(), "{}", server.announcement())?;
    stdout().flush()?;

    let served = Arc::new(Served::default());
    let start = Instant::now();
    tokio::select! {
        error = engine::serve_and_count(server.acceptor(), served.clone()) => return Err(error.into()),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    if !plan.quiet {
        let sample = server.probe().sample();
        writeln!(stdout(), "{}", summary(&served, &sample, start))?;
    }
    Ok(Verdict::Verified)
}

fn summary(served: &Served, sample: &Sample, start: Instant) -> String {
    let (exchanges, failed) = (served.exchanges(), served.failed());
    format!(
        "served {exchanges} exchanges in {}: {} in, {} out, {failed} failed; {} packets sent, {} of them again",
        human::duration(start.elapsed()),
        human::bytes(served.received()),
        human::bytes(served.sent()),
        sample.packets_sent.unwrap_or(0),
        sample.packets_retransmitted.unwrap_or(0),
    )
}
