// SPDX-License-Identifier: Apache-2.0

//! The benches are in `benches/`: one file per structure, each saying which path it measures and checking that it is on it.
