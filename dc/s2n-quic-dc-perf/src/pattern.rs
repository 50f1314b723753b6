// SPDX-License-Identifier: Apache-2.0

//! The bytes that are transferred, and the check that they arrived.
//!
//! The one rule: every byte is compared with the one that belongs there, at the cost of reading both once.
//!
//! A stream's bytes are those of one fixed random sequence, repeated, from a start that its seed chooses. Neither end makes or copies
//! them: the sender passes slices of the sequence on, and the receiver compares with the same. So the figures are those of
//! the system and not of a generator, and a thousand streams share the memory of one.
//!
//! The length of the sequence is a prime. A block that is repeated, left out or moved passes for the right one only if it was moved
//! by a multiple of that prime, which no multiple of a packet, buffer or page size below a terabyte is; a block of another stream only
//! if the two starts differ by just as much as the offsets.

use std::sync::OnceLock;

/// Bytes before the sequence repeats: the smallest prime over 2^20. Small enough to stay in a core's cache.
pub const PERIOD: usize = (1 << 20) + 7;

/// The most bytes that [`Pattern::bytes`] gives at once.
pub const MAX_CHUNK: usize = 256 << 10;

/// An endless sequence of bytes that depends on a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    start: u64,
}

impl Pattern {
    /// The pattern with this `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            start: mix(seed) % PERIOD as u64,
        }
    }

    /// The bytes from position `offset` on: `len` of them, at most [`MAX_CHUNK`].
    #[must_use]
    pub fn bytes(&self, offset: u64, len: usize) -> &'static [u8] {
        let index = ((self.start + offset % PERIOD as u64) % PERIOD as u64) as usize;
        &sequence()[index..index + len.min(MAX_CHUNK)]
    }

    /// The index in `data` of the first byte that is not the one at its position, if there is one.
    ///
    /// `offset` is the position of `data[0]` in the stream.
    #[must_use]
    pub fn first_difference(&self, offset: u64, data: &[u8]) -> Option<usize> {
        let mut start = 0;
        for chunk in data.chunks(MAX_CHUNK) {
            let expected = self.bytes(offset + start as u64, chunk.len());
            if chunk != expected {
                let at = chunk.iter().zip(expected).position(|(a, b)| a != b);
                return at.map(|at| start + at);
            }
            start += chunk.len();
        }
        None
    }
}

/// Makes the bytes, which the first use would do else: some milliseconds that are not to be measured.
pub fn prepare() {
    sequence();
}

/// One period, and after it the beginning of the next, so that no chunk has a seam.
fn sequence() -> &'static [u8] {
    static SEQUENCE: OnceLock<Box<[u8]>> = OnceLock::new();
    SEQUENCE.get_or_init(|| {
        let words = 0..(PERIOD as u64).div_ceil(8);
        let mut bytes: Vec<u8> = words.flat_map(|word| mix(word).to_le_bytes()).collect();
        bytes.truncate(PERIOD);
        bytes.extend_from_within(..MAX_CHUNK);
        bytes.into()
    })
}

/// SplitMix64 (Steele, Lea and Flood, 2014): neighbouring numbers give results that have nothing in common.
pub(crate) const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is wrong with what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The byte at position `at` is not the one that was sent. Earlier ones are.
    #[error("wrong content")]
    Content {
        /// The position in the stream, in bytes.
        at: u64,
    },
    /// The stream ended after `received` bytes, all of them right.
    #[error("ended early")]
    Short {
        /// Bytes received.
        received: u64,
    },
    /// More bytes came than were asked for. The first ones are right.
    #[error("too many bytes")]
    Long {
        /// Bytes received.
        received: u64,
    },
}

impl Fault {
    /// Where the fault is, in bytes from the start of the stream.
    #[must_use]
    pub const fn position(&self) -> u64 {
        match *self {
            Self::Content { at } => at,
            Self::Short { received } | Self::Long { received } => received,
        }
    }
}

/// Checks one stream's bytes as they arrive.
#[derive(Debug)]
pub struct Verifier {
    pattern: Pattern,
    expected: u64,
    received: u64,
    wrong_at: Option<u64>,
}

impl Verifier {
    /// Expects the first `length` bytes of `pattern`.
    #[must_use]
    pub const fn new(pattern: Pattern, length: u64) -> Self {
        Self {
            pattern,
            expected: length,
            received: 0,
            wrong_at: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, data: &[u8]) {
        if self.wrong_at.is_none() {
            self.wrong_at = self
                .pattern
                .first_difference(self.received, data)
                .map(|at| self.received + at as u64);
        }
        self.received += data.len() as u64;
    }

    /// Bytes that are still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    /// Judges the stream at its end.
    ///
    /// # Errors
    ///
    /// The first fault that was met.
    pub fn finish(self) -> Result<(), Fault> {
        let received = self.received;
        match self.wrong_at {
            Some(at) if at < self.expected => Err(Fault::Content { at }),
            _ if received < self.expected => Err(Fault::Short { received }),
            _ if received > self.expected => Err(Fault::Long { received }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
