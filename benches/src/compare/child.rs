// SPDX-License-Identifier: Apache-2.0

//! One run of one system, in a process of its own.
//!
//! The one rule: standard output carries one record and nothing else; a system that cannot run says so in its record.

use crate::system::System;
use s2n_quic_dc_perf::{record::Record, runtime, workload::Workload};
use std::io;

/// Runs `workload` over `system` on a runtime with as many threads as there are processors.
///
/// # Errors
///
/// If the runtime cannot be started. What goes wrong with the system is part of the record.
pub fn run(system: System, workload: &Workload) -> io::Result<Record> {
    let runtime = runtime::multi_thread()?;
    let outcome = runtime.block_on(system.run(workload));
    // systems own runtimes and threads, which may not end, or not in this order; the process ends now anyway
    std::mem::forget(runtime);
    Ok(match outcome {
        Ok(outcome) => Record {
            mtu: system.effective_mtu(workload.mtu),
            ..Record::new(system.name(), &outcome)
        },
        Err(error) => failed(system, workload, error.to_string()),
    })
}

/// The record of a run that gave no figures.
#[must_use]
pub fn failed(system: System, workload: &Workload, error: String) -> Record {
    Record {
        mtu: system.effective_mtu(workload.mtu),
        ..Record::failed(system.name(), workload, error)
    }
}
