// SPDX-License-Identifier: Apache-2.0

//! The acknowledgement of a request leaves with its answer, and does not wait for that at the cost of others.

use super::*;

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

/// Reads a message that ends with `len` bytes of which nothing was acknowledged, and answers a moment later; returns how many
/// acknowledgements have left before the answer
fn before_the_answer(len: usize) -> usize {
    let mut pair = Pair::new(near());
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
    assert_eq!(end_now(&mut client, &end), len);
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

/// A stream of which the server has read the request, that was written by `write`
fn asked(
    pair: &mut Pair,
    request: &[u8],
    write: fn(&mut Stream, &[u8]) -> usize,
) -> (Stream, Stream) {
    let (opening, accepting) = (pair.open(), pair.accept());
    let mut client = pair.block_on(opening, SECOND).unwrap();
    assert_eq!(write(&mut client, request), request.len());
    let mut server = pair.block_on(accepting, SECOND).unwrap();
    assert_eq!(heard(&mut server), request.len());
    (client, server)
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
    let (mut client, mut server) = asked(pair, &pattern(len, 1), end_now);
    let at = pair.clock.micros();
    pair.run_for(2 * MILLISECOND);
    let said = said(pair);
    assert_eq!(said.len(), before + 1);
    assert_eq!(end_now(&mut server, b"answer"), 6);
    pair.run_for(MILLISECOND / 2);
    assert_eq!(heard(&mut client), 6);
    said[before].micros - at
}

/// What it has not acknowledged holds a part of the window, which others of the path could use
#[test]
fn who_answers_late_acknowledges_at_once_for_a_while() {
    let mut pair = Pair::new(near());
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
    let mut pair = Pair::new(near());
    let (mut client, mut server) = asked(&mut pair, &pattern(5000, 1), write_now);
    pair.run_for(8 * MILLISECOND / 10);
    assert_eq!(end_now(&mut client, &pattern(5000, 2)), 5000);
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
    assert_eq!(end_now(&mut server, b"answer"), 6);
    pair.settle();
    assert!((900..=1000).contains(&answer_late(&mut pair, 5000)));
}

/// The application has answered at once
#[test]
fn an_answer_that_waits_for_memory_is_not_late() {
    let mut options = near();
    options.pool.max_bytes = 2 << 20;
    options.pool.reserve_bytes = 1 << 20;
    let mut pair = Pair::new(options);
    let (_client, mut server) = asked(&mut pair, &pattern(5000, 1), end_now);
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
