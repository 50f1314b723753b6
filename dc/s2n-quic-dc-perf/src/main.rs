// SPDX-License-Identifier: Apache-2.0

//! `dc-perf`: shows what s2n-quic-dc does on this machine.
//!
//! The one rule: the exit code is 0 only if every stream of every workload was verified. 1: something failed; 2: wrong usage.

use clap::Parser as _;
use s2n_quic_dc_perf::{
    cli::{Cli, RunArgs},
    handshake::Loopback,
    report::{Progress, HEADING},
    server, workload,
};
use std::{
    error::Error,
    io::{stdout, Write as _},
    process::ExitCode,
    sync::Arc,
};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let args = Cli::parse().into_run();
    match execute(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("dc-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every stream was verified.
fn execute(args: &RunArgs) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let ends = Arc::new(runtime.block_on(Loopback::start())?);
    let verified = run_all(&runtime, &ends, args);
    // before the ends, whose own runtimes must not be dropped by a task
    drop(runtime);
    verified
}

fn run_all(
    runtime: &Runtime,
    ends: &Arc<Loopback>,
    args: &RunArgs,
) -> Result<bool, Box<dyn Error + Send + Sync>> {
    runtime.block_on(async {
        let mut server = tokio::spawn(server::serve(ends.server().clone()));
        tokio::select! {
            verified = run_workloads(ends, args) => Ok(verified?),
            stopped = &mut server => match stopped? {
                Ok(never) => match never {},
                Err(error) => Err(format!("accept: {error}").into()),
            },
        }
    })
}

async fn run_workloads(ends: &Arc<Loopback>, args: &RunArgs) -> std::io::Result<bool> {
    let mut progress = Progress::detect();
    let mut verified = true;
    let mut first_seed = 0;
    writeln!(stdout(), "{HEADING}")?;
    for workload in args.workloads() {
        let outcome =
            workload::run(ends, workload, first_seed, args.timeout(), &mut progress).await;
        write!(stdout(), "{outcome}")?;
        stdout().flush()?;
        verified &= outcome.failures.streams() == 0;
        first_seed += u64::from(workload.streams);
    }
    Ok(verified)
}
