// SPDX-License-Identifier: Apache-2.0

//! The command line of `compare`.
//!
//! The one rule: a child process gets its parent's arguments, behind its own, so that both read the same workload.

use crate::system::System;
use clap::{error::ErrorKind, value_parser, Args, CommandFactory as _, Parser, Subcommand};
use s2n_quic_dc_perf::{cli::WorkloadArgs, workload::Workload};
use std::time::Duration;

/// Runs one workload over several systems, in turns, and puts their figures beside each other.
#[derive(Debug, Parser)]
#[command(name = "compare", version, args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one system once and prints its record
    #[command(hide = true)]
    Child {
        /// What to run
        #[arg(long, value_enum)]
        system: System,
        #[command(flatten)]
        run: RunArgs,
    },
}

/// What to do.
#[derive(Debug)]
pub enum Task {
    /// Compare.
    Compare(RunArgs),
    /// Run one system, in a child process.
    Child(System, RunArgs),
}

/// The options of a comparison.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to compare, in this order
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "wheel,published,quinn,s2n-quic,tcp-tls,ceiling,raw-udp"
    )]
    pub systems: Vec<System>,
    /// What the others are divided by [default: `published` if it is compared, else the first system]
    #[arg(long, value_enum, value_name = "SYSTEM")]
    base: Option<System>,
    /// How often each system runs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Where the figures go, as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
    /// Where the table goes, as Markdown [default: standard output, if `--json` does not go there]
    #[arg(long, value_name = "FILE")]
    markdown: Option<String>,
    /// Seconds after which a run is killed
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = value_parser!(u64).range(1..=86_400))]
    time_limit: u64,
    /// Says nothing while it runs
    #[arg(long)]
    pub quiet: bool,
}

impl Options {
    /// What was asked for.
    ///
    /// # Errors
    ///
    /// What does not fit together, as an error that can be printed and that exits with 2.
    pub fn into_task(self) -> Result<Task, clap::Error> {
        let task = match self.command {
            Some(Command::Child { system, run }) => Task::Child(system, run),
            None => {
                self.run.check()?;
                Task::Compare(self.run)
            }
        };
        Ok(task)
    }
}

impl RunArgs {
    fn check(&self) -> Result<(), clap::Error> {
        let refuse = |text: String| Err(Options::command().error(ErrorKind::ValueValidation, text));
        for (index, system) in self.systems.iter().enumerate() {
            if self.systems[..index].contains(system) {
                return refuse(format!("--systems: {system} is named twice"));
            }
        }
        match self.base {
            Some(base) if !self.systems.contains(&base) => {
                return refuse(format!("--base: {base} is not among --systems"));
            }
            _ => {}
        }
        if self.json.as_deref() == Some("-") && self.markdown.as_deref() == Some("-") {
            return refuse("--json and --markdown cannot both be standard output".to_owned());
        }
        Ok(())
    }

    /// What the others are divided by.
    #[must_use]
    pub fn base(&self) -> System {
        let first = self.systems.first().copied().unwrap_or(System::Published);
        let published = self.systems.contains(&System::Published);
        self.base
            .unwrap_or(if published { System::Published } else { first })
    }

    /// Where the table goes, if anywhere.
    #[must_use]
    pub fn markdown(&self) -> Option<&str> {
        match (&self.markdown, self.json.as_deref()) {
            (Some(file), _) => Some(file),
            (None, Some("-")) => None,
            (None, _) => Some("-"),
        }
    }

    /// How long a run may take.
    #[must_use]
    pub const fn time_limit(&self) -> Duration {
        Duration::from_secs(self.time_limit)
    }

    /// What to run.
    ///
    /// # Errors
    ///
    /// What cannot be run, as an error that can be printed and that exits with 2.
    pub fn workload(&self) -> Result<Workload, clap::Error> {
        let workload = self.workload.clone().single();
        workload.map_err(|error| Options::command().error(error.kind(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Task, clap::Error> {
        let args = ["compare"].into_iter().chain(args.split_whitespace());
        Options::try_parse_from(args)?.into_task()
    }

    fn run(args: &str) -> RunArgs {
        match parse(args).unwrap() {
            Task::Compare(run) => run,
            Task::Child(..) => panic!("{args} is no comparison"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn everything_is_compared_with_the_published_crate_by_default() {
        let run = run("");
        assert_eq!(run.systems.len(), 7);
        assert_eq!(run.base(), System::Published);
        assert_eq!(run.rounds, 3);
        assert_eq!(run.time_limit(), Duration::from_secs(120));
    }

    #[test]
    fn the_base_is_the_one_asked_for_or_the_published_crate_or_the_first() {
        let base = |args| run(args).base();
        assert_eq!(base("--systems quinn,ceiling"), System::Quinn);
        assert_eq!(base("--systems quinn,published"), System::Published);
        assert_eq!(
            base("--systems quinn,published,ceiling --base ceiling"),
            System::Ceiling
        );
    }

    #[test]
    fn what_does_not_fit_together_is_wrong_usage() {
        for (args, text) in [
            ("--systems quinn --base wheel", "wheel is not among"),
            ("--systems quinn,wheel,quinn", "quinn is named twice"),
            ("--json - --markdown -", "both be standard output"),
            ("--systems carrier-pigeon", "carrier-pigeon"),
            ("--rounds 0", "1..=1000"),
            ("--time-limit 0", "1..=86400"),
        ] {
            let error = parse(args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args}");
            assert!(error.to_string().contains(text), "{args}: {error}");
        }
    }

    #[test]
    fn the_table_goes_to_standard_output_unless_something_else_does() {
        assert_eq!(run("").markdown(), Some("-"));
        assert_eq!(run("--json out.json").markdown(), Some("-"));
        assert_eq!(run("--json -").markdown(), None);
        assert_eq!(run("--json - --markdown t.md").markdown(), Some("t.md"));
    }

    #[test]
    fn a_child_reads_the_arguments_of_its_parent() {
        let args = "--systems wheel,quinn --rounds 5 --json out.json --streams 7 --bytes 2MB";
        let parent = run(args);
        let Task::Child(system, child) = parse(&format!("child --system quinn {args}")).unwrap()
        else {
            panic!("it is a child");
        };
        assert_eq!(system, System::Quinn);
        let workload = child.workload().unwrap();
        assert_eq!((workload.streams, workload.bytes.bytes()), (7, 2_000_000));
        assert_eq!(workload, parent.workload().unwrap());
    }
}
