// SPDX-License-Identifier: Apache-2.0

//! The sweep: how fast uploads are with each limit of transmissions in flight, and which limit should be the default.
//!
//! The one rule: what is compared differs in the limit only, and was measured in turns, so that a machine that is slow for a while is
//! slow for all limits.
//!
//! ```text
//! bin/sweep ──▶ measure ──▶ client ══▶ (relay ◀── train: a delay each way) ══▶ server
//!     │            ╰─ Gbit/s ─▶ table: rows, medians, the choice
//!     ╰──▶ the table as CSV, and as a picture: plot
//! ```

pub mod measure;
pub mod plot;
pub mod relay;
pub mod table;
