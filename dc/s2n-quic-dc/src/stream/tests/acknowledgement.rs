// SPDX-License-Identifier: Apache-2.0

//! Item 11: an acknowledgement waits for nothing that data waits for.

use super::*;
use crate::socket::pool::{Class, Purpose, Unfilled};

/// Takes all that data may have of a pool
fn exhaust(end: &End) -> Vec<Unfilled> {
    let mut held = Vec::new();
    for class in [Class::Burst, Class::Packet] {
        while let Some(descriptor) = end.core.pool.alloc(class, Purpose::Data) {
            held.push(descriptor);
        }
    }
    held
}

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

/// A call takes three packets, if nothing is lost: the request, the answer with its acknowledgement, and the acknowledgement of that. A longer request
/// takes no more than its own: its first packet is not acknowledged alone, and its last ones are with the answer.
#[test]
fn a_call_takes_two_packets_more_than_its_request() {
    for (len, packets) in [(1024, 1), (5000, 4)] {
        let mut pair = Pair::new(Options::default());
        call(&mut pair, len, 1024);
        pair.run_for(10 * SECOND);
        let trace = pair.network.trace();
        assert_eq!(trace.len(), packets + 2, "{trace:#?}");
        assert_eq!(pair.network.sent(Side::Server, Kind::is_control), []);
        assert_at_rest(&pair);
    }
}

/// The client's acknowledgement of the answer shows that it has heard the server's of its request. Of the client's nobody knows.
#[test]
fn nobody_is_left_to_answer_who_has_heard_all() {
    let mut pair = Pair::new(Options::default());
    call(&mut pair, 1024, 1024);
    pair.run_for(5 * MILLISECOND);
    assert_eq!(pair.server.metrics().streams, 0);
    assert_eq!(pair.client.metrics().streams, 1);
    pair.run_for(100 * MILLISECOND);
    assert_at_rest(&pair);
}

/// Writes a request, whose answer comes after `hold` and nobody reads; returns when what the client has sent
fn unread_answer(hold: Option<Duration>) -> Vec<u64> {
    let mut pair = Pair::new(Options::default());
    pair.network
        .set_faults(move |sent| match (sent.side, hold) {
            (Side::Client, _) => Fate::Deliver,
            (Side::Server, Some(hold)) => Fate::Hold(hold),
            (Side::Server, None) => Fate::Drop,
        });
    let opening = pair.open();
    let mut client = pair.block_on(opening, SECOND).unwrap();
    let mut request = &b"request"[..];
    let written = poll_once(client.write_from_fin(&mut request));
    assert!(matches!(written, Poll::Ready(Ok(7))));
    let accepting = pair.accept();
    let _serving = pair.spawn("answer", async move {
        let mut server = accepting.await?;
        read_all(&mut server).await?;
        let mut answer = &b"answer"[..];
        server.write_all_from_fin(&mut answer).await
    });
    pair.run_for(10 * MILLISECOND);
    let sent = pair.network.sent(Side::Client, |_| true);
    sent.iter().map(|sent| sent.micros).collect()
}

#[test]
fn an_answer_that_waits_for_its_reader_keeps_the_request_from_being_sent_again() {
    let alone = unread_answer(None);
    let probe_after = Duration::from_micros(alone[1] - alone[0]);
    // half a millisecond before, of which the reader has a whole one
    let hold = probe_after - 2 * MILLISECOND - MILLISECOND / 2;
    let sent = unread_answer(Some(hold));
    assert_eq!(
        sent.len(),
        2,
        "the request, and that the answer has come: {sent:?}"
    );
    assert!(sent[1] - sent[0] < 10_000);
}

