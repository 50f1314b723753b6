// SPDX-License-Identifier: Apache-2.0

//! What several benches need. The benches are in `benches/`: one file per structure or path, each saying which path it
//! measures and checking that it is on it. `README.md` tells how to run and compare them.
//!
//! The one rule: nothing is measured in here.

pub mod batch;
pub mod ends;
