// SPDX-License-Identifier: Apache-2.0

//! One window for all the flows of a path, shared fairly.
//!
//! Bytes queued for sending plus bytes in flight stay within the congestion window, however many flows there are. A flow that finds
//! the window full waits; room is handed out in turns of one quantum. A flow that had not been waiting goes
//! ahead of those that have been served and wait again: the "new flows first" rule of fq_codel (RFC 8290,
//! section 4.2), so that a request of a kilobyte does not queue behind bulk.
//!
//! The one rule: `outstanding` changes only by what a flow took or gave back. Every byte that is taken is given back exactly
//! once; [`Window::outstanding`] is zero when all flows are quiet.
//!
//! The tokens `W` (wakers, in practice) come back to the caller, who acts on them outside its locks.

use core::time::Duration;
use published_core::time::Timestamp;
use std::collections::VecDeque;

/// How long a grant is set aside for a flow that does not come for it: far above what a task waits for a busy processor, far below
/// what a peer takes for silence
const GRANT_LIFETIME: Duration = Duration::from_millis(50);

/// Names a flow of one [`Window`]; stays valid until [`Window::remove`]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowId(u32);

/// The window of one path and its waiting flows
#[derive(Debug)]
pub struct Window<W> {
    outstanding: u64,
    /// Flows with a token
    waiting: usize,
    flows: Vec<Slot<W>>,
    free: Vec<u32>,
    /// Flows that wait for their first turn
    fresh: VecDeque<u32>,
    /// Flows that were served and wait again
    served: VecDeque<u32>,
    /// Grants by age: the flow, the number of its grant, and when it was made
    grants: VecDeque<(u32, u64, Timestamp)>,
    next_grant: u64,
}

#[derive(Debug)]
enum Slot<W> {
    Free,
    /// Removed while its number was still in a queue: the number is free once the queue has forgotten it
    Removed,
    Flow(Flow<W>),
}

#[derive(Debug)]
struct Flow<W> {
    /// Bytes that were set aside for this flow and not yet taken: already part of `outstanding`
    granted: u64,
    /// Tells this grant from earlier ones
    grant: u64,
    /// Set while the flow waits for a grant
    token: Option<W>,
    /// Whether the number is in one of the queues; it may be there without waiting any more
    queued: bool,
    /// Whether the flow's last turn was a grant out of the queue
    was_served: bool,
}

impl<W> Default for Window<W> {
    fn default() -> Self {
        Self {
            outstanding: 0,
            waiting: 0,
            flows: Vec::new(),
            free: Vec::new(),
            fresh: VecDeque::new(),
            served: VecDeque::new(),
            grants: VecDeque::new(),
            next_grant: 0,
        }
    }
}

impl<W> Window<W> {
    /// Bytes taken or set aside and not yet given back
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Whether some flow waits for room: the path is limited by its window, not by its applications
    pub fn has_waiters(&self) -> bool {
        self.waiting > 0
    }

    /// Adds a flow that neither holds nor waits for anything
    pub fn insert(&mut self) -> FlowId {
        let slot = Slot::Flow(Flow {
            granted: 0,
            grant: 0,
            token: None,
            queued: false,
            was_served: false,
        });
        if let Some(index) = self.free.pop() {
            self.flows[index as usize] = slot;
            return FlowId(index);
        }
        let index = self.flows.len() as u32;
        self.flows.push(slot);
        FlowId(index)
    }

    /// Takes the flow out; what was set aside for it goes back into the window
    ///
    /// What it took before is still outstanding until it is given back with [`Window::release`].
    pub fn remove(&mut self, id: FlowId) {
        let Slot::Flow(flow) = &mut self.flows[id.0 as usize] else {
            return;
        };
        let (granted, queued) = (flow.granted, flow.queued);
        self.waiting -= usize::from(flow.token.is_some());
        self.outstanding = self.outstanding.saturating_sub(granted);
        if queued {
            self.flows[id.0 as usize] = Slot::Removed;
        } else {
            self.flows[id.0 as usize] = Slot::Free;
            self.free.push(id.0);
        }
    }

