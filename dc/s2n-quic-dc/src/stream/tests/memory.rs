// SPDX-License-Identifier: Apache-2.0

//! Item 12: one pool for all that an environment sends and receives, and it outlives who uses it.

use super::*;

fn in_use(end: &End) -> usize {
    end.pool().in_use_bytes
}

#[test]
fn streams_acknowledgements_and_receiving_take_from_the_environments_pool() {
    let mut pair = Pair::new(Options {
        joins: false,
        ..Options::default()
    });
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let packet_len = pair.client.core.pool.config().packet_len;
    assert_eq!(in_use(&pair.client), spare(&pair.client));
    assert_eq!(in_use(&pair.server), spare(&pair.server));

    // data that is queued, and until it is acknowledged
    assert_eq!(write_now(&mut client, b"request"), 7);
    assert_eq!(in_use(&pair.client), spare(&pair.client) + packet_len);
    assert_eq!(pair.client.pool().data_bytes, packet_len);

    // a packet that was received and not read; the acknowledgement is blocked
    pair.network.block(Side::Server, 10 * MILLISECOND);
    pair.run_for(MILLISECOND);
    assert_eq!(in_use(&pair.server), spare(&pair.server) + packet_len);
    let mut request = Vec::<u8>::new();
    assert!(poll_once(server.read_into(&mut request)).is_ready());
    assert_eq!(request, b"request");
    // it would have left with an answer, had the application written one
    pair.run_for(2 * MILLISECOND);
    assert_eq!(pair.server.wheel_depth(), 1);
    assert_eq!(in_use(&pair.server), spare(&pair.server) + packet_len);
    assert_eq!(pair.server.pool().data_bytes, 0);

    pair.run_for(50 * MILLISECOND);
    assert_eq!(in_use(&pair.client), spare(&pair.client));
    assert_eq!(in_use(&pair.server), spare(&pair.server));
}

