// SPDX-License-Identifier: Apache-2.0

//! Bytes that know where they belong.
//!
//! The rule: each byte depends on the stream's key and on its position, so that a byte that is lost, doubled, moved,
//! or delivered to another stream is noticed at the position where it happened. The first eight bytes are the key
//! itself; the receiver learns from them which stream it looks at.

use crate::seed::mix;

/// What one side of a stream sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    key: u64,
    len: usize,
}

impl Payload {
    /// The payload of `len` bytes that `key` selects. A key has to fit into the first `min(len, 8)` bytes.
    pub fn new(key: u64, len: usize) -> Self {
        assert!(
            len >= 8 || key < 1 << (8 * len),
            "key {key} does not fit into {len} bytes"
        );
        Self { key, len }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the bytes from `offset` on into `out`.
    pub fn fill(&self, offset: usize, out: &mut [u8]) {
        let mut position = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let word = self.word(position / 8).to_le_bytes();
            let skip = position % 8;
            let take = rest.len().min(8 - skip);
            let (head, tail) = rest.split_at_mut(take);
            head.copy_from_slice(&word[skip..skip + take]);
            position += take;
            rest = tail;
        }
    }

    /// All bytes at once.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.len];
        self.fill(0, &mut out);
        out
    }

    fn word(&self, index: usize) -> u64 {
        match index {
            0 => self.key,
            _ => mix(self.key, index as u64),
        }
    }
}

/// Compares what arrives with what must arrive.
#[derive(Debug)]
pub struct Checker {
    len: usize,
    position: usize,
    key: [u8; 8],
}

impl Checker {
    /// Expects a payload of `len` bytes, of any key.
    pub fn new(len: usize) -> Self {
        Self {
            len,
            position: 0,
            key: [0; 8],
        }
    }

    /// How many bytes have been compared.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Compares the next bytes.
    ///
    /// # Errors
    ///
    /// Says at which position the first difference is.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.position + bytes.len() > self.len {
            return Err(format!(
                "{} bytes arrived, {} were sent",
                self.position + bytes.len(),
                self.len
            ));
        }
        let head = bytes.len().min(8usize.saturating_sub(self.position));
        self.key[self.position.min(8)..][..head].copy_from_slice(&bytes[..head]);
        self.position += head;

        let mut expected = [0; 4096];
        let payload = self.payload();
        for chunk in bytes[head..].chunks(expected.len()) {
            let expected = &mut expected[..chunk.len()];
            payload.fill(self.position, expected);
            if let Some(at) = chunk.iter().zip(&*expected).position(|(a, b)| a != b) {
                return Err(format!(
                    "byte {} of {} is {:#04x} and should be {:#04x} (key {})",
                    self.position + at,
                    self.len,
                    chunk[at],
                    expected[at],
                    payload.key
                ));
            }
            self.position += chunk.len();
        }
        Ok(())
    }

    /// The end has been read: gives the payload that arrived.
    ///
    /// # Errors
    ///
    /// Says how many bytes are missing.
    pub fn finish(self) -> Result<Payload, String> {
        if self.position != self.len {
            return Err(format!(
                "the end came after {} of {} bytes",
                self.position, self.len
            ));
        }
        Ok(self.payload())
    }

    fn payload(&self) -> Payload {
        Payload {
            key: u64::from_le_bytes(self.key),
            len: self.len,
        }
    }
}

impl Payload {
    /// What selects the bytes.
    pub fn key(&self) -> u64 {
        self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8], len: usize) -> Result<Payload, String> {
        let mut checker = Checker::new(len);
        for chunk in bytes.chunks(1000) {
            checker.check(chunk)?;
        }
        checker.finish()
    }

    #[test]
    fn the_bytes_sent_are_accepted_and_give_the_key_back() {
        for len in [1, 7, 8, 9, 5000] {
            let payload = Payload::new(77, len);
            assert_eq!(verdict(&payload.to_vec(), len), Ok(payload));
        }
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let payload = Payload::new(3, 500);
        for at in 0..500 {
            let mut bytes = payload.to_vec();
            bytes[at] ^= 0x10;
            assert!(verdict(&bytes, 500).is_err(), "at {at}");
        }
    }

    #[test]
    fn missing_extra_and_moved_bytes_are_noticed() {
        let bytes = Payload::new(3, 500).to_vec();
        assert!(verdict(&bytes[..499], 500).is_err());
        assert!(verdict(&bytes, 499).is_err());
        let mut moved = bytes.clone();
        moved[100..300].rotate_left(8);
        assert!(verdict(&moved, 500).is_err());
    }

    #[test]
    fn bytes_of_another_stream_are_noticed() {
        let mut bytes = Payload::new(3, 500).to_vec();
        bytes[250..].copy_from_slice(&Payload::new(4, 500).to_vec()[250..]);
        assert!(verdict(&bytes, 500).is_err());
    }
}
