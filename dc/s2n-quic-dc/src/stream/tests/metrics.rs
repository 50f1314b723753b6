// SPDX-License-Identifier: Apache-2.0

//! What writers waited for, and how late transmissions left, as the environment reports it.

use super::*;
use crate::stream::metrics::Waits;

/// Writes `len` bytes on a stream of a pair that was set up with `options`, and returns what the writer waited for
fn waits_of(options: Options, len: usize, prepare: impl FnOnce(&mut Pair)) -> Waits {
    let mut pair = Pair::new(options);
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    prepare(&mut pair);
    let bytes = pattern(len, 1);
    pair.spawn("write", async move { write_all(&mut client, &bytes).await });
    let read = pair.block_on(read_all(&mut server), 60 * SECOND).unwrap();
    assert_eq!(read.len(), len);
    pair.client.metrics().waits
}

fn large_windows() -> Options {
    let mut options = Options::default();
    options.agreed.initial_window = 8 << 20;
    options.agreed.recv_window = 8 << 20;
    options
}

#[test]
fn a_full_receive_window_is_a_wait_for_stream_credit() {
    let mut options = Options::default();
    options.agreed.initial_window = 10_000;
    options.agreed.recv_window = 10_000;
    let waits = waits_of(options, 100_000, |_| ());
    // MAX_DATA takes a round trip
    assert!(waits.stream_credit >= 2 * MILLISECOND, "{waits:?}");
    assert_eq!(waits.total(), waits.stream_credit + waits.application);
}

#[test]
fn a_full_path_window_is_a_wait_for_the_path() {
    let options = Options {
        delay: 50 * MILLISECOND,
        ..large_windows()
    };
    let waits = waits_of(options, 1_000_000, |_| ());
    assert!(waits.path_window >= 50 * MILLISECOND, "{waits:?}");
    assert!(
        waits.path_window > waits.stream_credit + waits.pool,
        "{waits:?}"
    );
}

#[test]
fn a_socket_that_blocks_is_a_wait_for_pending_transmissions() {
    let options = Options {
        max_pending: 1,
        ..large_windows()
    };
    let waits = waits_of(options, 100_000, |pair| {
        pair.network.block(Side::Client, 100 * MILLISECOND);
    });
    assert!(waits.pending >= 99 * MILLISECOND, "{waits:?}");
    assert!(waits.pending < 200 * MILLISECOND, "{waits:?}");
}

#[test]
fn an_application_that_does_not_write_is_waited_for() {
    let mut pair = Pair::new(Options::default());
    let (mut client, _server) = pair.connect();
    // whatever the opening write has waited for
    let before = pair.client.metrics().waits;
    assert_eq!(write_now(&mut client, b"one"), 3);
    pair.run_for(300 * MILLISECOND);
    assert_eq!(write_now(&mut client, b"two"), 3);
    let waited = pair.client.metrics().waits.application - before.application;
    assert!((300..320).contains(&waited.as_millis()), "{waited:?}");
}

#[test]
fn transmissions_that_a_blocked_socket_held_up_are_late_by_as_much() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    let punctual = pair.client.metrics().lateness;
    assert!(punctual.quantile(1.0) <= Some(MILLISECOND), "{punctual:?}");

    pair.network.block(Side::Client, 64 * MILLISECOND);
    let bytes = pattern(1000, 1);
    pair.spawn("write", async move { write_all(&mut client, &bytes).await });
    pair.block_on(read_all(&mut server), SECOND).unwrap();
    let metrics = pair.client.metrics();
    assert!(metrics.lateness.count() > punctual.count());
    let latest = metrics.lateness.quantile(1.0).unwrap();
    assert!((64..=98).contains(&latest.as_millis()), "{latest:?}");
}
