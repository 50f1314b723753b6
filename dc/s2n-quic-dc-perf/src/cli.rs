// SPDX-License-Identifier: Apache-2.0

//! The command line of `dc-perf`.
//!
//! The one rule: what is accepted here can be run, so ranges are checked here, with the range in the message.

use crate::{request::Direction, size::Size, workload::Workload};
use clap::{value_parser, Args, Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// Shows what s2n-quic-dc does on this machine.
#[derive(Debug, Parser)]
#[command(name = "dc-perf", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Transfers data over loopback and verifies every byte (the default)
    Run(RunArgs),
}

impl Cli {
    /// The arguments of `run`, named or not.
    #[must_use]
    pub fn into_run(self) -> RunArgs {
        match self.command {
            Some(Command::Run(run)) => run,
            None => self.run,
        }
    }
}

/// The arguments of `dc-perf run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Streams open at once, in place of the default workloads (10 x 100MB and 1000 x 1MB)
    #[arg(long, value_name = "N", requires = "bytes", value_parser = value_parser!(u32).range(1..=100_000))]
    streams: Option<u32>,
    /// Bytes on each stream, such as 100MB, 64KiB or 1M, up to 1TB
    #[arg(long, value_name = "SIZE", requires = "streams")]
    bytes: Option<Size>,
    /// Which way the data goes
    #[arg(long, value_enum, default_value_t = Directions::Both)]
    direction: Directions,
    /// Seconds after which the unfinished streams of a workload have failed
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Directions {
    /// The client writes, the server verifies
    Upload,
    /// The server writes, the client verifies
    Download,
    /// Upload, then download
    Both,
}

impl RunArgs {
    /// What to run, in order.
    #[must_use]
    pub fn workloads(&self) -> Vec<Workload> {
        let shapes = match (self.streams, self.bytes) {
            (Some(streams), Some(size)) => vec![(streams, size)],
            _ => DEFAULT_SHAPES.to_vec(),
        };
        let directions = match self.direction {
            Directions::Upload => &[Direction::Upload][..],
            Directions::Download => &[Direction::Download],
            Directions::Both => &[Direction::Upload, Direction::Download],
        };
        let mut workloads = Vec::new();
        for (streams, size) in shapes {
            for &direction in directions {
                workloads.push(Workload {
                    streams,
                    size,
                    direction,
                });
            }
        }
        workloads
    }

    /// How long one workload may take in one direction.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Streams and bytes: few large ones, and many small ones with as much data in all.
const DEFAULT_SHAPES: [(u32, Size); 2] = [(10, size(100_000_000)), (1000, size(1_000_000))];

/// A size that is known when compiling; one out of range does not compile.
const fn size(bytes: u64) -> Size {
    match Size::new(bytes) {
        Ok(size) => size,
        Err(_) => panic!("a default size is out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{error::ErrorKind, CommandFactory as _};

    fn parse(args: &str) -> Result<RunArgs, clap::Error> {
        let args = ["dc-perf"].into_iter().chain(args.split_whitespace());
        Cli::try_parse_from(args).map(Cli::into_run)
    }

    fn described(args: &str) -> Vec<String> {
        let workloads = parse(args).unwrap().workloads();
        workloads
            .iter()
            .map(|workload| format!("{workload} {}", workload.direction))
            .collect()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn two_workloads_run_both_ways_by_default() {
        let expected = [
            "10 x 100 MB upload",
            "10 x 100 MB download",
            "1000 x 1 MB upload",
            "1000 x 1 MB download",
        ];
        assert_eq!(described(""), expected);
        assert_eq!(described("run"), expected);
        assert_eq!(parse("").unwrap().timeout(), Duration::from_secs(120));
    }

    #[test]
    fn streams_and_bytes_replace_the_default_with_or_without_the_subcommand() {
        let args = "--streams 3 --bytes 64KiB --direction download";
        assert_eq!(described(args), ["3 x 64 KiB download"]);
        assert_eq!(described(&format!("run {args}")), ["3 x 64 KiB download"]);
    }

    #[test]
    fn streams_and_bytes_need_each_other() {
        for args in ["--streams 3", "--bytes 1MB"] {
            let error = parse(args).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        for (args, range) in [
            ("--streams 0 --bytes 1MB", "1..=100000"),
            ("--streams 100001 --bytes 1MB", "1..=100000"),
            ("--streams 1 --bytes 0", "within 1 byte and 1TB"),
            ("--streams 1 --bytes 2TB", "within 1 byte and 1TB"),
            ("--timeout 0", "1..=86400"),
        ] {
            let error = parse(args).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{args}");
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(range), "{args}: {error}");
        }
    }
}
