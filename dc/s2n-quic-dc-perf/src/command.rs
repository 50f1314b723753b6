// SPDX-License-Identifier: Apache-2.0

//! The subcommands: starts the ends that a plan asks for, runs its workloads, and shows what came out.
//!
//! The one rule: each workload gets ends of its own, so that peaks and counters are its own and nothing of one workload helps or harms
//! the next.

mod client;
mod run;
mod server;
mod show;

use crate::{
    cli::{output::Outputs, Command},
    endpoint::StartError,
    engine,
    plot::PlotError,
    record::RecordError,
    runtime,
    transport::{Client, Ends},
    workload::Workload,
};
use show::Show;
use std::{future::Future, io};
use tokio::{
    signal::unix::{signal, SignalKind},
    sync::watch,
};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An end could not be started, or a server not be reached.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file that an option names could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A plot could not be written.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The records could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The runtime, the signals or the terminal failed.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// How a command ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every stream and call was verified.
    Verified,
    /// Some failed.
    Failed,
}

/// Does what `command` asks for, until it is done or interrupted (`SIGINT`, `SIGTERM`).
///
/// Starts a runtime, so it must not be called on one.
///
/// # Errors
///
/// [`CommandError`]. Streams that fail are none: they are shown, and make the [`Verdict`].
pub fn execute(command: Command) -> Result<Verdict, CommandError> {
    let runtime = runtime::multi_thread()?;
    let verdict = runtime.block_on(async {
        let stop = interruption()?;
        match command {
            Command::Run(plan) => run::execute(plan, stop).await,
            Command::Server(plan) => server::execute(plan, stop).await,
            Command::Client(plan) => client::execute(plan, stop).await,
        }
    });
    // streams that were given up may still be closing
    runtime.shutdown_background();
    verdict
}

/// Becomes true with the first interruption. The second one ends the process.
fn interruption() -> io::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for is_second in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if is_second {
                std::process::exit(130);
            }
            // whoever listened has ended if this fails
            stop.send(true).ok();
        }
    });
    Ok(stopped)
}

/// Runs workloads in turn, each with the ends that `start` gives, until all are done or `stop` becomes true.
///
/// What `start` returns besides the ends is dropped once the workload is over.
async fn run_all<C, Keep, Starting>(
    workloads: &[Workload],
    outputs: Outputs,
    stop: watch::Receiver<bool>,
    start: impl Fn(Workload) -> Starting,
) -> Result<Verdict, CommandError>
where
    C: Client,
    Starting: Future<Output = Result<(Ends<C>, Keep), CommandError>>,
{
    let mut show = Show::new(outputs, workloads.len());
    let mut first_seed = 0;
    for workload in workloads {
        let mut interrupted = stop.clone();
        let (ends, keep) = tokio::select! {
            started = start(workload.clone()) => started?,
            _ = interrupted.wait_for(|stop| *stop) => break,
        };
        show.start(workload)?;
        let outcome = engine::run(&ends, workload, first_seed, stop.clone(), &mut |point| {
            show.progress(point);
        })
        .await;
        show.outcome(&outcome)?;
        // seeds of calls are as many as there were calls, so the next workload starts far from all of them
        first_seed += 1 << 40;
        drop((ends, keep));
        if *stop.borrow() {
            break;
        }
    }
    show.finish()
}
