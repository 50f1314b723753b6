// SPDX-License-Identifier: Apache-2.0

//! How a stream leaves its keys to the next one.
//!
//! The one rule: a client leaves them when it has sent and received everything, so that nothing of the stream is on the way that the next one's
//! peer has not seen.

use super::{CloseCode, Shared};
use crate::stream::{
    keys::{idle::MAX_IDLE, kept::KeptKeys, Generation},
    piggyback::Piggyback,
    recv, send,
};
use s2n_quic_core::time::Timestamp;

impl Shared {
    /// Lets the client's next stream have the keys, which `answer` is to say
    pub(super) fn offer_keys(
        &self,
        recv: &mut recv::state::State,
        answer: &mut Piggyback,
        now: Timestamp,
    ) {
        let mut with_offer = *answer;
        if self.path.on_answer(now) >= MAX_IDLE || !with_offer.offer() {
            return;
        }
        let offers = &self.core.offers;
        // a write that has to wait asks once more for what to carry
        let is_offered = match recv.latch.has_left() {
            true => Generation::successor(&self.credentials)
                .is_some_and(|credentials| offers.renew(&credentials, now)),
            false => {
                let kept = recv.leave_keys(&self.send().lock(), self, now);
                kept.is_some_and(|kept| offers.put(kept, now))
            }
        };
        if is_offered {
            *answer = with_offer;
        }
    }

    /// What the client's next stream may have of this one, which is over
    pub(super) fn leave_keys(
        &self,
        recv: &mut recv::state::State,
        now: Timestamp,
    ) -> Option<KeptKeys> {
        if !recv.has_offer {
            return None;
        }
        let send = self.send().lock();
        send.is_finished()
            .then(|| recv.leave_keys(&send, self, now))?
    }

    /// Whether the stream has failed because the peer does not know the keys that it took over
    pub(crate) fn is_unknown_to_peer(&self, error: &send::ErrorKind) -> bool {
        let may_be = match error {
            send::ErrorKind::IdleTimeout => true,
            send::ErrorKind::TransportError { code } => {
                *code == CloseCode::REFUSED.frame().error_code
            }
            _ => false,
        };
        may_be && !self.is_accepted && Generation::of(self.credentials.key_id) > Generation::FIRST
    }

    /// The peer will not know those that other streams have left either
    pub(crate) fn forget_kept_keys(&self) {
        let acceptor = self.address.acceptor();
        self.core.idle_keys.forget(self.credentials.id, acceptor);
    }

    /// The keys are about to change: the client's next stream cannot have them
    pub(crate) fn withdraw_offer(&self) {
        if let Some(next) = Generation::successor(&self.credentials) {
            self.core.offers.withdraw(&next);
        }
    }
}
