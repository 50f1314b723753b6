// SPDX-License-Identifier: Apache-2.0

//! Which messages share a send, checked by example and against the packets themselves.

use super::*;
use crate::msg::segment::{MAX_SEGMENTS, MAX_TOTAL};
use bolero::{check, TypeGenerator};
use ExplicitCongestionNotification::{Ect0, NotEct};

fn extent(segment_len: usize, total_len: usize) -> Extent {
    Extent {
        addr: ([192, 0, 2, 1], 7).into(),
        ecn: Ect0,
        segment_len,
        total_len,
    }
}

#[test]
fn messages_that_agree_join() {
    let joined = extent(1450, 2 * 1450).coalesce(&extent(1450, 1450 + 7), MAX_SEGMENTS);
    assert_eq!(joined, Some(extent(1450, 3 * 1450 + 7)));
    assert_eq!(joined.map(|joined| joined.segments()), Some(4));
}

#[test]
fn a_difference_in_address_mark_or_segment_length_keeps_them_apart() {
    let open = extent(1450, 1450);
    let others = [
        Extent {
            addr: ([192, 0, 2, 1], 8).into(),
            ..open
        },
        Extent {
            ecn: NotEct,
            ..open
        },
        extent(1451, 1451),
    ];
    for other in others {
        assert_eq!(open.coalesce(&other, MAX_SEGMENTS), None, "{other:?}");
    }
}

/// The short messages of many streams leave together, as far as they are equally long
#[test]
fn lone_packets_join_at_their_own_length() {
    let two = extent(1450, 300).coalesce(&extent(1450, 300), MAX_SEGMENTS);
    assert_eq!(two, Some(extent(300, 600)));
    let three = two.and_then(|two| two.coalesce(&extent(1200, 300), MAX_SEGMENTS));
    assert_eq!(three, Some(extent(300, 900)));
    let last = three.and_then(|three| three.coalesce(&extent(1450, 299), MAX_SEGMENTS));
    assert_eq!(last, Some(extent(300, 1199)));
    let closed = last.and_then(|last| last.coalesce(&extent(1450, 299), MAX_SEGMENTS));
    assert_eq!(closed, None);
    assert_eq!(
        extent(1450, 300).coalesce(&extent(1450, 301), MAX_SEGMENTS),
        None
    );
    // a message of several packets keeps their length
    assert_eq!(
        extent(300, 300).coalesce(&extent(1450, 1451), MAX_SEGMENTS),
        None
    );
}

#[test]
fn nothing_follows_a_short_packet() {
    let short = extent(1450, 1450 + 1449);
    assert_eq!(short.coalesce(&extent(1450, 1450), MAX_SEGMENTS), None);
    assert_eq!(extent(0, 0).coalesce(&extent(0, 0), MAX_SEGMENTS), None);
}

#[test]
fn a_batch_stops_at_the_packet_limit() {
    let open = extent(100, 43 * 100);
    assert!(open.coalesce(&extent(100, 100), MAX_SEGMENTS).is_some());
    assert_eq!(open.coalesce(&extent(100, 101), MAX_SEGMENTS), None);
    // a caller cannot raise the limit, only lower it
    assert_eq!(open.coalesce(&extent(100, 101), 64), None);
    assert_eq!(extent(100, 100).coalesce(&extent(100, 100), 1), None);
}

#[test]
fn a_batch_stops_at_the_byte_limit() {
    let open = extent(8973, 7 * 8973);
    let room = MAX_TOTAL - open.total_len;
    assert!(open.coalesce(&extent(8973, room), MAX_SEGMENTS).is_some());
    assert_eq!(open.coalesce(&extent(8973, room + 1), MAX_SEGMENTS), None);
    assert_eq!(open.coalesce(&extent(8973, usize::MAX), MAX_SEGMENTS), None);
}

#[derive(Debug, TypeGenerator)]
struct Next {
    to_other_peer: bool,
    marked: bool,
    /// an index into a short list, so that lengths do meet
    segment_len: u8,
    packets: u8,
    /// the length of a short last packet, or none if all are full
    last: Option<u16>,
}

impl Next {
    fn packets(&self) -> (Extent, Vec<usize>) {
        let segment_len = [1, 1200, 1450, 8973][usize::from(self.segment_len / 86)];
        let full = usize::from(self.packets % 16);
        let last = self
            .last
            .map_or(segment_len, |last| 1 + usize::from(last) % segment_len);
        let mut lens = vec![segment_len; full];
        lens.push(last);
        let extent = Extent {
            addr: ([192, 0, 2, 1], 7 + u16::from(self.to_other_peer)).into(),
            ecn: if self.marked { Ect0 } else { NotEct },
            segment_len,
            total_len: lens.iter().sum(),
        };
        (extent, lens)
    }
}

#[test]
fn cutting_what_was_joined_gives_the_packets_back() {
    check!()
        .with_type::<(u8, Vec<Next>)>()
        .for_each(|(limit, messages)| {
            let limit = usize::from(*limit % 70);
            let mut open: Option<(Extent, Vec<usize>)> = None;
            for next in messages {
                let (next, lens) = next.packets();
                let joined = open
                    .as_ref()
                    .and_then(|(open, _)| open.coalesce(&next, limit));
                let Some(joined) = joined else {
                    open = Some((next, lens));
                    continue;
                };
                let (extent, packets) = open.as_mut().expect("something was joined to");
                packets.extend(lens);
                assert_eq!((joined.addr, joined.ecn), (next.addr, next.ecn));
                assert!(joined.total_len <= MAX_TOTAL);
                assert!(packets.len() <= limit && packets.len() <= MAX_SEGMENTS);
                let cut: Vec<usize> = (0..joined.segments())
                    .filter_map(|i| segment::range(i, joined.total_len, joined.segment_len))
                    .map(|range| range.len())
                    .collect();
                assert_eq!(&cut, packets);
                *extent = joined;
            }
        });
}
