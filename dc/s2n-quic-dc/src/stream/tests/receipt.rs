// SPDX-License-Identifier: Apache-2.0

//! Calls that follow each other take two packets each: the acknowledgement of an answer leaves with the next request.

use super::*;
use crate::{
    credentials::Id,
    stream::{path::Wakes, receipt::Receipt},
    sync::few::Few,
};
use s2n_quic_core::{buffer::reader::storage, varint::VarInt};

const DELAY: Duration = Duration::from_micros(100);

fn pair() -> Pair {
    Pair::new(Options {
        delay: DELAY,
        ..Options::default()
    })
}

/// Makes a call, and another one for each of the pauses, so long after the answer to the one before
fn calls_after(pair: &mut Pair, pauses: &[Duration]) {
    for pause in [Duration::ZERO].iter().chain(pauses) {
        if !pause.is_zero() {
            pair.run_for(*pause);
        }
        call(pair, 1000, 1000);
        // what is said as the stream is dropped
        pair.settle();
    }
}

fn calls(pair: &mut Pair, count: usize) {
    calls_after(pair, &vec![Duration::ZERO; count - 1]);
}

fn count(pair: &Pair, side: Side, f: impl Fn(&Kind) -> bool) -> usize {
    pair.network.sent(side, f).len()
}

/// Has the network lose the next packet of `side`
fn drop_next(pair: &Pair, side: Side) {
    let faults = drop_first(1, move |sent| sent.side == side);
    pair.network.set_faults(faults);
}

fn dropped(pair: &Pair) -> Vec<Sent> {
    let mut sent = pair.network.trace();
    sent.retain(|sent| sent.fate == Fate::Drop);
    sent
}

fn again(pair: &Pair) -> usize {
    let is_again = |kind: &Kind| !kind.is_first_send() && !kind.is_control();
    count(pair, Side::Client, is_again) + count(pair, Side::Server, is_again)
}

#[test]
fn a_call_in_a_row_takes_two_packets() {
    let mut pair = pair();
    calls(&mut pair, 50);
    // after the first answer no request is expected yet, and after the last one none comes
    assert_eq!(count(&pair, Side::Client, Kind::is_control), 1);
    pair.run_for(SECOND);
    assert_eq!(count(&pair, Side::Client, Kind::is_control), 2);
    assert_eq!(count(&pair, Side::Client, Kind::is_first_send), 50);
    assert_eq!(count(&pair, Side::Server, Kind::is_first_send), 50);
    assert_eq!(pair.network.trace().len(), 102);
    assert_at_rest(&pair);
}

/// Unless it would keep much of the server's window from being used
#[test]
fn an_answer_of_several_packets_has_one_as_well() {
    for (len, is_left) in [(5000, true), (60_000, true), (70_000, false)] {
        let mut pair = pair();
        // the window grows
        for _ in 0..20 {
            call(&mut pair, 1000, 200_000);
            pair.settle();
        }
        let before = count(&pair, Side::Client, Kind::is_control);
        for _ in 0..10 {
            let (opening, accepting) = (pair.open(), pair.accept());
            let mut client = pair.block_on(opening, SECOND).unwrap();
            assert_eq!(end_now(&mut client, &[7; 1000]), 1000);
            let mut server = pair.block_on(accepting, SECOND).unwrap();
            let mut request = Vec::<u8>::new();
            assert!(poll_once(server.read_into(&mut request)).is_ready());
            let answer = pattern(len, 3);
            assert_eq!(end_now(&mut server, &answer), len);
            // all of it is there when the client looks
            pair.run_for(3 * DELAY);
            let mut got = Vec::<u8>::new();
            assert!(poll_once(client.read_into(&mut got)).is_ready());
            assert!(got == answer, "{} of {len}", got.len());
            drop(client);
            pair.settle();
        }
        let said = count(&pair, Side::Client, Kind::is_control) - before;
        // before the first one no request was known to follow answers
        let expected = if is_left { 1 } else { 10 };
        assert_eq!(said, expected, "{len}");
        pair.run_for(SECOND);
        assert_eq!(again(&pair), 0, "{len}");
        assert_at_rest(&pair);
    }
}

