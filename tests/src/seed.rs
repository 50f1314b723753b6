// SPDX-License-Identifier: Apache-2.0

//! Numbers that look random and are not.
//!
//! The rule: every decision is a function of the seed and of what is decided about, so that a printed seed is enough to
//! make the same decisions again.

/// The seed of this run: `DC_TEST_SEED` when it is set to a number, else a fixed one.
pub fn from_env() -> u64 {
    std::env::var("DC_TEST_SEED")
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(DEFAULT)
}

/// Mixes `value` into `state`: the finalizer of splitmix64, which changes about half of the bits for any changed bit.
pub fn mix(state: u64, value: u64) -> u64 {
    let mut z = state
        .wrapping_add(value.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of numbers from one seed.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    /// Starts the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed, self.drawn)
    }

    /// The next number in `0..end`. The bias of the modulo is of no matter for the small ends that tests use.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// Whether something happens that does so many times in a million.
    pub fn happens(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.draw().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

/// Arbitrary: only that it stays the same matters.
const DEFAULT: u64 = 20_170_821;
