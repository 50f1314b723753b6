// SPDX-License-Identifier: Apache-2.0

//! Filling, copying and clearing messages, with the pool as the witness of where the memory is.

use super::*;
use crate::{
    msg::segment::{MAX_SEGMENTS, MAX_TOTAL},
    socket::pool::Config,
};
use bolero::check;
use ExplicitCongestionNotification::Ect0;

fn pool() -> Pool {
    Pool::new(Config::default()).expect("the default is valid")
}

fn burst(pool: &Pool) -> Unfilled {
    pool.alloc(Class::Burst, Purpose::Data).expect("room")
}

fn peer() -> SocketAddr {
    ([192, 0, 2, 1], 7).into()
}

/// A packet of `len` bytes that differ from those of its neighbours.
fn write(seed: u8, len: usize) -> impl FnOnce(&mut [u8]) -> usize {
    move |buffer| {
        buffer[..len].fill(seed);
        len
    }
}

/// A message of full packets and one of 300 bytes, each filled with its index.
fn message(pool: &Pool, full: u8) -> Message {
    let mut builder = Builder::new(burst(pool), 1450).expect("fits");
    for seed in 0..full {
        assert_eq!(builder.push(write(seed, 1450)), Ok(1450));
    }
    assert_eq!(builder.push(write(full, 300)), Ok(300));
    builder.finish(peer(), Ect0).expect("packets were pushed")
}

#[test]
fn packets_lie_back_to_back_in_the_order_they_were_pushed() {
    let message = message(&pool(), 3);
    let packets: Vec<&[u8]> = message.segments().collect();
    let expected: [&[u8]; 4] = [&[0; 1450], &[1; 1450], &[2; 1450], &[3; 300]];
    assert_eq!(packets, expected);
    assert_eq!(message.payload(), expected.concat());
    assert_eq!((message.addr(), message.ecn()), (peer(), Ect0));
    assert_eq!(message.segment_len(), 1450);
    for (index, packet) in expected.into_iter().enumerate() {
        assert_eq!(message.segment(index), Some(packet));
    }
    assert_eq!(message.segment(4), None);
    assert_eq!(message.extent().segments(), 4);
    assert!(!message.extent().ends_full());
}

#[test]
fn a_short_packet_closes_the_batch() {
    let mut builder = Builder::new(burst(&pool()), 1450).expect("fits");
    builder.push(write(1, 1450)).expect("open");
    builder.push(write(2, 1449)).expect("open");
    assert_eq!(builder.remaining(), 0);
    let refused = builder.push(|_| unreachable!("a closed batch takes no bytes"));
    assert_eq!(refused, Err(PushError::Closed));
    assert_eq!((builder.len(), builder.segments()), (2899, 2));
}

#[test]
fn a_batch_is_full_at_the_packet_limit_and_at_the_byte_limit() {
    for (segment_len, limit) in [(1, 44), (1200, 44), (1450, 44), (1472, 44), (8973, 7)] {
        let mut builder = Builder::new(burst(&pool()), segment_len).expect("fits");
        for pushed in 0..limit {
            assert_eq!(builder.remaining(), limit - pushed);
            assert_eq!(builder.push(write(0, segment_len)), Ok(segment_len));
        }
        let refused = builder.push(|_| unreachable!("a full batch takes no bytes"));
        assert_eq!(refused, Err(PushError::Full));
        let message = builder.finish(peer(), Ect0).expect("packets were pushed");
        assert_eq!(message.segments().len(), limit);
        assert!(message.payload().len() <= MAX_TOTAL);
    }
}

#[test]
fn a_writer_that_claims_too_much_adds_nothing() {
    let mut builder = Builder::new(burst(&pool()), 1450).expect("fits");
    builder.push(write(1, 1450)).expect("open");
    let refused = builder.push(|buffer| buffer.len() + 1);
    let (len, room) = (1451, 1450);
    assert_eq!(refused, Err(PushError::TooLong { len, room }));
    assert_eq!(builder.push(write(2, 1450)), Ok(1450));
    let message = builder.finish(peer(), Ect0).expect("packets were pushed");
    assert_eq!(message.segment(1), Some(&[2; 1450][..]));
}