#[test]
fn small_packets_do_not_pin_a_burst() {
    let mut pair = Pair::new(Options {
        joins: false,
        ..Options::default()
    });
    let (mut client, server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network.block(Side::Client, 10 * MILLISECOND);
    for _ in 0..10 {
        assert_eq!(write_now(&mut client, &[1; 100]), 100);
    }
    let packet_len = pair.client.core.pool.config().packet_len;
    assert_eq!(in_use(&pair.client), spare(&pair.client) + 10 * packet_len);
    drop((client, server));
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_request_stays_where_it_was_received_for_a_moment_only() {
    let mut pair = Pair::new(Options {
        joins: false,
        ..Options::default()
    });
    let packet_len = pair.client.core.pool.config().packet_len;
    let open = pair.open();
    let mut client = pair.block_on(open, SECOND).unwrap();
    let sent = poll_once(client.write_all_from_fin(&mut &b"request"[..]));
    assert!(matches!(sent, Poll::Ready(Ok(7))));
    let accept = pair.accept();
    let mut server = pair.block_on(accept, SECOND).unwrap();
    assert_eq!(in_use(&pair.server), spare(&pair.server) + packet_len);

    // some of it, and then the reader does not come back
    let mut first = [0; 3];
    assert!(poll_once(server.read_into(&mut &mut first[..])).is_ready());
    assert_eq!(&first, b"req");
    assert_eq!(in_use(&pair.server), spare(&pair.server) + packet_len);
    pair.run_for(5 * MILLISECOND);
    assert_eq!(in_use(&pair.server), spare(&pair.server));

    let mut rest = Vec::<u8>::new();
    assert!(poll_once(server.read_into(&mut rest)).is_ready());
    assert_eq!(rest, b"uest");
    rest.clear();
    assert!(poll_once(server.read_into(&mut rest)).is_ready());
    assert!(rest.is_empty(), "the stream ends");
    drop((client, server));
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn a_burst_is_pinned_until_its_last_packet_is_acknowledged_and_no_longer() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let is_fifth = |sent: &Sent| {
        sent.kind
            .data()
            .is_some_and(|data| data.number == 5 || sent.kind.is_retransmission())
    };
    pair.network.set_faults(move |sent| {
        if is_fifth(sent) {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    assert_eq!(write_now(&mut client, &pattern(40_000, 1)), 40_000);
    let reading = pair.spawn(
        "read",
        async move { read_all(&mut server).await.unwrap().len() },
    );
    pair.run_for(100 * MILLISECOND);
    let burst_len = pair.client.core.pool.config().burst_len;
    assert_eq!(pair.client.pool().data_bytes, burst_len);
    pair.network.clear_faults();
    pair.run_for(SECOND);
    assert_eq!(pair.client.pool().data_bytes, 0);
    drop(client);
    assert_eq!(pair.block_on(reading, SECOND), 40_000);
}

#[test]
fn the_pool_outlives_the_handles_of_a_stream() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let bytes = pattern(40_000, 1);
    assert_eq!(write_now(&mut client, &bytes), bytes.len());
    let (reader, writer) = client.into_split();
    drop(writer);
    assert!(pair.client.pool().data_bytes > 0);
    assert!(pair.block_on(read_all(&mut server), SECOND).unwrap() == bytes);
    drop((reader, server));
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn what_is_in_the_wheel_goes_back_to_the_pool_when_the_environment_goes() {
    let mut pair = Pair::new(Options::default());
    let (mut client, server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let pools = [pair.client.core.pool.clone(), pair.server.core.pool.clone()];
    pair.network.block(Side::Client, SECOND);
    assert_eq!(write_now(&mut client, &pattern(40_000, 1)), 40_000);
    pair.run_for(MILLISECOND);
    drop(pair);
    drop((client, server));
    for pool in pools {
        assert_eq!(pool.stats().in_use_bytes, 0, "{:?}", pool.stats());
    }
}

#[test]
fn a_transfer_with_the_smallest_pool_is_slow_and_exact() {
    let mut options = Options::default();
    options.pool = pool::Config {
        max_bytes: 4 << 16,
        reserve_bytes: 2 << 16,
        ..options.pool
    };
    let mut pair = Pair::new(options);
    let (client, server) = pair.connect();
    let bytes = pattern(1_000_000, 1);
    let at_client = exchange(&mut pair, client, bytes.clone());
    let at_server = exchange(&mut pair, server, bytes.clone());
    assert!(pair.block_on(at_client, 60 * SECOND).unwrap() == bytes);
    assert!(pair.block_on(at_server, 60 * SECOND).unwrap() == bytes);
    assert!(pair.client.pool().peak_allocated_bytes <= 4 << 16);
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}

#[test]
fn memory_is_given_back_while_the_environment_idles_and_then_nothing_wakes_it() {
    let mut pair = Pair::new(Options::default());
    let (client, server) = pair.connect();
    let bytes = pattern(4_000_000, 1);
    let at_client = exchange(&mut pair, client, bytes.clone());
    let at_server = exchange(&mut pair, server, bytes.clone());
    assert!(pair.block_on(at_client, 60 * SECOND).unwrap() == bytes);
    assert!(pair.block_on(at_server, 60 * SECOND).unwrap() == bytes);
    let peak = pair.client.pool().peak_allocated_bytes;
    assert!(peak > 10 * spare(&pair.client), "{peak}");

    pair.run_for(5 * SECOND);
    for end in [&pair.client, &pair.server] {
        let stats = end.pool();
        let bound = spare(end) + stats.peak_allocated_bytes / 4;
        assert!(stats.allocated_bytes <= bound, "{stats:?}");
    }
    pair.run_for(15 * SECOND);
    for end in [&pair.client, &pair.server] {
        let stats = end.pool();
        assert_eq!(stats.allocated_bytes, spare(end));
        assert!(stats.trims >= 3, "{stats:?}");
    }
    // beyond the deadlines that ended streams have left in the timers
    pair.run_for(60 * SECOND);
    assert_eq!(pair.next_event(), None);
    assert_at_rest(&pair);
}

#[test]
fn an_environment_in_use_keeps_what_it_uses() {
    let mut pair = Pair::new(Options::default());
    let mut misses = Vec::new();
    for _ in 0..20 {
        let (client, mut server) = pair.connect();
        let sending = exchange(&mut pair, client, pattern(100_000, 1));
        let receiving = read_all(&mut server);
        assert_eq!(pair.block_on(receiving, SECOND).unwrap().len(), 100_000);
        drop((server, sending));
        pair.run_for(SECOND / 4);
        misses.push(pair.client.pool().misses);
    }
    // five seconds, with a transfer in each quarter of an interval, and nothing is allocated anew in the last four
    assert!(misses[3] > 0, "{misses:?}");
    assert_eq!(misses[3], misses[19], "{misses:?}");
}

#[test]
fn a_transfer_goes_on_under_a_ceiling_that_moves() {
    let mut options = Options::default();
    options.pool.reserve_bytes = 2 << 16;
    let smallest = 3 << 16;
    let mut pair = Pair::new(options);
    let (client, server) = pair.connect();
    let bytes = pattern(8_000_000, 1);
    let at_client = exchange(&mut pair, client, bytes.clone());
    let at_server = exchange(&mut pair, server, bytes.clone());
    pair.run_for(10 * MILLISECOND);
    let in_use = pair.client.pool().in_use_bytes;
    assert!(in_use > smallest, "{in_use}");

    for end in [&pair.client, &pair.server] {
        end.core.pool.set_max_bytes(smallest).unwrap();
    }
    assert_eq!(
        pair.client.pool().in_use_bytes,
        in_use,
        "nothing is taken away"
    );
    pair.run_for(500 * MILLISECOND);
    for end in [&pair.client, &pair.server] {
        assert!(end.pool().allocated_bytes <= smallest, "{:?}", end.pool());
    }
    for end in [&pair.client, &pair.server] {
        end.core.pool.set_max_bytes(256 << 20).unwrap();
    }
    assert!(pair.block_on(at_client, 60 * SECOND).unwrap() == bytes);
    assert!(pair.block_on(at_server, 60 * SECOND).unwrap() == bytes);
    pair.run_for(5 * SECOND);
    assert_at_rest(&pair);
}
