// SPDX-License-Identifier: Apache-2.0

//! What a writer may send now, and what it waits for when it may not. This replaces the pacer.
//!
//! Credit is stated in offsets and in two counters that only grow, so no path through the code can make it drift: `pending` is
//! `submitted - completed`, and each submission is completed exactly once.
//!
//! Crumbs of credit are left until there is more of it, or until no acknowledgement is to come that could bring some: the sender's half of
//! silly window avoidance (RFC 1122, section 4.2.3.4). Otherwise a stream that waits for its turn on the path would use each turn for
//! the one packet that its reader has made room for.
//!
//! The one rule: a blocked writer waits for exactly one thing at a time, in the order of [`Blocked`].

use crate::{msg::segment, stream::metrics::Reason};

/// Credit of this many bytes is no crumb, however wide the window is: half of the largest batch
const LARGEST_CRUMB: u64 = segment::MAX_TOTAL as u64 / 2;

/// Why a writer does not go on
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// For `want` bytes the peer's MAX_DATA, or the limit on unacknowledged bytes, is (nearly) reached: an ACK or MAX_DATA helps
    StreamCredit { want: u64 },
    /// As many transmissions as allowed are in the wheel: a completion helps
    Pending,
    /// The key has sealed as many packets as it may: the next one is used once nothing of the old one is outstanding
    KeyUpdate,
    /// The peer has not answered for so long that the stream leaves the path to others: any answer helps
    Silence,
    /// The path's window is full, or it is another stream's turn; the path keeps a line of its own
    Path,
    /// The pool has no descriptor; it keeps a line of its own
    Pool,
}