#[test]
fn an_empty_packet_is_skipped_and_a_batch_of_none_is_no_message() {
    let pool = pool();
    let mut builder = Builder::new(burst(&pool), 1450).expect("fits");
    assert_eq!(builder.push(|_| 0), Ok(0));
    assert!(builder.is_empty());
    assert_eq!(builder.remaining(), 44);
    assert!(builder.finish(peer(), Ect0).is_none());
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
fn a_segment_length_that_fits_nowhere_is_refused_and_the_descriptor_goes_home() {
    let pool = pool();
    for (class, segment_len) in [
        (Class::Packet, 0),
        (Class::Packet, 2049),
        (Class::Burst, MAX_TOTAL + 1),
    ] {
        let unfilled = pool.alloc(class, Purpose::Data).expect("room");
        let capacity = unfilled.capacity().min(MAX_TOTAL);
        let expected = SegmentLenError {
            segment_len,
            capacity,
        };
        assert_eq!(Builder::new(unfilled, segment_len).err(), Some(expected));
        assert_eq!(pool.stats().in_use_bytes, 0);
    }
    let unfilled = pool.alloc(Class::Packet, Purpose::Data).expect("room");
    assert_eq!(Builder::new(unfilled, 2048).map(|b| b.remaining()), Ok(1));
}

#[test]
fn a_lost_packet_is_copied_alone_and_the_original_stays_as_it_was() {
    let pool = pool();
    let original = message(&pool, 2);
    let queued = original.clone();
    let before = original.payload().to_vec();

    let (mut copy, len) = original
        .copy_segment(1, &pool, Purpose::Data)
        .expect("room");
    assert_eq!(&copy.as_mut_slice()[..len], [1; 1450]);
    copy.as_mut_slice().fill(0xff);
    assert_eq!(queued.payload(), before);

    let (mut copy, len) = original
        .copy_segment(2, &pool, Purpose::Data)
        .expect("room");
    assert_eq!(&copy.as_mut_slice()[..len], [2; 300]);
    assert!(original.copy_segment(3, &pool, Purpose::Data).is_none());
}

#[test]
fn a_copy_takes_the_smallest_descriptor_that_holds_it() {
    let pool = pool();
    let mut builder = Builder::new(burst(&pool), 8973).expect("fits");
    builder.push(write(1, 8973)).expect("open");
    builder.push(write(2, 1000)).expect("open");
    let message = builder.finish(peer(), Ect0).expect("packets were pushed");
    let capacity = |index| {
        let (copy, _) = message.copy_segment(index, &pool, Purpose::Data)?;
        Some(copy.capacity())
    };
    assert_eq!(capacity(0), Some(pool.config().burst_len));
    assert_eq!(capacity(1), Some(pool.config().packet_len));
}

#[test]
fn a_copy_finds_no_descriptor_in_an_empty_pool_but_may_use_the_reserve() {
    let config = Config {
        max_bytes: 2 * Config::default().burst_len,
        reserve_bytes: Config::default().burst_len,
        ..Config::default()
    };
    let pool = Pool::new(config).expect("valid");
    let message = message(&pool, 2);
    assert!(message.copy_segment(0, &pool, Purpose::Data).is_none());
    assert!(message.copy_segment(0, &pool, Purpose::Control).is_some());
}

#[test]
fn clearing_gives_the_descriptor_back_once_the_last_clone_is_gone() {
    let pool = pool();
    let message = message(&pool, 2);
    let queued = message.clone();
    drop(message);
    assert_eq!(pool.stats().in_use_bytes, Config::default().burst_len);
    drop(queued);
    assert_eq!(pool.stats().in_use_bytes, 0);
    drop(burst(&pool));
    assert_eq!(pool.stats().misses, 1, "the memory is used again");
}

#[test]
fn messages_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<Message>();
    check::<Builder>();
}

#[test]
fn whatever_is_pushed_the_message_is_valid_and_says_what_was_accepted() {
    check!()
        .with_type::<(u16, Vec<u16>)>()
        .for_each(|(segment_len, lens)| {
            let pool = pool();
            let Ok(mut builder) = Builder::new(burst(&pool), usize::from(*segment_len)) else {
                return;
            };
            let segment_len = usize::from(*segment_len);
            let mut accepted: Vec<Vec<u8>> = Vec::new();
            for (seed, len) in lens.iter().enumerate() {
                // most packets are full, as in a real batch
                let len = if len % 8 == 0 {
                    usize::from(*len) % (segment_len + 2)
                } else {
                    segment_len
                };
                let seed = seed as u8;
                let result = builder.push(|buffer| {
                    assert_eq!(buffer.len(), segment_len);
                    buffer[..len.min(segment_len)].fill(seed);
                    len
                });
                if let Ok(1..) = result {
                    accepted.push(vec![seed; len]);
                }
            }
            assert_eq!(builder.is_empty(), accepted.is_empty());
            let Some(message) = builder.finish(peer(), Ect0) else {
                assert!(accepted.is_empty());
                return;
            };
            assert!(message
                .segments()
                .eq(accepted.iter().map(|packet| &packet[..])));
            assert!(message.payload().len() <= MAX_TOTAL && accepted.len() <= MAX_SEGMENTS);
            let (_, full) = accepted.split_last().expect("there is a message");
            assert!(full.iter().all(|packet| packet.len() == segment_len));
        });
}
