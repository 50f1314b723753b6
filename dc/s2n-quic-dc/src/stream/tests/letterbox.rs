// SPDX-License-Identifier: Apache-2.0

//! What the peer says, or ought to have said, while a writer encrypts: nobody waits for the writer, and the writer hears it all.
//!
//! In a simulation nothing happens while a writer is at it, so the box is opened before that, and left so; or the lock is held beside it.

use super::*;

/// A stream whose server has nothing to say any more
fn connect(pair: &mut Pair) -> (Stream, Stream, Arc<Shared>) {
    let (client, server) = pair.connect();
    pair.run_for(100 * MILLISECOND);
    let [shared, _] = watch(pair, 1);
    (client, server, shared.upgrade().unwrap())
}

/// As a writer does that goes on for long
fn begin_to_write(shared: &Shared) {
    core::mem::forget(shared.letterbox.open());
}

/// A stream with credit for `window` bytes, of which the server has read 10 000 and said so meanwhile
fn answered(window: u32) -> (Pair, Stream) {
    let mut pair = Pair::new(Options {
        agreed: Agreement {
            initial_window: window,
            recv_window: window,
            ..Agreement::default()
        },
        ..Options::default()
    });
    let (mut client, mut server, shared) = connect(&mut pair);
    assert_eq!(write_now(&mut client, &[1; 10_000]), 10_000);
    begin_to_write(&shared);
    pair.spawn("read", async move { read_all(&mut server).await });
    pair.run_for(3 * MILLISECOND);
    assert!(!pair.network.sent(Side::Server, Kind::is_control).is_empty());
    assert!(pair.client.metrics().window_outstanding > 10_000);
    (pair, client)
}

#[test]
fn acknowledgements_that_come_meanwhile_are_taken_in_by_the_writer() {
    let (mut pair, mut client) = answered(100_000);
    // what it writes now is all that is outstanding then
    assert_eq!(write_now(&mut client, &[2; 100]), 100);
    assert!(pair.client.metrics().window_outstanding < 1000);
    pair.run_for(SECOND);
    let metrics = pair.client.metrics();
    assert_eq!(metrics.window_outstanding, 0);
    assert_eq!((metrics.probes, metrics.packets_lost), (0, 0));
}

#[test]
fn a_writer_goes_on_with_the_credit_that_comes_meanwhile() {
    let (_pair, mut client) = answered(30_000);
    // it knows of 20 000 bytes, and hears of more after its first batch
    let written = write_now(&mut client, &[2; 100_000]);
    assert!(written > 20_000, "{written}");
}

#[test]
fn a_close_that_comes_meanwhile_ends_the_next_write() {
    let mut pair = Pair::new(Options::default());
    let (mut client, server, shared) = connect(&mut pair);
    assert_eq!(write_now(&mut client, &[1; 10_000]), 10_000);
    begin_to_write(&shared);
    drop(server);
    pair.run_for(3 * MILLISECOND);
    assert_eq!(write_now(&mut client, &[2; 100]), 100);
    let Poll::Ready(result) = poll_once(client.write_from(&mut &[3; 100][..])) else {
        panic!("it waits for a peer that is gone");
    };
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_writer_that_waits_is_woken_by_what_comes_meanwhile() {
    let (mut pair, mut client) = answered(10_000);
    // it finds no credit, and hears of some before it gives the lock up
    let written = pair.block_on(client.write_from(&mut &[2; 1000][..]), MILLISECOND);
    assert_eq!(written.unwrap(), 1000);
}

#[test]
fn timers_look_again_a_moment_later() {
    let mut pair = Pair::new(Options::default());
    let (mut client, _server, shared) = connect(&mut pair);
    pair.network.set_faults(|_| Fate::Drop);
    assert_eq!(write_now(&mut client, &[1; 1000]), 1000);
    let writing = shared.send().lock();
    pair.run_for(20 * MILLISECOND);
    assert_eq!(pair.client.metrics().probes, 0);
    drop(writing);
    pair.run_for(MILLISECOND);
    assert_eq!(pair.client.metrics().probes, 1);
}
