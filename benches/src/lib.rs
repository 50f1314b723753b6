// SPDX-License-Identifier: Apache-2.0

//! What is measured against something else: the criterion benches in `benches/`, one file per structure, the `compare`
//! command, which runs one workload over this stack and over its peers, and the `sweep` command, which runs uploads with one setting
//! after the other.
//!
//! The one rule: a figure is only worth something beside another one of the same run, so everything here is configured alike,
//! and says how.
//!
//! ```text
//! bin/compare ──▶ compare::{options, parent, summary, markdown}      interleaves, collects, divides
//!                        │ one process per system and round
//!                        ▼
//!                 compare::child ──▶ system::{wheel, published, quinn, s2n_quic, tcp_tls}  ──▶ the engine of dc-perf
//!                                    system::{flood, bare} (raw-udp, ceiling)              ──▶ two threads, over train
//! bin/sweep ──▶ sweep::{measure, relay, table, plot}
//! benches/* ──▶ ends (client and server), batch (sealing and opening)
//! ```

pub mod batch;
pub mod buffers;
pub mod compare;
pub mod ends;
pub mod settings;
pub mod sweep;
pub mod system;
pub mod tls;
mod train;