    /// Takes up to `want` bytes for the flow: what was granted to it, else what is free while nobody waits
    ///
    /// Returns the number of bytes taken, at most one `quantum`, and zero when the flow has to wait. A flow that wants more than
    /// there is waits for half a quantum: crumbs would make small batches, and small batches halve the throughput. A window with nothing
    /// outstanding always has room, so that no datagram is larger than the window for ever.
    pub fn take(&mut self, id: FlowId, want: u64, quantum: u64, limit: u64) -> u64 {
        let want = want.min(quantum);
        let room = self.room(limit);
        let is_crumb = room < want.min(quantum / 2) && self.outstanding > 0;
        let may_pass = !self.has_waiters();
        let Slot::Flow(flow) = &mut self.flows[id.0 as usize] else {
            return 0;
        };
        if flow.granted > 0 {
            let taken = flow.granted.min(want);
            let rest = flow.granted - taken;
            flow.granted = 0;
            self.outstanding = self.outstanding.saturating_sub(rest);
            return taken;
        }
        if !may_pass || room == 0 || is_crumb {
            return 0;
        }
        flow.was_served = false;
        let taken = want.min(room);
        self.outstanding += taken;
        taken
    }

    /// Has the flow wait for a grant; the token comes back from [`Window::grant`]
    ///
    /// A flow that waits already keeps its place, and the newer token is the one kept.
    pub fn wait(&mut self, id: FlowId, token: W) {
        let Slot::Flow(flow) = &mut self.flows[id.0 as usize] else {
            return;
        };
        self.waiting += usize::from(flow.token.is_none());
        flow.token = Some(token);
        if !flow.queued {
            flow.queued = true;
            if flow.was_served {
                self.served.push_back(id.0);
            } else {
                self.fresh.push_back(id.0);
            }
        }
    }

    /// The flow wants nothing for now: it gives back what was granted and keeps no place
    pub fn cancel(&mut self, id: FlowId) {
        if let Slot::Flow(flow) = &mut self.flows[id.0 as usize] {
            self.waiting -= usize::from(flow.token.take().is_some());
            let granted = core::mem::take(&mut flow.granted);
            self.outstanding = self.outstanding.saturating_sub(granted);
        }
    }

    /// Takes bytes whether or not there is room: for retransmissions and probes, which are counted but never blocked
    pub fn take_unchecked(&mut self, bytes: u64) {
        self.outstanding += bytes;
    }

    /// Gives back bytes that were acknowledged, discarded, or taken and not used
    pub fn release(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.outstanding, "gave back more than was taken");
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    /// Sets a quantum aside for the flow whose turn it is, if at least half of one is free
    ///
    /// The caller repeats this until it returns `None`, then acts on the tokens. Waiting for a part of the quantum keeps batches
    /// large; with nothing outstanding any room will do.
    ///
    /// A grant that was not taken for a while goes back first: a writer may lose interest without a word.
    pub fn grant(&mut self, quantum: u64, limit: u64, now: Timestamp) -> Option<W> {
        self.reclaim(now);
        loop {
            let room = self.room(limit);
            if room == 0 || (room < quantum / 2 && self.outstanding > 0) {
                return None;
            }
            let index = self.fresh.pop_front().or_else(|| self.served.pop_front())?;
            let slot = &mut self.flows[index as usize];
            let flow = match slot {
                Slot::Flow(flow) => flow,
                Slot::Removed => {
                    *slot = Slot::Free;
                    self.free.push(index);
                    continue;
                }
                Slot::Free => continue,
            };
            flow.queued = false;
            let Some(token) = flow.token.take() else {
                continue;
            };
            self.waiting -= 1;
            let bytes = quantum.min(room);
            flow.granted += bytes;
            flow.was_served = true;
            self.next_grant += 1;
            flow.grant = self.next_grant;
            self.grants.push_back((index, self.next_grant, now));
            self.outstanding += bytes;
            return Some(token);
        }
    }

    fn reclaim(&mut self, now: Timestamp) {
        while let Some((index, grant, made)) = self.grants.front().copied() {
            let flow = match &mut self.flows[index as usize] {
                Slot::Flow(flow) if flow.grant == grant && flow.granted > 0 => flow,
                // taken, given back, or its flow is gone
                Slot::Flow(_) | Slot::Free | Slot::Removed => {
                    self.grants.pop_front();
                    continue;
                }
            };
            if now.saturating_duration_since(made) < GRANT_LIFETIME {
                return;
            }
            let granted = core::mem::take(&mut flow.granted);
            self.outstanding = self.outstanding.saturating_sub(granted);
            self.grants.pop_front();
        }
    }

    fn room(&self, limit: u64) -> u64 {
        if self.outstanding == 0 {
            return limit.max(1 << 16);
        }
        limit.saturating_sub(self.outstanding)
    }
}

#[cfg(test)]
mod tests;
