// SPDX-License-Identifier: Apache-2.0

//! Bare calls, whole and with what goes wrong.
//!
//! No time decides: each slot makes one call, and what is lost is found by what comes after it, unless silence is the point.

use super::{outbox::By, packet::Type, *};
use s2n_quic_dc::stream::TransportFeatures;
use s2n_quic_dc_perf::{
    size::Size,
    workload::{CallSize, Fanout},
};

/// A workload of `streams` calls of which each request and each response has 1000 bytes.
fn workload(streams: u32) -> Workload {
    Workload {
        streams,
        duration: None,
        mix: vec![size(1, 1000, 1000)],
        fanout: Fanout::NONE,
        ..crate::system::tests::workload(Kind::Rpc)
    }
}

fn size(weight: u32, request: u64, response: u64) -> CallSize {
    CallSize {
        weight,
        request: Size::new(request).unwrap(),
        response: Size::new(response).unwrap(),
    }
}

fn load(workload: Workload, tamper: Option<Tamper>) -> Load {
    Load {
        workload,
        until: Duration::ZERO,
        // longer than any thread is held up
        limit: Duration::from_secs(600),
        patience: Duration::from_secs(60),
        tamper,
    }
}

fn made_of(load: &Load) -> Called {
    let mut called = call(load, &Settings::new(&load.workload)).unwrap();
    called.settle();
    called
}

#[test]
fn more_calls_than_there_may_be_at_once_are_made_and_compared() {
    let called = made_of(&load(workload(700), None));
    let Made {
        tally, requests, ..
    } = &called.made;
    assert_eq!(tally.failures.streams(), 0, "{}", tally.failures);
    assert_eq!((tally.calls, tally.bytes), (700, 700 * 2000));
    assert_eq!(tally.latency.len(), 700);
    assert!(
        tally.latency.min() >= 1_000,
        "nobody opens, sends and receives within a microsecond"
    );
    assert!(called.served.unconfirmed.is_empty());
    // the first ones leave together, and are more than one send holds
    assert!(requests.calls >= 8 && requests.calls < 700, "{requests:?}");
    let sample = called.sample();
    assert_eq!(sample.packets_sent, Some(1400));
    assert_eq!(sample.packets_lost, Some(0));
    assert_eq!(sample.segments_sent, Some(2800));
    assert_eq!(sample.segments_received, Some(2800));
}

#[test]
fn calls_of_several_sizes_keep_their_order() {
    let mut workload = workload(300);
    workload.mix = vec![size(2, 1000, 100), size(1, 10, 1300)];
    let expected: u64 = (0..300)
        .map(|key_id| workload.pick(key_id))
        .map(|size| size.request.bytes() + size.response.bytes())
        .sum();
    let tally = made_of(&load(workload, None)).made.tally;
    assert_eq!(tally.failures.streams(), 0, "{}", tally.failures);
    assert_eq!((tally.calls, tally.bytes), (300, expected));
}

#[test]
fn a_call_of_which_a_datagram_is_lost_or_changed_has_failed() {
    let left_out: fn(&mut [u8]) -> usize = |_| 0;
    let changed: fn(&mut [u8]) -> usize = |datagram| {
        *datagram.last_mut().unwrap() ^= 1;
        datagram.len()
    };
    for with in [left_out, changed] {
        for of in [
            (By::Client, Type::Request),
            (By::Server, Type::Response),
            (By::Server, Type::Ack),
            (By::Client, Type::Ack),
        ] {
            // the last one is not hit, and shows that those before it are lost
            let tamper = Tamper { of, every: 7, with };
            let called = made_of(&load(workload(300), Some(tamper)));
            let Called { made, served } = &called;
            let outboxes = [made.requests, made.acks, served.responses, served.acks];
            let tampered: u64 = outboxes.iter().map(|sent| sent.tampered).sum();
            assert_eq!(tampered, 42, "{of:?}");
            let tally = &made.tally;
            assert_eq!(tally.failures.streams(), 42, "{of:?}: {}", tally.failures);
            assert_eq!((tally.calls, tally.bytes), (258, 258 * 2000), "{of:?}");
        }
    }
}

