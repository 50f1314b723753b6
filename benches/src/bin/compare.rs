// SPDX-License-Identifier: Apache-2.0

//! `compare`: runs one workload over this stack and over its peers, in turns, and puts their figures beside each other.
//!
//! The one rule: the exit code is 0 only if every system ran in every round and no stream of this tree's stack failed. 1:
//! something went wrong; 2: wrong usage. A system that has no such workload did not fail.

use clap::Parser as _;
use nix::sys::{prctl, signal::Signal};
use s2n_quic_dc_benches::{
    compare::{
        child, machine,
        markdown::{self, Page},
        options::{Options, RunArgs, Task},
        parent,
        summary::{summarise, Summary},
    },
    settings::StartError,
    system::System,
};
use s2n_quic_dc_perf::{record::Record, workload::Workload};
use std::{
    env, fs,
    io::{self, stdout, Write as _},
    process::{exit, ExitCode},
};
use tokio::{
    process::Command,
    runtime::Builder,
    signal::unix::{signal, SignalKind},
};

fn main() -> ExitCode {
    let task = Options::parse()
        .into_task()
        .unwrap_or_else(|error| error.exit());
    let done = match task {
        Task::Child(system, args) => run_child(system, &args),
        Task::Compare(args) => run_comparison(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints one record. Does not return unless it fails.
fn run_child(system: System, args: &RunArgs) -> io::Result<bool> {
    // a parent that is killed has no chance to end this process
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let record = child::run(
        system,
        &args.workload().unwrap_or_else(|error| error.exit()),
    )?;
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, &record)?;
    out.flush()?;
    // without the destructors of what the systems left behind: one that hangs would spoil a good run
    exit(0)
}

/// Whether all is well.
fn run_comparison(args: &RunArgs) -> io::Result<bool> {
    let workload = args.workload().unwrap_or_else(|error| error.exit());
    let machine = machine::describe();
    let systems: Vec<_> = args
        .systems
        .iter()
        .map(|system| (*system, system.settings(&workload)))
        .collect();
    let say = |text: &str| {
        if !args.quiet {
            eprintln!("{text}");
        }
    };
    say(&format!("{}\n", workload.name));
    say(&markdown::settings(workload.mtu, &machine, &systems));

    // threads of its own would be in the way of the child's
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (rounds, is_whole) = runtime.block_on(run_rounds(args, &workload, say))?;
    let summaries = summarise(args.base().name(), &rounds);
    if let Some(file) = &args.json {
        let mut json = serde_json::to_string_pretty(&summaries)?;
        json.push('\n');
        write_to(file, &json)?;
    }
    if let Some(file) = args.markdown() {
        let page = Page {
            workload: &workload.name,
            rounds: args.rounds,
            mtu: workload.mtu,
            machine: &machine,
            systems: &systems,
            summaries: &summaries,
        };
        write_to(file, &page.to_string())?;
    }
    Ok(is_whole && is_well(&summaries))
}

/// The records of all rounds, and whether none was cut off by a signal.
async fn run_rounds(
    args: &RunArgs,
    workload: &Workload,
    say: impl Fn(&str),
) -> io::Result<(Vec<Vec<Record>>, bool)> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let mut round = Vec::new();
        for &system in &args.systems {
            let ran = tokio::select! {
                ran = parent::run(command(system)?, args.time_limit()) => ran,
                _ = interrupted.recv() => return Ok((with(rounds, round), false)),
                _ = terminated.recv() => return Ok((with(rounds, round), false)),
            };
            let record =
                ran.unwrap_or_else(|error| child::failed(system, workload, error.to_string()));
            say(&line(number, args.rounds, &record));
            round.push(record);
        }
        rounds.push(round);
    }
    Ok((rounds, true))
}

/// `rounds` and one that was not finished.
fn with(mut rounds: Vec<Vec<Record>>, round: Vec<Record>) -> Vec<Vec<Record>> {
    rounds.push(round);
    rounds
}

/// This program again, as the child that runs `system`.
fn command(system: System) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["child", "--system", system.name()])
        .args(env::args_os().skip(1));
    Ok(command)
}

/// One run, for the terminal.
fn line(round: u32, rounds: u32, record: &Record) -> String {
    let figure = match (&record.error, record.rps, record.gbps) {
        (Some(error), _, _) => error.clone(),
        (None, Some(rps), _) => format!("{rps:.0} calls/s"),
        (None, None, Some(gbps)) => format!("{gbps:.2} Gbit/s"),
        (None, None, None) => "no figure".to_owned(),
    };
    let failed = match record.failed {
        None | Some(0) => String::new(),
        Some(failed) => format!(", {failed} failed"),
    };
    format!(
        "round {round} of {rounds}, {:>9}: {figure}{failed}",
        record.system
    )
}

/// `-` is standard output.
fn write_to(file: &str, text: &str) -> io::Result<()> {
    if file == "-" {
        return stdout().write_all(text.as_bytes());
    }
    fs::write(file, text).map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))
}

/// Whether every run gave figures, or could not, and no stream of this tree's stack failed.
fn is_well(summaries: &[Summary]) -> bool {
    let does_not_apply = StartError::DoesNotApply.to_string();
    summaries.iter().all(|summary| {
        let ran = summary.rounds.iter().all(|round| {
            round
                .error
                .as_ref()
                .is_none_or(|error| *error == does_not_apply)
        });
        let is_ours = summary.figures.system == System::Wheel.name();
        ran && (!is_ours || summary.figures.failed == Some(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(system: System, error: Option<&str>, failed: Option<u64>) -> Record {
        let args = ["compare", "--systems", system.name()];
        let Ok(Task::Compare(args)) = Options::parse_from(args).into_task() else {
            panic!("it is a comparison");
        };
        Record {
            error: error.map(str::to_owned),
            failed,
            ..child::failed(system, &args.workload().unwrap(), String::new())
        }
    }

    fn is_well_with(records: &[Record]) -> bool {
        let rounds: Vec<Vec<Record>> = records.iter().map(|record| vec![record.clone()]).collect();
        is_well(&summarise("wheel", &rounds))
    }

    #[test]
    fn only_failures_of_this_stack_and_broken_runs_count() {
        let good = record(System::Wheel, None, Some(0));
        assert!(is_well_with(&[
            good.clone(),
            record(System::Quinn, None, Some(5))
        ]));
        assert!(is_well_with(&[
            good.clone(),
            record(System::RawUdp, Some("does not apply"), None)
        ]));
        assert!(!is_well_with(&[
            good.clone(),
            record(System::Quinn, Some("killed"), None)
        ]));
        assert!(!is_well_with(&[
            good.clone(),
            record(System::Wheel, None, Some(1))
        ]));
        assert!(!is_well_with(&[
            good,
            record(System::Wheel, Some("killed"), None)
        ]));
    }

    #[test]
    fn the_line_of_a_run_says_what_it_is_about() {
        let failed = line(1, 3, &record(System::Quinn, Some("killed"), None));
        assert_eq!(failed, "round 1 of 3,     quinn: killed");
        let mut slow = record(System::Wheel, None, Some(2));
        slow.gbps = Some(1.234);
        assert_eq!(
            line(3, 3, &slow),
            "round 3 of 3,     wheel: 1.23 Gbit/s, 2 failed"
        );
    }
}
