// SPDX-License-Identifier: Apache-2.0

//! Calls that follow each other use the same keys, and no number is sealed twice with one.

use super::*;
use crate::{
    credentials::Credentials,
    stream::keys::{offers::Claimed, Generation},
};
use s2n_quic_core::varint::VarInt;
use std::collections::HashMap;

const DELAY: Duration = Duration::from_micros(100);

/// Has made a call already: who calls for the first time is offered nothing
fn pair() -> Pair {
    let mut pair = Pair::new(Options {
        delay: DELAY,
        ..Options::default()
    });
    calls(&mut pair, 1);
    assert_eq!(pair.server.metrics().kept_keys, 0);
    pair
}

/// Makes so many calls, one after the other
fn calls(pair: &mut Pair, count: usize) {
    for _ in 0..count {
        call(pair, 1000, 1000);
        // what is said as the stream is dropped
        pair.settle();
    }
}

/// Makes so many calls, all at once
fn at_once(pair: &mut Pair, count: usize) {
    let call = |pair: &mut Pair| {
        let (opening, accepting) = (pair.open(), pair.accept());
        pair.spawn("answer", echo(accepting));
        pair.spawn("call", ask(opening))
    };
    let calls: Vec<_> = (0..count).map(|_| call(pair)).collect();
    for call in calls {
        assert_eq!(pair.block_on(call, SECOND).unwrap(), [7; 1000]);
    }
    pair.settle();
}

/// The first packets of the streams after the first one, in order
fn openings(pair: &Pair) -> Vec<Sent> {
    let is_first = |kind: &Kind| matches!(kind, Kind::Data(data) if data.number == 0);
    pair.network.sent(Side::Client, is_first).split_off(1)
}

/// The id under which the map has derived the keys of a packet, and the generation
fn keys_of(sent: &Sent) -> (u64, u64) {
    let key_id = sent.kind.data().unwrap().key_id;
    let of_map = Generation::map_key_id(VarInt::new(key_id).unwrap()).as_u64();
    (of_map, key_id >> 40)
}

fn opened_with(pair: &Pair) -> Vec<(u64, u64)> {
    openings(pair).iter().map(keys_of).collect()
}

/// The credentials of the stream after the one that was opened with this packet
fn after(pair: &Pair, opening: &Sent) -> Credentials {
    let client = Side::Client.addr();
    let id = *pair.server.core.map.get_untracked(client).unwrap().id();
    let key_id = VarInt::new(opening.kind.data().unwrap().key_id).unwrap();
    Generation::successor(&Credentials { id, key_id }).unwrap()
}

/// Whether the keys of the last stream were taken over
fn is_continued(pair: &Pair) -> bool {
    opened_with(pair).last().unwrap().1 > 0
}

/// Each number of a key seals one packet, however often that is sent
fn assert_sealed_once(pair: &Pair) {
    let mut sealed = HashMap::new();
    let mut generations = 0;
    for sent in pair.network.trace() {
        let Kind::Data(data) = sent.kind else {
            continue;
        };
        let (of_map, generation) = keys_of(&sent);
        generations = generations.max(generation);
        let nonce = (generation << 32) + data.number;
        let key = (sent.side as u8, of_map, nonce);
        let first = sealed.entry(key).or_insert_with(|| sent.bytes.clone());
        assert_eq!(*first, sent.bytes, "{sent:?}");
    }
    assert!(generations > 0, "nothing was taken over");
}

