// SPDX-License-Identifier: Apache-2.0

//! Item 14: a send happens as a whole or not at all, and either is dealt with.

use super::*;
use nix::errno::Errno;

fn send(pair: &mut Pair, bytes: &[u8]) -> Vec<u8> {
    let (mut client, mut server) = pair.connect();
    let owned = bytes.to_vec();
    let writing = pair.spawn("write", async move { write_all(&mut client, &owned).await });
    let read = pair.block_on(read_all(&mut server), 20 * SECOND).unwrap();
    pair.block_on(writing, SECOND).unwrap();
    read
}

#[test]
fn a_socket_that_would_block_loses_nothing_and_keeps_the_order() {
    for count in [1, 2, 3, 10, 100] {
        let mut pair = Pair::new(Options::default());
        let (mut client, mut server) = pair.connect();
        pair.run_for(10 * MILLISECOND);
        let bytes = pattern(500_000, 1);
        let owned = bytes.clone();
        pair.network.would_block(Side::Client, count);
        let writing = pair.spawn("write", async move { write_all(&mut client, &owned).await });
        assert!(pair.block_on(read_all(&mut server), SECOND).unwrap() == bytes);
        pair.block_on(writing, SECOND).unwrap();
        let metrics = pair.client.metrics();
        assert_eq!(metrics.would_block, count as u64);
        assert_eq!((metrics.transmissions_failed, metrics.packets_lost), (0, 0));
        let numbers: Vec<u64> = data_of(&pair.network.sent(Side::Client, Kind::is_first_send))
            .iter()
            .map(|data| data.number)
            .collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
        assert_eq!(pair.network.sent(Side::Client, Kind::is_retransmission), []);
    }
}

#[test]
fn a_send_that_fails_is_counted_and_repaired() {
    for errno in [
        Errno::ENOBUFS,
        Errno::EPERM,
        Errno::EMSGSIZE,
        Errno::ECONNREFUSED,
    ] {
        for failing in 0..6 {
            let mut pair = Pair::new(Options::default());
            let mut calls = 0;
            pair.network.set_send_faults(Side::Client, move || {
                calls += 1;
                (calls == failing + 1).then_some(errno as i32)
            });
            let bytes = pattern(200_000, 1);
            assert!(
                send(&mut pair, &bytes) == bytes,
                "{errno} of send {failing}"
            );
            assert!(pair.client.metrics().transmissions_failed >= 1);
            pair.run_for(5 * SECOND);
            assert_at_rest(&pair);
        }
    }
}

#[test]
fn a_tenth_of_all_sends_fails_and_nothing_is_damaged() {
    for seed in 0..5 {
        let mut pair = Pair::new(Options::default());
        for (side, seed) in [(Side::Client, seed), (Side::Server, !seed)] {
            let mut dice = Dice(seed);
            pair.network.set_send_faults(side, move || {
                dice.percent(10).then_some(Errno::ENOBUFS as i32)
            });
        }
        let bytes = pattern(1_000_000, seed);
        assert!(send(&mut pair, &bytes) == bytes);
        pair.run_for(5 * SECOND);
        assert_at_rest(&pair);
    }
}

#[test]
fn a_socket_that_never_sends_ends_the_stream_at_the_idle_timeout() {
    let mut pair = Pair::new(Options {
        agreed: Agreement {
            idle_timeout_ms: 3_000,
            ..Options::default().agreed
        },
        ..Options::default()
    });
    let (mut client, server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network
        .set_send_faults(Side::Client, || Some(Errno::ENOBUFS as i32));
    let start = pair.clock.elapsed();
    pair.block_on(
        async { client.write_from(&mut &b"request"[..]).await },
        SECOND,
    )
    .unwrap();
    let error = pair
        .block_on(read_all(&mut client), 10 * SECOND)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(pair.clock.elapsed() - start <= 3 * SECOND + 10 * MILLISECOND);
    drop((client, server));
    pair.run_for(20 * SECOND);
    assert_at_rest(&pair);
}
