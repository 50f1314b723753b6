// SPDX-License-Identifier: Apache-2.0

//! Records and packets against plain maps.
//!
//! Here are the records by example, with the pool as the witness of where the bytes are; `packets` has the packets of one number
//! space, and `model` the records at random.

#![allow(clippy::unwrap_used)]

mod model;
mod packets;

use super::*;
use crate::{
    msg::send::Builder,
    socket::pool::{Class, Config, Pool, Purpose},
};
use core::time::Duration;
use s2n_quic_core::{inet::ExplicitCongestionNotification, time::Timestamp};

/// The length of every packet
const PACKET: u16 = 8;

fn pool() -> Pool {
    Pool::new(Config {
        packet_len: 64,
        burst_len: 1024,
        max_bytes: 1 << 20,
        reserve_bytes: 1024,
        ..Config::default()
    })
    .unwrap()
}

/// A message of `packets` packets, each filled with its index
fn message(pool: &Pool, packets: u8) -> Message {
    let descriptor = pool.alloc(Class::Burst, Purpose::Data).unwrap();
    let mut builder = Builder::new(descriptor, usize::from(PACKET)).unwrap();
    for index in 0..packets {
        let write = |buffer: &mut [u8]| {
            buffer.fill(index);
            buffer.len()
        };
        builder.push(write).unwrap();
    }
    let peer = ([192, 0, 2, 1], 7).into();
    builder
        .finish(peer, ExplicitCongestionNotification::Ect0)
        .unwrap()
}

fn departed(micros: u64) -> Departed {
    Departed {
        // SAFETY: the tests use one made-up clock
        time: unsafe { Timestamp::from_duration(Duration::from_micros(1 + micros)) },
    }
}

fn data(origin: RecordId, segment: u8) -> Data {
    Data {
        origin,
        segment,
        number: u64::from(segment),
        offset: u64::from(segment) * 4,
        payload_len: 4,
        is_fin: false,
    }
}

fn pinned(pool: &Pool) -> usize {
    pool.stats().in_use_bytes
}

/// A burst as the stream makes it; the message that comes back is the one in the wheel
fn burst(records: &mut Records, pool: &Pool, packets: u8) -> (RecordId, Message) {
    let id = records.reserve();
    let message = message(pool, packets);
    records.fill(id, Some(message.clone()), packets);
    (id, message)
}

/// One packet that is never sent again: a copy or a probe
fn single(records: &mut Records) -> RecordId {
    let id = records.reserve();
    records.fill(id, None, 1);
    id
}

#[test]
fn the_descriptor_goes_home_when_the_last_packet_of_the_burst_is_acknowledged_and_not_before() {
    let pool = pool();
    let mut records = Records::default();
    let (id, in_wheel) = burst(&mut records, &pool, 44);
    drop(in_wheel);
    records.on_departed(id, departed(5));
    // backwards, so that no order of arrival is assumed
    for segment in (0..44).rev() {
        assert_eq!(pinned(&pool), 1024);
        let packet = records
            .message(id)
            .and_then(|message| message.segment(usize::from(segment)));
        assert_eq!(packet, Some(&[segment; PACKET as usize][..]));
        assert!(records.acknowledge(&data(id, segment)));
        records.settle(id);
    }
    assert_eq!(pinned(&pool), 0);
    assert!(records.message(id).is_none());
    assert!(records.is_empty());
}

#[test]
fn a_burst_that_is_still_in_the_wheel_keeps_its_bytes_though_the_record_lets_go() {
    let pool = pool();
    let mut records = Records::default();
    let (id, in_wheel) = burst(&mut records, &pool, 1);
    assert!(records.acknowledge(&data(id, 0)));
    assert!(records.message(id).is_none());
    assert_eq!(pinned(&pool), 1024);
    drop(in_wheel);
    assert_eq!(pinned(&pool), 0);
}

