// SPDX-License-Identifier: Apache-2.0

//! Room for the answer to a call.
//!
//! The one rule: it holds what was expected and one byte more, whatever the server sends.

use bytes::buf::UninitSlice;
use s2n_quic_core::buffer::writer::Storage;

/// Bytes up to a limit. Room is taken as they come: what is announced costs nothing.
#[derive(Debug)]
pub(super) struct Bounded {
    /// At most `limit`.
    bytes: Vec<u8>,
    limit: usize,
}

impl Bounded {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Storage for Bounded {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn put_uninit_slice<F, Error>(&mut self, len: usize, fill: F) -> Result<bool, Error>
    where
        F: FnOnce(&mut UninitSlice) -> Result<(), Error>,
    {
        self.bytes.put_uninit_slice(len, fill)
    }

    fn remaining_capacity(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_the_limit_and_no_further() {
        let mut storage = Bounded::new(3);
        assert_eq!(storage.remaining_capacity(), 3);
        storage.put_slice(b"ab");
        assert_eq!(storage.remaining_capacity(), 1);
        storage.put_slice(b"c");
        assert!(!storage.has_remaining_capacity());
        assert_eq!(storage.into_bytes(), b"abc");
    }
}
