// SPDX-License-Identifier: Apache-2.0

//! The datagrams of a flood: a packet number, then data, then the tag if there is crypto.
//!
//! The one rule: every datagram of a flood but the last is full, so that the packet number alone says which bytes of the flow
//! are in it.

use crate::{settings::StartError, train::MOST_PAYLOAD};
use aws_lc_rs::{
    aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_128_GCM, NONCE_LEN},
    error::Unspecified,
    rand,
};

/// What protects the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// AES-128-GCM, with the packet number as associated data.
    Aes128Gcm,
}

/// Sizes of a datagram and of a batch of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    protection: Protection,
    /// Bytes of UDP payload. `HEADER + tag < datagram <= MOST_PAYLOAD`.
    datagram: usize,
}

impl Layout {
    /// Datagrams of `mtu` bytes.
    ///
    /// # Errors
    ///
    /// [`StartError::Mtu`] if one has no room for data, or does not fit into a packet of IP.
    pub(super) fn new(protection: Protection, mtu: u16) -> Result<Self, StartError> {
        if !(LEAST..=MOST_PAYLOAD).contains(&mtu) {
            return Err(StartError::Mtu {
                mtu,
                least: LEAST,
                most: MOST_PAYLOAD,
            });
        }
        Ok(Self {
            protection,
            datagram: usize::from(mtu),
        })
    }

    pub(super) const fn protection(self) -> Protection {
        self.protection
    }

    /// Bytes of a full datagram.
    pub(super) const fn datagram(self) -> usize {
        self.datagram
    }

    /// Bytes of data in a full datagram.
    pub(super) const fn data(self) -> usize {
        self.datagram - HEADER - self.tag()
    }

    /// Datagrams in one send: as many as the kernel takes as one.
    pub(super) fn segments(self) -> usize {
        (usize::from(MOST_PAYLOAD) / self.datagram).clamp(1, MOST_SEGMENTS)
    }

    const fn tag(self) -> usize {
        match self.protection {
            Protection::None => 0,
            Protection::Aes128Gcm => TAG,
        }
    }

    /// Bytes of the flow before packet `number`.
    pub(super) const fn offset(self, number: u64) -> u64 {
        number.saturating_mul(self.data() as u64)
    }

    /// The bytes of a datagram with `data` bytes of data.
    pub(super) const fn len(self, data: usize) -> usize {
        HEADER + data + self.tag()
    }
}

/// Makes datagrams.
pub(super) enum Sealer {
    Plain,
    Aes(LessSafeKey),
}

/// Takes them apart.
pub(super) enum Opener {
    Plain,
    Aes(LessSafeKey),
}

/// A sealer and the opener for what it seals, with a new key.
pub(super) fn keys() -> Result<(Sealer, Opener), Unspecified> {
    let mut secret = [0; 16];
    rand::fill(&mut secret)?;
    let key = || UnboundKey::new(&AES_128_GCM, &secret).map(LessSafeKey::new);
    Ok((Sealer::Aes(key()?), Opener::Aes(key()?)))
}

/// Encrypts `data` into `datagram`, behind the packet number, in one pass. `datagram` is [`Layout::len`] of the data.
pub(super) fn seal(
    key: &LessSafeKey,
    number: u64,
    data: &[u8],
    datagram: &mut [u8],
) -> Result<(), Unspecified> {
    let (header, sealed) = datagram.split_at_mut(HEADER);
    let header_bytes = number.to_be_bytes();
    header.copy_from_slice(&header_bytes);
    key.seal_in_place_scatter(
        nonce(number),
        Aad::from(header_bytes),
        &mut [],
        data,
        sealed,
    )
}

/// Decrypts `datagram` into the start of `data` in one pass; the number of its bytes.
pub(super) fn open(
    key: &LessSafeKey,
    number: u64,
    datagram: &[u8],
    data: &mut [u8],
) -> Result<usize, Unspecified> {
    let sealed = datagram.get(HEADER..).ok_or(Unspecified)?;
    let len = sealed.len().checked_sub(TAG).ok_or(Unspecified)?;
    let (ciphertext, tag) = sealed.split_at(len);
    let data = data.get_mut(..len).ok_or(Unspecified)?;
    let aad = Aad::from(number.to_be_bytes());
    key.open_separate_gather(nonce(number), aad, ciphertext, tag, data)?;
    Ok(len)
}

/// The packet number of a datagram, if it has one.
pub(super) fn number(datagram: &[u8]) -> Option<u64> {
    datagram
        .first_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
}

/// Never used twice with one key: there is one key to a flood, and one flow.
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Bytes of the packet number.
pub(super) const HEADER: usize = 8;

/// Bytes of the tag.
const TAG: usize = 16;

/// Arbitrary: room for header, tag and some data.
const LEAST: u16 = 64;

/// Datagrams in a send at most: what 64 KB hold at 1450 bytes; the kernel's own limit (`UDP_MAX_SEGMENTS`) was 64 for long.
const MOST_SEGMENTS: usize = 44;
