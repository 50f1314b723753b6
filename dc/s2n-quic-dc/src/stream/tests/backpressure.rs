// SPDX-License-Identifier: Apache-2.0

//! Item 5: a writer waits for what it needs, is woken by it, and takes nothing from others.

use super::*;
use std::{cell::Cell, rc::Rc};

/// A task that writes `count` times 100 bytes, and how often it has
fn small_writes(pair: &mut Pair, mut stream: Stream, count: usize) -> Rc<Cell<usize>> {
    let written = Rc::new(Cell::new(0));
    let counter = written.clone();
    pair.spawn("small writes", async move {
        for _ in 0..count {
            stream.write_all_from(&mut &[7; 100][..]).await.unwrap();
            counter.set(counter.get() + 1);
        }
    });
    written
}

#[test]
fn pending_transmissions_stop_at_the_limit_while_the_socket_blocks_and_completions_wake_the_writer()
{
    let mut pair = Pair::new(Options {
        max_pending: 4,
        ..Options::default()
    });
    let (client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network.block(Side::Client, 100 * MILLISECOND);
    let written = small_writes(&mut pair, client, 50);
    pair.run_for(50 * MILLISECOND);
    assert_eq!(written.get(), 4);
    assert_eq!(pair.client.wheel_depth(), 4);
    // the server answers nothing, so that only completions can wake
    pair.network.set_faults(|sent| {
        if sent.side == Side::Server {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    pair.run_for(51 * MILLISECOND);
    assert_eq!(written.get(), 50);
    pair.network.clear_faults();
    assert_eq!(
        pair.block_on(read_all(&mut server), SECOND).unwrap().len(),
        5_000
    );
}

#[test]
fn a_writer_with_a_full_path_window_goes_on_after_an_acknowledgement() {
    let mut pair = Pair::new(Options {
        delay: 50 * MILLISECOND,
        agreed: Agreement {
            initial_window: 8 << 20,
            ..Options::default().agreed
        },
        ..Options::default()
    });
    let (mut client, mut server) = pair.connect();
    pair.run_for(200 * MILLISECOND);
    let start = pair.clock.micros();
    let bytes = pattern(1_000_000, 1);
    let sent = bytes.clone();
    let writing = pair.spawn("write", async move { write_all(&mut client, &sent).await });
    pair.run_for(99 * MILLISECOND);
    let (outstanding, limit) = pair.client.path().usage();
    let first = pair.network.sent(Side::Client, |kind| {
        kind.data().is_some_and(|data| data.len > 0)
    });
    let bytes_sent: usize = first.iter().map(|sent| sent.bytes.len()).sum();
    assert!(bytes_sent as u64 <= limit + 1450, "{bytes_sent} of {limit}");
    // less than a batch is left: that is not worth a turn
    assert!(outstanding + 65_487 > limit, "{outstanding} of {limit}");
    assert!(!writing.is_done());
    assert!(pair.block_on(read_all(&mut server), 10 * SECOND).unwrap() == bytes);
    assert!(pair.clock.micros() - start < 2_000_000);
    pair.block_on(writing, SECOND).unwrap();
}

#[test]
fn fifty_streams_are_not_starved_by_bulk() {
    let mut pair = Pair::new(Options {
        delay: 5 * MILLISECOND,
        ..Options::default()
    });
    let (mut bulk, mut bulk_server) = pair.connect();
    let bulk_bytes = pattern(20_000_000, 1);
    let expected = bulk_bytes.len();
    let writing = pair.spawn(
        "bulk",
        async move { write_all(&mut bulk, &bulk_bytes).await },
    );
    let reading = pair.spawn("read bulk", async move { read_all(&mut bulk_server).await });
    pair.run_for(50 * MILLISECOND);
    assert!(!reading.is_done());
    let start = pair.clock.elapsed();
    let mut replies = Vec::new();
    for _ in 0..50 {
        let (open, accept) = (pair.open(), pair.accept());
        pair.spawn("serve", async move {
            let mut stream = accept.await.unwrap();
            let request = read_all(&mut stream).await.unwrap();
            write_all(&mut stream, &request).await.unwrap();
        });
        replies.push(pair.spawn("request", async move {
            let mut stream = open.await.unwrap();
            write_all(&mut stream, &[3; 1000]).await.unwrap();
            read_all(&mut stream).await.unwrap().len()
        }));
    }
    for reply in replies {
        assert_eq!(pair.block_on(reply, SECOND), 1000);
    }
    let took = pair.clock.elapsed() - start;
    assert!(
        !reading.is_done(),
        "the bulk was over before it could starve anybody"
    );
    assert!(
        took < 60 * MILLISECOND,
        "{took:?} for one round trip of 10 ms"
    );
    pair.block_on(writing, 60 * SECOND).unwrap();
    assert_eq!(pair.block_on(reading, 60 * SECOND).unwrap().len(), expected);
}

#[test]
fn a_write_that_is_dropped_while_it_waits_has_taken_nothing_and_blocks_nobody() {
    let mut pair = Pair::new(Options {
        max_pending: 2,
        ..Options::default()
    });
    let (mut client, mut server) = pair.connect();
    let (mut other, mut other_server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network.block(Side::Client, 20 * MILLISECOND);
    let bytes = pattern(400_000, 1);
    let mut rest = &bytes[..];
    // takes what there is window for, then waits in line and gives up
    while poll_once(client.write_from(&mut rest)).is_ready() {}
    let taken = bytes.len() - rest.len();
    let at_other = pair.spawn(
        "other",
        async move { write_all(&mut other, &[9; 10_000]).await },
    );
    assert_eq!(
        pair.block_on(read_all(&mut other_server), SECOND).unwrap(),
        [9; 10_000]
    );
    pair.block_on(at_other, SECOND).unwrap();
    drop(client);
    assert!(pair.block_on(read_all(&mut server), SECOND).unwrap() == bytes[..taken]);
}
