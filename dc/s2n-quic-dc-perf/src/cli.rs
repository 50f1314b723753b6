// SPDX-License-Identifier: Apache-2.0

//! The command line of `dc-perf`: which options there are, and what their help says.
//!
//! The one rule: what [`command`] returns can be run; whoever gets it has nothing left to check. Ranges of single values are
//! checked by the parser, what depends on several options by [`plan`].

pub mod output;
pub mod plan;
#[cfg(test)]
mod tests;

use crate::{
    endpoint::Fingerprint,
    size::Size,
    workload::{
        limits::{self, CALLS, CLIENTS, MTU, PEERS, STREAMS},
        Kind, Losers,
    },
};
use clap::{
    builder::RangedI64ValueParser, value_parser, Args, CommandFactory as _, Parser, Subcommand,
};
use output::OutputArgs;
use plan::{ClientPlan, RunPlan, ServerPlan};
use std::{ffi::OsString, net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Servers and clients in this process.
    Run(RunPlan),
    /// A server for clients elsewhere.
    Server(ServerPlan),
    /// Clients of servers elsewhere.
    Client(ClientPlan),
}

/// Reads a command line, the program's name first, and the configuration that it names.
///
/// # Errors
///
/// An error that prints itself and knows its exit code: [`clap::Error::exit`]. 2 for wrong usage and a wrong configuration; 0 for
/// `--help` and `--version`, which are errors as well.
pub fn command<I, T>(args: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = Cli::try_parse_from(args)?;
    let (subcommand, planned) = match cli.command {
        Some(Subcommands::Run(args)) => ("run", args.plan().map(Command::Run)),
        Some(Subcommands::Server(args)) => ("server", Ok(Command::Server(args.into()))),
        Some(Subcommands::Client(args)) => ("client", args.plan().map(Command::Client)),
        None => ("", cli.run.plan().map(Command::Run)),
    };
    planned.map_err(|error| {
        let mut definition = Cli::command();
        // finishes the definition, so that the usage names the program and the subcommand
        definition.build();
        let definition = match definition.find_subcommand_mut(subcommand) {
            Some(subcommand) => subcommand,
            None => &mut definition,
        };
        definition.error(error.kind(), error)
    })
}

// `long_about` would make `--help` twice as long as `-h`
#[derive(Debug, Parser)]
#[command(
    name = "dc-perf",
    version,
    about = ABOUT,
    long_about = None,
    args_conflicts_with_subcommands = true,
    after_help = SYNTAX
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Runs workloads between servers and clients in this process (the default)
    #[command(after_help = SYNTAX)]
    Run(RunArgs),
    /// Serves clients on other machines until it is interrupted
    Server(ServerArgs),
    /// Runs workloads against servers on other machines
    #[command(after_help = SYNTAX)]
    Client(ClientArgs),
}

const ABOUT: &str = "\
Shows what s2n-quic-dc does on this machine, or between machines.

Without a subcommand, or with run, servers and clients start in this process, shake hands over
loopback and run each workload in turn. Every byte that arrives is compared with what was sent.

The exit code is 0 if all of it was right, 1 if anything failed, and 2 if the command line or the
configuration is wrong.";

