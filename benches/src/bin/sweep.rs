// SPDX-License-Identifier: Apache-2.0

//! `sweep`: measures uploads with one limit of transmissions in flight after the other, and says what the default should be.
//!
//! The one rule: the exit code is 0 only if every measurement gave a figure. 1: something went wrong, and what was measured is kept; 2:
//! wrong usage.

use clap::{value_parser, Parser};
use s2n_quic_dc_benches::sweep::{
    measure::measure,
    plot,
    table::{default_limit, Table, STREAMS},
};
use s2n_quic_dc_perf::size::Size;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Measures uploads with one limit of transmissions in flight after the other.
#[derive(Debug, Parser)]
#[command(name = "sweep", version)]
struct Options {
    /// Bytes of each measurement, over all of its streams; at least 1000
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = enough)]
    bytes: Size,
    /// How often each limit is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = "benches/sweep.csv")]
    csv: PathBuf,
    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "benches/sweep.svg")]
    plot: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sweep: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every measurement gave a figure.
fn run(options: &Options) -> io::Result<bool> {
    let mut table = Table::default();
    let mut is_whole = true;
    for round in 1..=options.rounds {
        for row in table.rows_mut() {
            let setup = row.setup;
            let measured = measure(&setup, options.bytes.bytes());
            let said = match &measured {
                Ok(measured) if measured.lost > 0 => {
                    format!(
                        "{:.2} Gbit/s, the relay lost {}",
                        measured.gbps, measured.lost
                    )
                }
                Ok(measured) => format!("{:.2} Gbit/s", measured.gbps),
                Err(error) => error.to_string(),
            };
            eprintln!("round {round} of {}, {setup}: {said}", options.rounds);
            is_whole &= measured.is_ok();
            row.gbps.push(measured.ok().map(|measured| measured.gbps));
        }
        // after each round, so that there is something if a later one is cut off
        write(&options.csv, &table.csv())?;
        write(&options.plot, &plot::svg(&table)?)?;
    }
    let choices = table.choices();
    println!("the smallest limit within 3 % of the best median:");
    for choice in &choices {
        println!("{choice}");
    }
    if let Some(limit) = default_limit(&choices) {
        println!("the largest of these: {limit}");
    }
    Ok(is_whole)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// A size that gives every stream a byte.
fn enough(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|error| format!("{error}"))?;
    let least = u64::from(STREAMS.into_iter().max().unwrap_or(1));
    if size.bytes() < least {
        return Err(format!(
            "{} bytes are fewer than the {least} streams",
            size.bytes()
        ));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn every_stream_has_a_byte() {
        let parse = |bytes| Options::try_parse_from(["sweep", "--bytes", bytes]);
        assert_eq!(parse("1KB").unwrap().bytes.bytes(), 1000);
        let error = parse("999").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().contains("fewer than the 1000 streams"),
            "{error}"
        );
    }
}
