// SPDX-License-Identifier: Apache-2.0

//! A receive buffer that is too small for what peers send, on a host that comes to it late.

use super::*;
use crate::stream::testing::inbox::Host;

/// Uploads 80 MB to such a server, and returns how it is then, and the time that it took
fn upload(server: Host) -> (Pair, Duration) {
    let len = 20_000_000;
    let mut pair = Pair::new(Options { server, ..near() });
    let start = pair.clock.now();
    for read in bulk(&mut pair, len) {
        let read = pair.block_on(read, 100 * SECOND).unwrap();
        assert_eq!(read.len(), len);
    }
    let time = pair.clock.now() - start;
    (pair, time)
}

fn lost(pair: &Pair) -> usize {
    pair.network.overflowed(Side::Server)
}

fn crowded(pair: &Pair) -> u64 {
    pair.server.metrics().recv_calls_crowded
}

#[test]
fn peers_hear_of_a_full_buffer_before_it_overflows() {
    let busy = Host {
        period: 2 * MILLISECOND,
        capacity: 500_000,
        tells: false,
    };
    let (pair, time) = upload(busy);
    assert!(lost(&pair) > 1000, "{}", lost(&pair));
    assert_eq!(crowded(&pair), 0);

    let (pair, slower) = upload(Host {
        tells: true,
        ..busy
    });
    assert_eq!(lost(&pair), 0);
    assert!(crowded(&pair) > 0);
    // the buffer is a third less full
    assert!(slower < time * 4 / 3, "{slower:?} in place of {time:?}");
}

#[test]
fn who_keeps_up_does_not_look() {
    let (pair, _) = upload(Host {
        period: MILLISECOND / 1000,
        capacity: 20_000_000,
        tells: true,
    });
    assert_eq!((lost(&pair), crowded(&pair)), (0, 0));
    // but at first, for how much there is room
    assert_eq!(pair.network.looks(Side::Server), 1);
}
