// SPDX-License-Identifier: Apache-2.0

//! `dc-perf`: shows what s2n-quic-dc does on this machine, or between machines.
//!
//! The one rule: the exit code is 0 only if every stream and call was verified. 1: something failed; 2: wrong usage.

use s2n_quic_dc_perf::{
    cli,
    command::{execute, Verdict},
};
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let command = match cli::command(env::args_os()) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    match execute(command) {
        Ok(Verdict::Verified) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("dc-perf: {error}");
            ExitCode::FAILURE
        }
    }
}
