// SPDX-License-Identifier: Apache-2.0

//! Streams that end early: nothing is left behind, nothing that arrived is lost, and the peer knows.

use super::*;
use crate::stream::shared::CloseCode;

/// Ends the client's writer as a panic of its thread would
fn abandon_writer(pair: &Pair, queue_id: u64) {
    let shared = pair.client.core.stream(queue_id).unwrap();
    let now = shared.now();
    let error = crate::stream::send::Error::new(crate::stream::send::ErrorKind::ApplicationError {
        error: s2n_quic_core::varint::VarInt::from_u8(1).into(),
    });
    let mut send = shared.send().lock();
    send.on_local_error(error, CloseCode::APPLICATION, &shared, now);
    let wakes = send.take_wakes();
    let timeout = send.next_timeout(now);
    drop(send);
    wakes.wake();
    shared.arm_send(timeout);
}

#[test]
fn copies_of_a_close_that_are_still_on_their_way_hold_nothing_once_one_was_heard() {
    let mut pair = Pair::new(Options::default());
    let (client, server) = pair.connect();
    pair.run_for(50 * MILLISECOND);
    // the answer to the first close is late, so that a second one follows; the answer to that one is lost
    let mut answers = 0;
    pair.network.set_faults(move |sent| {
        if sent.side == Side::Server && sent.kind.is_control() {
            answers += 1;
            if answers > 1 {
                return Fate::Drop;
            }
            return Fate::Hold(20 * MILLISECOND);
        }
        Fate::Deliver
    });
    abandon_writer(&pair, 1);
    pair.run_for(100 * MILLISECOND);
    let closes = pair.network.sent(Side::Client, Kind::closes);
    assert!(closes.len() > 1, "the close was not repeated");
    pair.network.clear_faults();
    drop((client, server));
    pair.run_for(10 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn what_arrived_before_a_failure_is_read_before_it() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.block_on(
        async { client.write_from(&mut &b"never read"[..]).await },
        SECOND,
    )
    .unwrap();
    pair.run_for(10 * MILLISECOND);
    // the whole answer, its end, and the reader's refusal, all in one moment; the client does not look meanwhile
    let answer = pattern(1000, 7);
    let mut bytes = &answer[..];
    assert!(matches!(
        poll_once(server.write_all_from_fin(&mut bytes)),
        Poll::Ready(Ok(1000))
    ));
    let (reader, writer) = server.into_split();
    drop(reader);
    pair.settle();
    pair.run_for(Duration::from_micros(700));
    let read = pair.block_on(read_all(&mut client), SECOND);
    assert!(read.unwrap() == answer);
    drop((client, writer));
    pair.run_for(10 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_stream_that_failed_by_idling_gives_its_admission_back_though_its_handle_is_held() {
    let mut pair = Pair::new(Options::default());
    pair.network.set_faults(|_| Fate::Drop);
    let opening = pair.open();
    let mut client = pair.block_on(opening, SECOND).unwrap();
    let mut empty: &[u8] = &[];
    assert!(poll_once(client.write_from(&mut empty)).is_ready());
    assert_eq!(pair.client.metrics().opens_unconfirmed, 1);
    pair.run_for(60 * SECOND);
    let error = pair
        .block_on(read_all(&mut client), SECOND)
        .expect_err("nothing was heard");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(pair.client.metrics().opens_unconfirmed, 0);
}

#[test]
fn a_close_is_repeated_a_few_times_and_then_the_peer_counts_as_gone() {
    let mut pair = Pair::new(Options::default());
    let (client, server) = pair.connect();
    pair.run_for(50 * MILLISECOND);
    pair.network.set_faults(|sent| {
        if sent.side == Side::Server {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    drop(server);
    pair.run_for(20 * SECOND);
    let closes = pair.network.sent(Side::Server, Kind::closes);
    assert!(
        (2..=40).contains(&closes.len()),
        "{} closes were sent",
        closes.len()
    );
    pair.network.clear_faults();
    drop(client);
    pair.run_for(60 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_close_does_not_wear_out_while_packets_keep_coming() {
    let mut pair = Pair::new(Options::default());
    let (mut client, server) = pair.connect();
    pair.run_for(50 * MILLISECOND);
    // no close gets through for a while, and the client goes on sending one packet at a time
    pair.network
        .set_faults(drop_first(usize::MAX, |sent| sent.kind.closes()));
    drop(server);
    for _ in 0..400 {
        write_now(&mut client, &[1; 10]);
        pair.run_for(MILLISECOND);
    }
    pair.network.clear_faults();
    let error = pair.block_on(
        async {
            loop {
                if let Err(error) = client.write_from(&mut &[1; 10][..]).await {
                    break error;
                }
            }
        },
        10 * SECOND,
    );
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    drop(client);
    pair.run_for(10 * SECOND);
    assert_at_rest(&pair);
}
