// SPDX-License-Identifier: Apache-2.0

//! What the sending half does when it hears nothing: it asks, leaves the asking to others, or gives up.
//!
//! The path decides which, because it knows whether the peer answers anybody.
//!
//! The one rule: the timer is armed while something is outstanding, and only then.

use super::{Phase, State};
use crate::stream::{path::Verdict, send::flow::Blocked, shared::Shared};
use s2n_quic_core::time::Timestamp;

/// How far the probe period is multiplied at most; the path limits it in time as well
const MAX_BACKOFF: u32 = 64;

/// A stream with this backoff was not answered five times. It holds no window then, so that streams which the peer does answer can go on:
/// persistent congestion (RFC 9002, section 7.6) of this stream alone.
const STALLED_BACKOFF: u32 = 32;

/// How often a close is sent before the peer counts as gone
const MAX_CLOSE_ATTEMPTS: u8 = 6;

impl State {
    /// The probe timer is due
    pub(super) fn on_probe_timeout(&mut self, shared: &Shared, now: Timestamp) {
        self.probe.deadline = None;
        if let Phase::Closing {
            error, attempts, ..
        } = &mut self.phase
        {
            if *attempts >= MAX_CLOSE_ATTEMPTS {
                let error = *error;
                self.clear(shared, now);
                self.phase = Phase::Failed { error };
                return;
            }
            *attempts += 1;
            self.transmit_close(shared, now);
        } else {
            let Some(newest) = self.newest_departure() else {
                // everything is still in the wheel
                self.arm_probe(shared, now);
                return;
            };
            match shared.path.on_silence(newest, self.probe.backoff, now) {
                Verdict::Hold if self.probe.is_holding => {}
                Verdict::Hold => {
                    self.probe.is_holding = true;
                    shared.path.hold(shared.nudge());
                }
                Verdict::Wait(until) => {
                    self.probe.deadline = Some(until);
                    return;
                }
                Verdict::Lost => {
                    self.on_overtaken(shared, now);
                    self.transmit_retransmissions(shared, now);
                }
                Verdict::Probe => {
                    // the first timeout probes once, later ones twice: a probe may be lost as well (RFC 9002, section 6.2.4)
                    let probes = if self.probe.backoff == 1 { 1 } else { 2 };
                    self.transmit_probes(probes, shared, now);
                }
            }
        }
        self.probe.backoff = (self.probe.backoff * 2).min(MAX_BACKOFF);
        if self.is_stalled() {
            self.give_window_back(shared, now);
        }
        self.arm_probe(shared, now);
    }

    /// The path has heard of the peer
    pub(crate) fn look_at(&mut self, now: Timestamp) {
        self.probe.is_holding = false;
        if self.probe.deadline.is_some() {
            self.probe.deadline = Some(now);
        }
    }

    /// Leaves the path's window to streams that the peer answers
    fn give_window_back(&mut self, shared: &Shared, now: Timestamp) {
        let mut held = self.stream.take_held() + self.recovery.take_held();
        for (_, bytes) in &mut self.retransmissions {
            held += u64::from(core::mem::take(bytes));
        }
        if held > 0 {
            self.wakes.append(shared.path.release(held, now));
        }
        if let Some((blocked @ Blocked::Path, _)) = &mut self.blocked {
            *blocked = Blocked::Silence;
            self.wakes.append(shared.path.cancel(shared.flow, now));
        }
    }

    /// Whether the peer has left so many probes without an answer that nothing new is sent
    pub(in crate::stream::send) fn is_stalled(&self) -> bool {
        self.probe.backoff >= STALLED_BACKOFF
    }

    /// When the newest packet left that the peer has not acknowledged; `None` if it has not left
    pub(super) fn newest_departure(&self) -> Option<Timestamp> {
        [self.stream.newest(), self.recovery.newest()]
            .into_iter()
            .flatten()
            .filter_map(|info| self.records.departed(info.record))
            .map(|departed| departed.time)
            .max()
    }

    /// Arms the probe timer when something is outstanding, and only then; the newest packet leaves at `departure`
    /// (RFC 9002, section 6.2.1)
    pub(in crate::stream::send) fn arm_probe(&mut self, shared: &Shared, departure: Timestamp) {
        let is_outstanding = match self.phase {
            Phase::Open | Phase::Finishing => self.unacknowledged > 0,
            Phase::Closing { .. } => true,
            Phase::Finished | Phase::Failed { .. } => false,
        };
        if !is_outstanding {
            self.probe.deadline = None;
            return;
        }
        if self.probe.deadline.is_none() {
            let period = shared.path.probe_period(self.probe.backoff);
            self.probe.deadline = Some(departure + period);
        }
    }
}
