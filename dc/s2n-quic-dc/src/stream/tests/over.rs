// SPDX-License-Identifier: Apache-2.0

//! What is left of a stream that is over: an answer for a peer that has not heard so, and nothing else.

use super::*;

/// A message to the server, whose stream is over then; the client's is not, because no acknowledgement has arrived
fn over_at_the_server_only(pair: &mut Pair) -> (Stream, [Weak<Shared>; 2]) {
    let (mut client, mut server) = pair.connect();
    let streams = watch(pair, 1);
    pair.network.set_faults(|sent| {
        if sent.side == Side::Server && sent.kind.is_control() {
            return Fate::Drop;
        }
        Fate::Deliver
    });
    pair.block_on(write_all(&mut client, b"all"), SECOND)
        .unwrap();
    let read = pair.block_on(read_all(&mut server), SECOND).unwrap();
    assert_eq!(read, b"all");
    drop(server);
    pair.run_for(10 * MILLISECOND);
    assert!(streams[1].upgrade().is_none(), "the server has said all");
    assert_eq!(pair.server.metrics().streams, 1, "it still answers");
    (client, streams)
}

#[test]
fn a_stream_that_is_over_keeps_no_state_and_answers_for_a_while() {
    let mut pair = Pair::new(Options::default());
    let (client, server) = pair.connect();
    let streams = watch(&pair, 1);
    let at_client = exchange(&mut pair, client, b"request".to_vec());
    let at_server = exchange(&mut pair, server, b"response".to_vec());
    pair.block_on(at_client, SECOND).unwrap();
    pair.block_on(at_server, SECOND).unwrap();
    pair.run_for(5 * MILLISECOND);
    assert!(streams.iter().all(|stream| stream.upgrade().is_none()));
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.metrics().streams, 1);
    }
    pair.run_for(100 * MILLISECOND);
    assert_at_rest(&pair);
}

#[test]
fn the_half_that_is_dropped_last_lets_the_stream_go() {
    for reader_is_first in [true, false] {
        let mut pair = Pair::new(Options::default());
        let (mut client, mut server) = pair.connect();
        let streams = watch(&pair, 1);
        pair.block_on(write_all(&mut client, b"all"), SECOND)
            .unwrap();
        let read = pair.block_on(read_all(&mut server), SECOND).unwrap();
        assert_eq!(read, b"all");
        // which the client does not read
        pair.block_on(write_all(&mut server, b"all"), SECOND)
            .unwrap();
        pair.run_for(100 * MILLISECOND);
        let (reader, writer) = client.into_split();
        if reader_is_first {
            drop(reader);
            pair.run_for(MILLISECOND);
            drop(writer);
        } else {
            drop(writer);
            pair.run_for(MILLISECOND);
            drop(reader);
        }
        drop(server);
        pair.settle();
        assert!(streams.iter().all(|stream| stream.upgrade().is_none()));
    }
}

#[test]
fn a_peer_that_has_not_heard_the_last_acknowledgement_is_answered() {
    let mut pair = Pair::new(Options::default());
    let (mut client, streams) = over_at_the_server_only(&mut pair);
    pair.network.clear_faults();
    let control = |pair: &Pair| pair.network.sent(Side::Server, Kind::is_control).len();
    let before = control(&pair);
    assert_eq!(
        pair.block_on(read_all(&mut client), SECOND).unwrap(),
        b"",
        "the server has only ended its half"
    );
    drop(client);
    pair.run_for(20 * MILLISECOND);
    let probes = pair.network.sent(Side::Client, Kind::is_retransmission);
    assert!(!probes.is_empty(), "the client has asked");
    assert!(control(&pair) > before, "the server has answered");
    assert!(streams[0].upgrade().is_none(), "and the client has heard");
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

#[test]
fn repetitions_are_answered_for_as_long_as_they_come_and_name_every_packet() {
    let mut pair = Pair::new(Options::default());
    let (client, streams) = over_at_the_server_only(&mut pair);
    drop(client);
    pair.run_for(SECOND);
    let probes = pair.network.sent(Side::Client, Kind::is_retransmission);
    assert!(probes.len() > 3, "the client has asked again and again");
    assert!(streams[0].upgrade().is_some());
    assert_eq!(pair.server.metrics().streams, 1, "it still answers");
    let answers = pair.network.sent(Side::Server, Kind::is_control);
    assert!(answers.len() > probes.len());
    // whichever of them arrives, it is enough
    pair.network.clear_faults();
    pair.run_for(SECOND);
    assert!(streams[0].upgrade().is_none());
    assert_eq!(pair.server.metrics().dropped_unroutable, 0);
    assert_at_rest(&pair);
}

#[test]
fn a_packet_with_other_credentials_is_not_answered() {
    let mut pair = Pair::new(Options::default());
    let (client, _) = over_at_the_server_only(&mut pair);
    let sent = |pair: &Pair| {
        pair.network
            .sent(Side::Client, |kind| kind.data().is_some())
    };
    let mut ours = sent(&pair).remove(0).bytes;
    let (other, _server) = pair.connect();
    let mut theirs = sent(&pair).pop().unwrap().bytes;
    let routes = &pair.server.core.shards[0].routes;
    let now = pair.server.core.clock.get_time();
    let mut answer = Vec::new();
    assert!(routes.answer(1, &mut ours, now, &mut answer).is_some());
    assert!(!answer.is_empty());
    assert!(routes.answer(1, &mut theirs, now, &mut answer).is_none());
    let mut noise = [0; 10];
    assert!(routes.answer(1, &mut noise, now, &mut answer).is_none());
    drop((client, other));
}
