// SPDX-License-Identifier: Apache-2.0

//! The datagrams of bare calls: a byte for the kind, the key id, then either what is sealed or nothing, then the tag.
//!
//! The one rule: all that comes before what is sealed, or before the tag, is authenticated with it.
//!
//! Each key seals one packet, because a call has keys of its own in each direction.

use s2n_quic_dc::{
    crypto::{
        open::{self, Application as _, Control as _},
        seal::{Application as _, Control as _},
        KeyPhase, UninitSlice,
    },
    path::secret,
};

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Request,
    Response,
    /// An acknowledgement, of either end: their keys differ.
    Ack,
}

/// Bytes of a datagram with so many bytes before the data and of data.
pub(super) fn len(prefix: usize, data: u64) -> Option<usize> {
    let data = usize::try_from(data).ok()?;
    data.checked_add(HEADER + prefix + TAG)
}

/// Bytes of an acknowledgement.
pub(super) const ACK: usize = HEADER + TAG;

/// The kind of a datagram and the key id of its call.
pub(super) fn parse(datagram: &[u8]) -> Option<(Type, u64)> {
    let (kind, rest) = datagram.split_first()?;
    let kind = match *kind {
        REQUEST => Type::Request,
        RESPONSE => Type::Response,
        ACKNOWLEDGEMENT => Type::Ack,
        _ => return None,
    };
    Some((kind, u64::from_be_bytes(*rest.first_chunk()?)))
}

fn header(kind: Type, key_id: u64) -> [u8; HEADER] {
    let kind = match kind {
        Type::Request => REQUEST,
        Type::Response => RESPONSE,
        Type::Ack => ACKNOWLEDGEMENT,
    };
    let mut header = [kind; HEADER];
    header[1..].copy_from_slice(&key_id.to_be_bytes());
    header
}

/// Makes a datagram of `prefix` and `data`, which is encrypted from where it is. `datagram` is [`len`] of both.
pub(super) fn seal(
    sealer: &secret::seal::Application,
    (kind, key_id): (Type, u64),
    prefix: &[u8],
    data: &[u8],
    datagram: &mut [u8],
) {
    // the published sealer takes the lengths for right
    assert_eq!(Some(datagram.len()), len(prefix.len(), data.len() as u64));
    let (plain, sealed) = datagram.split_at_mut(HEADER);
    plain.copy_from_slice(&header(kind, key_id));
    sealed[..prefix.len()].copy_from_slice(prefix);
    sealer.encrypt(ONLY, plain, Some(data), sealed);
}

/// Decrypts a datagram into `space`, and returns what was sealed.
///
/// # Errors
///
/// If it was changed, is a repetition, or has no place in `space`.
pub(super) fn open<'a>(
    opener: &secret::open::Application,
    datagram: &[u8],
    space: &'a mut [u8],
) -> open::Result<&'a [u8]> {
    let invalid = open::Error::InvalidTag;
    let (plain, sealed) = datagram.split_at_checked(HEADER).ok_or(invalid)?;
    let len = sealed.len().checked_sub(TAG).ok_or(invalid)?;
    let (sealed, tag) = sealed.split_at(len);
    let space = space.get_mut(..len).ok_or(invalid)?;
    let out = UninitSlice::new(space);
    opener.decrypt(KeyPhase::Zero, ONLY, plain, sealed, tag, out)?;
    Ok(space)
}

/// Makes an acknowledgement of [`ACK`] bytes.
pub(super) fn sign(sealer: &secret::seal::control::Stream, key_id: u64, datagram: &mut [u8]) {
    let (plain, tag) = datagram.split_at_mut(HEADER);
    plain.copy_from_slice(&header(Type::Ack, key_id));
    sealer.sign(plain, tag);
}

/// Checks an acknowledgement.
///
/// # Errors
///
/// If it was changed.
pub(super) fn verify(opener: &secret::open::control::Stream, datagram: &[u8]) -> open::Result<()> {
    let (plain, tag) = datagram
        .split_at_checked(HEADER)
        .ok_or(open::Error::InvalidTag)?;
    opener.verify(plain, tag)
}

/// Bytes before what is sealed: kind and key id.
const HEADER: usize = 1 + 8;

/// Bytes of the tag, of data and of acknowledgements.
const TAG: usize = 16;

/// The number of the only packet of a key.
const ONLY: u64 = 0;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const ACKNOWLEDGEMENT: u8 = 3;
