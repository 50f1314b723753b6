// SPDX-License-Identifier: Apache-2.0

//! What a server says that is asked to go on with keys which it has not offered, or no longer knows to have.
//!
//! Its client would ask again until the stream's idle timeout, and knows at once so.
//!
//! The one rule: only an authentic packet is answered. Nothing that it says is believed, because it may have come before.

use super::state::control::{Sealed, CONTROL_PACKET_LEN};
use crate::{
    crypto,
    packet::stream::{self, decoder},
    stream::{
        keys::Keys,
        shared::{CloseCode, TAG_LEN},
    },
};
use s2n_codec::DecoderBufferMut;
use s2n_quic_core::varint::VarInt;

/// Makes `answer` the end of the stream that `packet` opens; `None` if it is not sealed with these keys, or if its client cannot be told
pub(crate) fn refuse(keys: &Keys, packet: &mut [u8], answer: &mut Vec<u8>) -> Option<()> {
    let buffer = DecoderBufferMut::new(packet);
    let (mut packet, _) = decoder::Packet::decode(buffer, (), TAG_LEN).ok()?;
    let stream_id = stream::Id::normal(packet.source_queue_id()?)?;
    match packet.decrypt_in_place(&keys.opener, &keys.control) {
        // the map has seen the key in an earlier generation
        Ok(())
        | Err(crypto::open::Error::ReplayDefinitelyDetected)
        | Err(crypto::open::Error::ReplayPotentiallyDetected { .. }) => {}
        Err(_) => return None,
    }
    let mut sealed = Sealed::new(None, stream_id, VarInt::ZERO);
    let frame = CloseCode::REFUSED.frame();
    answer.resize(CONTROL_PACKET_LEN, 0);
    let len = sealed.encode(answer, &frame, &keys.control, &keys.credentials);
    answer.truncate(len);
    Some(())
}
