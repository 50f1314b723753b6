// SPDX-License-Identifier: Apache-2.0

//! What a datagram is and whom it is for, from its first bytes.
//!
//! The one rule: nothing in here is authenticated yet, so nothing but the destination follows from it.

use crate::{
    credentials::Credentials,
    packet::{secret_control, stream::Id, Packet},
    stream::{environment::routes::NOBODY, shared::TAG_LEN},
};
use s2n_codec::{DecoderBufferMut, EncoderValue as _};
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

/// The first bytes of a packet with data: those that say which stream it is for. Packets of one train nearly all begin as the first one does, which
/// is seen sooner than what they say.
pub(crate) struct Prefix {
    bytes: [u8; MAX_PREFIX_LEN],
    len: u8,
}

/// The tag, the version and two unused bytes, the credentials, and the two queues (wire format, section 1.3)
const MAX_PREFIX_LEN: usize = 4 + 16 + 3 * 8;

impl Prefix {
    /// Of `packet`, which goes there
    pub(crate) fn new(
        packet: &[u8],
        queue_id: u64,
        credentials: &Credentials,
        source_queue_id: Option<VarInt>,
    ) -> Self {
        let stream_id = VarInt::new(queue_id).ok().and_then(Id::normal);
        let len = 4
            + credentials.encoding_size()
            + stream_id.map_or(0, |id| id.into_varint().encoding_size())
            + source_queue_id.map_or(0, |id| id.encoding_size());
        let mut bytes = [0; MAX_PREFIX_LEN];
        // what was classified is longer
        let len = len.min(packet.len()).min(MAX_PREFIX_LEN);
        bytes[..len].copy_from_slice(&packet[..len]);
        Self {
            bytes,
            len: len as u8,
        }
    }

    /// Whether `packet` has the same
    #[inline]
    pub(crate) fn begins(&self, packet: &[u8]) -> bool {
        packet.starts_with(&self.bytes[..usize::from(self.len)])
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
    use crate::{
        crypto::{self, seal},
        packet::stream::encoder,
    };
    use s2n_codec::EncoderBuffer;
    use s2n_quic_core::buffer::reader::{storage, Incremental};

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

    /// A packet without payload; `ids` are those of the queues, of the key and of the packet
    fn packet(ids: [u32; 4], has_source: bool) -> Vec<u8> {
        let [queue_id, source_queue_id, key_id, number] = ids.map(VarInt::from_u32);
        let mut bytes = vec![0; 200];
        let len = encoder::encode(
            EncoderBuffer::new(&mut bytes),
            has_source.then_some(source_queue_id),
            Id::normal(queue_id).expect("a small id"),
            number,
            VarInt::ZERO,
            VarInt::ZERO,
            &mut storage::Empty,
            VarInt::ZERO,
            &(),
            &mut Incremental::default()
                .with_storage(&mut storage::Empty, false)
                .expect("nothing"),
            &NoKey,
            &Credentials {
                id: [7; 16].into(),
                key_id,
            },
        );
        bytes.truncate(len);
        bytes
    }

    struct NoKey;

    impl seal::Application for NoKey {
        fn key_phase(&self) -> crypto::KeyPhase {
            crypto::KeyPhase::Zero
        }

        fn tag_len(&self) -> usize {
            TAG_LEN
        }

        fn encrypt(&self, _: u64, _: &[u8], _: Option<&[u8]>, _: &mut [u8]) {}
    }

    /// What a packet says besides, such as its number, is behind the prefix
    #[test]
    fn packets_that_begin_alike_go_to_the_same_stream() {
        bolero::check!()
            .with_type::<([u32; 4], [u32; 4], [bool; 2], u8)>()
            .for_each(|(a, b, has_source, same)| {
                let pick = |index: usize| match same & (1 << index) {
                    0 => b[index],
                    _ => a[index],
                };
                let b = [0, 1, 2, 3].map(pick);
                let (mut first, mut second) = (packet(*a, has_source[0]), packet(b, has_source[1]));
                let Route::Stream {
                    queue_id,
                    credentials,
                    source_queue_id,
                } = classify(&mut first)
                else {
                    panic!("it has data");
                };
                let prefix = Prefix::new(&first, queue_id, &credentials, source_queue_id);
                let is_same = classify(&mut first) == classify(&mut second);
                assert_eq!(prefix.begins(&second), is_same);
                assert!(!prefix.begins(&second[..20]));
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
