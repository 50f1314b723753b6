// SPDX-License-Identifier: Apache-2.0

//! What the published congestion controller asks of its surroundings: chance, and somebody to tell.
//!
//! The one rule: neither influences what a path sends except through the controller.

use s2n_quic_core::{
    event::builder::{BbrState, SlowStartExitCause},
    random,
    recovery::{
        bandwidth::{Bandwidth, RateSample},
        congestion_controller::Publisher,
    },
};

/// The stream layer has no events for the controller's inner life
pub(super) struct NoopPublisher;

impl Publisher for NoopPublisher {
    fn on_slow_start_exited(&mut self, _cause: SlowStartExitCause, _congestion_window: u32) {}
    fn on_delivery_rate_sampled(&mut self, _rate_sample: RateSample) {}
    fn on_pacing_rate_updated(
        &mut self,
        _pacing_rate: Bandwidth,
        _burst_size: u32,
        _pacing_gain: num_rational::Ratio<u64>,
    ) {
    }
    fn on_bbr_state_changed(&mut self, _state: BbrState) {}
}

/// Decides when the controller probes for bandwidth: it need not be unpredictable, only different between hosts and processes
pub(super) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        use core::hash::{BuildHasher, Hasher};
        let seed = std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish();
        Self(seed)
    }
}

impl random::Generator for Random {
    fn public_random_fill(&mut self, dest: &mut [u8]) {
        // SplitMix64 (Steele, Lea, Flood 2014)
        for chunk in dest.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
        }
    }

    fn private_random_fill(&mut self, dest: &mut [u8]) {
        self.public_random_fill(dest);
    }
}
