// SPDX-License-Identifier: Apache-2.0

//! Item 11: an acknowledgement waits for nothing that data waits for.

use super::*;

#[test]
fn an_acknowledgement_leaves_although_data_has_no_memory() {
    let mut options = Options::default();
    options.pool.max_bytes = 2 << 20;
    options.pool.reserve_bytes = 1 << 20;
    let mut pair = Pair::new(options);
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let held = exhaust(&pair.server);
    assert!(!held.is_empty());
    let bytes = pattern(100_000, 1);
    let sent = bytes.clone();
    let writing = pair.spawn("write", async move {
        write_all(&mut client, &sent).await.map(|()| client)
    });
    assert!(pair.block_on(read_all(&mut server), SECOND).unwrap() == bytes);
    let _client = pair.block_on(writing, SECOND).unwrap();
    pair.run_for(20 * MILLISECOND);
    assert_eq!(pair.client.metrics().window_outstanding, 0);
    assert_eq!(pair.network.sent(Side::Client, Kind::is_retransmission), []);

    // data of the server waits meanwhile, and goes on when there is memory
    let writing = pair.spawn("write", async move {
        write_all(&mut server, b"reply").await.map(|()| server)
    });
    pair.run_for(100 * MILLISECOND);
    assert!(!writing.is_done());
    drop(held);
    pair.block_on(writing, SECOND).unwrap();
}

#[test]
fn acknowledgements_take_no_place_of_data_and_data_none_of_theirs() {
    let mut pair = Pair::new(Options {
        max_pending: 1,
        ..Options::default()
    });
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network.block(Side::Server, 20 * MILLISECOND);
    // the one place is taken by data, and an acknowledgement comes on top
    assert_eq!(write_now(&mut server, b"data"), 4);
    assert_eq!(write_now(&mut server, b"too much"), 0);
    assert_eq!(write_now(&mut client, b"request"), 7);
    // before the client repeats itself
    pair.run_for(3 * MILLISECOND);
    assert_eq!(pair.server.wheel_depth(), 2);
    let before = pair.network.sent(Side::Server, |_| true).len();
    pair.run_for(17 * MILLISECOND);
    let sent = pair.network.sent(Side::Server, |_| true).split_off(before);
    let now = sent[0].micros;
    let leaves_now =
        |f: fn(&Kind) -> bool| sent.iter().any(|sent| sent.micros == now && f(&sent.kind));
    assert!(leaves_now(Kind::is_control), "{sent:?}");
    assert!(leaves_now(Kind::is_first_send), "{sent:?}");

    // and one in the wheel takes no place of data
    pair.run_for(100 * MILLISECOND);
    pair.network.block(Side::Server, 20 * MILLISECOND);
    assert_eq!(write_now(&mut client, b"request"), 7);
    pair.run_for(3 * MILLISECOND);
    assert_eq!(pair.server.wheel_depth(), 1);
    assert_eq!(write_now(&mut server, b"data"), 4);
}

