// SPDX-License-Identifier: Apache-2.0

//! Behaviour of the pool, its descriptors and its line, one thread at a time; and a few threads at once.
//!
//! The one rule: nothing waits by time. A test that would hang for want of a wake does hang.

#![allow(clippy::unwrap_used)]

mod ceiling;
mod line;
mod model;
mod trim;

use super::*;
use crate::sync::wakes::Wakes;
use std::{sync::Arc as StdArc, task::Waker};

const PACKET: usize = 64;
const BURST: usize = 256;

/// A pool where data may have `data` bytes, and control `reserve` bytes on top.
fn pool(data: usize, reserve: usize) -> Pool {
    Pool::new(Config {
        packet_len: PACKET,
        burst_len: BURST,
        max_bytes: data + reserve,
        reserve_bytes: reserve,
        ..Config::default()
    })
    .unwrap()
}

fn data(pool: &Pool, class: Class) -> Unfilled {
    pool.alloc(class, Purpose::Data).unwrap()
}

/// A filled descriptor with the bytes 0, 1, 2, …
fn counting(pool: &Pool, len: usize) -> Filled {
    let mut unfilled = data(pool, Class::for_len(len, pool.config()).unwrap());
    for (value, byte) in unfilled.as_mut_slice().iter_mut().enumerate() {
        *byte = value as u8;
    }
    unfilled.fill(len).unwrap()
}

#[test]
fn handles_and_descriptors_can_be_sent_and_shared() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Pool>();
    check::<Unfilled>();
    check::<Filled>();
    check::<Segments>();
    check::<Segment>();
    check::<Waiter>();
    check::<FillError>();
    check::<ConfigError>();
}

#[test]
fn a_length_gets_the_smallest_class_that_holds_it() {
    let config = Config::default();
    let cases = [
        (0, Some(Class::Packet)),
        (2048, Some(Class::Packet)),
        (2049, Some(Class::Burst)),
        (65_535, Some(Class::Burst)),
        (65_537, None),
    ];
    for (len, class) in cases {
        assert_eq!(Class::for_len(len, &config), class, "{len}");
    }
}

