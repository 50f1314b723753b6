// SPDX-License-Identifier: Apache-2.0

//! Ancillary data: ECN and segmentation, on the way out and on the way in.
//!
//! The rule: a message with one packet carries no segmentation, so that messages to many peers share the same ancillary data and
//! one system call.

use crate::msg::addr::Family;
use nix::sys::socket::{ControlMessage, ControlMessageOwned};
use s2n_quic_core::inet::ExplicitCongestionNotification;

/// What the kernel is told about a message that is sent, besides its address and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// The family of the packets, which decides where the ECN mark is written: an IPv4 packet that leaves through an IPv6
    /// socket takes the IPv4 form.
    pub(crate) family: Family,
    pub(crate) ecn: ExplicitCongestionNotification,
    /// The length to cut the payload at, in bytes, or `None` for a single packet.
    pub(crate) segment_len: Option<u16>,
}

impl Control {
    /// Calls `send` with the control messages, which live no longer than that.
    pub(crate) fn encode<R>(self, send: impl FnOnce(&[ControlMessage<'_>]) -> R) -> R {
        let tos = self.ecn as u8;
        let class = i32::from(tos);
        let mark = match self.family {
            Family::V4 => ControlMessage::Ipv4Tos(&tos),
            Family::V6 => ControlMessage::Ipv6TClass(&class),
        };
        match &self.segment_len {
            Some(len) => send(&[mark, ControlMessage::UdpGsoSegments(len)]),
            None => send(&[mark]),
        }
    }
}

/// What the kernel tells about a message that was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ancillary {
    pub(crate) ecn: ExplicitCongestionNotification,
    /// The length that the payload is to be cut at, in bytes; `None` if it is one packet.
    pub(crate) segment_len: Option<usize>,
}

impl Ancillary {
    /// Reads the control messages of one received message; those of no interest are skipped.
    pub(crate) fn decode(messages: impl Iterator<Item = ControlMessageOwned>) -> Self {
        let mut ancillary = Self::default();
        for message in messages {
            match message {
                ControlMessageOwned::Ipv4Tos(tos) => {
                    ancillary.ecn = ExplicitCongestionNotification::new(tos);
                }
                ControlMessageOwned::Ipv6TClass(class) => {
                    // the traffic class is the low byte, and the mark its two low bits
                    ancillary.ecn = ExplicitCongestionNotification::new((class & 0b11) as u8);
                }
                ControlMessageOwned::UdpGroSegments(len) => {
                    ancillary.segment_len = usize::try_from(len).ok().filter(|len| *len > 0);
                }
                _ => {}
            }
        }
        ancillary
    }
}

/// Room for the control messages of one received message.
///
/// Three are asked for (segmentation, IPv4 and IPv6 marks), at 24 bytes each where pointers have 64 bits. The rest is spare, so
/// that one more set by the owner of the socket does not cut the others off.
#[repr(align(16))]
pub(crate) struct Buffer([u8; 128]);

impl Buffer {
    pub(crate) fn new() -> Self {
        Self([0; 128])
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::cmsg_space;

    #[test]
    fn the_receive_buffer_holds_every_message_that_is_asked_for() {
        let mut buffer = Buffer::new();
        assert!(buffer.as_mut_slice().len() >= cmsg_space!(i32, i32, i32).len());
        assert_eq!(buffer.as_mut_slice().as_ptr() as usize % 16, 0);
    }

    #[test]
    fn the_mark_of_either_family_takes_the_same_room() {
        // the send path sizes its headers by the wider of the two, and the kernel refuses space that is left over
        assert_eq!(cmsg_space!(u8).len(), cmsg_space!(i32).len());
    }

    #[test]
    fn marks_are_read_from_either_family_without_the_service_class() {
        use ExplicitCongestionNotification::{Ce, Ect0};
        let decoded = Ancillary::decode([ControlMessageOwned::Ipv4Tos(0b1011_1010)].into_iter());
        assert_eq!(decoded.ecn, Ect0);
        let decoded = Ancillary::decode([ControlMessageOwned::Ipv6TClass(0b1011_1011)].into_iter());
        assert_eq!(decoded.ecn, Ce);
    }

    #[test]
    fn a_segment_length_that_makes_no_sense_is_none() {
        for (reported, segment_len) in [(1450, Some(1450)), (0, None), (-1, None)] {
            let messages = [ControlMessageOwned::UdpGroSegments(reported)];
            assert_eq!(
                Ancillary::decode(messages.into_iter()).segment_len,
                segment_len
            );
        }
    }

    #[test]
    fn a_single_packet_carries_no_segmentation() {
        let mut control = Control {
            family: Family::V4,
            ecn: ExplicitCongestionNotification::Ect0,
            segment_len: None,
        };
        control.encode(|messages| assert_eq!(messages, [ControlMessage::Ipv4Tos(&0b10)]));
        control.segment_len = Some(1450);
        control.family = Family::V6;
        control.encode(|messages| {
            let expected = [
                ControlMessage::Ipv6TClass(&0b10),
                ControlMessage::UdpGsoSegments(&1450),
            ];
            assert_eq!(messages, expected);
        });
    }
}
