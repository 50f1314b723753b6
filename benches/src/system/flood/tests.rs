// SPDX-License-Identifier: Apache-2.0

//! Floods over loopback, whole and with holes.

use super::*;
use s2n_quic_dc_perf::measure::Sample;

const BOTH: [Protection; 2] = [Protection::None, Protection::Aes128Gcm];

fn settings() -> Settings {
    Settings {
        clients: 1,
        peers: 1,
        streams: 1,
        mtu: 1450,
        socket_buffer: buffers::ASKED,
    }
}

fn load(protection: Protection, bytes: u64) -> Load {
    Load {
        bytes,
        limit: Duration::from_secs(60),
        // longer than any thread is held up
        patience: Duration::from_secs(60),
        layout: Layout::new(protection, 1450).unwrap(),
        pattern: Pattern::new(0),
    }
}

#[test]
fn every_byte_arrives_and_is_compared() {
    for protection in BOTH {
        // not a multiple of anything
        let load = load(protection, 5_000_001);
        let flooded = flood(&load, &settings(), None).unwrap();
        assert_eq!(flooded.received.bytes, 5_000_001, "{protection:?}");
        assert_eq!(flooded.received.packets, flooded.sent.packets);
        let full = load.layout.data() as u64;
        assert_eq!(flooded.sent.packets, 5_000_001_u64.div_ceil(full));
        assert_eq!(flooded.received.wrong, 0);
    }
}

#[test]
fn lost_datagrams_are_counted_and_hold_nothing_up() {
    for protection in BOTH {
        let load = load(protection, 20_000_000);
        let flooded = flood(&load, &settings(), Some(3)).unwrap();
        let batches = flooded.sent.calls;
        let lost = batches / 3 * load.layout.segments() as u64;
        assert!(lost > 1000);
        assert_eq!(flooded.sent.bytes, 20_000_000);
        let Sample { packets_lost, .. } = sample(&flooded.sent, &flooded.received);
        // the last batch is not full
        let packets = packets_lost.unwrap();
        assert!(
            packets <= lost && packets + 44 > lost,
            "{packets} of {lost}"
        );
        assert!(flooded.received.bytes < 14_000_000);
    }
}

#[test]
fn a_flood_of_which_nothing_arrives_ends() {
    let load = Load {
        patience: Duration::from_millis(1),
        ..load(Protection::Aes128Gcm, 4_000_000)
    };
    let flooded = flood(&load, &settings(), Some(1)).unwrap();
    assert_eq!(flooded.received.packets, 0);
    assert_eq!(flooded.sent.bytes, 4_000_000);
    assert_eq!(flooded.elapsed, Duration::ZERO);
}

#[test]
fn wrong_content_is_noticed() {
    for protection in BOTH {
        let mut load = load(protection, 200_000);
        let receiving = buffers::socket(buffers::ASKED).unwrap();
        let sending = buffers::socket(buffers::ASKED).unwrap();
        sending.connect(receiving.local_addr().unwrap()).unwrap();
        let (sealer, opener) = match protection {
            Protection::None => (Sealer::Plain, Opener::Plain),
            Protection::Aes128Gcm => packet::keys().unwrap(),
        };
        let receiver = Receiver::new(load.layout, opener, load.pattern, receiving).unwrap();
        load.pattern = Pattern::new(1);
        let sender = Sender::new(&load, sealer, sending, None);
        let flight = Flight::new(1000, PATIENCE);
        #[expect(clippy::disallowed_methods, reason = "the outermost edge")]
        let sent = sender.run(Instant::now(), &flight).unwrap();
        flight.finish(sent.packets);
        let received = receiver.run(&flight).unwrap();
        assert_eq!(received.wrong, sent.packets, "{protection:?}");
        assert_eq!((received.packets, received.bytes), (0, 0));
    }
}

#[test]
fn another_key_opens_nothing() {
    let layout = Layout::new(Protection::Aes128Gcm, 1450).unwrap();
    let (Sealer::Aes(key), Opener::Aes(same)) = packet::keys().unwrap() else {
        panic!("these are keys");
    };
    let data = [7; 100];
    let mut datagram = vec![0; layout.len(data.len())];
    packet::seal(&key, 5, &data, &mut datagram).unwrap();
    assert_eq!(packet::number(&datagram), Some(5));
    let mut opened = [0; 1000];
    assert_eq!(packet::open(&same, 5, &datagram, &mut opened).unwrap(), 100);
    assert_eq!(opened[..100], data);
    assert!(packet::open(&same, 6, &datagram, &mut opened).is_err());
    assert!(packet::open(&same, 5, &datagram, &mut opened[..99]).is_err());
    assert!(packet::open(&same, 5, &datagram[..20], &mut opened).is_err());
    let (_, Opener::Aes(other)) = packet::keys().unwrap() else {
        panic!("these are keys");
    };
    assert!(packet::open(&other, 5, &datagram, &mut opened).is_err());
}

#[test]
fn a_batch_is_as_large_as_a_send_can_be() {
    let segments = |mtu| {
        Layout::new(Protection::None, mtu)
            .map(Layout::segments)
            .ok()
    };
    assert_eq!(segments(1450), Some(44));
    assert_eq!(segments(8950), Some(7));
    assert_eq!(segments(65_507), Some(1));
    assert_eq!(segments(65_508), None);
    assert_eq!(segments(63), None);
}

#[test]
fn what_is_not_an_upload_does_not_apply() {
    let workload = crate::system::tests::workload(Kind::Rpc);
    let refused = run(Protection::None, &workload, &Settings::new(&workload));
    assert!(matches!(refused, Err(StartError::DoesNotApply)));
}
