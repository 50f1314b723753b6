// SPDX-License-Identifier: Apache-2.0

//! Bytes that wait in the socket's memory, in their own and in the reassembler.
//!
//! The one rule under test: they come out once and in order, and the pool has back what it lent.

use super::*;
use crate::{
    socket::pool::{Class, Config, Pool, Purpose},
    stream::testing::clock::timestamp,
};
use bolero::{check, TypeGenerator};

/// What there is before the payload of a packet, and after it
const AROUND: usize = 7;

fn pool() -> Pool {
    Pool::new(Config::default()).expect("the defaults are valid")
}

fn byte(offset: usize) -> u8 {
    (offset % 251) as u8
}

fn bytes(range: Range<usize>) -> Vec<u8> {
    range.map(byte).collect()
}

/// A packet whose payload are the first `len` bytes
fn packet(pool: &Pool, len: usize) -> Segment {
    let mut packet = pool
        .alloc(Class::Packet, Purpose::Control)
        .expect("the pool is not empty");
    let space = packet.as_mut_slice();
    space.fill(0xff);
    space[AROUND..AROUND + len].copy_from_slice(&bytes(0..len));
    let filled = packet.fill(len + 2 * AROUND).expect("it has room");
    let segments = filled.into_segments(0).ok();
    segments
        .and_then(|mut segments| segments.next())
        .expect("there is one")
}

/// A buffer whose first `len` bytes stay in a packet of `pool`, which is all if `is_fin`
fn kept(pool: &Pool, len: usize, is_fin: bool) -> Buffer {
    let mut buffer = Buffer::default();
    buffer.skip_kept(len, is_fin).expect("it is new");
    buffer.keep(packet(pool, len), AROUND..AROUND + len, timestamp(5));
    buffer
}

fn read(buffer: &mut Buffer, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    buffer.read(&mut writer::Storage::with_write_limit(&mut out, len));
    out
}

#[test]
fn what_is_kept_is_not_consumed_before_it_is_read() {
    let pool = pool();
    let mut buffer = kept(&pool, 100, true);
    assert!(buffer.is_writing_complete() && !buffer.is_reading_complete());
    assert_eq!((buffer.len(), buffer.consumed_len()), (100, 0));
    assert_eq!(buffer.total_received_len(), 100);
    assert_eq!(read(&mut buffer, 0), []);
    assert_eq!(read(&mut buffer, 30), bytes(0..30));
    assert_eq!((buffer.len(), buffer.consumed_len()), (70, 30));
    assert!(!buffer.is_empty() && !buffer.is_reading_complete());
    assert!(pool.stats().in_use_bytes > 0);
    assert_eq!(read(&mut buffer, 71), bytes(30..100));
    assert!(buffer.is_empty() && buffer.is_reading_complete());
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
fn the_socket_has_its_memory_back_once_kept_bytes_are_copied() {
    let pool = pool();
    let mut buffer = kept(&pool, 100, false);
    assert_eq!(buffer.kept_since(), Some(timestamp(5)));
    assert_eq!(read(&mut buffer, 1), bytes(0..1));
    buffer.copy_kept();
    assert_eq!((buffer.kept_since(), pool.stats().in_use_bytes), (None, 0));
    assert_eq!((buffer.len(), buffer.consumed_len()), (99, 1));
    assert_eq!(read(&mut buffer, 50), bytes(1..51));
    buffer.copy_kept();
    assert_eq!(read(&mut buffer, 50), bytes(51..100));
}

#[test]
fn what_nobody_takes_goes() {
    let pool = pool();
    let mut buffer = kept(&pool, 100, true);
    buffer.discard();
    assert!(buffer.is_reading_complete());
    assert_eq!((buffer.consumed_len(), pool.stats().in_use_bytes), (100, 0));

    let mut buffer = kept(&pool, 100, false);
    buffer
        .write_at(VarInt::from_u8(100), &bytes(100..120), false)
        .unwrap();
    buffer.discard();
    assert!(buffer.is_empty());
    assert_eq!((buffer.consumed_len(), pool.stats().in_use_bytes), (120, 0));

    let mut buffer = kept(&pool, 100, false);
    buffer.reset();
    assert!(buffer.is_empty());
    assert_eq!((buffer.consumed_len(), pool.stats().in_use_bytes), (0, 0));
}

#[test]
fn a_stream_that_ended_by_its_first_packet_keeps_nothing_of_it() {
    let pool = pool();
    let mut buffer = Buffer::default();
    buffer.skip_kept(100, false).unwrap();
    buffer.reset();
    buffer.keep(packet(&pool, 100), AROUND..AROUND + 100, timestamp(5));
    assert!(buffer.is_empty());
    assert_eq!((buffer.kept_since(), pool.stats().in_use_bytes), (None, 0));
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Op {
    Read(u8),
    /// Again or anew, from so many bytes on
    Write(u8, u8),
    Copy,
}

#[test]
fn bytes_come_out_in_order_wherever_they_waited() {
    check!()
        .with_type::<(u8, Vec<Op>)>()
        .for_each(|(len, ops)| {
            let pool = pool();
            let len = usize::from(*len).max(1);
            let mut buffer = kept(&pool, len, false);
            let mut received = vec![true; len];
            let mut consumed = 0;
            for op in ops {
                match *op {
                    Op::Read(most) => {
                        let out = read(&mut buffer, most.into());
                        assert_eq!(out, bytes(consumed..consumed + out.len()));
                        let in_order = received.iter().position(|is| !is);
                        let in_order = in_order.unwrap_or(received.len()) - consumed;
                        assert_eq!(out.len(), in_order.min(most.into()));
                        consumed += out.len();
                    }
                    Op::Write(start, count) => {
                        let range = usize::from(start)..usize::from(start) + usize::from(count);
                        let offset = VarInt::from_u8(start);
                        buffer
                            .write_at(offset, &bytes(range.clone()), false)
                            .unwrap();
                        received.resize(received.len().max(range.end), false);
                        received[range].fill(true);
                    }
                    Op::Copy => buffer.copy_kept(),
                }
                let in_order = received.iter().position(|is| !is);
                let in_order = in_order.unwrap_or(received.len());
                assert_eq!(buffer.len(), in_order - consumed);
                assert_eq!(buffer.consumed_len(), consumed as u64);
            }
            drop(buffer);
            assert_eq!(pool.stats().in_use_bytes, 0);
        });
}