/// A request that just fits a packet does so without asking for an acknowledgement with the answer, and gets a control packet
#[test]
fn what_rides_makes_no_packet_more_and_was_asked_for() {
    let mut pair = Pair::new(Options::default());
    let mut calls = Vec::new();
    for len in 1380..1420 {
        // each with keys of its own: the ids of others are longer
        pair.run_for(2 * SECOND);
        let before = pair.network.sent(Side::Client, Kind::is_first_send).len();
        let controls = pair.network.sent(Side::Server, Kind::is_control).len();
        call(&mut pair, len, 1000);
        let requests = pair.network.sent(Side::Client, Kind::is_first_send);
        let controls = pair.network.sent(Side::Server, Kind::is_control).len() - controls;
        if requests.len() == before + 1 {
            assert_eq!(calls.len(), len - 1380, "a shorter one did not fit");
            let header = requests[before].bytes.len() - len;
            calls.push((header, controls));
        }
    }
    assert!((3..40).contains(&calls.len()), "{calls:?}");
    let last = calls.len() - 1;
    let (header, controls) = calls[last - 2];
    assert_eq!(controls, 0, "{calls:?}");
    assert_eq!(calls[last], (header - 2, 1), "{calls:?}");
}

/// The acknowledgement comes again with the answer
#[test]
fn a_lost_answer_costs_no_more_than_itself() {
    let mut pair = Pair::new(Options::default());
    pair.network.set_faults(move |sent| {
        match sent.side == Side::Server && sent.kind.is_first_send() {
            true => Fate::Drop,
            false => Fate::Deliver,
        }
    });
    call(&mut pair, 1000, 1000);
    pair.run_for(SECOND);
    let answers = pair.network.sent(Side::Server, Kind::is_first_send);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].fate, Fate::Drop);
    assert_at_rest(&pair);
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
    let mut pair = Pair::new(Options {
        delay: MILLISECOND / 10,
        ..Options::default()
    });
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

/// Reads a message that ends with `len` bytes of which nothing was acknowledged, and answers a moment later; returns how many
/// acknowledgements have left before the answer
fn before_the_answer(len: usize) -> usize {
    let mut pair = Pair::new(Options {
        delay: MILLISECOND / 10,
        ..Options::default()
    });
    let (mut client, mut server) = pair.connect();
    // the window grows
    let bytes = pattern(8_000_000, 1);
    let sent = bytes.clone();
    let writing = pair.spawn("write", async move {
        client.write_all_from(&mut &sent[..]).await.map(|_| client)
    });
    let mut received = Vec::<u8>::new();
    let reading = pair.spawn("read", async move {
        while received.len() < 8_000_000 {
            server.read_into(&mut received).await?;
        }
        assert!(received == bytes);
        io::Result::Ok(server)
    });
    let mut client = pair.block_on(writing, 10 * SECOND).unwrap();
    let mut server = pair.block_on(reading, 10 * SECOND).unwrap();
    pair.run_for(100 * MILLISECOND);

    let before = pair.network.sent(Side::Server, Kind::is_control).len();
    let end = pattern(len, 2);
    let mut unwritten = &end[..];
    while !unwritten.is_empty() {
        let written = poll_once(client.write_from_fin(&mut unwritten));
        assert!(matches!(written, Poll::Ready(Ok(1..))), "{written:?}");
    }
    pair.run_for(MILLISECOND / 2);
    let mut got = Vec::<u8>::new();
    let read = poll_once(server.read_into(&mut got));
    assert!(matches!(read, Poll::Ready(Ok(_))), "{read:?}");
    assert!(got == end, "{} of {len}", got.len());
    pair.run_for(MILLISECOND / 4);
    let said = pair.network.sent(Side::Server, Kind::is_control).len() - before;
    assert_eq!(write_now(&mut server, b"answer"), 6);
    pair.run_for(SECOND);
    assert_eq!(pair.client.metrics().window_outstanding, 0);
    assert_eq!(pair.client.metrics().packets_retransmitted, 0);
    said
}

/// Else what others of the path have to send would wait for the application
#[test]
fn the_end_of_a_message_is_acknowledged_at_once_if_it_is_long() {
    assert_eq!(before_the_answer(200_000), 0);
    assert_eq!(before_the_answer(300_000), 1);
}

/// A stream of which the server has read `request`, as the first half of it or all
fn asked(pair: &mut Pair, request: &[u8], is_fin: bool) -> (Stream, Stream) {
    let (opening, accepting) = (pair.open(), pair.accept());
    let mut client = pair.block_on(opening, SECOND).unwrap();
    say(&mut client, request, is_fin);
    let mut server = pair.block_on(accepting, SECOND).unwrap();
    assert_eq!(heard(&mut server), request.len());
    (client, server)
}