impl From<Blocked> for Reason {
    fn from(blocked: Blocked) -> Self {
        match blocked {
            // both times it is the peer who has to say something
            Blocked::StreamCredit { .. } | Blocked::Silence => Self::StreamCredit,
            Blocked::Pending => Self::Pending,
            Blocked::KeyUpdate => Self::KeyUpdate,
            Blocked::Path => Self::PathWindow,
            Blocked::Pool => Self::Pool,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Flow {
    /// One past the last byte that was handed to the wheel
    offset: u64,
    /// The peer's limit on `offset`; it only grows
    max_data: u64,
    /// The most that `max_data` was ahead of `offset`
    widest: u64,
    /// Bytes handed to the wheel and not acknowledged; `0 <= unacknowledged <= offset`
    unacknowledged: u64,
    /// The most unacknowledged bytes that this end keeps
    max_unacknowledged: u64,
    submitted: u64,
    completed: u64,
    max_pending: u64,
}

/// The limits that a stream starts with
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_data: u64,
    pub(crate) max_unacknowledged: u64,
    /// Transmissions of data that may be in the wheel at once
    pub(crate) max_pending: usize,
}

impl Flow {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            offset: 0,
            max_data: limits.max_data,
            widest: limits.max_data,
            unacknowledged: 0,
            max_unacknowledged: limits.max_unacknowledged,
            submitted: 0,
            completed: 0,
            max_pending: limits.max_pending.max(1) as u64,
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many of `want` bytes may be sent. An empty write needs no credit of the stream, only a place in the wheel.
    pub(crate) fn available(&self, want: u64) -> Result<u64, Blocked> {
        if self.pending() >= self.max_pending {
            return Err(Blocked::Pending);
        }
        if want == 0 {
            return Ok(0);
        }
        let stream = self.max_data.saturating_sub(self.offset);
        let local = self.max_unacknowledged.saturating_sub(self.unacknowledged);
        let credit = want.min(stream).min(local);
        let crumb = (self.widest.min(self.max_unacknowledged) / 2).min(LARGEST_CRUMB);
        let is_crumb = credit < want.min(crumb) && self.unacknowledged > 0;
        match credit {
            0 => Err(Blocked::StreamCredit { want }),
            _ if is_crumb => Err(Blocked::StreamCredit { want }),
            credit => Ok(credit),
        }
    }

    /// One transmission with `len` bytes of payload went into the wheel
    pub(crate) fn on_submitted(&mut self, len: u64) {
        self.offset += len;
        self.unacknowledged += len;
        self.submitted += 1;
    }

    /// One transmission of data left the wheel, sent or not
    pub(crate) fn on_completed(&mut self) {
        debug_assert!(self.completed < self.submitted, "completed twice");
        self.completed += 1;
    }

    pub(crate) fn on_acknowledged(&mut self, len: u64) {
        self.unacknowledged = self.unacknowledged.saturating_sub(len);
    }

    /// The peer's limit; returns by how much it grew. A smaller one is old news and changes nothing.
    pub(crate) fn on_max_data(&mut self, max_data: u64) -> u64 {
        let increase = max_data.saturating_sub(self.max_data);
        self.max_data += increase;
        self.widest = self.widest.max(self.max_data - self.offset);
        increase
    }

    pub(crate) fn max_data(&self) -> u64 {
        self.max_data
    }

    pub(crate) fn pending(&self) -> u64 {
        self.submitted - self.completed
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn flow(max_data: u64, max_unacknowledged: u64, max_pending: usize) -> Flow {
        Flow::new(Limits {
            max_data,
            max_unacknowledged,
            max_pending,
        })
    }

    #[test]
    fn the_peers_limit_is_never_exceeded() {
        let mut flow = flow(100, 1000, 16);
        assert_eq!(flow.available(150), Ok(100));
        flow.on_submitted(100);
        assert_eq!(flow.available(1), Err(Blocked::StreamCredit { want: 1 }));
        assert_eq!(flow.on_max_data(150), 50);
        assert_eq!(flow.available(100), Ok(50));
    }

    #[test]
    fn an_older_limit_changes_nothing() {
        let mut flow = flow(100, 1000, 16);
        assert_eq!(flow.on_max_data(50), 0);
        assert_eq!(flow.max_data(), 100);
        assert_eq!(flow.available(100), Ok(100));
    }

    #[test]
    fn unacknowledged_bytes_are_limited_and_acknowledgements_free_them() {
        let mut flow = flow(10_000, 100, 16);
        flow.on_submitted(100);
        assert_eq!(flow.available(1), Err(Blocked::StreamCredit { want: 1 }));
        flow.on_acknowledged(50);
        assert_eq!(flow.available(100), Ok(50));
    }

    #[test]
    fn crumbs_wait_for_more_unless_nothing_else_is_to_come() {
        let mut flow = flow(10_000, 100_000, 16);
        flow.on_submitted(10_000);
        flow.on_max_data(14_999);
        assert_eq!(
            flow.available(20_000),
            Err(Blocked::StreamCredit { want: 20_000 }),
            "less than half of the widest window"
        );
        assert_eq!(flow.available(4000), Ok(4000), "all that is wanted");
        flow.on_max_data(15_000);
        assert_eq!(flow.available(20_000), Ok(5000));
        flow.on_submitted(5000);

        flow.on_max_data(15_001);
        flow.on_acknowledged(14_999);
        assert!(flow.available(20_000).is_err());
        flow.on_acknowledged(1);
        assert_eq!(flow.available(20_000), Ok(1), "the peer has said it all");
    }

    #[test]
    fn what_makes_a_fair_batch_is_no_crumb_of_the_widest_window() {
        let mut flow = flow(1 << 25, 1 << 25, 16);
        flow.on_submitted((1 << 25) - LARGEST_CRUMB);
        assert_eq!(flow.available(1 << 20), Ok(LARGEST_CRUMB));
        flow.on_submitted(1);
        assert!(flow.available(1 << 20).is_err());
    }

    #[test]
    fn pending_transmissions_are_limited_and_completions_free_them() {
        let mut flow = flow(10_000, 10_000, 2);
        flow.on_submitted(10);
        flow.on_submitted(10);
        assert_eq!(flow.available(10), Err(Blocked::Pending));
        // an ACK is no completion
        flow.on_acknowledged(10);
        assert_eq!(flow.available(10), Err(Blocked::Pending));
        flow.on_completed();
        assert_eq!(flow.available(10), Ok(10));
    }

    #[test]
    fn an_empty_write_needs_a_place_in_the_wheel_and_no_credit() {
        let mut flow = flow(0, 0, 1);
        assert_eq!(flow.available(0), Ok(0));
        flow.on_submitted(0);
        assert_eq!(flow.available(0), Err(Blocked::Pending));
    }

    #[test]
    fn a_limit_of_zero_pending_still_lets_one_through() {
        let flow = flow(10, 10, 0);
        assert_eq!(flow.available(10), Ok(10));
    }

    /// Random operations against sums that are computed from scratch
    #[test]
    fn credit_cannot_drift() {
        bolero::check!()
            .with_type::<Vec<(u8, u16)>>()
            .with_iterations(5000)
            .for_each(|ops| {
                let mut flow = flow(5000, 20_000, 4);
                let (mut sent, mut acked, mut max_data) = (0u64, 0u64, 5000u64);
                let (mut submitted, mut completed) = (0u64, 0u64);
                for (op, amount) in ops {
                    let amount = u64::from(*amount);
                    match op % 4 {
                        0 => {
                            if let Ok(len) = flow.available(amount) {
                                flow.on_submitted(len);
                                sent += len;
                                submitted += 1;
                            }
                        }
                        1 if completed < submitted => {
                            flow.on_completed();
                            completed += 1;
                        }
                        2 => {
                            let len = amount.min(sent - acked);
                            flow.on_acknowledged(len);
                            acked += len;
                        }
                        _ => {
                            max_data = max_data.max(amount);
                            flow.on_max_data(amount);
                        }
                    }
                    assert!(sent <= max_data);
                    assert!(sent - acked <= 20_000);
                    assert_eq!(flow.pending(), submitted - completed);
                    assert!(flow.pending() <= 4);
                    assert_eq!(flow.offset(), sent);
                }
            });
    }
}
