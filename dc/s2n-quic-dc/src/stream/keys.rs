// SPDX-License-Identifier: Apache-2.0

//! The keys that encrypt what a stream says, and how one stream takes them over from another.
//!
//! Deriving keys is most of what it takes to open a stream: two for what is received, one for what is sent, and a check that they are new. So a
//! server that answers a call [offers](super::piggyback) to go on with them. Once the call is over, the client's next stream to the same place
//! [takes them over](idle), and the server [knows it by them](offers). It is the next generation, and says so in its key id, above the bits that the
//! map of secrets uses: its credentials are its own, and every packet authenticates them.
//!
//! The one rule: no number is sealed twice with one key. A generation has a range of numbers to itself, and a stream leaves its keys once.

use crate::{
    credentials::Credentials,
    crypto::{self, UninitSlice},
    path::secret::{map::ApplicationPair, open, seal},
    stream::control_keys::ControlKeys,
};
use core::time::Duration;
use s2n_quic_core::{packet::KeyPhase, time::Timestamp, varint::VarInt};
use std::sync::Arc;

pub(crate) mod idle;
pub(crate) mod kept;
pub(crate) mod offers;

/// Bits of a key id that are the map's. It counts them one by one: at a million streams a second, these last for 12 days, and keys of larger ids are
/// not taken over.
const KEY_ID_BITS: u32 = 40;

/// Bits of a packet number that are a generation's own
const NUMBER_BITS: u32 = 32;

/// Streams that use the same keys at most, one after the other
const MAX_GENERATIONS: u64 = 1024;

/// How long they are used: a map that has dropped a secret is to have its way soon after
const MAX_AGE: Duration = Duration::from_secs(30);

/// Which of the streams with the same keys
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

impl Generation {
    pub(crate) const FIRST: Self = Self(0);

    /// What a key id says
    pub(crate) fn of(key_id: VarInt) -> Self {
        Self(key_id.as_u64() >> KEY_ID_BITS)
    }

    /// The id under which the map has derived the keys
    pub(crate) fn map_key_id(key_id: VarInt) -> VarInt {
        VarInt::new(key_id.as_u64() % (1 << KEY_ID_BITS)).unwrap_or(key_id)
    }

    /// Credentials for the stream after the one with these; `None` if it was the last
    pub(crate) fn successor(credentials: &Credentials) -> Option<Credentials> {
        let key_id = credentials.key_id.as_u64() + (1 << KEY_ID_BITS);
        let key_id = VarInt::new(key_id).ok()?;
        let is_allowed = Self::of(key_id).0 < MAX_GENERATIONS;
        is_allowed.then_some(Credentials {
            id: credentials.id,
            key_id,
        })
    }

    /// What a packet's number is for the key
    fn nonce(self, packet_number: u64) -> u64 {
        (self.0 << NUMBER_BITS).wrapping_add(packet_number)
    }
}

/// When those are looked for again that nobody came for: with the first that are kept after a while, so that no timer has to
#[derive(Default)]
struct Sweep {
    next: Option<Timestamp>,
}

impl Sweep {
    const PERIOD: Duration = Duration::from_secs(1);

    fn is_due(&mut self, now: Timestamp) -> bool {
        let is_due = self.next.is_none_or(|next| next <= now);
        if is_due {
            self.next = Some(now + Self::PERIOD);
        }
        is_due
    }
}

/// The keys that a stream is made with
pub(crate) struct Keys {
    pub(crate) credentials: Credentials,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) control: ControlKeys,
    /// When the map derived them
    pub(crate) since: Timestamp,
}

impl Keys {
    /// As the map derives them now, for streams of `generation`
    #[inline(always)] // takes them from where the map has left them
    pub(crate) fn new(
        credentials: Credentials,
        pair: ApplicationPair,
        control: ControlKeys,
        generation: Generation,
        now: Timestamp,
    ) -> Self {
        Self {
            credentials,
            sealer: Sealer::new(Arc::new(pair.sealer), generation),
            opener: Opener::new(Arc::new(pair.opener), generation),
            control,
            since: now,
        }
    }
}

/// What a stream encrypts with
pub(crate) type Sealer = Share<seal::Application>;

/// What a stream decrypts with
pub(crate) type Opener = Share<open::Application>;

/// A generation's share of the numbers of a key
pub(crate) struct Share<K> {
    keys: Arc<K>,
    generation: Generation,
    /// They are not those any more that the peer has for the next stream
    is_updated: bool,
}

impl<K> Share<K> {
    fn new(keys: Arc<K>, generation: Generation) -> Self {
        Self {
            keys,
            generation,
            is_updated: false,
        }
    }

    /// Has `update` make the next keys of these, unless another stream may take them over
    pub(crate) fn update(&mut self, update: impl FnOnce(&mut K)) {
        if let Some(keys) = Arc::get_mut(&mut self.keys) {
            update(keys);
            self.is_updated = true;
        }
    }
}

impl Sealer {
    pub(crate) fn needs_update(&self) -> bool {
        self.keys.needs_update()
    }

    /// Whether packets may have the numbers below this one: keys are updated long before those are used up, and then are the stream's own
    pub(crate) fn has_numbers(&self, end: u64) -> bool {
        self.is_updated || end <= 1 << NUMBER_BITS
    }
}

impl Opener {
    pub(crate) fn needs_update(&self) -> bool {
        self.keys.needs_update()
    }

    /// Checks for replays, as decrypting does
    pub(crate) fn check_replay(&self) -> crypto::open::Result {
        self.keys.on_decrypt_success(UninitSlice::new(&mut []))
    }
}

impl crypto::seal::Application for Sealer {
    fn key_phase(&self) -> KeyPhase {
        self.keys.key_phase()
    }

    fn tag_len(&self) -> usize {
        self.keys.tag_len()
    }

    #[inline]
    fn encrypt(
        &self,
        packet_number: u64,
        header: &[u8],
        extra_payload: Option<&[u8]>,
        payload_and_tag: &mut [u8],
    ) {
        let nonce = self.generation.nonce(packet_number);
        self.keys
            .encrypt(nonce, header, extra_payload, payload_and_tag);
    }
}

impl crypto::open::Application for Opener {
    fn tag_len(&self) -> usize {
        self.keys.tag_len()
    }

    #[inline]
    fn decrypt(
        &self,
        key_phase: KeyPhase,
        packet_number: u64,
        header: &[u8],
        payload_in: &[u8],
        tag: &[u8],
        payload_out: &mut UninitSlice,
    ) -> crypto::open::Result {
        let nonce = self.generation.nonce(packet_number);
        self.keys
            .decrypt(key_phase, nonce, header, payload_in, tag, payload_out)
    }

    #[inline]
    fn decrypt_in_place(
        &self,
        key_phase: KeyPhase,
        packet_number: u64,
        header: &[u8],
        payload: &mut [u8],
        tag: &[u8],
    ) -> crypto::open::Result {
        let nonce = self.generation.nonce(packet_number);
        self.keys
            .decrypt_in_place(key_phase, nonce, header, payload, tag)
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests;