#[test]
fn an_acknowledgement_leaves_at_once_while_data_waits_for_its_time() {
    let mut pair = Pair::new(Options {
        delay: 20 * MILLISECOND,
        ..Options::default()
    });
    let (mut client, mut server) = pair.connect();
    pair.run_for(100 * MILLISECOND);
    let writing = pair.spawn("bulk", async move {
        let (reader, writer) = server.split();
        let mut bytes = &pattern(3_000_000, 1)[..];
        let mut request = Vec::<u8>::new();
        // reads whenever something is there, while it writes
        core::future::poll_fn(|cx| {
            while let Poll::Ready(read) = reader.poll_read_into(cx, &mut request) {
                if read.unwrap() == 0 {
                    break;
                }
            }
            while let Poll::Ready(written) = writer.poll_write_from(cx, &mut bytes, true) {
                written.unwrap();
                if bytes.is_empty() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
        server
    });
    let mut received = Vec::<u8>::new();
    let mut tried = 0;
    let mut at = 0;
    for _ in 0..20 {
        while pair.clock.micros() < at + 1_000 {
            pair.run_for(MILLISECOND / 4);
            let _ = poll_once(client.read_into(&mut received));
        }
        let before = pair.network.sent(Side::Server, Kind::is_control).len();
        assert_eq!(write_now(&mut client, b"request"), 7);
        let arrival = pair.clock.micros() + 20_000;
        while pair.clock.micros() < arrival - 100 {
            pair.run_for(MILLISECOND / 10);
            let _ = poll_once(client.read_into(&mut received));
        }
        let is_queued = pair.server.wheel_depth() > 0;
        pair.run_for(Duration::from_micros(arrival - pair.clock.micros() + 1));
        let controls = pair
            .network
            .sent(Side::Server, Kind::is_control)
            .split_off(before);
        if is_queued {
            tried += 1;
            let last = controls.last().expect("an acknowledgement");
            assert!((arrival..=arrival + 1).contains(&last.micros));
        }
        at = pair.clock.micros();
    }
    assert!(tried > 0, "no data was waiting for its time");
    while !writing.is_done() {
        pair.run_for(MILLISECOND);
        let _ = poll_once(client.read_into(&mut received));
    }
}

#[test]
fn a_half_has_at_most_two_control_packets_on_their_way() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let reading = pair.spawn("read", async move { read_all(&mut server).await });
    pair.network.block(Side::Server, 40 * MILLISECOND);
    // retransmissions would come on top
    let mut written = Vec::new();
    for _ in 0..30 {
        assert_eq!(write_now(&mut client, &[5; 100]), 100);
        written.extend([5; 100]);
        pair.run_for(MILLISECOND);
        assert!(
            pair.server.wheel_depth() <= 2,
            "{}",
            pair.server.wheel_depth()
        );
    }
    assert_eq!(pair.server.wheel_depth(), 2);
    pair.run_for(100 * MILLISECOND);
    // the last one says what came while the two were waiting
    assert_eq!(pair.client.metrics().window_outstanding, 0);
    client.split().1.shutdown().unwrap();
    assert!(pair.block_on(reading, SECOND).unwrap() == written);
}

/// Has the client write so many bytes at once, which arrive and are not read
fn arrived(pair: &mut Pair, len: usize) -> (Stream, Stream, usize) {
    let (mut client, server) = pair.connect();
    pair.run_for(100 * MILLISECOND);
    let before = pair.network.sent(Side::Server, Kind::is_control).len();
    assert_eq!(write_now(&mut client, &pattern(len, 1)), len);
    // half a millisecond before the worker opens them
    pair.run_for(MILLISECOND + MILLISECOND / 2);
    assert_eq!(
        pair.network.sent(Side::Server, Kind::is_control).len(),
        before
    );
    (client, server, before)
}

/// As who reads all of it at once
#[test]
fn who_reads_little_at_a_time_acknowledges_no_more_often() {
    let mut pair = Pair::new(Options::default());
    let (_client, mut server, before) = arrived(&mut pair, 12_000);
    let mut bytes = Vec::new();
    while bytes.len() < 12_000 {
        let mut some = [0; 500];
        let read = poll_once(server.read_into(&mut &mut some[..]));
        let Poll::Ready(Ok(len @ 1..)) = read else {
            panic!("all has arrived: {read:?}");
        };
        bytes.extend_from_slice(&some[..len]);
    }
    assert!(bytes == pattern(12_000, 1));
    pair.settle();
    let said = pair.network.sent(Side::Server, Kind::is_control).len() - before;
    assert!((1..=2).contains(&said), "{said}");
}

#[test]
fn a_reader_that_does_not_come_back_owes_no_acknowledgement_for_long() {
    let mut pair = Pair::new(Options::default());
    let (_client, mut server, before) = arrived(&mut pair, 12_000);
    let read = poll_once(server.read_into(&mut &mut [0; 500][..]));
    assert!(matches!(read, Poll::Ready(Ok(500))), "{read:?}");
    pair.settle();
    let said = |pair: &Pair| pair.network.sent(Side::Server, Kind::is_control).len() - before;
    assert_eq!(said(&pair), 0, "the others wait to be opened");
    pair.run_for(MILLISECOND / 2);
    assert_eq!(said(&pair), 1);
    // of everything: the client has nothing to ask for
    pair.run_for(SECOND);
    assert_eq!(pair.client.metrics().packets_retransmitted, 0);
    assert_eq!(pair.client.metrics().window_outstanding, 0);
}

/// The first packet is opened before the others are looked at that have come with it
#[test]
fn who_reads_the_beginning_of_a_stream_acknowledges_it_with_the_rest() {
    let mut pair = Pair::new(Options::default());
    let (opening, accepting) = (pair.open(), pair.accept());
    let mut client = pair.block_on(opening, SECOND).unwrap();
    assert_eq!(write_now(&mut client, &pattern(12_000, 1)), 12_000);
    let mut server = pair.block_on(accepting, SECOND).unwrap();
    let said = |pair: &Pair| pair.network.sent(Side::Server, Kind::is_control).len();
    let read = poll_once(server.read_into(&mut &mut [0; 500][..]));
    assert!(matches!(read, Poll::Ready(Ok(500))), "{read:?}");
    pair.settle();
    assert_eq!(said(&pair), 0);
    let mut rest = Vec::<u8>::new();
    let read = poll_once(server.read_into(&mut rest));
    assert!(matches!(read, Poll::Ready(Ok(11_500))), "{read:?}");
    pair.settle();
    assert_eq!(said(&pair), 1);
}

/// What comes with the first packet of a stream are those of others
#[test]
fn streams_that_begin_in_one_train_are_each_acknowledged_at_once() {
    let mut pair = Pair::new(near());
    let _known = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let (calls, said) = (
        |pair: &Pair| pair.network.calls(Side::Client),
        |pair: &Pair| pair.network.sent(Side::Server, Kind::is_control).len(),
    );
    let before = (calls(&pair).len(), said(&pair));
    let opening = [pair.open(), pair.open()];
    let mut streams = opening.map(|opening| pair.block_on(opening, SECOND).unwrap());
    for client in &mut streams {
        assert_eq!(write_now(client, b"begins"), 6);
    }
    // half of what the application has for it
    pair.run_for(MILLISECOND / 2);
    let calls = calls(&pair).split_off(before.0);
    assert_eq!((calls.len(), calls[0].segments), (1, 2), "{calls:?}");
    assert_eq!(said(&pair), before.1 + 2);
}
