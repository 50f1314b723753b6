// SPDX-License-Identifier: Apache-2.0

//! What a datagram is and whom it is for, from its first bytes.
//!
//! The one rule: nothing in here is authenticated yet, so nothing but the destination follows from it.

use crate::{
    credentials::Credentials,
    packet::{secret_control, Packet},
    stream::{environment::routes::NOBODY, shared::TAG_LEN},
};
use s2n_codec::DecoderBufferMut;
use s2n_quic_core::varint::VarInt;

/// The id of no queue: a packet with it asks the acceptor, by credentials
pub(crate) const ACCEPTOR: u64 = NOBODY;

/// Where a packet goes
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To a stream's receiving half
    Stream {
        queue_id: u64,
        credentials: Credentials,
        source_queue_id: Option<VarInt>,
    },
    /// To a stream's sending half
    Control {
        queue_id: u64,
        credentials: Credentials,
        source_queue_id: Option<VarInt>,
    },
    /// To the map of secrets, and to a stream if it names one
    SecretControl,
    Drop(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Empty, cut short, or of an unknown tag
    Undecodable,
    /// A packet that streams have no use for
    Unexpected,
}

/// Classifies one datagram; its bytes stay as they are
pub(crate) fn classify(datagram: &mut [u8]) -> Route {
    let decoder = DecoderBufferMut::new(datagram);
    let Ok((packet, _)) = decoder.decode_parameterized::<Packet<'_>>(TAG_LEN) else {
        return Route::Drop(Reason::Undecodable);
    };
    match packet {
        Packet::Stream(packet) => Route::Stream {
            queue_id: packet.stream_id().queue_id().as_u64(),
            credentials: *packet.credentials(),
            source_queue_id: packet.source_queue_id(),
        },
        Packet::Control(packet) => match packet.stream_id() {
            Some(id) => Route::Control {
                queue_id: id.queue_id().as_u64(),
                credentials: *packet.credentials(),
                source_queue_id: packet.source_queue_id(),
            },
            None => Route::Drop(Reason::Unexpected),
        },
        Packet::Datagram(_) => Route::Drop(Reason::Unexpected),
        Packet::StaleKey(_) | Packet::ReplayDetected(_) | Packet::UnknownPathSecret(_) => {
            Route::SecretControl
        }
    }
}

/// The packet that [`Route::SecretControl`] was found for
pub(crate) fn secret_control(datagram: &mut [u8]) -> Option<secret_control::Packet<'_>> {
    secret_control::Packet::decode(DecoderBufferMut::new(datagram))
        .ok()
        .map(|(packet, _)| packet)
}

/// Whether the packet says that a secret is unknown
pub(crate) fn is_unknown_secret(datagram: &mut [u8]) -> bool {
    matches!(
        secret_control(datagram),
        Some(secret_control::Packet::UnknownPathSecret(_))
    )
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_comes_from_the_network_panics() {
        bolero::check!()
            .with_type::<Vec<u8>>()
            .with_iterations(20_000)
            .for_each(|bytes| {
                let mut datagram = bytes.clone();
                let route = classify(&mut datagram);
                if bytes.is_empty() {
                    assert_eq!(route, Route::Drop(Reason::Undecodable));
                }
                if route == Route::SecretControl {
                    assert!(secret_control(&mut datagram).is_some());
                }
                assert_eq!(*bytes, datagram, "classifying changes nothing");
            });
    }

    #[test]
    fn unknown_tags_are_undecodable() {
        // quic long headers, and the gaps of the tag space
        for tag in (0x80..=0xff).chain(0x69..=0x7f).chain([0x63, 0x67, 0x68]) {
            let mut datagram = [tag; 100];
            assert_eq!(
                classify(&mut datagram),
                Route::Drop(Reason::Undecodable),
                "{tag:#x}"
            );
        }
    }
}