#[test]
fn calls_of_which_nothing_arrives_end() {
    let tamper = Tamper {
        of: (By::Client, Type::Request),
        every: 1,
        with: |_| 0,
    };
    let load = Load {
        patience: MILLI,
        ..load(workload(5), Some(tamper))
    };
    let Called { made, served } = made_of(&load);
    assert_eq!((made.requests.tampered, served.received.datagrams), (5, 0));
    assert_eq!((made.tally.calls, made.tally.bytes), (0, 0));
    assert_eq!(made.tally.failures.streams(), 5);
    assert!(!made.is_timed_out);
}

#[test]
fn what_is_left_when_the_time_is_over_has_failed() {
    let tamper = Tamper {
        of: (By::Server, Type::Response),
        every: 1,
        with: |_| 0,
    };
    let load = Load {
        // patience is longer, so it is not what ends them
        limit: 50 * MILLI,
        ..load(workload(5), Some(tamper))
    };
    let made = made_of(&load).made;
    // all of them, unless the time was over before they began
    assert!(made.tally.failures.streams() as u64 == made.requests.datagrams);
    assert_eq!(made.tally.calls, 0);
}

#[test]
fn all_of_a_datagram_is_authenticated() {
    let secret = Secret::new();
    let peer = secret.peer();
    let (keys, _params) = peer.pair(&TransportFeatures::UDP).unwrap();
    let open = |datagram: &[u8]| {
        // of a server each, because one takes a key once
        let secret = Secret::new();
        let mut refusal = Vec::new();
        let (keys, ..) = secret
            .server()
            .pair_for_credentials(
                &keys.credentials,
                None,
                &TransportFeatures::UDP,
                &mut refusal,
            )
            .unwrap();
        let mut space = [0; 100];
        packet::open(&keys.application.opener, datagram, &mut space).map(<[u8]>::to_vec)
    };
    let mut datagram = vec![0; packet::len(2, 3).unwrap()];
    let sealer = &keys.application.sealer;
    packet::seal(sealer, (Type::Request, 0), b"he", b"llo", &mut datagram);
    assert_eq!(packet::parse(&datagram), Some((Type::Request, 0)));
    assert_eq!(open(&datagram).unwrap(), b"hello");
    for index in 0..datagram.len() {
        let mut changed = datagram.clone();
        changed[index] ^= 1;
        assert!(open(&changed).is_err(), "{index}");
        assert!(open(&datagram[..index]).is_err(), "{index}");
    }
    assert_eq!(packet::parse(&datagram[..8]), None);
    assert_eq!(packet::parse(&[9; 20]), None);
}

#[test]
fn what_is_not_a_call_to_one_peer_in_a_datagram_each_way_does_not_apply() {
    let too_long = |request, response| Workload {
        mix: vec![size(1, 10, 10), size(1, request, response)],
        ..workload(1)
    };
    let with_fanout = |peers, quorum, hedge_after| Workload {
        fanout: Fanout {
            peers,
            quorum,
            hedge_after,
            ..Fanout::NONE
        },
        ..workload(1)
    };
    for workload in [
        crate::system::tests::workload(Kind::Upload),
        crate::system::tests::workload(Kind::Mixed),
        too_long(1401, 10),
        too_long(10, 1417),
        with_fanout(2, 1, None),
        with_fanout(2, 2, None),
        with_fanout(2, 1, Some(MILLI)),
    ] {
        let refused = run(&workload, &Settings::new(&workload));
        assert!(matches!(refused, Err(StartError::DoesNotApply)));
    }
    // 1450 bytes: kind, key id and tag, and what the two ends say besides the data
    let workload = too_long(1400, 1416);
    let outcome = run(&workload, &Settings::new(&workload)).unwrap();
    assert_eq!(outcome.calls, 1);
}