/// The server needs to know what was lost
#[test]
fn an_answer_of_which_a_packet_was_lost_is_acknowledged_in_full() {
    let mut pair = pair();
    let call_once = |pair: &mut Pair| {
        call(pair, 1000, 5000);
        pair.settle();
    };
    for _ in 0..10 {
        call_once(&mut pair);
    }
    let before = count(&pair, Side::Client, Kind::is_control);
    pair.network.set_faults(drop_first(1, |sent| {
        sent.side == Side::Server && sent.kind.data().is_some_and(|data| data.number == 1)
    }));
    call_once(&mut pair);
    assert_eq!(dropped(&pair).len(), 1);
    // what came before it was missed, and what was sent again
    assert_eq!(count(&pair, Side::Client, Kind::is_control), before + 2);
    assert_eq!(again(&pair), 1);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

/// Well before the server asks for it
#[test]
fn what_no_request_takes_along_is_said_after_a_millisecond() {
    let mut pair = pair();
    calls(&mut pair, 10);
    let answered = pair.network.sent(Side::Server, Kind::is_first_send);
    let answered = answered.last().unwrap().micros + DELAY.as_micros() as u64;
    pair.run_for(SECOND);
    let said = pair.network.sent(Side::Client, Kind::is_control);
    let said = said.last().unwrap().micros;
    assert!(
        (1000..1200).contains(&(said - answered)),
        "{answered} {said}"
    );
    assert_eq!(again(&pair), 0);
}

/// The stream itself is still there to say it
#[test]
fn nothing_else_becomes_of_it_while_the_writer_is_kept() {
    let mut pair = pair();
    calls(&mut pair, 10);
    let (opening, accepting) = (pair.open(), pair.accept());
    pair.spawn("answer", echo(accepting));
    let call = async move {
        let (mut reader, mut writer) = opening.await?.into_split();
        writer.write_all_from_fin(&mut &[7; 1000][..]).await?;
        let mut answer = Vec::<u8>::new();
        while reader.read_into(&mut answer).await? > 0 {}
        io::Result::Ok(writer)
    };
    let writer = pair.block_on(call, SECOND).unwrap();
    let before = count(&pair, Side::Client, Kind::is_control);
    pair.run_for(2 * MILLISECOND);
    assert_eq!(count(&pair, Side::Client, Kind::is_control), before + 1);
    drop(writer);
    pair.run_for(SECOND);
    assert_eq!(count(&pair, Side::Client, Kind::is_control), before + 1);
    assert_eq!(again(&pair), 0);
    assert_at_rest(&pair);
}

/// It would only be said later, and by a timer
#[test]
fn who_asks_now_and_then_says_at_once_what_has_come() {
    let mut pair = pair();
    calls_after(&mut pair, &[2 * MILLISECOND; 10]);
    let answers = pair.network.sent(Side::Server, Kind::is_first_send);
    let said = pair.network.sent(Side::Client, Kind::is_control);
    assert_eq!(said.len(), 11);
    for (answer, said) in answers.iter().zip(&said) {
        assert_eq!(said.micros, answer.micros + DELAY.as_micros() as u64);
    }
}

#[test]
fn the_round_trip_is_that_of_the_network() {
    let mut pair = Pair::new(Options {
        delay: MILLISECOND,
        ..Options::default()
    });
    calls_after(&mut pair, &[MILLISECOND / 2; 100]);
    assert_eq!(count(&pair, Side::Client, Kind::is_control), 1);
    // 9/8 of it
    let thresholds = pair.server.path().loss_thresholds();
    assert_eq!(thresholds.time, 2 * MILLISECOND + MILLISECOND / 4);
}

/// The server asks for what it has not heard, and is answered in the place of the stream
#[test]
fn a_receipt_that_is_lost_with_its_request_is_asked_for() {
    let mut pair = pair();
    calls(&mut pair, 10);
    drop_next(&pair, Side::Client);
    calls(&mut pair, 1);
    pair.run_for(SECOND);
    let dropped = dropped(&pair);
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert!(dropped[0].kind.is_first_send());
    assert!(again(&pair) > 0);
    assert_at_rest(&pair);
}

/// Nobody is left to ask then. Of the first call no receipt was left, and of the last one none has been taken.
#[test]
fn who_has_heard_a_receipt_is_not_answered_any_more() {
    let mut pair = pair();
    calls(&mut pair, 10);
    assert_eq!(pair.client.metrics().streams, 2);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

#[test]
fn who_may_not_have_heard_it_is_answered_until_it_has() {
    let mut pair = pair();
    calls(&mut pair, 2);
    assert_eq!(pair.client.metrics().streams, 2);
    drop_next(&pair, Side::Server);
    let (opening, accepting) = (pair.open(), pair.accept());
    let serving = pair.spawn("answer", echo(accepting));
    let call = pair.spawn("call", ask(opening));
    pair.run_for(MILLISECOND);
    assert_eq!(dropped(&pair).len(), 1);
    assert_eq!(pair.client.metrics().streams, 3);
    assert_eq!(pair.block_on(call, SECOND).unwrap(), [7; 1000]);
    pair.block_on(serving, SECOND).unwrap();
    pair.settle();
    // its own end, and that of the first
    assert_eq!(pair.client.metrics().streams, 2);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

/// The server has the stream when the second packet comes, and takes nothing in that is for others
#[test]
fn no_packet_takes_receipts_but_the_one_that_opens_a_stream() {
    let mut pair = pair();
    calls(&mut pair, 10);
    let (opening, accepting) = (pair.open(), pair.accept());
    let call = pair.spawn("call", async move {
        let mut client = opening.await?;
        client.write_from(&mut storage::Empty).await?;
        client.write_all_from_fin(&mut &[7; 1000][..]).await?;
        read_all(&mut client).await
    });
    let serving = pair.spawn("answer", echo(accepting));
    assert_eq!(pair.block_on(call, SECOND).unwrap(), [7; 1000]);
    pair.block_on(serving, SECOND).unwrap();
    let first_sends = count(&pair, Side::Client, Kind::is_first_send);
    assert_eq!(first_sends, 12, "the call takes two");
    pair.run_for(SECOND);
    assert_eq!(again(&pair), 0);
    assert_at_rest(&pair);
}

/// As one is for a moment after it has left its receipt
#[test]
fn a_stream_that_is_not_over_is_not_forgotten() {
    let mut pair = pair();
    let (mut client, mut server) = pair.connect();
    let mut streams = Few::default();
    streams.push_back(1);
    pair.client.core.forget(streams);
    assert_eq!(pair.client.metrics().streams, 1);
    assert_eq!(write_now(&mut server, &[1; 1000]), 1000);
    let mut received = Vec::<u8>::new();
    let read = async { client.read_into(&mut received).await };
    assert_eq!(pair.block_on(read, SECOND).unwrap(), 1000);
}

/// What the network has marked needs the counts that an acknowledgement has
#[test]
fn an_answer_that_was_marked_is_acknowledged_in_full() {
    let mut pair = pair();
    calls(&mut pair, 10);
    let before = count(&pair, Side::Client, Kind::is_control);
    pair.network.set_faults(|sent| match sent.side {
        Side::Server => Fate::Mark,
        Side::Client => Fate::Deliver,
    });
    calls(&mut pair, 10);
    assert_eq!(count(&pair, Side::Client, Kind::is_control), before + 10);
}

/// A peer may only speak for streams of its own
#[test]
fn a_receipt_counts_for_the_stream_with_its_key_only() {
    let mut pair = pair();
    let (_client, mut server) = pair.connect();
    pair.network.set_faults(|sent| match sent.side {
        Side::Client => Fate::Drop,
        Side::Server => Fate::Deliver,
    });
    assert_eq!(write_now(&mut server, &[1; 1000]), 1000);
    // it has left, and its acknowledgement does not come
    pair.run_for(MILLISECOND);
    let outstanding = pair.server.metrics().window_outstanding;
    assert!(outstanding > 1000);
    // the first of the server, under the first key
    let id = *server.path_secret_id();
    let (queue_id, key_id) = (VarInt::from_u8(1), VarInt::ZERO);
    let say = |id, queue_id, key_id| {
        let mut receipts = Few::default();
        receipts.push_back(Receipt {
            queue_id,
            key_id,
            age: 0,
        });
        let mut wakes = Wakes::default();
        let now = pair.clock.now();
        pair.server.core.on_receipts(&id, receipts, now, &mut wakes);
        wakes.wake();
        pair.server.metrics().window_outstanding
    };
    let one = VarInt::from_u8(1);
    let other_id = Id::from([0; 16]);
    assert_eq!(say(id, queue_id, key_id + one), outstanding);
    assert_eq!(say(id, queue_id + one, key_id), outstanding);
    assert_eq!(say(other_id, queue_id, key_id), outstanding);
    assert_eq!(say(id, queue_id, key_id), 0);
    // said twice
    assert_eq!(say(id, queue_id, key_id), 0);
}
