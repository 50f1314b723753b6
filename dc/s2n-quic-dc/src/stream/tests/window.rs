// SPDX-License-Identifier: Apache-2.0

//! Item 11: what receive windows grow by is taken from the environment, and comes back as soon as nothing waits for the application.

use super::*;

/// A server whose receive windows start where the client's sender does, with a budget
fn options(max_receive_window_bytes: usize) -> Options {
    Options {
        max_receive_window_bytes,
        agreed: Agreement {
            recv_window: 89_400,
            ..Agreement::default()
        },
        ..Options::default()
    }
}

fn taken(pair: &Pair) -> u64 {
    pair.server.metrics().receive_window_bytes
}

/// Has the client write two megabytes and the end, and the server read half of them
fn half_a_transfer(pair: &mut Pair) -> (Stream, Stream) {
    let (mut client, mut server) = pair.connect();
    let writing = pair.spawn("write", async move {
        write_all(&mut client, &pattern(2_000_000, 1))
            .await
            .unwrap();
        client
    });
    let reading = async {
        let mut bytes = Vec::new();
        while bytes.len() < 1_000_000 {
            let mut part = vec![0; 65_536];
            let mut out = &mut part[..];
            let len = server.read_into(&mut out).await.unwrap();
            assert!(len > 0);
            bytes.extend_from_slice(&part[..len]);
        }
    };
    pair.block_on(reading, SECOND);
    let client = pair.block_on(writing, SECOND);
    (client, server)
}

#[test]
fn a_stream_that_was_read_to_its_end_holds_no_window_even_if_it_is_kept() {
    let mut pair = Pair::new(options(256 << 20));
    let (client, mut server) = half_a_transfer(&mut pair);
    assert!(taken(&pair) > 89_400, "{}", taken(&pair));
    pair.block_on(read_all(&mut server), SECOND).unwrap();
    assert_eq!(taken(&pair), 0);
    drop((client, server));
    pair.run_for(10 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_reader_that_is_dropped_gives_its_window_back_at_once() {
    let mut pair = Pair::new(options(256 << 20));
    let (client, server) = half_a_transfer(&mut pair);
    assert!(taken(&pair) > 89_400, "{}", taken(&pair));
    let (reader, writer) = server.into_split();
    drop(reader);
    assert_eq!(taken(&pair), 0);
    drop((client, writer));
    pair.run_for(10 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn an_application_that_does_not_read_costs_no_more_than_the_window_of_the_handshake() {
    let mut pair = Pair::new(options(256 << 20));
    let (mut client, server) = pair.connect();
    let writing = pair.spawn("write", async move {
        write_all(&mut client, &pattern(2_000_000, 1)).await
    });
    pair.run_for(5 * SECOND);
    assert!(!writing.is_done());
    let sent = pair.network.sent(Side::Client, Kind::is_first_send);
    let end = data_of(&sent)
        .iter()
        .map(|data| data.offset + data.len as u64)
        .max();
    assert_eq!(end, Some(89_400));
    assert_eq!(taken(&pair), 0);
    drop(server);
    pair.block_on(writing, 10 * SECOND).unwrap_err();
    pair.run_for(60 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn without_a_budget_refusals_are_counted_and_everything_arrives() {
    let mut pair = Pair::new(options(0));
    let (client, mut server) = pair.connect();
    let bytes = pattern(2_000_000, 1);
    let reading = exchange(&mut pair, client, bytes.clone());
    let echo = async {
        let read = read_all(&mut server).await.unwrap();
        write_all(&mut server, &read).await.unwrap();
    };
    pair.block_on(echo, 10 * SECOND);
    assert!(pair.block_on(reading, 10 * SECOND).unwrap() == bytes);
    for end in [&pair.client, &pair.server] {
        assert!(end.metrics().receive_window_refusals > 0);
        assert_eq!(end.metrics().receive_window_bytes, 0);
    }
}

#[test]
fn the_first_control_packets_promise_no_more_than_the_window() {
    let agreed = Agreement {
        // what the other end would take, as a client's handshake has it
        initial_window: 1 << 25,
        recv_window: 89_400,
        ..Agreement::default()
    };
    let mut pair = Pair::new(Options {
        agreed,
        ..options(256 << 20)
    });
    let (client, server) = pair.connect();
    pair.run_for(SECOND);
    let limits = pair.network.sent(Side::Server, Kind::is_control);
    assert!(!limits.is_empty());
    for sent in limits {
        let Kind::Control { max_data, .. } = sent.kind else {
            continue;
        };
        assert_eq!(max_data, 89_400);
    }
    drop((client, server));
}

#[test]
fn a_lost_promise_is_repeated_until_the_sender_that_waits_for_it_goes_on() {
    let mut pair = Pair::new(options(256 << 20));
    let (mut client, mut server) = pair.connect();
    let bytes = pattern(500_000, 1);
    let sent = bytes.clone();
    let writing = pair.spawn("write", async move { write_all(&mut client, &sent).await });
    // the window is full, and every byte of it is acknowledged: the sender has nothing to ask about
    pair.run_for(SECOND);
    pair.network.set_faults(drop_first(5, |sent| {
        sent.side == Side::Server && sent.kind.is_control()
    }));
    let read = pair.block_on(read_all(&mut server), 5 * SECOND).unwrap();
    assert!(read == bytes);
    pair.block_on(writing, SECOND).unwrap();
    let lost = pair
        .network
        .trace()
        .into_iter()
        .filter(|sent| sent.fate == Fate::Drop);
    assert_eq!(lost.count(), 5);
}
