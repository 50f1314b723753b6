// SPDX-License-Identifier: Apache-2.0

//! The parts of the `dc-perf` command: transfers over loopback in which every byte is verified.
//!
//! The one rule: only what a service could do is done here, through the public API and with default settings. The benches and the
//! command share these parts, so that both measure the same path.
//!
//! ```text
//! cli ──▶ workload ──▶ client ═══ stream ═══ server       handshake: the two ends
//!             │           └──── transfer ─────┘           request: what they say to each other
//!             ▼                    │                      pattern: the bytes and their check
//!          report              pattern                    size: 100MB, 64KiB
//! ```

pub mod cli;
pub mod client;
pub mod handshake;
pub mod pattern;
pub mod report;
pub mod request;
pub mod server;
pub mod size;
pub mod transfer;
pub mod workload;