#[test]
fn an_invalid_configuration_names_the_field_the_value_and_the_range() {
    let valid = Config::default();
    assert_eq!(valid.validate(), Ok(()));
    let cases = [
        (
            Config {
                packet_len: 63,
                ..valid
            },
            "packet_len",
            63,
            64..=65_536,
        ),
        (
            Config {
                burst_len: 2047,
                ..valid
            },
            "burst_len",
            2047,
            2048..=65_536,
        ),
        (
            Config {
                burst_len: 65_537,
                ..valid
            },
            "burst_len",
            65_537,
            2048..=65_536,
        ),
        (
            Config {
                max_bytes: 131_071,
                ..valid
            },
            "max_bytes",
            131_071,
            131_072..=isize::MAX as usize,
        ),
        (
            Config {
                max_bytes: usize::MAX,
                ..valid
            },
            "max_bytes",
            usize::MAX,
            131_072..=isize::MAX as usize,
        ),
        (
            Config {
                reserve_bytes: 1,
                ..valid
            },
            "reserve_bytes",
            1,
            65_536..=(256 << 20) - 65_536,
        ),
        (
            Config {
                max_bytes: 1 << 20,
                reserve_bytes: 1 << 20,
                ..valid
            },
            "reserve_bytes",
            1 << 20,
            65_536..=(1 << 20) - 65_536,
        ),
    ];
    for (config, field, value, allowed) in cases {
        let error = Pool::new(config).err().unwrap();
        assert_eq!(
            error,
            ConfigError {
                field,
                value,
                allowed: allowed.clone()
            }
        );
        let expected = format!(
            "pool {field} is {value}, allowed are {} to {}",
            allowed.start(),
            allowed.end()
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_released_descriptor_is_handed_out_again_without_allocating() {
    let pool = pool(4 * BURST, BURST);
    let mut first = data(&pool, Class::Packet);
    let address = first.as_mut_slice().as_ptr();
    drop(first);
    for _ in 0..100 {
        let mut again = data(&pool, Class::Packet);
        assert_eq!(again.as_mut_slice().as_ptr(), address);
        let filled = again.fill(PACKET).unwrap();
        drop(filled.clone());
    }
    let stats = pool.stats();
    assert_eq!((stats.misses, stats.hits), (1, 100));
    assert_eq!((stats.allocated_bytes, stats.in_use_bytes), (PACKET, 0));
}

#[test]
fn the_descriptor_released_last_is_handed_out_first() {
    let pool = pool(4 * BURST, BURST);
    let mut held = [data(&pool, Class::Packet), data(&pool, Class::Packet)];
    let addresses = held
        .each_mut()
        .map(|unfilled| unfilled.as_mut_slice().as_ptr());
    let [first, second] = held;
    drop(first);
    drop(second);
    assert_eq!(
        data(&pool, Class::Packet).as_mut_slice().as_ptr(),
        addresses[1]
    );
}

#[test]
fn data_stops_at_the_reserve_and_control_at_the_ceiling() {
    let pool = pool(2 * BURST, BURST);
    let held = [data(&pool, Class::Burst), data(&pool, Class::Burst)];
    assert!(pool.alloc(Class::Packet, Purpose::Data).is_none());
    let control: Vec<_> = (0..BURST / PACKET)
        .map(|_| pool.alloc(Class::Packet, Purpose::Control).unwrap())
        .collect();
    assert!(pool.alloc(Class::Packet, Purpose::Control).is_none());
    let stats = pool.stats();
    assert_eq!(
        (stats.in_use_bytes, stats.data_bytes),
        (3 * BURST, 2 * BURST)
    );
    assert_eq!((stats.allocated_bytes, stats.exhausted), (3 * BURST, 2));
    drop((held, control));
    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.data_bytes), (0, 0));
    assert_eq!(
        (stats.peak_in_use_bytes, stats.peak_allocated_bytes),
        (3 * BURST, 3 * BURST)
    );
}

#[test]
fn control_within_the_reserve_takes_nothing_from_data() {
    let pool = pool(BURST, BURST);
    let _control = pool.alloc(Class::Burst, Purpose::Control).unwrap();
    assert!(pool.alloc(Class::Burst, Purpose::Data).is_some());
}

#[test]
fn idle_memory_of_one_class_does_not_keep_the_other_from_its_share() {
    let pool = pool(BURST, BURST);
    let packets = |pool: &Pool| -> Vec<_> {
        std::iter::from_fn(|| pool.alloc(Class::Packet, Purpose::Control)).collect()
    };
    assert_eq!(packets(&pool).len(), 2 * BURST / PACKET);
    assert_eq!(
        pool.stats().allocated_bytes,
        2 * BURST,
        "all of the ceiling is idle packets"
    );
    let burst = data(&pool, Class::Burst);
    assert_eq!(pool.stats().allocated_bytes, 2 * BURST);
    drop(burst);
    assert_eq!(packets(&pool).len(), 2 * BURST / PACKET);
    assert_eq!(pool.stats().peak_allocated_bytes, 2 * BURST);
}

#[test]
fn filling_beyond_the_capacity_gives_the_descriptor_back() {
    let pool = pool(BURST, BURST);
    let mut unfilled = data(&pool, Class::Packet);
    unfilled.as_mut_slice()[0] = 7;
    let error = unfilled.fill(PACKET + 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "65 bytes do not fit into a descriptor of 64"
    );
    let filled = error.unfilled.fill(PACKET).unwrap();
    assert_eq!((filled.len(), filled[0]), (PACKET, 7));
}

#[test]
fn clones_share_the_bytes_and_the_last_one_releases_them() {
    let pool = pool(BURST, BURST);
    let filled = counting(&pool, 10);
    let clone = filled.clone();
    assert_eq!(filled.as_ptr(), clone.as_ptr());
    drop(filled);
    assert_eq!(pool.stats().in_use_bytes, PACKET);
    assert_eq!(*clone, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    drop(clone);
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
fn shared_bytes_can_be_neither_rewritten_nor_cut() {
    let pool = pool(BURST, BURST);
    let filled = counting(&pool, 10);
    let clone = filled.clone();
    let filled = filled.try_into_unfilled().unwrap_err();
    let filled = filled.into_segments(5).unwrap_err();
    drop(clone);
    let unfilled = filled.try_into_unfilled().unwrap();
    assert_eq!(unfilled.capacity(), PACKET);
}

#[test]
fn segments_are_equal_but_for_a_shorter_last_one() {
    let pool = pool(BURST, BURST);
    // bytes, segment length, lengths of the segments
    let cases: [(usize, usize, &[usize]); 7] = [
        (10, 4, &[4, 4, 2]),
        (8, 4, &[4, 4]),
        (3, 4, &[3]),
        (3, 1, &[1, 1, 1]),
        (200, usize::MAX, &[200]),
        (10, 0, &[10]),
        (0, 4, &[]),
    ];
    for (len, segment_len, expected) in cases {
        let segments = counting(&pool, len).into_segments(segment_len).unwrap();
        assert_eq!(segments.len(), expected.len());
        let segments: Vec<_> = segments.collect();
        assert!(segments
            .iter()
            .map(|segment| segment.len())
            .eq(expected.iter().copied()));
        let joined: Vec<u8> = segments
            .iter()
            .flat_map(|segment| segment.iter().copied())
            .collect();
        assert!(joined.iter().copied().eq(0..len as u8));
        drop(segments);
        assert_eq!(pool.stats().in_use_bytes, 0);
    }
}

#[test]
fn the_last_segment_releases_the_descriptor() {
    let pool = pool(BURST, BURST);
    let mut segments = counting(&pool, 10).into_segments(4).unwrap();
    let first = segments.next().unwrap();
    let second = segments.next().unwrap();
    assert_eq!(segments.len(), 1);
    drop(first);
    // with a segment in it that nobody took
    drop(segments);
    assert_eq!(pool.stats().in_use_bytes, PACKET);
    drop(second);
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
fn segments_are_written_by_many_threads_at_once() {
    let pool = pool(BURST, BURST);
    let segments = counting(&pool, BURST).into_segments(3).unwrap();
    std::thread::scope(|scope| {
        for mut segment in segments {
            scope.spawn(move || {
                let expected: Vec<u8> = segment.iter().map(|byte| !byte).collect();
                segment.iter_mut().for_each(|byte| *byte = !*byte);
                assert_eq!(*segment, expected);
            });
        }
    });
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
fn descriptors_outlive_every_handle_to_the_pool() {
    let pool = pool(2 * BURST, BURST);
    let shared = StdArc::downgrade(&pool.shared);
    let filled = counting(&pool, 10);
    let mut segments = counting(&pool, 100).into_segments(50).unwrap();
    drop(data(&pool, Class::Packet));
    drop(pool);
    assert_eq!(filled.len(), 10);
    drop(filled);
    let segment = segments.next().unwrap();
    drop(segments);
    assert_eq!(segment[49], 49);
    assert!(shared.upgrade().is_some());
    drop(segment);
    assert!(
        shared.upgrade().is_none(),
        "the last descriptor frees the pool"
    );
}
