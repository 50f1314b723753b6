// SPDX-License-Identifier: Apache-2.0

//! How long the packets of a batch are.
//!
//! The one rule: a batch never needs more packets than with the longest ones.

/// Bytes that the cipher works on at a time: AES-GCM encrypts and authenticates blocks of so many (NIST SP 800-38D, section 6)
const BLOCK_LEN: usize = 16;

/// The length of all packets of a batch but the last: with whole blocks of payload, or else `datagram_len`
///
/// A payload that ends within a block costs one more of cipher and hash at either end, a tenth of what 1450 bytes cost; what is left out for it
/// is 0.5 % of them. `overhead` are the bytes of each packet that are not payload. `payload_len` bytes are to be sent, and the batch has `packets`
/// at most.
pub(super) fn segment_len(
    datagram_len: usize,
    overhead: usize,
    payload_len: usize,
    packets: usize,
) -> usize {
    let room = datagram_len.saturating_sub(overhead);
    let whole = room - room % BLOCK_LEN;
    if whole == 0 {
        return datagram_len;
    }
    let needed = |room: usize| payload_len.div_ceil(room);
    match needed(room) > packets || needed(whole) == needed(room) {
        true => overhead + whole,
        false => datagram_len,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_whole_blocks() {
        for overhead in 50..70 {
            let len = segment_len(1450, overhead, 1 << 20, 44);
            assert_eq!((len - overhead) % 16, 0);
            assert!((1435..=1450).contains(&len));
        }
    }

    #[test]
    fn a_message_takes_no_packet_more_for_it() {
        // 1396 bytes fit, or 87 blocks
        let len = |payload_len: usize| segment_len(1450, 54, payload_len, 44);
        assert_eq!(len(2 * 1392), 1446);
        assert_eq!(len(2 * 1392 + 1), 1450);
        assert_eq!(len(2 * 1396), 1450);
        assert_eq!(len(2 * 1396 + 1), 1446);
        assert_eq!(len(44 * 1392), 1446);
        assert_eq!(len(44 * 1396), 1450);
        // which does not end here
        assert_eq!(len(44 * 1396 + 1), 1446);
    }

    #[test]
    fn what_has_no_room_for_a_block_is_left_as_it_is() {
        assert_eq!(segment_len(100, 90, 1000, 44), 100);
        assert_eq!(segment_len(100, 100, 1000, 44), 100);
        assert_eq!(segment_len(100, 200, 0, 1), 100);
    }
}
