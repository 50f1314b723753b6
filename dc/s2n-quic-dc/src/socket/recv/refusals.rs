// SPDX-License-Identifier: Apache-2.0

//! How often clients are told that their secret is unknown here.
//!
//! The one rule: answers to packets that nobody has authenticated are limited, and so is what is remembered of them.

use core::time::Duration;
use hashbrown::HashMap;
use s2n_quic_core::time::Timestamp;
use std::net::SocketAddr;

/// First packets with a secret that is unknown here are answered this often per client and period. One answer ends all streams of
/// a client of this crate; a published client needs one for each.
const MAX_REFUSALS: u32 = 32;
const REFUSAL_PERIOD: Duration = Duration::from_millis(100);

/// Clients that are refused in one period at most: more than anybody serves is a flood, and gets no answers
const MAX_REFUSED_CLIENTS: usize = 4096;

/// Since when a client is refused, and how often it was
#[derive(Default)]
pub(super) struct Refusals(HashMap<SocketAddr, (Timestamp, u32)>);

impl Refusals {
    /// Whether the client may be told once more in this period that its secret is unknown
    pub(super) fn may_refuse(&mut self, remote: SocketAddr, now: Timestamp) -> bool {
        let is_over = |since: Timestamp| now.saturating_duration_since(since) >= REFUSAL_PERIOD;
        if self.0.len() >= MAX_REFUSED_CLIENTS {
            self.0.retain(|_, (since, _)| !is_over(*since));
        }
        let is_flood = self.0.len() >= MAX_REFUSED_CLIENTS;
        match self.0.get_mut(&remote) {
            Some((since, count)) => {
                if is_over(*since) {
                    (*since, *count) = (now, 0);
                }
                *count += 1;
                *count <= MAX_REFUSALS
            }
            None if is_flood => false,
            None => {
                self.0.insert(remote, (now, 1));
                true
            }
        }
    }
}
