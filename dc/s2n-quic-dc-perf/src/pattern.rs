// SPDX-License-Identifier: Apache-2.0

//! The bytes that are transferred, and the check that they arrived.
//!
//! The one rule: every byte is compared, and no eight-byte word occurs twice in a stream, so that a block that is repeated, left
//! out, moved or taken from another stream cannot pass for the right one.
//!
//! The plain algorithm is "word `i` is a hash of seed and `i`, little endian". The departures for speed: the hash is one
//! multiplication and one shift (both are bijections, which is what keeps the words distinct), and the check compares blocks of
//! words without branching, looking for the position only in a block that differs.

/// An endless sequence of bytes that depends on the seed of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
}

impl Pattern {
    /// The pattern of the stream with this `seed`.
    ///
    /// Seeds should come from [`seed`]: neighbouring numbers give the same words one position apart.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Writes the bytes from position `offset` on into all of `buffer`.
    pub fn fill(&self, offset: u64, buffer: &mut [u8]) {
        let head = head_len(offset, buffer.len());
        let (head, body) = buffer.split_at_mut(head);
        for (position, byte) in (offset..).zip(head.iter_mut()) {
            *byte = self.byte(position);
        }

        let mut index = offset.div_ceil(WORD);
        let mut words = body.chunks_exact_mut(WORD as usize);
        for word in &mut words {
            word.copy_from_slice(&self.word(index).to_le_bytes());
            index = index.wrapping_add(1);
        }
        let tail = words.into_remainder();
        let last = self.word(index).to_le_bytes();
        for (byte, expected) in tail.iter_mut().zip(last) {
            *byte = expected;
        }
    }

    /// The index in `data` of the first byte that is not the one at its position, if there is one.
    ///
    /// `offset` is the position of `data[0]` in the stream.
    #[must_use]
    pub fn first_difference(&self, offset: u64, data: &[u8]) -> Option<usize> {
        let head = head_len(offset, data.len());
        let (head, body) = data.split_at(head);
        if let Some(at) = self.search(offset, head) {
            return Some(at);
        }

        let mut start = head.len();
        for block in body.chunks(BLOCK) {
            let position = offset + start as u64;
            if !self.matches(position, block) {
                return self.search(position, block).map(|at| start + at);
            }
            start += block.len();
        }
        None
    }

    /// Compares a block that starts at a word's first byte.
    fn matches(&self, offset: u64, block: &[u8]) -> bool {
        let mut index = offset / WORD;
        let mut difference = 0;
        let mut words = block.chunks_exact(WORD as usize);
        for word in &mut words {
            let mut bytes = [0; WORD as usize];
            bytes.copy_from_slice(word);
            difference |= u64::from_le_bytes(bytes) ^ self.word(index);
            index = index.wrapping_add(1);
        }
        let tail = words.remainder();
        difference == 0 && tail == &self.word(index).to_le_bytes()[..tail.len()]
    }

    fn search(&self, offset: u64, data: &[u8]) -> Option<usize> {
        (offset..)
            .zip(data)
            .position(|(position, byte)| *byte != self.byte(position))
    }

    fn byte(&self, position: u64) -> u8 {
        self.word(position / WORD).to_le_bytes()[(position % WORD) as usize]
    }

    #[inline(always)]
    fn word(&self, index: u64) -> u64 {
        let product = self.seed.wrapping_add(index).wrapping_mul(MULTIPLIER);
        product ^ (product >> 32)
    }
}

/// The seed of the `number`th stream: far from that of every other one.
///
/// This is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
#[must_use]
pub const fn seed(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(MULTIPLIER);
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

/// Bytes until the next word starts, at most `len`.
fn head_len(offset: u64, len: usize) -> usize {
    let to_word = (WORD - offset % WORD) % WORD;
    len.min(to_word as usize)
}

/// Bytes in a word.
const WORD: u64 = 8;

/// Bytes compared between two looks at the result. Arbitrary: large enough for the loop to be unrolled, small enough that the
/// second pass over a block that differs stays in the cache.
const BLOCK: usize = 4096;

/// 2^64 divided by the golden ratio, made odd: multiples of it are spread evenly, and being odd makes the product a bijection.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests;
