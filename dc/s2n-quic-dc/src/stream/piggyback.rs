// SPDX-License-Identifier: Apache-2.0

//! Acknowledgements that leave in the packet of the answer, in place of a control packet beside it.
//!
//! Packets with data have room for control frames in the wire format, and a published peer passes over all but CONNECTION_CLOSE in them. So an
//! acknowledgement only rides with data to a peer that looks for it, and has said so: who says all in one packet puts a PING in front of it,
//! which is of no other use there. A call is three packets then, where it is four with a published peer.
//!
//! The one rule: an acknowledgement counts as sent once the packet is made that carries it; until then a control packet is still due.

use s2n_codec::{Encoder as _, EncoderBuffer, EncoderValue};

/// The largest: an acknowledgement of each number space, with a range or two. Where there are more, a control packet has room for them.
const MAX_LEN: usize = 63;

/// PING (RFC 9000, section 19.2)
const PING: u8 = 1;

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

    /// Says that acknowledgements are looked for in packets with data
    pub(crate) const INVITATION: Self = Self {
        bytes: [PING; MAX_LEN],
        len: 1,
    };

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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use s2n_codec::DecoderBufferMut;
    use s2n_quic_core::frame::{FrameMut, Ping};

    #[test]
    fn the_invitation_is_a_ping() {
        let mut bytes = Piggyback::INVITATION.as_slice().to_vec();
        let frame = DecoderBufferMut::new(&mut bytes).decode::<FrameMut>();
        assert!(matches!(frame, Ok((FrameMut::Ping(Ping), rest)) if rest.is_empty()));
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