#[test]
fn a_packet_counts_as_acknowledged_once_whichever_copy_was() {
    let pool = pool();
    let mut records = Records::default();
    let (id, _in_wheel) = burst(&mut records, &pool, 3);
    let (first, other) = (data(id, 0), data(id, 2));
    // the copy has a number of its own and the same origin
    let copy = single(&mut records);
    assert!(!records.is_acknowledged(&first));
    assert!(records.acknowledge(&first));
    records.settle(copy);
    assert!(records.is_acknowledged(&first));
    assert!(!records.acknowledge(&first));
    records.settle(id);
    assert!(!records.is_acknowledged(&other));
    assert!(records.message(id).is_some(), "two packets are left");
    assert!(records.acknowledge(&other));
    assert!(!records.acknowledge(&other));
    assert!(records.message(id).is_some(), "one packet is left");
}

#[test]
fn what_a_record_that_is_gone_carried_is_acknowledged() {
    let pool = pool();
    let mut records = Records::default();
    let (id, _in_wheel) = burst(&mut records, &pool, 1);
    records.on_departed(id, departed(0));
    assert!(records.acknowledge(&data(id, 0)));
    records.settle(id);
    assert!(records.is_empty());
    assert!(records.is_acknowledged(&data(id, 0)));
    assert!(!records.acknowledge(&data(id, 0)));
}

#[test]
fn a_departure_is_known_from_its_report_until_the_record_ends() {
    let pool = pool();
    let mut records = Records::default();
    let (id, in_wheel) = burst(&mut records, &pool, 2);
    assert!(records.departed(id).is_none());
    records.on_departed(id, departed(7));
    drop(in_wheel);
    assert_eq!(records.departed(id).map(|d| d.time), Some(departed(7).time));
    // both are lost, and yet there is something to copy from
    records.settle(id);
    records.settle(id);
    assert_eq!(records.departed(id).map(|d| d.time), Some(departed(7).time));
    assert!(records.message(id).is_some());
    for segment in 0..2 {
        assert!(records.acknowledge(&data(id, segment)));
    }
    assert!(records.departed(id).is_none());
    assert!(records.is_empty());
    assert_eq!(pinned(&pool), 0);
}

#[test]
fn a_name_stays_taken_while_the_record_is_in_the_wheel_or_an_info_or_a_lost_packet_names_it() {
    let pool = pool();
    let mut records = Records::default();
    let (in_wheel, message) = burst(&mut records, &pool, 1);
    records.acknowledge(&data(in_wheel, 0));
    records.settle(in_wheel);

    let named_by_info = single(&mut records);
    records.on_departed(named_by_info, departed(0));

    let (lost, _) = burst(&mut records, &pool, 1);
    records.on_departed(lost, departed(0));
    records.settle(lost);

    let others: Vec<RecordId> = (0..50).map(|_| records.reserve()).collect();
    for taken in [in_wheel, named_by_info, lost] {
        assert!(!others.contains(&taken));
    }
    assert!(named_by_info != in_wheel && lost != named_by_info && lost != in_wheel);
    for id in others {
        records.cancel(id);
    }

    // each ends by what it waited for
    drop(message);
    records.on_departed(in_wheel, departed(1));
    records.settle(named_by_info);
    records.acknowledge(&data(lost, 0));
    assert!(records.is_empty());
}

#[test]
fn a_name_that_was_cancelled_twice_is_given_out_once() {
    let mut records = Records::default();
    let id = records.reserve();
    assert!(!records.is_empty());
    records.cancel(id);
    records.cancel(id);
    assert!(records.is_empty());
    let (first, second) = (records.reserve(), records.reserve());
    assert_eq!(first, id, "the slot is used again");
    assert_ne!(first, second);
}

#[test]
fn what_is_given_up_lets_every_descriptor_go_and_stays_until_it_has_completed() {
    let pool = pool();
    let mut records = Records::default();
    let (queued, in_wheel) = burst(&mut records, &pool, 2);
    let (sent, _) = burst(&mut records, &pool, 2);
    records.on_departed(sent, departed(0));
    for id in [queued, queued, sent, sent] {
        records.settle(id);
    }
    assert_eq!(pinned(&pool), 2048);
    records.forget_data();
    assert_eq!(pinned(&pool), 1024, "one is in the wheel");
    assert!(records.message(queued).is_none());
    assert!(!records.is_empty());
    assert_ne!(records.reserve(), queued);

    drop(in_wheel);
    assert_eq!(pinned(&pool), 0);
    records.on_departed(queued, departed(1));
    assert!(records.departed(queued).is_none());
}
