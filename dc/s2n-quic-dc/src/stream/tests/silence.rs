// SPDX-License-Identifier: Apache-2.0

//! When all is said, nothing more is: no packet, no timer, no memory.

use super::*;

fn assert_silent(pair: &mut Pair) {
    // the pools halve with each second
    pair.run_for(20 * SECOND);
    assert_at_rest(pair);
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.pool().allocated_bytes, spare(end));
    }
    let packets = pair.network.trace().len();
    // entries of streams that are gone may be left in the wheel of timers, but none that is due before their idle timeout
    let idle_timeout = pair.clock.micros() - pair.clock.elapsed().as_micros() as u64 + 30_000_000;
    let next = pair.next_event();
    assert!(
        next.is_none_or(|next| next >= idle_timeout),
        "something happens at {next:?}"
    );
    pair.run_for(60 * SECOND);
    assert_eq!(pair.network.trace().len(), packets);
    assert_eq!(pair.next_event(), None);
}

#[test]
fn nothing_happens_after_an_exchange() {
    let mut pair = Pair::new(Options::default());
    let (client, server) = pair.connect();
    let at_client = exchange(&mut pair, client, pattern(100_000, 1));
    let at_server = exchange(&mut pair, server, pattern(100_000, 2));
    pair.block_on(at_client, SECOND).unwrap();
    pair.block_on(at_server, SECOND).unwrap();
    assert_silent(&mut pair);
}

fn a_hundred_short_streams(pair: &mut Pair) {
    for _ in 0..100 {
        let (open, accept) = (pair.open(), pair.accept());
        pair.spawn("serve", async move {
            let mut stream = accept.await.unwrap();
            read_all(&mut stream).await.unwrap();
            write_all(&mut stream, b"response").await.unwrap();
        });
        let response = pair.spawn("request", async move {
            let mut stream = open.await.unwrap();
            write_all(&mut stream, b"request").await.unwrap();
            read_all(&mut stream).await.unwrap()
        });
        assert_eq!(pair.block_on(response, SECOND), b"response");
    }
}

#[test]
fn nothing_happens_after_a_hundred_short_streams() {
    let mut pair = Pair::new(Options::default());
    a_hundred_short_streams(&mut pair);
    assert_silent(&mut pair);
}

#[test]
fn short_streams_leave_no_timer_for_their_idle_timeout() {
    let mut pair = Pair::new(Options::default());
    a_hundred_short_streams(&mut pair);
    // the pools have given back what they had, and the timeout of 30 s is still to come
    pair.run_for(20 * SECOND);
    assert_eq!(pair.next_event(), None);
}

#[test]
fn nothing_happens_after_both_ends_dropped_what_they_had_not_read() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    assert_eq!(write_now(&mut client, &[1; 30_000]), 30_000);
    assert_eq!(write_now(&mut server, &[2; 30_000]), 30_000);
    pair.run_for(3 * MILLISECOND);
    drop((client, server));
    assert_silent(&mut pair);
}

#[test]
fn a_stream_that_is_open_and_idle_sends_nothing() {
    let mut pair = Pair::new(Options::default());
    let (client, server) = pair.connect();
    pair.run_for(SECOND);
    let packets = pair.network.trace().len();
    pair.run_for(20 * SECOND);
    assert_eq!(pair.network.trace().len(), packets);
    drop((client, server));
    assert_silent(&mut pair);
}

#[test]
fn a_finished_stream_that_the_application_holds_needs_no_timer() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.block_on(write_all(&mut client, b"request"), SECOND)
        .unwrap();
    pair.block_on(write_all(&mut server, b"response"), SECOND)
        .unwrap();
    pair.block_on(read_all(&mut client), SECOND).unwrap();
    pair.block_on(read_all(&mut server), SECOND).unwrap();
    pair.run_for(60 * SECOND);
    assert_eq!(pair.next_event(), None);
    drop((client, server));
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_failed_stream_that_the_application_holds_needs_no_timer() {
    let mut pair = Pair::new(Options::default());
    let (client, server) = pair.connect();
    drop(server);
    pair.run_for(60 * SECOND);
    assert_eq!(pair.next_event(), None);
    drop(client);
    pair.run_for(SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_stream_whose_peer_vanished_ends_at_the_idle_timeout_and_leaves_nothing() {
    let mut pair = Pair::new(Options::default());
    let (mut client, server) = pair.connect();
    assert_eq!(write_now(&mut client, &[1; 30_000]), 30_000);
    pair.network.set_faults(|_| Fate::Drop);
    let error = pair
        .block_on(read_all(&mut client), 31 * SECOND)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop((client, server));
    pair.run_for(60 * SECOND);
    assert_at_rest(&pair);
    assert_eq!(pair.next_event(), None);
}
