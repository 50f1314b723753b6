// SPDX-License-Identifier: Apache-2.0

//! The acknowledgement of a whole answer, as a packet of another stream to the same peer carries it.
//!
//! The answer is the last that a call receives, and nothing of the call is left to carry its acknowledgement. The next request to the peer has
//! room for it, in a DATAGRAM frame (RFC 9221) behind the PING of its [invitation](super::piggyback): which streams it is about, and
//! how long each has waited. A call in a row of calls is two packets then.
//!
//! The one rule: a receipt says that every packet of the answer has arrived, each where it was first sent, and nothing was said about any before.

use s2n_codec::{DecoderBuffer, Encoder, EncoderValue};
use s2n_quic_core::varint::VarInt;

/// Receipts that are taken in from one packet; more than any sends
const MAX_PER_PACKET: usize = 16;

/// What is said about one stream
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The queue of whom it is for
    pub(crate) queue_id: VarInt,
    /// Of the credentials of the packet that carries it
    pub(crate) key_id: VarInt,
    /// Microseconds since the answer was taken in. Of fixed length, because packets of one length leave together.
    pub(crate) age: u16,
}

impl EncoderValue for Receipt {
    fn encode<E: Encoder>(&self, encoder: &mut E) {
        encoder.encode(&self.queue_id);
        encoder.encode(&self.key_id);
        encoder.encode(&self.age);
    }
}

/// What a DATAGRAM frame says, as far as it can be read
pub(crate) fn decode(datagram: &[u8]) -> impl Iterator<Item = Receipt> + '_ {
    let mut buffer = DecoderBuffer::new(datagram);
    let next = move || {
        let (queue_id, rest) = buffer.decode().ok()?;
        let (key_id, rest) = rest.decode().ok()?;
        let (age, rest) = rest.decode().ok()?;
        buffer = rest;
        Some(Receipt {
            queue_id,
            key_id,
            age,
        })
    };
    core::iter::from_fn(next).take(MAX_PER_PACKET)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use s2n_codec::EncoderBuffer;

    fn receipt(n: u32) -> Receipt {
        Receipt {
            queue_id: VarInt::from_u32(n * 1000 + 1),
            key_id: VarInt::from_u32(n),
            age: n as u16,
        }
    }

    fn encoded(count: u32) -> Vec<u8> {
        let mut bytes = vec![0; 1000];
        let mut encoder = EncoderBuffer::new(&mut bytes);
        for n in 0..count {
            encoder.encode(&receipt(n));
        }
        let len = encoder.len();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn what_was_said_is_read() {
        let read: Vec<_> = decode(&encoded(3)).collect();
        assert_eq!(read, [receipt(0), receipt(1), receipt(2)]);
    }

    #[test]
    fn what_is_cut_short_ends_it_and_what_is_too_much_is_left_out() {
        let bytes = encoded(3);
        for len in 0..bytes.len() {
            let read: Vec<_> = decode(&bytes[..len]).collect();
            assert!(read.len() < 3, "{len} bytes of {}", bytes.len());
            assert!((0..).zip(&read).all(|(n, read)| *read == receipt(n)));
        }
        assert_eq!(decode(&encoded(50)).count(), MAX_PER_PACKET);
    }
}