fn say(stream: &mut Stream, mut bytes: &[u8], is_fin: bool) {
    let len = bytes.len();
    let written = match is_fin {
        true => poll_once(stream.write_from_fin(&mut bytes)),
        false => poll_once(stream.write_from(&mut bytes)),
    };
    assert!(matches!(written, Poll::Ready(Ok(written)) if written == len));
}

/// Bytes that are there to be read
fn heard(stream: &mut Stream) -> usize {
    match poll_once(stream.read_into(&mut Vec::<u8>::new())) {
        Poll::Ready(read) => read.unwrap(),
        Poll::Pending => 0,
    }
}

/// Makes a call, which is answered late; returns for how many microseconds the acknowledgement has waited
fn answer_late(pair: &mut Pair, len: usize) -> u64 {
    let said = |pair: &Pair| pair.network.sent(Side::Server, Kind::is_control);
    let before = said(pair).len();
    let (mut client, mut server) = asked(pair, &pattern(len, 1), true);
    let at = pair.clock.micros();
    pair.run_for(2 * MILLISECOND);
    let said = said(pair);
    assert_eq!(said.len(), before + 1);
    say(&mut server, b"answer", true);
    pair.run_for(MILLISECOND / 2);
    assert_eq!(heard(&mut client), 6);
    said[before].micros - at
}

/// What it has not acknowledged holds a part of the window, which others of the path could use
#[test]
fn who_answers_late_acknowledges_at_once_for_a_while() {
    let mut pair = Pair::new(Options {
        delay: MILLISECOND / 10,
        ..Options::default()
    });
    for _ in 0..2 {
        assert!((900..=1000).contains(&answer_late(&mut pair, 5000)));
        for _ in 0..5 {
            assert_eq!(answer_late(&mut pair, 5000), 0);
            // a packet holds next to nothing
            assert!((900..=1000).contains(&answer_late(&mut pair, 1000)));
        }
        pair.run_for(100 * MILLISECOND);
        assert!((900..=1000).contains(&answer_late(&mut pair, 1000)));
    }
}

/// Whoever looks after the first packets says that the last ones have come, a moment after they have
#[test]
fn who_has_just_begun_to_wait_for_an_answer_does_not_think_that_it_is_late() {
    let mut pair = Pair::new(Options {
        delay: MILLISECOND / 10,
        ..Options::default()
    });
    let (mut client, mut server) = asked(&mut pair, &pattern(5000, 1), false);
    pair.run_for(8 * MILLISECOND / 10);
    say(&mut client, &pattern(5000, 2), true);
    pair.run_for(MILLISECOND / 10);
    assert_eq!(heard(&mut server), 5000);
    let said = |pair: &Pair| pair.network.sent(Side::Server, Kind::is_control).len();
    let before = said(&pair);
    pair.run_for(MILLISECOND / 4);
    assert_eq!(
        said(&pair),
        before + 1,
        "the first packets were looked after"
    );
    say(&mut server, b"answer", true);
    pair.settle();
    assert!((900..=1000).contains(&answer_late(&mut pair, 5000)));
}

/// The application has answered at once
#[test]
fn an_answer_that_waits_for_memory_is_not_late() {
    let mut options = Options {
        delay: MILLISECOND / 10,
        ..Options::default()
    };
    options.pool.max_bytes = 2 << 20;
    options.pool.reserve_bytes = 1 << 20;
    let mut pair = Pair::new(options);
    let (_client, mut server) = asked(&mut pair, &pattern(5000, 1), true);
    let held = exhaust(&pair.server);
    let writing = pair.spawn("answer", async move {
        server.write_all_from_fin(&mut &b"answer"[..]).await
    });
    pair.run_for(2 * MILLISECOND);
    assert!(!writing.is_done());
    assert_eq!(pair.network.sent(Side::Server, Kind::is_control).len(), 1);
    drop(held);
    pair.block_on(writing, SECOND).unwrap();
    assert!((900..=1000).contains(&answer_late(&mut pair, 5000)));
}
