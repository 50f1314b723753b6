// SPDX-License-Identifier: Apache-2.0

//! How many packets share one transmission, and where each of them lies.
//!
//! The rule: every length is widened to `usize` before it is rounded, so that no sum of 16-bit lengths can wrap.

use std::ops::Range;

/// Most bytes that one transmission may hold, over all its packets.
///
/// The IP length field counts up to 65 535, from which the IPv6 header (40) and the UDP header (8) are taken. IPv4 alone
/// would leave 65 507. The smaller limit serves both families, because kernels such as 5.10 check a batch against it
/// wherever it goes.
pub const MAX_TOTAL: usize = 65_535 - 40 - 8;

/// Most packets that one transmission may hold.
///
/// What fits into [`MAX_TOTAL`] at an Ethernet datagram of 1472 bytes. The kernel's own limit is 64 and is only reachable
/// with smaller packets; published peers batch by this number too.
pub const MAX_SEGMENTS: usize = MAX_TOTAL / 1472;

/// How many packets `total_len` bytes make when cut at every `segment_len` bytes; the last may be short.
///
/// Zero for no bytes, and for a `segment_len` of zero, which cuts nothing.
pub const fn count(total_len: usize, segment_len: usize) -> usize {
    if segment_len == 0 {
        0
    } else {
        total_len.div_ceil(segment_len)
    }
}

/// How many whole packets of `segment_len` bytes one transmission in a buffer of `capacity` bytes may hold.
///
/// Never more than [`MAX_SEGMENTS`], and together never more than [`MAX_TOTAL`] bytes. Zero if not even one fits, and for a
/// `segment_len` of zero.
pub const fn fitting(capacity: usize, segment_len: usize) -> usize {
    let room = if capacity < MAX_TOTAL {
        capacity
    } else {
        MAX_TOTAL
    };
    if segment_len == 0 {
        return 0;
    }
    let whole = room / segment_len;
    if whole < MAX_SEGMENTS {
        whole
    } else {
        MAX_SEGMENTS
    }
}

/// The bytes of packet `index` when `total_len` bytes are cut at every `segment_len`, or `None` past the last packet.
pub const fn range(index: usize, total_len: usize, segment_len: usize) -> Option<Range<usize>> {
    if index >= count(total_len, segment_len) {
        return None;
    }
    // below `total_len`, as the index is below the count
    let start = index * segment_len;
    let rest = total_len - start;
    let len = if rest < segment_len {
        rest
    } else {
        segment_len
    };
    Some(Range {
        start,
        end: start + len,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 5] = [1, 1200, 1450, 1472, 8973];

    #[test]
    fn limits_are_those_that_published_peers_use() {
        assert_eq!(MAX_TOTAL, 65_487);
        assert_eq!(MAX_SEGMENTS, 44);
    }

    #[test]
    fn pieces_tile_the_whole_near_the_sixteen_bit_limit() {
        for total in 65_000..=65_535 {
            for size in SIZES {
                let pieces = count(total, size);
                let mut end = 0;
                for index in 0..pieces {
                    let piece = range(index, total, size).expect("below the count");
                    assert_eq!(piece.start, end);
                    let full = piece.len() == size;
                    assert!(
                        full || (index + 1 == pieces && !piece.is_empty() && piece.len() < size)
                    );
                    end = piece.end;
                }
                assert_eq!(end, total, "{size}");
                assert_eq!(range(pieces, total, size), None);
            }
        }
    }

    #[test]
    fn what_fits_respects_every_limit_and_one_more_would_break_one() {
        for capacity in 65_000..=65_535 {
            for size in SIZES {
                let fits = fitting(capacity, size);
                let room = capacity.min(MAX_TOTAL);
                assert!(fits <= MAX_SEGMENTS && fits * size <= room);
                assert!(fits == MAX_SEGMENTS || (fits + 1) * size > room);
            }
        }
        assert_eq!(fitting(65_535, 1450), 44);
        assert_eq!(fitting(65_535, 1472), 44);
        assert_eq!(fitting(65_535, 8973), 7);
        assert_eq!(fitting(1500, 1450), 1);
    }

    #[test]
    fn nothing_fits_where_nothing_can() {
        assert_eq!(count(10, 0), 0);
        assert_eq!(count(0, 10), 0);
        assert_eq!(fitting(65_535, 0), 0);
        assert_eq!(fitting(1449, 1450), 0);
        assert_eq!(fitting(usize::MAX, MAX_TOTAL + 1), 0);
        assert_eq!(range(0, 0, 1450), None);
        assert_eq!(range(0, 10, 0), None);
    }
}
