// SPDX-License-Identifier: Apache-2.0

//! One window for all the flows of a path, shared fairly.
//!
//! Bytes queued for sending plus bytes in flight stay within the congestion window, however many flows there are. A flow that finds
//! the window full waits; room is handed out in turns of at most one quantum, by start-time fair queueing (Goyal, Vin and
//! Cheng, SIGCOMM 1996): the flow that has had least goes first. A flow that asks for little, now and then, therefore goes ahead of
//! bulk, as with the "new flows first" rule of fq_codel (RFC 8290, section 4.2), and so does its second message.
//!
//! In numbers: the window has a virtual time, the bytes that a flow has had which always wanted more. A flow that comes to wait gets a tag, the
//! bytes that it has had itself, and the lowest tag is next. One that had little counts as being a quantum behind the virtual time: so much it
//! may ask for and go ahead of all, and nobody saves up more. The time moves to the tag of each flow that is served, and by what each new flow
//! takes first, shared among all that wait or hold window, so that one new flow after the other can't hold it. It does not move by what others
//! take: bulk that does something else between two turns neither waits nor holds, the shares would be too large, and once bulk is behind the
//! time by more than a quantum, somebody new comes after bulk.
//!
//! New bulk has no such lead: it comes after all who wait. Of ten thousand uploads, each would have its first turn before any had its second
//! one, and all would be open at once.
//!
//! A flow may have several turns [in a row](Window::set_turns_in_a_row): where many wait, what it takes to go on with one has left the cache until
//! it comes round once more. Tags are rounded down to so many quanta, and of those with the same tag first comes who asks for little, and then who
//! has had most. The shares are those of longer turns, and so are the lead of those who ask for little, and what that is.
//!
//! Who asks for little, and would be next in line, does not wait for bulk to come back: it may exceed the window by a sixteenth. It is charged like
//! everybody else, so that those who ask again and again get behind bulk, and wait with it.
//!
//! The one rule: `outstanding` changes only by what a flow took or gave back. Every byte that is taken is given back exactly
//! once; [`Window::outstanding`] is zero when all flows are quiet.
//!
//! The tokens `W` (wakers, in practice) come back to the caller, who acts on them outside its locks.

use core::{cmp::Reverse, time::Duration};
use published_core::time::Timestamp;
use std::collections::{BTreeSet, VecDeque};

/// How long a grant is set aside for a flow that does not come for it: far above what a task waits for a busy processor, far below
/// what a peer takes for silence
const GRANT_LIFETIME: Duration = Duration::from_millis(50);

/// The part of the window by which those who ask for little may exceed it
const OVERDRAFT: u64 = 16;

/// The part that is little of what a flow has before the next one has its turns
const LITTLE: u64 = 8;

/// Names a flow of one [`Window`]; stays valid until [`Window::remove`]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowId(u32);

/// The window of one path and its waiting flows
#[derive(Debug)]
pub struct Window<W> {
    outstanding: u64,
    flows: Vec<Option<Flow<W>>>,
    free: Vec<u32>,
    /// Those that wait, by tag and then by who came first
    waiting: BTreeSet<Place>,
    /// What a flow has had that always wanted more
    virtual_time: u64,
    next_ticket: u64,
    turns_in_a_row: u64,
    /// The most of them while somebody has waited without a break: so far down may the tag of one who waits have been rounded
    longest_row: u64,
    /// Grants by age: the flow, the number of its grant, and when it was made
    grants: VecDeque<(u32, u64, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    tag: u64,
    is_bulk: bool,
    /// What the tag was rounded down from
    had: Reverse<u64>,
    ticket: u64,
    flow: u32,
}

#[derive(Debug)]
struct Flow<W> {
    /// Virtual time at which it has had its share
    finish: u64,
    wait: Wait<W>,
}

impl<W> Flow<W> {
    /// It has had nothing yet
    fn is_new(&self) -> bool {
        self.finish == 0
    }
}

#[derive(Debug)]
enum Wait<W> {
    /// For nothing
    No,
    /// In line for `want` bytes
    InLine { place: Place, want: u64, token: W },
    /// `bytes` are set aside, and are part of `outstanding` already; `number` tells this grant from others
    Granted { bytes: u64, number: u64 },
}

impl<W> Default for Window<W> {
    fn default() -> Self {
        Self {
            outstanding: 0,
            flows: Vec::new(),
            free: Vec::new(),
            waiting: BTreeSet::new(),
            virtual_time: 0,
            next_ticket: 0,
            turns_in_a_row: 1,
            longest_row: 1,
            grants: VecDeque::new(),
        }
    }
}

impl<W> Window<W> {
    /// Bytes taken or set aside and not yet given back
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Flows that wait for room. While there are some, the path is limited by its window, not by its applications.
    pub fn waiters(&self) -> usize {
        self.waiting.len()
    }

