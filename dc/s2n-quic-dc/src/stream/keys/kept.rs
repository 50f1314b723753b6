// SPDX-License-Identifier: Apache-2.0

//! What a stream leaves to the next one: its keys, and what was agreed about them.
//!
//! The one rule: whatever is left is used by one stream. It cannot be copied, and a [latch](Latch) gives it away once.

use super::{Generation, Keys, Opener, Sealer, MAX_AGE};
use crate::{
    credentials::Credentials,
    path::secret::{map::ApplicationData, open, seal},
    stream::{control_keys::ControlKeys, path::Path, shared::Shared, terms::Terms},
};
use s2n_quic_core::time::Timestamp;
use std::{net::SocketAddr, sync::Arc};

pub(crate) struct KeptKeys {
    /// Of the next stream
    pub(crate) credentials: Credentials,
    sealer: Arc<seal::Application>,
    opener: Arc<open::Application>,
    control: ControlKeys,
    since: Timestamp,
    pub(crate) path: Arc<Path>,
    pub(crate) terms: Terms,
    pub(crate) application_data: Option<ApplicationData>,
    /// Where the streams with these keys are opened
    pub(crate) acceptor: SocketAddr,
}

/// Whether a stream has left its keys
#[derive(Debug, Default)]
pub(crate) struct Latch {
    has_left: bool,
}

impl Latch {
    pub(crate) fn has_left(&self) -> bool {
        self.has_left
    }

    /// What the stream leaves; `None` if it has done so, or if nobody is to use the keys once more
    pub(crate) fn leave(
        &mut self,
        sealer: &Sealer,
        opener: &Opener,
        shared: &Shared,
        now: Timestamp,
    ) -> Option<KeptKeys> {
        if core::mem::replace(&mut self.has_left, true) {
            return None;
        }
        let is_updated = sealer.is_updated || opener.is_updated;
        let is_worn = sealer.needs_update() || opener.needs_update();
        let is_old = now >= shared.keys_since + MAX_AGE;
        // an id of the map that is too large does not say so
        let is_said = Generation::of(shared.credentials.key_id) == sealer.generation;
        if is_updated || is_worn || is_old || !is_said {
            return None;
        }
        Some(KeptKeys {
            credentials: Generation::successor(&shared.credentials)?,
            sealer: sealer.keys.clone(),
            opener: opener.keys.clone(),
            control: shared.control_keys.for_later(),
            since: shared.keys_since,
            path: shared.path.clone(),
            terms: shared.terms,
            application_data: shared.application_data.clone(),
            acceptor: shared.address.acceptor(),
        })
    }
}

impl KeptKeys {
    /// For the one stream that takes them over
    pub(crate) fn keys(&self) -> Keys {
        let generation = Generation::of(self.credentials.key_id);
        Keys {
            credentials: self.credentials,
            sealer: Sealer::new(self.sealer.clone(), generation),
            opener: Opener::new(self.opener.clone(), generation),
            control: self.control.for_later(),
            since: self.since,
        }
    }
}

#[cfg(all(test, not(loom)))]
impl KeptKeys {
    /// With keys that the map of a client has derived, as if a stream to `acceptor` had left them
    pub(super) fn of_map(keys: Keys, acceptor: SocketAddr) -> Self {
        use crate::stream::{path, recv, send};
        Self {
            credentials: Generation::successor(&keys.credentials).expect("a second generation"),
            sealer: keys.sealer.keys,
            opener: keys.opener.keys,
            control: keys.control,
            since: keys.since,
            path: Path::new(path::Limits {
                max_burst: 65_000,
                max_rate: None,
            }),
            terms: Terms {
                send: send::flow::Limits {
                    max_data: 1,
                    max_unacknowledged: 1,
                    max_pending: 1,
                },
                recv: recv::state::Limits {
                    window: 1,
                    agreed: 1,
                },
                datagram_len: 1200,
                idle_timeout: core::time::Duration::from_secs(30),
            },
            application_data: None,
            acceptor,
        }
    }
}