const SYNTAX: &str = "\
SIZE is a whole number and a unit: 64KiB, 100MB, 1M (a letter alone is decimal), up to 1TB.
TIME is a number and a unit: 100us, 250ms, 5s, 2m, 1h.
Without --workload and --config: upload 1 x 1 GB, 10 x 100 MB and 1000 x 1 MB, rpc x 1 and x 100
for 5 s each, and mixed 10 x 100 MB with one call at a time beside them.";

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Servers that each call goes to, 1 to 64 [default: 1]
    #[arg(long, value_name = "N", value_parser = within(&PEERS), help_heading = CALLS_HEADING)]
    peers: Option<u32>,
    #[command(flatten)]
    fanout: FanoutArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ServerArgs {
    /// The address to serve, such as 10.0.0.1:4433 or [::]:4433
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Bytes of UDP payload of the largest datagrams, 1200 to 8912
    #[arg(long, value_name = "N", value_parser = mtu_range(), default_value_t = limits::DEFAULT_MTU)]
    mtu: u16,
    /// The server's certificate chain in PEM, in place of a new self-signed one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Prints nothing but errors, and the address and fingerprint that clients need
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct ClientArgs {
    /// A server's address; may be repeated, then each call of rpc goes to all
    #[arg(long, value_name = "ADDR", required = true)]
    connect: Vec<SocketAddr>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    workload: WorkloadArgs,
    #[command(flatten)]
    fanout: FanoutArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TrustArgs {
    /// SHA-256 of the certificate: one for all servers, or one for each --connect
    #[arg(long, value_name = "HEX")]
    fingerprint: Vec<Fingerprint>,
    /// Certificates in PEM, one of which signed those of the servers
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The options of workloads: what `run` and `client` have in common with other commands that run them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Workload")]
pub struct WorkloadArgs {
    /// upload, download, rpc (calls), mixed (uploads and calls) or fanin (uploads of many clients)
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        conflicts_with = "config",
        hide_possible_values = true
    )]
    workload: Option<Kind>,
    /// Streams (fanin: of each client) or calls at once, to 100000 [default: 10; rpc: 100; fanin: 1]
    #[arg(long, value_name = "N", value_parser = within(&STREAMS))]
    streams: Option<u32>,
    /// Bytes of each stream [default: 100MB; fanin: 10MB]
    #[arg(long, value_name = "SIZE")]
    bytes: Option<Size>,
    /// Starts anew until this is over, 1ms to 24h [default: each once; rpc: 5s]
    #[arg(long, value_name = "TIME", value_parser = limits::duration)]
    duration: Option<Duration>,
    /// Clients, each with a path of its own, 1 to 1024 [default: 1; fanin: 32]
    #[arg(long, value_name = "N", value_parser = within(&CLIENTS))]
    clients: Option<u32>,
    /// Bytes of UDP payload of the largest datagrams, 1200 to 8912 [default: 1450]
    #[arg(long, value_name = "N", value_parser = mtu_range())]
    mtu: Option<u16>,
    /// Time to finish, after the duration if there is one, 1s to 24h [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = limits::timeout)]
    timeout: Option<Duration>,
    /// Workloads from a TOML file, see workloads.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Of the file, only the workload of this name; may be repeated
    #[arg(long, value_name = "NAME", requires = "config")]
    only: Vec<String>,
    /// Bytes that a call sends, up to 64MiB [default: 1KiB]
    #[arg(long, value_name = "SIZE", help_heading = CALLS_HEADING)]
    request: Option<Size>,
    /// Bytes that a call gets back, up to 64MiB [default: 1KiB]
    #[arg(long, value_name = "SIZE", help_heading = CALLS_HEADING)]
    response: Option<Size>,
    /// Calls at once beside the streams of mixed, 1 to 100000 [default: 1]
    #[arg(long, value_name = "N", value_parser = within(&CALLS), help_heading = CALLS_HEADING)]
    calls: Option<u32>,
}

/// Calls to several peers.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = CALLS_HEADING)]
struct FanoutArgs {
    /// Answers that make a call complete, 1 to the number of peers [default: all]
    #[arg(long, value_name = "N", value_parser = within(&PEERS))]
    quorum: Option<u32>,
    /// Asks the peers beyond the quorum only after this, 10us to 1m [default: all at once]
    #[arg(long, value_name = "TIME", value_parser = limits::hedge_after)]
    hedge_after: Option<Duration>,
    /// What becomes of calls beyond the quorum: finish or cancel [default: finish]
    #[arg(long, value_name = "WHAT", value_enum, hide_possible_values = true)]
    losers: Option<Losers>,
}

const CALLS_HEADING: &str = "Calls (rpc and mixed)";

fn within(allowed: &RangeInclusive<u32>) -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(i64::from(*allowed.start())..=i64::from(*allowed.end()))
}

fn mtu_range() -> RangedI64ValueParser<u16> {
    value_parser!(u16).range(i64::from(*MTU.start())..=i64::from(*MTU.end()))
}
