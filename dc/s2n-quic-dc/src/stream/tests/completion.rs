// SPDX-License-Identifier: Apache-2.0

//! Item 2: what is submitted is completed, once, whatever becomes of it and of its stream.

use super::*;

#[test]
fn every_submission_is_completed_once_in_a_transfer_with_loss() {
    for seed in 0..10 {
        let mut pair = Pair::new(Options::default());
        let (client, server) = pair.connect();
        let streams = watch(&pair, 1);
        pair.network.set_faults(lossy(20, seed));
        let bytes = pattern(200_000, seed);
        let at_client = exchange(&mut pair, client, bytes.clone());
        let at_server = exchange(&mut pair, server, bytes.clone());
        assert!(pair.block_on(at_client, 20 * SECOND).unwrap() == bytes);
        assert!(pair.block_on(at_server, 20 * SECOND).unwrap() == bytes);
        pair.run_for(5 * SECOND);
        assert_at_rest(&pair);
        assert!(streams.iter().all(|stream| stream.upgrade().is_none()));
    }
}

#[test]
fn a_dropped_stream_is_delivered_from_the_wheel_and_leaks_nothing() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    let streams = watch(&pair, 1);
    pair.network.block(Side::Client, 100 * MILLISECOND);
    let bytes = pattern(50_000, 1);
    assert_eq!(write_now(&mut client, &bytes), bytes.len());
    let (reader, writer) = client.into_split();
    drop(writer);
    let read = pair.block_on(read_all(&mut server), SECOND).unwrap();
    assert!(read == bytes);
    drop((server, reader));
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
    assert!(streams.iter().all(|stream| stream.upgrade().is_none()));
}

/// A stream with packets that wait for the client's socket, whose reader stops it meanwhile
fn stopped_with_packets_in_the_wheel(pair: &mut Pair) -> Stream {
    let (mut client, server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network.block(Side::Client, 50 * MILLISECOND);
    let bytes = pattern(50_000, 1);
    assert_eq!(write_now(&mut client, &bytes), bytes.len());
    // the reader's last word is on its way while the socket is blocked
    drop(server);
    pair.run_for(20 * MILLISECOND);
    client
}

#[test]
fn packets_of_a_stream_that_was_stopped_are_completed_as_cancelled() {
    let mut pair = Pair::new(Options::default());
    let client = stopped_with_packets_in_the_wheel(&mut pair);
    assert!(pair.client.wheel_depth() > 0);
    drop(client);
    pair.run_for(5 * SECOND);
    let data = pair.network.sent(Side::Client, |kind| {
        kind.data().is_some_and(|data| data.len > 0)
    });
    assert_eq!(data, [], "data that nobody reads was sent");
    assert!(pair.client.metrics().transmissions_cancelled > 0);
    assert_at_rest(&pair);
}

#[test]
fn a_stopped_stream_gives_back_all_it_had() {
    let mut pair = Pair::new(Options::default());
    let mut client = stopped_with_packets_in_the_wheel(&mut pair);
    let write = pair.block_on(async { client.write_from(&mut &b"more"[..]).await }, SECOND);
    assert_eq!(write.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    drop(client);
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_stopped_stream_blocks_no_other() {
    let mut pair = Pair::new(Options::default());
    let stopped = stopped_with_packets_in_the_wheel(&mut pair);
    drop(stopped);
    let (client, mut server) = pair.connect();
    let bytes = pattern(300_000, 3);
    let at_client = exchange(&mut pair, client, bytes.clone());
    let read = pair.block_on(read_all(&mut server), SECOND).unwrap();
    assert!(read == bytes);
    drop(server);
    drop(at_client);
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_late_completion_does_not_bring_a_finished_stream_back() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    // the server has said all it has to say, and the client knows
    pair.block_on(write_all(&mut server, b"done"), SECOND)
        .unwrap();
    pair.run_for(100 * MILLISECOND);
    // the client's end arrives, its repetitions do not, and the acknowledgement waits for the socket
    pair.network.block(Side::Server, 2 * SECOND);
    let mut is_first = true;
    pair.network.set_faults(move |sent| {
        let arrives = sent.side == Side::Server || core::mem::take(&mut is_first);
        if arrives {
            Fate::Deliver
        } else {
            Fate::Drop
        }
    });
    pair.block_on(write_all(&mut client, b"all"), SECOND)
        .unwrap();
    assert_eq!(
        pair.block_on(read_all(&mut server), SECOND).unwrap(),
        b"all"
    );
    drop(server);
    pair.run_for(SECOND);
    assert_eq!(
        pair.server.metrics().streams,
        0,
        "the server has nothing to wait for"
    );
    assert!(
        pair.server.wheel_depth() > 0,
        "the acknowledgement is still to be sent"
    );
    let before = pair.network.sent(Side::Server, Kind::is_control).len();
    pair.run_for(2 * SECOND);
    assert!(pair.network.sent(Side::Server, Kind::is_control).len() > before);
    assert_eq!(pair.server.metrics().streams, 0);
    assert_eq!(
        pair.block_on(read_all(&mut client), SECOND).unwrap(),
        b"done"
    );
    drop(client);
    pair.network.clear_faults();
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}
