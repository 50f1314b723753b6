// SPDX-License-Identifier: Apache-2.0

//! Keys that a server has offered to go on with.
//!
//! They have to be kept for as long as the next stream's first packet may take, so they are offered to who calls often enough to use them: a
//! client that called no more than a second ago.
//!
//! The one rule: one stream is accepted with them. Until then they stay, whatever comes with their credentials and is not authentic.

use super::{idle::MAX_IDLE, kept::KeptKeys, Sweep};
use crate::credentials::Credentials;
use hashbrown::HashMap;
use parking_lot::Mutex;
use s2n_quic_core::time::Timestamp;

/// Of all peers, about six megabytes
const MAX_OFFERS: usize = 4096;

#[derive(Default)]
pub(crate) struct Offers(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the credentials of the next stream
    offers: HashMap<Credentials, Offer>,
    sweep: Sweep,
}

struct Offer {
    until: Timestamp,
    /// `None` while a packet of the next stream is being looked at
    keys: Option<KeptKeys>,
}

/// What is known of the keys that a packet names
#[allow(clippy::large_enum_variant)] // it is taken apart where it is made
pub(crate) enum Claimed {
    /// To be [returned](Offers::return_claim) once it is known whether the packet is authentic
    Offered(KeptKeys),
    /// Another packet of the stream is being looked at
    Busy,
    /// They were not offered, or not lately
    Unknown,
}

impl Offers {
    /// False if there is no room: then they are not to be offered
    pub(crate) fn put(&self, keys: KeptKeys, now: Timestamp) -> bool {
        let mut state = self.0.lock();
        let swept = state.sweep(now);
        let has_room = state.offers.len() < MAX_OFFERS;
        if has_room {
            let until = stands_until(now, &keys);
            let credentials = keys.credentials;
            let keys = Some(keys);
            state.offers.insert(credentials, Offer { until, keys });
        }
        drop(state);
        drop(swept);
        has_room
    }

    /// Makes an offer once more, before it is known that it was heard. False if it does not stand any more.
    pub(crate) fn renew(&self, credentials: &Credentials, now: Timestamp) -> bool {
        let mut state = self.0.lock();
        let offer = state.offers.get_mut(credentials);
        let Some(Offer {
            until,
            keys: Some(keys),
        }) = offer
        else {
            return false;
        };
        *until = stands_until(now, keys);
        true
    }

    /// Takes an offer back that the peer has no use for
    pub(crate) fn withdraw(&self, credentials: &Credentials) {
        let withdrawn = self.0.lock().offers.remove(credentials);
        drop(withdrawn);
    }

    /// For a packet that wants to open a stream
    pub(crate) fn claim(&self, credentials: &Credentials) -> Claimed {
        match self.0.lock().offers.get_mut(credentials) {
            None => Claimed::Unknown,
            Some(offer) => offer.keys.take().map_or(Claimed::Busy, Claimed::Offered),
        }
    }

    /// The packet has opened the stream, or was not authentic
    pub(crate) fn return_claim(&self, keys: KeptKeys, has_opened: bool) {
        let mut state = self.0.lock();
        if has_opened {
            state.offers.remove(&keys.credentials);
        } else if let Some(offer) = state.offers.get_mut(&keys.credentials) {
            offer.keys = Some(keys);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().offers.len()
    }
}

/// The answer that carries the offer may take an idle timeout to get through, and so may the next stream's first packet
fn stands_until(now: Timestamp, keys: &KeptKeys) -> Timestamp {
    now + MAX_IDLE + 2 * keys.terms.idle_timeout
}

impl State {
    /// Those that nobody came for, to be dropped without the lock
    fn sweep(&mut self, now: Timestamp) -> Vec<Offer> {
        let mut swept = Vec::new();
        if !self.sweep.is_due(now) {
            return swept;
        }
        let is_over = |_: &Credentials, offer: &mut Offer| offer.until <= now;
        swept.extend(self.offers.extract_if(is_over).map(|(_, offer)| offer));
        swept
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
