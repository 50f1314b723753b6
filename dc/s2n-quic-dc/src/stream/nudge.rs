// SPDX-License-Identifier: Apache-2.0

//! A waker that has a stream look at its timers before they are due.
//!
//! Streams that hold back on a silent path leave one with it, so that the first answer is news for all of them.
//!
//! The one rule: it keeps neither the stream nor its environment.

use super::environment::core::Core;
use std::{
    sync::{Arc, Weak},
    task::{Wake, Waker},
};

struct Nudge {
    core: Weak<Core>,
    queue_id: u64,
}

/// Nudges the stream with this queue id, if it is still there
pub(crate) fn waker(core: &Arc<Core>, queue_id: u64) -> Waker {
    Waker::from(Arc::new(Nudge {
        core: Arc::downgrade(core),
        queue_id,
    }))
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        if let Some(shared) = core.stream(self.queue_id) {
            shared.look_now();
        }
    }
}
