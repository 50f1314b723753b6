// SPDX-License-Identifier: Apache-2.0

//! Published and new peers on a good network: every pairing, every direction, every size, every byte.
//!
//! The rule: one client and one server per pairing do all cases in turn, as a service does, so that what one stream
//! leaves behind is there when the next one opens.

use s2n_quic_dc_tests::{
    endpoint::{Config, Network, Pairing},
    transfer::{self, Case, Kind, Outcome},
    watch,
};
use std::net::{IpAddr, Ipv6Addr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const KB: usize = 1 << 10;
const MB: usize = 1 << 20;

#[test]
fn an_old_client_and_a_new_server_exchange_every_size_in_every_direction() {
    exchange_every_size(Pairing::OLD_TO_NEW);
}

#[test]
fn a_new_client_and_an_old_server_exchange_every_size_in_every_direction() {
    exchange_every_size(Pairing::NEW_TO_OLD);
}

#[test]
fn two_new_peers_exchange_every_size_in_every_direction() {
    exchange_every_size(Pairing::NEW_TO_NEW);
}

fn exchange_every_size(pairing: Pairing) {
    watch::run(async move |log| -> Outcome {
        let network = start(pairing, Config::default()).await;
        for kind in Kind::ALL {
            for size in [1, KB, 64 * KB, MB, 16 * MB] {
                let streams = 1;
                let case = Case {
                    kind,
                    streams,
                    size,
                };
                transfer::run(&network, None, case, &log).await?;
            }
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{pairing:?}: {error}"));
}

#[test]
fn an_old_client_and_a_new_server_run_fifty_streams_at_once() {
    run_fifty_streams(Pairing::OLD_TO_NEW);
}

#[test]
fn a_new_client_and_an_old_server_run_fifty_streams_at_once() {
    run_fifty_streams(Pairing::NEW_TO_OLD);
}

#[test]
fn two_new_peers_run_fifty_streams_at_once() {
    run_fifty_streams(Pairing::NEW_TO_NEW);
}

fn run_fifty_streams(pairing: Pairing) {
    watch::run(async move |log| -> Outcome {
        let network = start(pairing, Config::default()).await;
        for kind in Kind::ALL {
            for size in [KB, MB] {
                let streams = 50;
                let case = Case {
                    kind,
                    streams,
                    size,
                };
                transfer::run(&network, None, case, &log).await?;
            }
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{pairing:?}: {error}"));
}

#[test]
fn every_pairing_answers_rpcs_of_every_size() {
    for pairing in [
        Pairing::OLD_TO_NEW,
        Pairing::NEW_TO_OLD,
        Pairing::NEW_TO_NEW,
    ] {
        watch::run(async move |log| -> Outcome {
            let network = start(pairing, Config::default()).await;
            let acceptor = network.server.acceptor_addr().expect("bound");
            let server = tokio::spawn(transfer::serve_rpcs(network.server.clone()));
            for (count, size) in [(1, 8), (50, 8), (50, KB), (10, MB)] {
                log.note(format!("{count} rpcs of {size} bytes"));
                transfer::rpcs(&network.client, &network.server, acceptor, count, size).await?;
            }
            server.abort();
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{pairing:?}: {error}"));
    }
}

#[test]
fn jumbo_datagrams_carry_every_size_between_old_and_new() {
    exchange_with(Config {
        mtu: Some(8940),
        ..Config::default()
    });
}

#[test]
fn peers_meet_over_ipv6() {
    exchange_with(Config {
        ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
        ..Config::default()
    });
}

/// Some sizes both ways in every pairing, with settings other than the usual ones.
fn exchange_with(config: Config) {
    for pairing in [
        Pairing::OLD_TO_NEW,
        Pairing::NEW_TO_OLD,
        Pairing::NEW_TO_NEW,
    ] {
        watch::run(async move |log| -> Outcome {
            let network = start(pairing, config).await;
            for size in [1, 8000, MB] {
                let case = Case {
                    kind: Kind::Echo,
                    streams: 2,
                    size,
                };
                transfer::run(&network, None, case, &log).await?;
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{pairing:?} with {config:?}: {error}"));
    }
}

#[test]
fn streams_are_byte_streams_to_tokio() {
    for pairing in [
        Pairing::OLD_TO_NEW,
        Pairing::NEW_TO_OLD,
        Pairing::NEW_TO_NEW,
    ] {
        watch::run(async move |_log| {
            let network = start(pairing, Config::default()).await;
            let (mut client, mut server) = network.pair().await.expect("a stream");
            let answering = tokio::spawn(async move {
                let mut request = Vec::new();
                server.read_to_end(&mut request).await.expect("a request");
                server
                    .write_all(&transfer::reply(&request))
                    .await
                    .expect("written");
                server.shutdown().await.expect("shut down");
            });

            let request = vec![0x5a; 300_000];
            client.write_all(&request).await.expect("written");
            client.flush().await.expect("flushed");
            client.shutdown().await.expect("shut down");
            let mut response = Vec::new();
            client.read_to_end(&mut response).await.expect("a response");

            assert!(response == transfer::reply(&request), "{pairing:?}");
            answering.await.expect("no panic");
        });
    }
}

async fn start(pairing: Pairing, config: Config) -> Network {
    Network::start(pairing, config)
        .await
        .expect("sockets and threads")
}
