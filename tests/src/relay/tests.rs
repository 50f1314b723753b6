// SPDX-License-Identifier: Apache-2.0

//! Tests of the relay by itself, with plain sockets at both ends.

use super::*;
use std::{collections::BTreeSet, time::Duration};

const COUNT: u64 = 20_000;

fn fates(seed: u64, impairments: Impairments, direction: Direction) -> Vec<Fate> {
    (0..COUNT)
        .map(|index| impairments.fate(seed, direction, index))
        .collect()
}

#[test]
fn a_seed_decides_the_same_way_each_time_and_differently_by_direction() {
    let bad = Impairments::all(20);
    assert_eq!(
        fates(1, bad, Direction::ToServer),
        fates(1, bad, Direction::ToServer)
    );
    assert_ne!(
        fates(1, bad, Direction::ToServer),
        fates(1, bad, Direction::ToClient)
    );
    assert_ne!(
        fates(1, bad, Direction::ToServer),
        fates(2, bad, Direction::ToServer)
    );
}

#[test]
fn each_kind_happens_at_about_its_rate() {
    let impairments = Impairments {
        drop: 10,
        duplicate: 20,
        reorder: 40,
    };
    let fates = fates(7, impairments, Direction::ToServer);
    let count = |kind: fn(&Fate) -> bool| fates.iter().filter(|fate| kind(fate)).count();
    assert!((150..250).contains(&count(|fate| matches!(fate, Fate::Drop))));
    assert!((320..480).contains(&count(|fate| matches!(fate, Fate::Duplicate))));
    assert!((680..920).contains(&count(|fate| matches!(fate, Fate::Hold { .. }))));
}

#[test]
fn nothing_is_impaired_on_a_good_network_and_nothing_passes_a_blackhole() {
    let all = |impairments, fate| {
        fates(3, impairments, Direction::ToClient)
            .iter()
            .all(|drawn| *drawn == fate)
    };
    assert!(all(Impairments::NONE, Fate::Forward));
    assert!(all(Impairments::BLACKHOLE, Fate::Drop));
}

/// A client socket, a server socket, and a relay between them.
fn sockets(impairments: Impairments) -> (UdpSocket, UdpSocket, Relay) {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let relay = Relay::start(server.local_addr().expect("bound"), impairments).expect("a relay");
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.connect(relay.addr()).expect("an address");
    for socket in [&client, &server] {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
    }
    (client, server, relay)
}

fn recv(socket: &UdpSocket) -> (u64, SocketAddr) {
    let mut bytes = [0; 8];
    let (_len, from) = socket.recv_from(&mut bytes).expect("a datagram");
    (u64::from_le_bytes(bytes), from)
}

#[test]
fn each_client_has_an_address_of_its_own_and_answers_come_from_the_relay() {
    let (client, server, relay) = sockets(Impairments::NONE);
    let other = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    other
        .send_to(&2u64.to_le_bytes(), relay.addr())
        .expect("sent");
    let (number, from_other) = recv(&server);
    assert_eq!(number, 2);
    client.send(&1u64.to_le_bytes()).expect("sent");
    let (number, from_client) = recv(&server);
    assert_eq!(number, 1);
    assert_ne!(from_other, from_client);

    server
        .send_to(&3u64.to_le_bytes(), from_client)
        .expect("sent");
    // a connected socket takes datagrams from the address only that it sends to
    assert_eq!(recv(&client), (3, relay.addr()));
}

#[test]
fn a_bad_network_loses_doubles_and_reorders_exactly_what_the_seed_says() {
    let impairments = Impairments::all(100);
    let (client, server, relay) = sockets(impairments);
    let seed = seed::from_env();
    // few enough for the buffer of a socket that nobody reads yet
    let count: u64 = 200;

    let mut expected = Vec::new();
    for index in 0..count {
        client.send(&index.to_le_bytes()).expect("sent");
        match impairments.fate(seed, Direction::ToServer, index) {
            Fate::Drop => {}
            Fate::Duplicate => expected.extend([index, index]),
            Fate::Forward | Fate::Hold { .. } => expected.push(index),
        }
    }
    let arrived: Vec<u64> = expected.iter().map(|_| recv(&server).0).collect();

    assert!(!arrived.is_sorted(), "nothing was overtaken");
    let mut sorted = arrived;
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    let counts = relay.counts();
    counts.assert_all_kinds();
    assert_eq!(counts.received, count);
    let distinct: BTreeSet<u64> = expected.iter().copied().collect();
    assert_eq!(counts.dropped, count - distinct.len() as u64);
    assert_eq!(counts.duplicated, (expected.len() - distinct.len()) as u64);
}