#[test]
fn a_call_goes_on_with_the_keys_of_the_one_before() {
    let mut pair = pair();
    calls(&mut pair, 4);
    let first = opened_with(&pair)[0].0;
    let expected: Vec<_> = (0..4).map(|generation| (first, generation)).collect();
    assert_eq!(opened_with(&pair), expected);
    for metrics in [pair.client.metrics(), pair.server.metrics()] {
        assert_eq!(metrics.streams_continued, 3);
        assert_eq!(metrics.kept_keys, 1);
    }
    assert_sealed_once(&pair);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

#[test]
fn keys_are_renewed_after_a_thousand_calls() {
    let mut pair = pair();
    calls(&mut pair, 1026);
    let opened = opened_with(&pair);
    assert_eq!(opened[1023], (opened[0].0, 1023));
    assert_eq!(opened[1024], (opened[0].0 + 1, 0));
    assert_eq!(opened[1025], (opened[0].0 + 1, 1));
    assert_eq!(pair.server.metrics().kept_keys, 1);
}

/// A map that has dropped the secret is heard by then
#[test]
fn keys_are_renewed_after_half_a_minute() {
    let mut pair = pair();
    for _ in 0..70 {
        calls(&mut pair, 1);
        pair.run_for(SECOND / 2);
    }
    let opened = opened_with(&pair);
    let renewed = opened.iter().filter(|(_, generation)| *generation == 0);
    assert_eq!(renewed.count(), 2, "{opened:?}");
    assert_eq!(opened[60].0, opened[0].0);
    assert_eq!(opened[61].0, opened[0].0 + 1);
}

/// With the next ones that are left, so that no timer has to look after them
#[test]
fn what_nobody_comes_for_is_let_go() {
    let mut pair = pair();
    at_once(&mut pair, 8);
    let kept = |pair: &Pair| [&pair.client, &pair.server].map(|end| end.metrics().kept_keys);
    assert_eq!(kept(&pair), [8, 8]);
    pair.run_for(62 * SECOND);
    assert_eq!(pair.next_event(), None);
    calls(&mut pair, 2);
    assert_eq!(kept(&pair), [1, 1]);
}

/// Each has keys of its own, and those that are used again are the warmest
#[test]
fn calls_at_once_use_as_many_keys_as_there_are_calls() {
    let mut pair = pair();
    at_once(&mut pair, 8);
    assert_eq!(pair.client.metrics().kept_keys, 8);
    at_once(&mut pair, 8);
    let opened = opened_with(&pair);
    let (mut first, mut second) = (opened[..8].to_vec(), opened[8..].to_vec());
    second.iter_mut().for_each(|(_, generation)| {
        assert_eq!(core::mem::take(generation), 1);
    });
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!(first, second);
    assert_eq!(pair.client.metrics().kept_keys, 8);
    assert_sealed_once(&pair);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

/// The answer carries the offer again, wherever it comes from
#[test]
fn losses_neither_use_a_number_twice_nor_leave_keys_twice() {
    let mut lost = 0;
    for seed in 0..20 {
        let mut pair = pair();
        pair.network.set_faults(lossy(20, seed));
        calls(&mut pair, 20);
        pair.run_for(2 * SECOND);
        assert_sealed_once(&pair);
        assert!(pair.client.metrics().kept_keys <= 1);
        assert_at_rest(&pair);
        let is_lost = |sent: &&Sent| sent.fate == Fate::Drop;
        lost += pair.network.trace().iter().filter(is_lost).count();
    }
    assert!(lost > 100, "{lost}");
}

#[test]
fn what_comes_twice_or_late_neither_opens_a_stream_nor_uses_a_number_twice() {
    let mut pair = pair();
    let mut dice = Dice(5);
    pair.network.set_faults(move |_| match dice.percent(50) {
        true => Fate::Duplicate,
        false if dice.percent(20) => Fate::Hold(Duration::from_millis(3)),
        false => Fate::Deliver,
    });
    calls(&mut pair, 100);
    pair.run_for(2 * SECOND);
    assert_sealed_once(&pair);
    assert_eq!(pair.server.metrics().streams_accepted, 101);
    assert!(pair.server.metrics().streams_continued > 50);
    assert_at_rest(&pair);
}

/// At whatever time: while the stream is there, while it answers, and after
#[test]
fn a_first_packet_that_is_replayed_opens_nothing() {
    let mut pair = pair();
    calls(&mut pair, 3);
    let replay = |pair: &mut Pair| {
        for opening in openings(pair) {
            pair.network.inject(Side::Client, opening.bytes);
        }
        pair.run_for(MILLISECOND);
        assert_eq!(pair.server.metrics().streams_accepted, 4);
    };
    replay(&mut pair);
    pair.run_for(SECOND);
    replay(&mut pair);
    assert_at_rest(&pair);
    // the next one is offered all the same
    calls(&mut pair, 1);
    assert_eq!(pair.server.metrics().streams_accepted, 5);
    // and when nothing is known of it any more
    pair.run_for(100 * SECOND);
    for opening in openings(&pair) {
        pair.network.inject(Side::Client, opening.bytes);
    }
    pair.run_for(SECOND);
    assert_eq!(pair.server.metrics().streams_accepted, 5);
}

#[test]
fn an_offer_outlives_packets_that_are_not_authentic() {
    let mut pair = pair();
    calls(&mut pair, 2);
    pair.network.set_faults(|_| Fate::Drop);
    let opening = pair.open();
    let mut client = pair.block_on(opening, SECOND).unwrap();
    assert_eq!(write_now(&mut client, &[7; 100]), 100);
    pair.settle();
    let mut forged = openings(&pair).last().unwrap().bytes.clone();
    assert_eq!(keys_of(openings(&pair).last().unwrap()).1, 2);
    *forged.last_mut().unwrap() ^= 1;
    pair.network.clear_faults();
    pair.network.inject(Side::Client, forged);
    pair.run_for(MILLISECOND);
    assert_eq!(pair.server.metrics().streams_accepted, 3);
    assert!(pair.server.metrics().dropped_unauthenticated > 0);
    // the stream's own packet is sent again
    let accepting = pair.accept();
    let mut server = pair.block_on(accepting, SECOND).unwrap();
    let mut bytes = [0; 100];
    let read = pair.block_on(server.read_into(&mut &mut bytes[..]), SECOND);
    assert_eq!((read.unwrap(), bytes), (100, [7; 100]));
    assert_eq!(pair.server.metrics().streams_continued, 2);
}

/// Else the server might have forgotten them when the stream gets there
#[test]
fn keys_that_have_waited_for_a_second_are_not_used() {
    let mut pair = pair();
    calls(&mut pair, 2);
    pair.run_for(SECOND - MILLISECOND);
    calls(&mut pair, 1);
    assert!(is_continued(&pair));
    pair.run_for(SECOND);
    calls(&mut pair, 1);
    assert!(!is_continued(&pair));
}

/// It would not come in time to take them
#[test]
fn who_calls_less_often_than_once_a_second_is_offered_nothing() {
    let mut pair = pair();
    for _ in 0..3 {
        pair.run_for(SECOND);
        calls(&mut pair, 1);
        assert_eq!(pair.server.metrics().kept_keys, 0);
    }
    calls(&mut pair, 1);
    assert!(!is_continued(&pair));
    assert_eq!(pair.server.metrics().kept_keys, 1);
}

/// The server keeps them for as long as a packet of a stream that was opened in time can take
#[test]
fn an_offer_stands_for_two_idle_timeouts() {
    let mut pair = pair();
    calls(&mut pair, 1);
    let is_down = |_: &Sent| Fate::Drop;
    pair.run_for(SECOND - 10 * MILLISECOND);
    pair.network.set_faults(is_down);
    let opening = pair.open();
    let mut client = pair.block_on(opening, SECOND).unwrap();
    write_now(&mut client, &[7; 100]);
    pair.run_for(29 * SECOND);
    pair.network.clear_faults();
    let accepting = pair.accept();
    pair.block_on(accepting, 10 * SECOND).unwrap();
    assert!(is_continued(&pair));
}

#[test]
fn streams_that_fail_leave_no_keys() {
    let mut pair = pair();
    let (opening, accepting) = (pair.open(), pair.accept());
    let call = pair.spawn("call", async move {
        let (mut reader, mut writer) = opening.await?.into_split();
        writer.write_all_from_fin(&mut &[7; 1000][..]).await?;
        reader.read_into(&mut &mut [0; 10][..]).await
    });
    let serving = pair.spawn("answer", async move {
        let mut server = accepting.await?;
        read_all(&mut server).await?;
        let answer = pattern(100_000, 1);
        write_all(&mut server, &answer).await
    });
    // the rest is not read
    pair.block_on(call, SECOND).unwrap();
    let _ = pair.block_on(serving, SECOND);
    pair.run_for(SECOND / 2);
    call_and_expect_new_keys(&mut pair);
}

fn call_and_expect_new_keys(pair: &mut Pair) {
    assert_eq!(pair.client.metrics().kept_keys, 0);
    call(pair, 1000, 1000);
    assert!(!is_continued(pair));
}

/// In the middle of an answer, whose beginning has offered them
#[test]
fn keys_that_were_updated_are_not_left() {
    let mut pair = pair();
    let (opening, accepting) = (pair.open(), pair.accept());
    let call = pair.spawn("call", ask(opening));
    let begin = async move {
        let mut server = accepting.await?;
        read_all(&mut server).await?;
        server.write_from(&mut &[7; 1000][..]).await?;
        io::Result::Ok(server)
    };
    let mut server = pair.block_on(begin, SECOND).unwrap();
    assert_eq!(pair.server.metrics().kept_keys, 1);
    pair.run_for(10 * MILLISECOND);
    // what it asks for before its next packet once it has sealed 2^23
    let shared = only_stream(&pair.server);
    shared.send().lock().update_sealer(&shared);
    assert_eq!(pair.server.metrics().kept_keys, 0);
    pair.block_on(write_all(&mut server, &[7; 1000]), SECOND)
        .unwrap();
    assert_eq!(pair.block_on(call, SECOND).unwrap(), [7; 2000]);
    drop((shared, server));
    pair.settle();
    call_and_expect_new_keys(&mut pair);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

/// The one that is open
fn only_stream(end: &End) -> Arc<Shared> {
    let mut streams = (0..1000).filter_map(|id| end.core.stream(id));
    streams.next().unwrap()
}

/// Whatever is said again: a write may have to wait, and asks what to carry each time
#[test]
fn an_offer_that_was_accepted_is_not_made_again() {
    let mut pair = pair();
    let (opening, accepting) = (pair.open(), pair.accept());
    let begin = async move {
        let mut client = opening.await?;
        write_all(&mut client, &[7; 1000]).await?;
        let mut server = accepting.await?;
        read_all(&mut server).await?;
        io::Result::Ok((client, server))
    };
    let streams = pair.block_on(begin, SECOND).unwrap();
    let shared = only_stream(&pair.server);
    let now = pair.clock.now();
    let carried = || shared.piggyback(now).unwrap().as_slice().to_vec();
    let with_offer = carried();
    assert_eq!(carried(), with_offer);
    assert_eq!(pair.server.metrics().kept_keys, 1);

    let next = after(&pair, &openings(&pair)[0]);
    let offers = &pair.server.core.offers;
    let Claimed::Offered(keys) = offers.claim(&next) else {
        panic!("it was offered");
    };
    assert_eq!(carried(), with_offer[..with_offer.len() - 1]);
    offers.return_claim(keys, true);
    assert_eq!(carried(), with_offer[..with_offer.len() - 1]);
    assert_eq!(pair.server.metrics().kept_keys, 0);
    drop(streams);
}

#[test]
fn a_stream_leaves_its_keys_once() {
    let mut pair = pair();
    let (opening, accepting) = (pair.open(), pair.accept());
    pair.spawn("answer", echo(accepting));
    let client = pair.block_on(opening, SECOND);
    let shared = only_stream(&pair.client);
    let call = ask(core::future::ready(client));
    pair.block_on(call, SECOND).unwrap();
    pair.settle();
    assert_eq!(pair.client.metrics().kept_keys, 1);
    let again = shared
        .recv()
        .lock()
        .leave_keys(&shared.send().lock(), &shared, pair.clock.now());
    assert!(again.is_none());
}

/// Its client fails at once, and opens the next streams with new keys
#[test]
fn a_server_that_knows_nothing_of_its_offer_says_so() {
    let mut pair = pair();
    // the receipts of the second ones wait for the next request
    at_once(&mut pair, 2);
    at_once(&mut pair, 2);
    forget_offers(&pair);
    let error = call_in_vain(&mut pair);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    assert_eq!(pair.server.metrics().dropped_unknown_secret, 1);
    call_and_expect_new_keys(&mut pair);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_server_that_was_restarted_does_not_know_the_secret_either() {
    let mut pair = pair();
    calls(&mut pair, 2);
    forget_offers(&pair);
    pair.server.core.map.drop_state();
    let error = call_in_vain(&mut pair);
    let error = error.to_string();
    assert!(error.ends_with("unknown path secret"), "{error}");
    assert_eq!(pair.server.metrics().dropped_unknown_secret, 1);
}

fn forget_offers(pair: &Pair) {
    for opening in openings(pair) {
        pair.server.core.offers.withdraw(&after(pair, &opening));
    }
    assert_eq!(pair.server.metrics().kept_keys, 0);
}

/// How a call fails at once that goes on with keys which the server does not know
fn call_in_vain(pair: &mut Pair) -> io::Error {
    let call = ask(pair.open());
    let error = pair.block_on(call, 10 * MILLISECOND).unwrap_err();
    assert!(is_continued(pair));
    error
}

/// Such as published ones, which say nothing that could be answered with an offer. Who fills a packet to its end has no room to say it either.
#[test]
fn who_does_not_look_for_offers_gets_none() {
    let mut pair = pair();
    let is_one_packet = |pair: &mut Pair, len| {
        // who calls now and then is offered nothing
        pair.run_for(2 * SECOND);
        let before = pair.network.sent(Side::Client, Kind::is_first_send).len();
        call(pair, len, 1000);
        pair.network.sent(Side::Client, Kind::is_first_send).len() == before + 1
    };
    let full = (1380..1420).rfind(|len| is_one_packet(&mut pair, *len));
    let full = full.expect("some fit");
    for (len, is_offered) in [(full, false), (full - 2, true)] {
        pair.run_for(2 * SECOND);
        for _ in 0..3 {
            call(&mut pair, len, 1000);
            pair.settle();
        }
        assert_eq!(is_continued(&pair), is_offered, "{len}");
        let kept = pair.server.metrics().kept_keys;
        assert_eq!(kept, u64::from(is_offered), "{len}");
    }
}

#[test]
fn calls_of_many_packets_go_on_with_the_same_keys() {
    let mut pair = pair();
    for _ in 0..3 {
        call(&mut pair, 100_000, 100_000);
        pair.settle();
    }
    let first = opened_with(&pair)[0].0;
    let expected: Vec<_> = (0..3).map(|generation| (first, generation)).collect();
    assert_eq!(opened_with(&pair), expected);
    assert_sealed_once(&pair);
}
