// SPDX-License-Identifier: Apache-2.0

//! Whole transfers in simulated time, on networks that lose, repeat and reorder what the seed says.
//!
//! The rule: every scenario goes through [`check`], which asserts what must hold for all of them, and has a limit of
//! simulated time: about twice what the slowest of some seeds took. `DC_TEST_SEED` chooses other losses.

mod clean;
mod crowd;
mod loss;
mod order;
mod outage;
mod pairing;
mod rebind;
mod repeat;
mod restart;

use s2n_quic_dc_tests::{
    endpoint::Pairing,
    sim::{check::check, network::Node, Simulation},
    transfer::{Case, Kind},
};
use std::time::Duration;

/// One test for each scenario, so that a failure names it.
macro_rules! scenarios {
    ($($name:ident: $simulation:expr;)*) => {
        $(
            #[test]
            fn $name() {
                crate::sim::check(&$simulation);
            }
        )*
    };
}
use scenarios;

const MEGABYTE: usize = 1_000_000;

/// In bytes: a transfer that is far from its end after 2 ms
const LONG: usize = 8_000_000;

fn upload(streams: usize, size: usize) -> Case {
    Case {
        kind: Kind::Upload,
        streams,
        size,
    }
}

fn echo(streams: usize, size: usize) -> Case {
    Case {
        kind: Kind::Echo,
        ..upload(streams, size)
    }
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn percent(percent: u32) -> u32 {
    percent * 10_000
}

fn loss(percent_lost: u32) -> Node {
    Node::Loss {
        per_million: percent(percent_lost),
    }
}

/// New ends, 100 microseconds apart.
fn near(case: Case) -> Simulation {
    Simulation::new(Pairing::NEW_TO_NEW, case, micros(100))
}
