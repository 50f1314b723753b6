// SPDX-License-Identifier: Apache-2.0

//! Ten thousand streams opened at once to one peer, over real sockets.
//!
//! The rule: every one completes, and not one is refused, replayed or forgotten.

use s2n_quic_dc_tests::{
    endpoint::{Config, Network, Pairing},
    transfer::{self, Case, Kind, Outcome},
    watch,
};

const STREAMS: usize = 10_000;

fn open_all_at_once(pairing: Pairing) {
    watch::run(async move |log| -> Outcome {
        let network = Network::start(pairing, Config::default())
            .await
            .map_err(|error| error.to_string())?;
        let case = Case {
            kind: Kind::Upload,
            streams: STREAMS,
            size: 2_000,
        };
        transfer::run(&network, None, case, &log).await
    })
    .unwrap_or_else(|error| panic!("{pairing:?}: {error}"));
}

#[test]
fn ten_thousand_streams_to_a_new_server_complete() {
    open_all_at_once(Pairing::NEW_TO_NEW);
}

#[test]
fn ten_thousand_streams_to_a_published_server_complete() {
    open_all_at_once(Pairing::NEW_TO_OLD);
}
