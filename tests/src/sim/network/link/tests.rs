// SPDX-License-Identifier: Apache-2.0

use super::*;
use bach::environment::net::ip::{header, transport};

fn packet(number: u8) -> Packet {
    Packet {
        header: header::V4::default().into(),
        transport: transport::Udp {
            source: 1,
            destination: 2,
            payload: vec![0, number].into(),
            checksum: 0,
        }
        .into(),
    }
}

fn link(nodes: &[Node]) -> Link {
    Link::new(nodes, Random::new(1))
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// The numbers of what is there by `now`
fn taken(link: &mut Link, now: Duration) -> Vec<u8> {
    std::iter::from_fn(|| link.take(now).ok())
        .map(|packet| packet.transport.payload()[1])
        .collect()
}

#[test]
fn a_copy_follows_its_packet() {
    let delay = Node::Delay(micros(5));
    let twice = Node::Duplicate {
        per_million: 1_000_000,
    };
    let mut link = link(&[twice, delay]);
    assert_eq!(
        link.admit(packet(1), micros(0)).fate,
        Fate::Arrives(micros(5))
    );
    link.admit(packet(2), micros(0));
    assert_eq!(link.take(micros(4)).unwrap_err(), Some(micros(5)));
    assert_eq!(taken(&mut link, micros(5)), [1, 1, 2, 2]);
    assert_eq!(link.counts.duplicated, 2);
    assert_eq!(link.counts.delivered, 4);
}

#[test]
fn a_packet_goes_on_behind_those_that_were_to_overtake_it() {
    let hold = Node::Overtake {
        per_million: 300_000,
        packets: 3,
        at_most: micros(1_000_000),
    };
    let mut link = link(&[hold, Node::Delay(micros(5))]);
    let mut held = Vec::new();
    for number in 0..100 {
        let record = link.admit(packet(number), micros(number.into()));
        if record.fate == Fate::Held {
            held.push(number);
        }
    }
    assert!(held.len() > 10);
    assert_eq!(link.counts.held, held.len() as u64);
    let order = taken(&mut link, micros(1000));
    let place = |number: &u8| order.iter().position(|it| it == number);
    for number in held.iter().filter(|number| **number < 80) {
        // packets that are held themselves overtake nobody
        let passed = (number + 1..).filter(|it| !held.contains(it));
        let last = passed.take(3).last().expect("there are more");
        assert!(place(number) > place(&last), "{number} in {order:?}");
        assert!(place(number) <= place(&last).map(|at| at + 3));
    }
}

#[test]
fn a_packet_that_nobody_overtakes_goes_on_after_a_time() {
    let hold = Node::Overtake {
        per_million: 1_000_000,
        packets: 3,
        at_most: micros(50),
    };
    let mut link = link(&[hold, Node::Delay(micros(5))]);
    assert_eq!(link.admit(packet(1), micros(0)).fate, Fate::Held);
    assert_eq!(link.take(micros(49)).unwrap_err(), Some(micros(50)));
    assert_eq!(link.take(micros(50)).unwrap_err(), Some(micros(55)));
    assert_eq!(taken(&mut link, micros(55)), [1]);
    assert_eq!(link.take(micros(99)).unwrap_err(), None);
}
