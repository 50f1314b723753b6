// SPDX-License-Identifier: Apache-2.0

//! Published and new peers on a bad network: what is lost, doubled and overtaken must not show.
//!
//! The rule: each test asserts that every kind of impairment did happen. A loss test without loss proves nothing.

use s2n_quic_dc_tests::{
    endpoint::{Config, Network, Pairing},
    relay::{Impairments, Relay},
    transfer::{self, Case, Context as _, Kind, Outcome},
    watch::{self, Log},
};
use std::{future::Future, sync::Arc};

const KB: usize = 1 << 10;
const MB: usize = 1 << 20;

/// Two of a hundred datagrams each are lost, doubled, and overtaken.
const BAD: Impairments = Impairments::all(20);

#[test]
fn an_old_client_and_a_new_server_exchange_every_size_on_a_bad_network() {
    exchange(Pairing::OLD_TO_NEW, &[1, 64 * KB, MB]);
}

#[test]
fn a_new_client_and_an_old_server_exchange_every_size_on_a_bad_network() {
    exchange(Pairing::NEW_TO_OLD, &[1, 64 * KB, MB]);
}

#[test]
fn two_new_peers_exchange_every_size_on_a_bad_network() {
    exchange(Pairing::NEW_TO_NEW, &[1, 64 * KB, MB, 16 * MB]);
}

/// One stream at a time, of each size in each direction.
fn exchange(pairing: Pairing, sizes: &'static [usize]) {
    on_a_bad_network(pairing, async move |bad| {
        for kind in Kind::ALL {
            for &size in sizes {
                let streams = 1;
                let case = Case {
                    kind,
                    streams,
                    size,
                };
                bad.transfer(case).await?;
            }
        }
        Ok(())
    });
}

#[test]
fn an_old_client_and_a_new_server_run_fifty_streams_on_a_bad_network() {
    run_fifty_streams(Pairing::OLD_TO_NEW);
}

#[test]
fn a_new_client_and_an_old_server_run_fifty_streams_on_a_bad_network() {
    run_fifty_streams(Pairing::NEW_TO_OLD);
}

#[test]
fn two_new_peers_run_fifty_streams_on_a_bad_network() {
    run_fifty_streams(Pairing::NEW_TO_NEW);
}

fn run_fifty_streams(pairing: Pairing) {
    on_a_bad_network(pairing, async move |bad| {
        for kind in Kind::ALL {
            for size in [1, 64 * KB] {
                let streams = 50;
                let case = Case {
                    kind,
                    streams,
                    size,
                };
                bad.transfer(case).await?;
            }
        }
        Ok(())
    });
}

#[test]
fn every_pairing_answers_rpcs_on_a_bad_network() {
    for pairing in [
        Pairing::OLD_TO_NEW,
        Pairing::NEW_TO_OLD,
        Pairing::NEW_TO_NEW,
    ] {
        on_a_bad_network(pairing, async move |bad| {
            let Network { client, server } = &bad.network;
            let answering = tokio::spawn(transfer::serve_rpcs(server.clone()));
            for (count, size) in [(50, KB), (5, 256 * KB)] {
                bad.log.note(format!("{count} rpcs of {size} bytes"));
                transfer::rpcs(client, server, bad.relay.addr(), count, size).await?;
            }
            answering.abort();
            Ok(())
        });
    }
}

#[test]
fn two_new_peers_finish_when_half_of_everything_is_lost() {
    let halved = Impairments {
        drop: 500,
        ..Impairments::NONE
    };
    on_a_network(Pairing::NEW_TO_NEW, halved, async move |bad| {
        for kind in Kind::ALL {
            let case = Case {
                kind,
                streams: 4,
                size: 20 * KB,
            };
            bad.transfer(case).await?;
        }
        let counts = bad.relay.counts();
        assert!(counts.dropped * 3 > counts.received, "{counts:?}");
        Ok(())
    });
}

/// Two peers and what is between them.
struct Bad {
    network: Network,
    relay: Relay,
    log: Log,
}

impl Bad {
    async fn transfer(&self, case: Case) -> Outcome {
        transfer::run(&self.network, Some(&self.relay), case, &self.log).await
    }
}

fn on_a_bad_network<F>(pairing: Pairing, body: impl FnOnce(Arc<Bad>) -> F + Send + 'static)
where
    F: Future<Output = Outcome> + Send + 'static,
{
    on_a_network(pairing, BAD, async move |bad| {
        body(bad.clone()).await?;
        bad.relay.counts().assert_all_kinds();
        Ok(())
    });
}

fn on_a_network<F>(
    pairing: Pairing,
    impairments: Impairments,
    body: impl FnOnce(Arc<Bad>) -> F + Send + 'static,
) where
    F: Future<Output = Outcome> + Send + 'static,
{
    watch::run(async move |log| {
        let network = Network::start(pairing, Config::default())
            .await
            .context("start")?;
        let acceptor = network.server.acceptor_addr().context("acceptor_addr")?;
        let relay = Relay::start(acceptor, impairments).context("relay")?;
        log.watch("relay", relay.state());
        body(Arc::new(Bad {
            network,
            relay,
            log,
        }))
        .await
    })
    .unwrap_or_else(|error: String| panic!("{pairing:?}: {error}"));
}
