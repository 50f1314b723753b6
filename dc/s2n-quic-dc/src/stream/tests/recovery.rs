// SPDX-License-Identifier: Apache-2.0

//! Items 6, 7, 10 and 13: what is lost is sent again, packet by packet, and nothing else is.

use super::*;
use std::{
    collections::BTreeSet,
    panic::{catch_unwind, AssertUnwindSafe},
};

/// Writes `bytes` from client to server in one burst, and returns what the server read and the retransmitted packets
fn transfer(
    pair: &mut Pair,
    bytes: &[u8],
    faults: impl FnMut(&Sent) -> Fate + Send + 'static,
) -> (Vec<u8>, Vec<Sent>) {
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network.set_faults(faults);
    let owned = bytes.to_vec();
    let writing = pair.spawn("write", async move { write_all(&mut client, &owned).await });
    let read = pair.block_on(read_all(&mut server), 10 * SECOND).unwrap();
    pair.block_on(writing, SECOND).unwrap();
    let again = pair.network.sent(Side::Client, Kind::is_retransmission);
    (read, again)
}

fn is_number(sent: &Sent, numbers: &[u64]) -> bool {
    matches!(sent.kind, Kind::Data(data) if sent.side == Side::Client && numbers.contains(&data.number))
}

#[test]
fn whichever_packet_is_lost_is_repaired_by_one_that_carries_its_data() {
    let bytes = pattern(40_000, 1);
    for lost in 1..29 {
        let mut pair = Pair::new(Options::default());
        let (read, again) = transfer(&mut pair, &bytes, move |sent| {
            if is_number(sent, &[lost]) {
                Fate::Drop
            } else {
                Fate::Deliver
            }
        });
        assert!(read == bytes, "packet {lost}");
        let original = data_of(&pair.network.sent(
            Side::Client,
            |kind| matches!(kind, Kind::Data(data) if data.number == lost),
        ));
        assert_eq!(original.len(), 1, "packet {lost}");
        let again = data_of(&again);
        assert!(!again.is_empty());
        assert!(
            again
                .iter()
                .any(|again| (again.offset, again.len, again.is_fin)
                    == (original[0].offset, original[0].len, original[0].is_fin)),
            "packet {lost}: {again:?}"
        );
    }
}

