// SPDX-License-Identifier: Apache-2.0

use super::*;

fn seen(micros: u64, len: usize) -> Seen {
    Seen {
        at: Duration::from_micros(micros),
        len,
        kind: Kind::Stream,
        source: 1,
        destination: 2,
    }
}

fn pass(nodes: &[Node], packets: &[(u64, usize)]) -> Vec<Result<u64, Dropped>> {
    let mut random = Random::new(1);
    let mut passages: Vec<_> = nodes.iter().copied().map(Passage::new).collect();
    let fate = |(micros, len): &(u64, usize)| {
        let mut seen = seen(*micros, *len);
        for passage in &mut passages {
            if let Verdict::Drop(reason) = passage.pass(&mut seen, &mut random) {
                return Err(reason);
            }
        }
        Ok(seen.at.as_micros() as u64)
    };
    packets.iter().map(fate).collect()
}

#[test]
fn a_delay_is_added_to_the_time() {
    let delay = Node::Delay(Duration::from_micros(100));
    assert_eq!(pass(&[delay, delay], &[(0, 1), (7, 1)]), [Ok(200), Ok(207)]);
}

#[test]
fn a_rate_spaces_packets_and_its_queue_overflows() {
    // 100 bytes on the wire at 1 MB/s are 100 microseconds
    let rate = Node::Rate {
        bytes_per_second: 1_000_000,
        queue: 250,
    };
    let fates = pass(&[rate], &[(0, 72), (0, 72), (0, 72), (100, 72), (1000, 72)]);
    let overflow = Err(Dropped::Overflowed);
    assert_eq!(fates, [Ok(100), Ok(200), overflow, Ok(300), Ok(1100)]);
}

#[test]
fn loss_takes_about_its_share_and_the_same_packets_each_time() {
    let loss = Node::Loss {
        per_million: 100_000,
    };
    let packets = vec![(0, 1); 10_000];
    let fates = pass(&[loss], &packets);
    let lost = fates.iter().filter(|fate| fate.is_err()).count();
    assert!((900..1100).contains(&lost), "{lost} of 10000");
    assert_eq!(fates, pass(&[loss], &packets));
}

#[test]
fn a_packet_that_is_held_back_is_overtaken() {
    let by = Duration::from_micros(50);
    let hold = |per_million| Node::Hold { per_million, by };
    assert_eq!(
        pass(&[hold(1_000_000)], &[(0, 1), (9, 1)]),
        [Ok(50), Ok(59)]
    );
    assert_eq!(pass(&[hold(0)], &[(0, 1)]), [Ok(0)]);
    let fates = pass(&[hold(500_000)], &[(0, 1); 100]);
    assert!(fates.contains(&Ok(0)) && fates.contains(&Ok(50)));
}

#[test]
fn a_burst_takes_packets_in_a_row() {
    let burst = Node::Burst {
        per_million: 20_000,
        packets: 5,
    };
    let fates = pass(&[burst], &vec![(0, 1); 10_000]);
    let runs = fates.split(|fate| fate.is_ok()).map(<[_]>::len);
    let runs: Vec<_> = runs.filter(|len| *len > 0).collect();
    assert!(runs.len() > 100, "{}", runs.len());
    // two bursts may meet
    assert!(runs[..runs.len() - 1].iter().all(|len| len % 5 == 0));
}

#[test]
fn a_blackhole_takes_everything_for_its_time() {
    let hole = Node::Blackhole {
        from: Duration::from_micros(10),
        until: Duration::from_micros(20),
    };
    let lost = Err(Dropped::Lost);
    let fates = pass(&[hole], &[(9, 1), (10, 1), (19, 1), (20, 1)]);
    assert_eq!(fates, [Ok(9), lost, lost, Ok(20)]);
}

#[test]
fn a_node_sees_what_a_packet_is_by_its_first_byte() {
    let kinds = |bytes: std::ops::RangeInclusive<u8>, kind| {
        for byte in bytes {
            assert_eq!(Kind::of(&[byte]), kind, "{byte:#04x}");
        }
    };
    kinds(0x00..=0x3f, Kind::Stream);
    kinds(0x40..=0x4f, Kind::Other);
    kinds(0x50..=0x5f, Kind::Control);
    kinds(0x60..=0xff, Kind::Other);
    assert_eq!(Kind::of(&[]), Kind::Other);
}

#[test]
fn only_packets_of_its_kind_are_lost_or_counted() {
    let (kind, lost) = (Kind::Control, Verdict::Drop(Dropped::Lost));
    let mut random = Random::new(1);
    for node in [
        Node::LossOf {
            kind,
            per_million: 1_000_000,
        },
        Node::Cut {
            kind,
            after: 0,
            packets: 9,
        },
    ] {
        let mut passage = Passage::new(node);
        let mut other = seen(0, 1);
        assert_eq!(passage.pass(&mut other, &mut random), Verdict::Pass);
        let mut own = Seen { kind, ..other };
        assert_eq!(passage.pass(&mut own, &mut random), lost);
        assert_eq!(passage.acts(), (node, 1));
    }
}

#[test]
fn a_cut_takes_the_packets_with_its_numbers_once() {
    let cut = Node::Cut {
        kind: Kind::Stream,
        after: 2,
        packets: 2,
    };
    let lost = Err(Dropped::Lost);
    let fates = pass(&[cut], &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    assert_eq!(fates, [Ok(0), Ok(1), lost, lost, Ok(4), Ok(5)]);
}

#[test]
fn a_rebound_port_is_translated_both_ways_and_the_old_one_is_gone() {
    let node = Node::Rebind {
        at: Duration::from_micros(10),
        inside: 1,
        outside: 7,
    };
    let mut random = Random::new(1);
    let mut ports = |micros, source, destination| {
        let mut seen = Seen {
            source,
            destination,
            ..seen(micros, 1)
        };
        match Passage::new(node).pass(&mut seen, &mut random) {
            Verdict::Pass => Some((seen.source, seen.destination)),
            _ => None,
        }
    };
    assert_eq!(ports(9, 1, 2), Some((1, 2)));
    assert_eq!(ports(9, 2, 1), Some((2, 1)));
    assert_eq!(ports(10, 1, 2), Some((7, 2)));
    assert_eq!(ports(10, 2, 7), Some((2, 1)));
    assert_eq!(ports(10, 2, 1), None);
}
