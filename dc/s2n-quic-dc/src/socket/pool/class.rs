// SPDX-License-Identifier: Apache-2.0

//! The two sizes of descriptor, and the choice between them.
//!
//! The one rule: the smallest class that fits. An ACK that sat in a burst-sized descriptor would pin 64 KiB until the
//! peer had confirmed it.

use super::Config;

/// The size of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// One datagram: [`Config::packet_len`] bytes.
    Packet,
    /// One GSO batch, or one coalesced receive: [`Config::burst_len`] bytes.
    Burst,
}

impl Class {
    /// The smallest class whose descriptors hold `len` bytes, or `None` if none does.
    pub fn for_len(len: usize, config: &Config) -> Option<Self> {
        [Self::Packet, Self::Burst]
            .into_iter()
            .find(|class| len <= class.capacity(config))
    }

    /// Bytes that a descriptor of this class holds.
    pub fn capacity(self, config: &Config) -> usize {
        match self {
            Self::Packet => config.packet_len,
            Self::Burst => config.burst_len,
        }
    }

    /// The class that is not this one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Packet => Self::Burst,
            Self::Burst => Self::Packet,
        }
    }
}