#[test]
fn a_lost_packet_of_a_burst_is_sent_again_alone() {
    let bytes = pattern(40_000, 1);
    let mut pair = Pair::new(Options::default());
    let (read, again) = transfer(&mut pair, &bytes, |sent| {
        if is_number(sent, &[5]) {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    assert!(read == bytes);
    assert_eq!(again.len(), 1, "{again:?}");
    let first_sends = pair.network.sent(Side::Client, Kind::is_first_send);
    let numbers: BTreeSet<u64> = data_of(&first_sends)
        .iter()
        .map(|data| data.number)
        .collect();
    assert_eq!(numbers.len(), first_sends.len(), "a number was used twice");
    assert_eq!(pair.client.metrics().packets_lost, 1);
}

#[test]
fn of_a_partly_lost_burst_only_the_lost_packets_are_sent_again() {
    let bytes = pattern(40_000, 1);
    let lost = [3, 7, 8, 20];
    let mut pair = Pair::new(Options::default());
    let (read, again) = transfer(&mut pair, &bytes, move |sent| {
        if is_number(sent, &lost) {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    assert!(read == bytes);
    let offsets =
        |sent: &[Sent]| -> Vec<u64> { data_of(sent).iter().map(|data| data.offset).collect() };
    let originals = pair.network.sent(
        Side::Client,
        |kind| matches!(kind, Kind::Data(data) if lost.contains(&data.number)),
    );
    assert_eq!(offsets(&again), offsets(&originals));
}

#[test]
fn a_retransmission_has_the_bytes_of_the_original_and_so_has_the_next() {
    let bytes = pattern(40_000, 1);
    let mut pair = Pair::new(Options::default());
    let mut retransmissions = 0;
    let (read, again) = transfer(&mut pair, &bytes, move |sent| {
        retransmissions += usize::from(sent.kind.is_retransmission());
        let is_lost =
            is_number(sent, &[9]) || (sent.kind.is_retransmission() && retransmissions <= 2);
        if is_lost {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    assert!(read == bytes);
    assert!(again.len() >= 3, "{again:?}");
    let original = &pair.network.sent(
        Side::Client,
        |kind| matches!(kind, Kind::Data(data) if data.number == 9),
    )[0];
    for copy in &again {
        assert_eq!(copy.bytes.len(), original.bytes.len());
        let differing = copy
            .bytes
            .iter()
            .zip(&original.bytes)
            .filter(|(a, b)| a != b)
            .count();
        // the tag byte, the offset of the number, and the authentication tag
        assert!(
            (2..=1 + 4 + 16).contains(&differing),
            "{differing} bytes differ"
        );
    }
}

#[test]
fn an_original_that_is_still_queued_is_neither_called_lost_nor_probed() {
    let mut pair = Pair::new(Options::default());
    let (mut client, mut server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    pair.network.block(Side::Client, 200 * MILLISECOND);
    let bytes = pattern(40_000, 1);
    assert_eq!(write_now(&mut client, &bytes), bytes.len());
    client.split().1.shutdown().unwrap();
    assert!(pair.block_on(read_all(&mut server), SECOND).unwrap() == bytes);
    assert_eq!(pair.network.sent(Side::Client, Kind::is_retransmission), []);
    assert_eq!(pair.client.metrics().packets_lost, 0);
}

#[test]
fn a_probe_after_silence_carries_the_data() {
    let mut pair = Pair::new(Options::default());
    let (read, again) = transfer(
        &mut pair,
        b"hello",
        drop_first(1, |sent| is_number(sent, &[1])),
    );
    assert_eq!(read, b"hello");
    assert_eq!(data_of(&again)[0].offset, 0);
    assert_eq!(data_of(&again)[0].len, 5);
    assert!(pair.client.metrics().probes >= 1);
}

#[test]
fn a_lost_end_is_said_again() {
    for lost in 1..6 {
        let mut pair = Pair::new(Options::default());
        let (mut client, mut server) = pair.connect();
        pair.block_on(async { client.write_from(&mut &b"data"[..]).await }, SECOND)
            .unwrap();
        pair.run_for(10 * MILLISECOND);
        pair.network.set_faults(drop_first(lost, |sent| {
            sent.kind.data().is_some_and(|data| data.is_fin)
        }));
        client.split().1.shutdown().unwrap();
        assert_eq!(
            pair.block_on(read_all(&mut server), 5 * SECOND).unwrap(),
            b"data"
        );
        let ends = pair.network.sent(Side::Client, |kind| {
            kind.data().is_some_and(|data| data.is_fin)
        });
        assert!(ends.len() > lost);
    }
}

#[test]
fn a_lost_close_of_a_reader_is_said_again() {
    for lost in 0..4 {
        let mut pair = Pair::new(Options::default());
        let (mut client, server) = pair.connect();
        pair.block_on(
            async { client.write_from(&mut &b"unread"[..]).await },
            SECOND,
        )
        .unwrap();
        pair.run_for(100 * MILLISECOND);
        pair.network.set_faults(drop_first(lost, |sent| {
            sent.side == Side::Server && sent.kind.closes()
        }));
        drop(server);
        // the window is full before long, and then time passes
        let error = pair.block_on(
            async {
                loop {
                    if let Err(error) = client.write_from(&mut &[1; 1000][..]).await {
                        break error;
                    }
                }
            },
            10 * SECOND,
        );
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{lost} lost");
        drop(client);
        pair.run_for(10 * SECOND);
        assert_at_rest(&pair);
    }
}

#[test]
fn a_lost_close_of_a_writer_is_said_again() {
    for lost in 0..4 {
        let mut pair = Pair::new(Options::default());
        let (client, mut server) = pair.connect();
        pair.run_for(100 * MILLISECOND);
        pair.network.set_faults(drop_first(lost, |sent| {
            sent.side == Side::Client && sent.kind.closes()
        }));
        let (reader, writer) = client.into_split();
        let _ = catch_unwind(AssertUnwindSafe(move || {
            let _writer = writer;
            std::panic::resume_unwind(Box::new("the application gives up"));
        }));
        let error = pair
            .block_on(read_all(&mut server), 10 * SECOND)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{lost} lost");
        let closes = pair.network.sent(Side::Client, Kind::closes);
        assert!(closes.len() > lost);
        drop((reader, server));
        pair.run_for(10 * SECOND);
        assert_at_rest(&pair);
    }
}

#[test]
fn the_round_trip_is_measured_from_the_departure_that_the_worker_reported() {
    let mut pair = Pair::new(Options {
        delay: 50 * MILLISECOND,
        ..Options::default()
    });
    let (mut client, mut server) = pair.connect();
    pair.run_for(SECOND);
    let before = pair.client.path().pto_period(1);
    // what waits before the socket is not the network's delay
    for _ in 0..5 {
        pair.network.block(Side::Client, 300 * MILLISECOND);
        pair.block_on(
            async { client.write_from(&mut &[1; 500][..]).await },
            SECOND,
        )
        .unwrap();
        pair.block_on(
            async { server.read_into(&mut Vec::<u8>::new()).await },
            SECOND,
        )
        .unwrap();
        pair.run_for(SECOND);
    }
    let after = pair.client.path().pto_period(1);
    assert!(after <= before, "{after:?} after {before:?}");
    assert!(after >= 100 * MILLISECOND);
}

#[test]
fn packets_that_arrive_twice_or_late_change_nothing() {
    for seed in 0..5 {
        let bytes = pattern(200_000, seed);
        let mut pair = Pair::new(Options::default());
        let mut dice = Dice(seed);
        let (read, _) = transfer(&mut pair, &bytes, move |_| {
            if dice.percent(20) {
                Fate::Duplicate
            } else if dice.percent(20) {
                Fate::Hold(3 * MILLISECOND)
            } else {
                Fate::Deliver
            }
        });
        assert!(read == bytes);
    }
}

#[test]
fn a_packet_that_is_only_a_little_late_is_not_sent_again() {
    let bytes = pattern(40_000, 1);
    let mut pair = Pair::new(Options::default());
    // the last but one: too few came before it to call it lost, and it is not as late as an eighth of a round trip
    let (read, again) = transfer(&mut pair, &bytes, |sent| {
        if is_number(sent, &[28]) {
            Fate::Hold(MILLISECOND / 5)
        } else {
            Fate::Deliver
        }
    });
    assert!(read == bytes);
    pair.run_for(10 * MILLISECOND);
    assert_eq!(again, []);
    assert_eq!(pair.network.sent(Side::Client, Kind::is_retransmission), []);
    assert_eq!(pair.client.metrics().packets_lost, 0);
}

/// Writes a megabyte, of which the network delays every hundredth packet by `late`
fn transfer_reordered(late: Duration) -> Pair {
    let bytes = pattern(1_000_000, 1);
    let mut pair = Pair::new(Options::default());
    let (read, _) = transfer(&mut pair, &bytes, move |sent| match sent.kind {
        Kind::Data(data) if sent.kind.is_first_send() && data.number % 100 == 50 => {
            Fate::Hold(late)
        }
        _ => Fate::Deliver,
    });
    assert!(read == bytes);
    pair
}

#[test]
fn a_packet_that_arrives_after_it_was_called_lost_is_given_more_time_from_then_on() {
    let pair = transfer_reordered(MILLISECOND / 2);
    let metrics = pair.client.metrics();
    assert!(metrics.spurious_losses > 0, "{metrics:#?}");
    // seven packets are late by the same time, and the first ones teach it
    assert!(metrics.packets_lost <= 4, "{metrics:#?}");
    assert_eq!(metrics.spurious_losses, metrics.packets_lost);
    let (_, window) = pair.client.path().usage();
    assert!(window > 500_000, "{window}: it was not given back");
}

#[test]
fn a_mark_of_the_network_shrinks_the_window_and_loses_nothing() {
    let bytes = pattern(2_000_000, 1);
    let limits = [false, true].map(|marks| {
        let mut pair = Pair::new(Options::default());
        let (read, again) = transfer(&mut pair, &bytes, move |sent| {
            if marks && is_number(sent, &[300]) {
                Fate::Mark
            } else {
                Fate::Deliver
            }
        });
        assert!(read == bytes);
        assert_eq!(again, []);
        assert_eq!(pair.client.metrics().packets_lost, 0);
        pair.client.path().usage().1
    });
    assert!(limits[1] < limits[0] * 3 / 4, "{limits:?}");
}

#[test]
fn a_stream_that_is_not_answered_leaves_the_window_to_others() {
    let mut pair = Pair::new(Options::default());
    let (mut silent, _silent_server) = pair.connect();
    let (mut heard, mut heard_server) = pair.connect();
    pair.run_for(10 * MILLISECOND);
    // of the first stream everything is lost: it is told by the size of its packets
    pair.network.set_faults(|sent| {
        if sent.side == Side::Client && sent.bytes.len() > 1000 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    let bytes = pattern(200_000, 1);
    assert!(write_now(&mut silent, &bytes) > 0);
    let (outstanding, _) = pair.client.path().usage();
    assert!(outstanding > 10_000);
    pair.run_for(2 * SECOND);
    assert_eq!(pair.client.path().usage().0, 0);
    for _ in 0..10 {
        let writing = async { heard.write_from(&mut &[1; 500][..]).await };
        pair.block_on(writing, 20 * MILLISECOND).unwrap();
        let reading = async { heard_server.read_into(&mut Vec::<u8>::new()).await };
        pair.block_on(reading, 20 * MILLISECOND).unwrap();
    }
}
