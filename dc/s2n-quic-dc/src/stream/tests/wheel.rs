// SPDX-License-Identifier: Apache-2.0

//! Item 3: streams hand packets to the wheel and never touch a socket.

use super::*;

#[test]
fn packets_leave_and_arrive_in_the_order_of_their_numbers() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    let bytes = pattern(3_000_000, 1);
    let sent = bytes.clone();
    let writing = pair.spawn("write", async move { write_all(&mut client, &sent).await });
    assert!(pair.block_on(read_all(&mut server), 10 * SECOND).unwrap() == bytes);
    pair.block_on(writing, SECOND).unwrap();
    let first_sends = data_of(&pair.network.sent(Side::Client, Kind::is_first_send));
    let mut offset = 0;
    for (number, data) in first_sends.iter().enumerate() {
        assert_eq!((data.number, data.offset), (number as u64, offset));
        offset += data.len as u64;
    }
    assert_eq!(offset, bytes.len() as u64);
}

#[test]
fn the_applications_thread_makes_no_socket_call() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let attempts =
        |pair: &Pair| pair.network.attempts(Side::Client) + pair.network.attempts(Side::Server);
    let before = attempts(&pair);
    assert_eq!(write_now(&mut client, &pattern(50_000, 1)), 50_000);
    let _ = poll_once(server.read_into(&mut Vec::<u8>::new()));
    drop(client);
    drop(server);
    assert_eq!(attempts(&pair), before);
    pair.settle();
    assert!(attempts(&pair) > before);
}

#[test]
fn transmissions_of_two_streams_to_one_destination_share_a_send() {
    // bytes of payload that fill the first packet after the prelude
    let mut pair = Pair::new(Options::default());
    let (mut client, _server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    write_now(&mut client, &pattern(5_000, 1));
    pair.settle();
    let full = data_of(&pair.network.sent(Side::Client, Kind::is_first_send))[1].len;

    let mut pair = Pair::new(Options::default());
    let (mut first, _server) = pair.connect();
    let (mut second, _other) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let before = pair.network.calls(Side::Client).len();
    let bytes = pattern(full, 2);
    assert_eq!(write_now(&mut first, &bytes), full);
    assert_eq!(write_now(&mut second, &bytes), full);
    pair.settle();
    let calls = pair.network.calls(Side::Client).split_off(before);
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!((calls[0].buffers, calls[0].segments), (2, 2));
}

#[test]
fn data_leaves_at_the_pace_of_the_path_and_not_in_one_heap() {
    let options = Options {
        delay: 10 * MILLISECOND,
        ..Options::default()
    };
    let mut pair = Pair::new(options);
    let (mut client, mut server) = pair.connect();
    let bytes = pattern(2_000_000, 1);
    let sent = bytes.clone();
    let writing = pair.spawn("write", async move { write_all(&mut client, &sent).await });
    assert!(pair.block_on(read_all(&mut server), 10 * SECOND).unwrap() == bytes);
    pair.block_on(writing, SECOND).unwrap();
    let times: std::collections::BTreeSet<u64> = pair
        .network
        .calls(Side::Client)
        .iter()
        .map(|call| call.micros)
        .collect();
    // two megabytes in batches of 64 KB, after a first window that leaves at once
    assert!(times.len() >= 25, "{} departures", times.len());
}