    /// Has each flow take so many turns before the next one has its own: one at first, and if this is zero
    pub fn set_turns_in_a_row(&mut self, turns: u64) {
        self.turns_in_a_row = turns.max(1);
        let longest = match self.waiting.is_empty() {
            true => 1,
            false => self.longest_row,
        };
        self.longest_row = longest.max(self.turns_in_a_row);
    }

    /// Adds a flow that neither holds nor waits for anything
    pub fn insert(&mut self) -> FlowId {
        let flow = Some(Flow {
            finish: 0,
            wait: Wait::No,
        });
        if let Some(index) = self.free.pop() {
            self.flows[index as usize] = flow;
            return FlowId(index);
        }
        let index = self.flows.len() as u32;
        self.flows.push(flow);
        FlowId(index)
    }

    /// Takes the flow out; what was set aside for it goes back into the window
    ///
    /// What it took before is still outstanding until it is given back with [`Window::release`].
    pub fn remove(&mut self, id: FlowId) {
        self.cancel(id);
        if self.flows[id.0 as usize].take().is_some() {
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
        let overdraft = overdraft(want, quantum, limit);
        let limit = limit + overdraft;
        let has_room = self.has_room(want, quantum, limit);
        let room = self.room(limit);
        let first = self.waiting.first().map(|place| place.tag);
        let floor = self.floor(want, quantum);
        let Some(flow) = &mut self.flows[id.0 as usize] else {
            return 0;
        };
        let is_next = first.is_none_or(|tag| overdraft > 0 && flow.finish.max(floor) < tag);
        let taken = match flow.wait {
            Wait::Granted { bytes, .. } => {
                flow.wait = Wait::No;
                let taken = bytes.min(want);
                self.outstanding -= bytes - taken;
                taken
            }
            _ if !is_next || !has_room => return 0,
            _ => {
                let taken = want.min(room);
                self.outstanding += taken;
                taken
            }
        };
        let is_new = flow.is_new();
        let start = flow.finish.max(floor);
        flow.finish = start + taken;
        let tag = rounded(start, self.turns_in_a_row, quantum);
        self.virtual_time = self.virtual_time.max(tag);
        if is_new {
            // whoever else holds window is about to want more, though it does not wait yet
            let holding = self.outstanding.saturating_sub(taken) / quantum.max(1);
            self.virtual_time += taken / (self.waiting.len() as u64 + holding + 1);
        }
        taken
    }

    /// Has the flow wait for `want` bytes; the token comes back from [`Window::grant`]
    ///
    /// A flow that waits already keeps its place, and the newer token is the one kept.
    pub fn wait(&mut self, id: FlowId, want: u64, quantum: u64, token: W) {
        let floor = self.floor(want, quantum);
        let is_bulk = !self.goes_ahead(want, quantum);
        let Some(flow) = &mut self.flows[id.0 as usize] else {
            return;
        };
        let place = match &flow.wait {
            Wait::InLine { place, .. } => *place,
            // it is served already
            Wait::Granted { .. } => return,
            Wait::No => {
                self.next_ticket += 1;
                let least = match self.waiting.last() {
                    Some(last) if is_bulk && flow.is_new() => floor.max(last.tag),
                    _ => floor,
                };
                let had = flow.finish.max(least);
                let place = Place {
                    tag: rounded(had, self.turns_in_a_row, quantum),
                    is_bulk,
                    had: Reverse(had),
                    ticket: self.next_ticket,
                    flow: id.0,
                };
                self.waiting.insert(place);
                place
            }
        };
        flow.wait = Wait::InLine { place, want, token };
    }

    /// The flow wants nothing for now: it gives back what was granted and keeps no place
    pub fn cancel(&mut self, id: FlowId) {
        let Some(flow) = &mut self.flows[id.0 as usize] else {
            return;
        };
        match core::mem::replace(&mut flow.wait, Wait::No) {
            Wait::No => {}
            Wait::InLine { place, .. } => {
                self.waiting.remove(&place);
            }
            Wait::Granted { bytes, .. } => self.outstanding -= bytes,
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

    /// Sets what it wants aside for the flow whose turn it is, at most one quantum, if there is room as [`Window::take`] has it
    ///
    /// The caller repeats this until it returns `None`, then acts on the tokens.
    ///
    /// A grant that was not taken for a while goes back first: a writer may lose interest without a word.
    pub fn grant(&mut self, quantum: u64, limit: u64, now: Timestamp) -> Option<W> {
        self.reclaim(now);
        let place = *self.waiting.first()?;
        let flow = self.flows[place.flow as usize].as_ref()?;
        let &Wait::InLine { want, .. } = &flow.wait else {
            return None;
        };
        let want = want.min(quantum);
        let limit = limit + overdraft(want, quantum, limit);
        if !self.has_room(want, quantum, limit) {
            return None;
        }
        self.waiting.pop_first();
        let bytes = want.min(self.room(limit));
        self.next_ticket += 1;
        let number = self.next_ticket;
        let flow = self.flows[place.flow as usize].as_mut()?;
        let granted = Wait::Granted { bytes, number };
        let Wait::InLine { token, .. } = core::mem::replace(&mut flow.wait, granted) else {
            return None;
        };
        self.grants.push_back((place.flow, number, now));
        self.outstanding += bytes;
        self.virtual_time = self.virtual_time.max(place.tag);
        Some(token)
    }

    fn reclaim(&mut self, now: Timestamp) {
        while let Some((index, number, made)) = self.grants.front().copied() {
            let is_open = self.flows[index as usize].as_ref().is_some_and(
                |flow| matches!(flow.wait, Wait::Granted { number: open, .. } if open == number),
            );
            // else it was taken, given back, or its flow is gone
            if is_open {
                if now.saturating_duration_since(made) < GRANT_LIFETIME {
                    return;
                }
                self.cancel(FlowId(index));
            }
            self.grants.pop_front();
        }
    }

    /// What a flow that wants `want` bytes is taken to have had at least: if that is little, so much less than the others that it is ahead of
    /// those whose tags were rounded down
    fn floor(&self, want: u64, quantum: u64) -> u64 {
        let turns = match self.goes_ahead(want, quantum) {
            true => self.longest_row,
            false => 1,
        };
        self.virtual_time.saturating_sub(turns * quantum)
    }

    /// Whether a flow that wants `want` bytes and has had less than others goes ahead of them: they hardly wait the longer for it
    fn goes_ahead(&self, want: u64, quantum: u64) -> bool {
        is_little(want, self.turns_in_a_row * quantum)
    }

    /// Whether a flow that wants `want` bytes, at most a quantum, may have them or a good part
    fn has_room(&self, want: u64, quantum: u64, limit: u64) -> bool {
        let room = self.room(limit);
        room > 0 && (room >= want.min(quantum / 2) || self.outstanding == 0)
    }

    fn room(&self, limit: u64) -> u64 {
        if self.outstanding == 0 {
            return limit.max(1 << 16);
        }
        limit.saturating_sub(self.outstanding)
    }
}

/// The tag of a flow that is taken to have had `had` bytes, where each has so many turns in a row
fn rounded(had: u64, turns: u64, quantum: u64) -> u64 {
    match turns {
        1 => had,
        _ => had - had % (turns * quantum).max(1),
    }
}

/// Whether `want` bytes are little beside the `most` that others have
fn is_little(want: u64, most: u64) -> bool {
    want <= most / LITTLE
}

/// By how much `want` bytes may exceed the window: nothing, unless they are little beside a quantum, and twice as many fit
fn overdraft(want: u64, quantum: u64, limit: u64) -> u64 {
    let overdraft = limit / OVERDRAFT;
    if is_little(want, quantum) && want <= overdraft / 2 {
        overdraft
    } else {
        0
    }
}

#[cfg(test)]
mod tests;
