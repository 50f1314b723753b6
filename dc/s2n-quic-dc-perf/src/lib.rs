// SPDX-License-Identifier: Apache-2.0

//! The parts of the `dc-perf` command: workloads in which every byte is verified, over any system, and what was measured.
//!
//! The one rule: only what a service could do is done here, through the public API. The command, the benches and the comparison with
//! other systems share these parts, so that all measure the same.
//!
//! ```text
//! cli ─┬▶ workload ──▶ engine ══ transport ══▶ endpoint      cli, config: what to run
//!      └▶ config         │                                   exchange, pattern: what the two ends say, and its check
//!                        │                                   runtime: what they run on
//!                        ▼                                   endpoint: this crate's client and server as a transport
//!           outcome ◀── measure                              measure: counters, memory, processor time
//!              └▶ record, table, plot                        progress: while it runs
//! ```

pub mod cli;
pub mod command;
pub mod config;
pub mod endpoint;
pub mod engine;
pub mod exchange;
pub mod failures;
pub mod human;
pub mod measure;
pub mod outcome;
pub mod pattern;
pub mod plot;
pub mod progress;
pub mod record;
pub mod runtime;
pub mod size;
pub mod table;
pub mod time;
pub mod transport;
pub mod workload;
