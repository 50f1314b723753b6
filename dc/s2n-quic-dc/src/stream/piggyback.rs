// SPDX-License-Identifier: Apache-2.0

//! Acknowledgements that leave in the packet of the answer, in place of a control packet beside it.
//!
//! Packets with data have room for control frames in the wire format, and a published peer passes over all but CONNECTION_CLOSE in them. So an
//! acknowledgement only rides with data to a peer that looks for it, and has said so: who begins to say something puts a PING in front of it,
//! which is of no other use there. A call is three packets then, where it is four with a published peer.
//!
//! The one rule: an acknowledgement counts as sent once the packet is made that carries it; until then a control packet is still due.

use crate::stream::receipt::Receipt;
use s2n_codec::{Encoder, EncoderBuffer, EncoderValue};
use s2n_quic_core::frame::Datagram;

/// The largest: an acknowledgement of each number space, with a range or two. Where there are more, a control packet has room for them.
const MAX_LEN: usize = 63;

/// Bytes that an invitation with receipts takes of a packet beside those: its length, and the types of two frames
const INVITATION_LEN: usize = 3;

/// Bytes of receipts that an invitation has room for
const MAX_RECEIPTS_LEN: usize = MAX_LEN - 2;

/// PING (RFC 9000, section 19.2)
const PING: u8 = 1;

/// DATAGRAM without a length (RFC 9221, section 4): the last frame
const DATAGRAM: u8 = 0x30;

/// The frames that a packet with data carries
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piggyback {
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl Piggyback {
    pub(crate) const NOTHING: Self = Self {
        bytes: [0; MAX_LEN],
        len: 0,
    };

    /// Bytes of receipts that an invitation may carry in `room` bytes of a packet
    pub(crate) fn room_for_receipts(room: usize) -> usize {
        room.saturating_sub(INVITATION_LEN).min(MAX_RECEIPTS_LEN)
    }

    /// Says that acknowledgements are looked for in packets with data; with `receipts`, for which there [is room](Self::room_for_receipts)
    pub(crate) fn invitation(receipts: &[Receipt]) -> Self {
        let datagram = (!receipts.is_empty()).then_some(Datagram {
            is_last_frame: true,
            data: Receipts(receipts),
        });
        Self::new(&(PING, datagram)).unwrap_or(Self::NOTHING)
    }

    /// `None` if the frames are too long
    pub(crate) fn new<F: EncoderValue>(frames: &F) -> Option<Self> {
        let mut this = Self::NOTHING;
        if frames.encoding_size() > MAX_LEN {
            return None;
        }
        let mut encoder = EncoderBuffer::new(&mut this.bytes);
        encoder.encode(frames);
        this.len = encoder.len() as u8;
        Some(this)
    }

    /// Lets the next stream of the peer have the keys of this one. False if there is no room.
    pub(crate) fn offer(&mut self) -> bool {
        let Some(end) = self.bytes.get_mut(usize::from(self.len)) else {
            return false;
        };
        *end = DATAGRAM;
        self.len += 1;
        true
    }

    /// Bytes that it takes of a packet, with its length in front
    pub(crate) fn encoding_size(&self) -> usize {
        match self.len {
            0 => 0,
            len => 1 + usize::from(len),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

struct Receipts<'a>(&'a [Receipt]);

impl EncoderValue for Receipts<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) {
        for receipt in self.0 {
            encoder.encode(receipt);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stream::receipt;
    use s2n_codec::DecoderBufferMut;
    use s2n_quic_core::{
        frame::{FrameMut, Ping},
        varint::VarInt,
    };

    #[test]
    fn the_invitation_is_a_ping() {
        let mut bytes = Piggyback::invitation(&[]).as_slice().to_vec();
        let frame = DecoderBufferMut::new(&mut bytes).decode::<FrameMut>();
        assert!(matches!(frame, Ok((FrameMut::Ping(Ping), rest)) if rest.is_empty()));
    }

    #[test]
    fn receipts_follow_the_invitation() {
        let receipt = Receipt {
            queue_id: VarInt::from_u8(7),
            key_id: VarInt::from_u8(8),
            age: 9,
        };
        let mut bytes = Piggyback::invitation(&[receipt; 3]).as_slice().to_vec();
        let (_, rest) = DecoderBufferMut::new(&mut bytes)
            .decode::<FrameMut>()
            .unwrap();
        let Ok((FrameMut::Datagram(datagram), rest)) = rest.decode::<FrameMut>() else {
            panic!("another frame");
        };
        assert!(rest.is_empty());
        let datagram = datagram.data.into_less_safe_slice();
        let read: Vec<_> = receipt::decode(datagram).collect();
        assert_eq!(read, [receipt; 3]);
    }

    #[test]
    fn there_is_room_for_as_much_as_is_said() {
        let receipt = Receipt {
            queue_id: VarInt::MAX,
            key_id: VarInt::MAX,
            age: u16::MAX,
        };
        let count = MAX_RECEIPTS_LEN / receipt.encoding_size();
        let fits = Piggyback::invitation(&vec![receipt; count]);
        assert_eq!(fits.as_slice().len(), 2 + count * receipt.encoding_size());
    }

    #[test]
    fn an_offer_is_an_empty_datagram_at_the_end() {
        let mut answer = Piggyback::new(&Ping).unwrap();
        assert!(answer.offer());
        let mut bytes = answer.as_slice().to_vec();
        let (_, rest) = DecoderBufferMut::new(&mut bytes)
            .decode::<FrameMut>()
            .unwrap();
        let Ok((FrameMut::Datagram(datagram), rest)) = rest.decode::<FrameMut>() else {
            panic!("another frame");
        };
        assert!(rest.is_empty() && datagram.data.is_empty());
        let mut full = Piggyback::new(&&[7; MAX_LEN][..]).unwrap();
        assert!(!full.offer());
        assert_eq!(full.as_slice(), [7; MAX_LEN]);
    }

    #[test]
    fn what_is_too_long_does_not_ride() {
        let fits = Piggyback::new(&&[7; MAX_LEN][..]);
        assert_eq!(
            fits.map(|frames| frames.as_slice().len()),
            Some(MAX_LEN),
            "as much as there is room for"
        );
        assert!(Piggyback::new(&&[7; MAX_LEN + 1][..]).is_none());
        assert!(Piggyback::NOTHING.as_slice().is_empty());
    }
}
