// SPDX-License-Identifier: Apache-2.0

//! Opens what is in the inbox: for the reader, straight into its buffer, or for the socket worker, into the stream's.
//!
//! The one rule: whoever opens packets also sends the acknowledgement of all of them, once, before letting go of the lock.

use super::{
    shared::Incoming,
    state::{State, Timeout},
};
use crate::{
    event::builder,
    stream::{
        events::Event,
        path::Wakes,
        recv::{Error, ErrorKind, ReadMode},
        shared::{Received, Shared},
    },
    sync::few::Few,
};
use core::time::Duration;
use parking_lot::MutexGuard;
use s2n_quic_core::{buffer::writer, time::Timestamp};
use std::sync::Arc;

/// How long the worker leaves packets to a reader that was not waiting when they came: well below the probe timeout of any peer
pub(crate) const READER_GRACE: Duration = Duration::from_millis(1);

/// Packets that may pile up before the worker opens them without waiting for the reader: as many as come in that time on a fast network
pub(crate) const MAX_PILE: usize = 1024;

/// Packets that one poll opens before other streams of the thread have their turn
const MAX_PACKETS_PER_POLL: usize = 1024;

/// Opens packets until `dest` is full or none are left; returns how many there were
pub(super) fn open_packets<B: writer::Storage>(
    recv: &mut State,
    mode: ReadMode,
    dest: &mut B,
    shared: &Arc<Shared>,
    now: Timestamp,
) -> usize {
    let had_room = dest.has_remaining_capacity();
    let is_full = |dest: &B| had_room && !dest.has_remaining_capacity();
    let mut count = 0;
    recv.buffer.read(dest);
    let mut is_over = is_full(dest);
    while !is_over {
        let Some(mut train) = next_train(recv, shared, now) else {
            break;
        };
        while !is_over && !train.packets.is_empty() {
            let before = dest.remaining_capacity();
            let in_a_row = match mode {
                ReadMode::Once => 0,
                _ => recv.open_run(&mut train, MAX_PACKETS_PER_POLL - count, dest, shared, now),
            };
            if in_a_row == 0 {
                open_next(recv, &mut train, false, dest, shared, now);
            }
            count += in_a_row.max(1);
            let is_once = matches!(mode, ReadMode::Once) && dest.remaining_capacity() < before;
            if !is_once {
                recv.buffer.read(dest);
            }
            is_over = is_once || is_full(dest) || count == MAX_PACKETS_PER_POLL;
        }
        if !train.packets.is_empty() {
            recv.backlog.push_front(train);
        }
    }
    count
}

/// Opens the first packet of `train` and takes it off
fn open_next<B: writer::Storage>(
    recv: &mut State,
    train: &mut Incoming,
    may_stay: bool,
    dest: &mut B,
    shared: &Arc<Shared>,
    now: Timestamp,
) {
    let (remote, ecn) = (train.remote, train.ecn);
    let Some(bytes) = train.packets.first_mut() else {
        return;
    };
    let received = Received { bytes, remote, ecn };
    match recv.on_packet(received, may_stay, dest, shared, now) {
        Ok(Some(payload)) => {
            if let Some(segment) = train.packets.next() {
                recv.buffer.keep(segment, payload, now);
            }
            return;
        }
        Ok(None) => {}
        Err(error) => note_dropped(&error, shared),
    }
    train.packets.advance(1);
}

/// The packets that came first of those that are not opened
fn next_train(recv: &mut State, shared: &Arc<Shared>, now: Timestamp) -> Option<Incoming> {
    if recv.backlog.is_empty() {
        let taken = shared.inbox.take(&mut recv.backlog);
        recv.backlog_since = taken.since;
        shared.publish(now, || socket_event(&recv.backlog));
        if let Some((error, at)) = taken.failure {
            recv.on_peer_gone(error, shared, at);
        }
    }
    recv.backlog.pop_front()
}

/// Opens what has arrived, for whoever reads later
pub(super) fn open_all(recv: &mut State, shared: &Arc<Shared>, now: Timestamp) {
    let nowhere = &mut writer::storage::Empty;
    open_packets(recv, ReadMode::Drain, nowhere, shared, now);
}

/// Whether the worker had its turn
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Turn {
    Taken,
    /// The reader is opening packets just now, and the worker has better things to do than to wait for it
    Busy,
}

/// What the worker opens
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    /// Nothing before it has waited as long as the reader has time
    Overdue,
}

impl Scope {
    fn includes(self, since: Option<Timestamp>, now: Timestamp) -> bool {
        match self {
            Self::All => true,
            Self::Overdue => since.is_none_or(|since| since + READER_GRACE <= now),
        }
    }
}

/// The worker's turn: the reader was not waiting, or does not come. If it is at it, the stream is looked at again a moment later.
pub(crate) fn drain(shared: &Arc<Shared>, scope: Scope, now: Timestamp, wakes: &mut Wakes) -> Turn {
    let Some(recv) = lock_unless_busy(shared, now) else {
        return Turn::Busy;
    };
    drain_locked(recv, shared, scope, now, wakes);
    Turn::Taken
}

/// `None` while the reader is at it: the timer comes back a moment later
fn lock_unless_busy(shared: &Shared, now: Timestamp) -> Option<MutexGuard<'_, State>> {
    let recv = shared.recv().try_lock();
    if recv.is_none() {
        shared.arm(now + READER_GRACE);
    }
    recv
}

fn drain_locked(
    mut recv: MutexGuard<'_, State>,
    shared: &Arc<Shared>,
    scope: Scope,
    now: Timestamp,
    wakes: &mut Wakes,
) {
    let had = (recv.buffered_len(), recv.has_all());
    if scope.includes(recv.unopened_since(shared), now) {
        open_all(&mut recv, shared, now);
    }
    if scope.includes(recv.buffer.kept_since(), now) {
        recv.buffer.copy_kept();
    }
    if recv.has_waited_for_answer(now) {
        shared.path.on_late_answer(now);
    }
    recv.transmit_control(shared, now);
    let has = (recv.buffered_len(), recv.has_all());
    let is_news = has != had || recv.error().is_some();
    if let Timeout::At(at) = recv.next_timeout(shared, now) {
        shared.arm(at);
    }
    wakes.append(recv.take_wakes());
    drop(recv);
    if is_news {
        wakes.append(shared.inbox.wake_reader());
    }
}

/// Opens the first packet of a stream that nobody else knows of yet; the application is about to get it, and finds the payload where it is.
/// If it `is_followed` by others that have come with it, who opens those says that it has arrived. Returns whether the packet has authenticated.
pub(crate) fn open_first(
    shared: &Arc<Shared>,
    is_followed: bool,
    now: Timestamp,
    wakes: &mut Wakes,
) -> bool {
    let mut recv = shared.recv().lock();
    if let Some(mut train) = next_train(&mut recv, shared, now) {
        let nowhere = &mut writer::storage::Empty;
        open_next(&mut recv, &mut train, true, nowhere, shared, now);
        if !train.packets.is_empty() {
            recv.backlog.push_front(train);
        }
    }
    if !is_followed {
        // whoever opens the stream arms its timer
        let _ = recv.transmit_or_defer_control(shared, now);
    }
    wakes.append(recv.take_wakes());
    let receipts = recv.take_receipts();
    let is_authenticated = recv.is_authenticated();
    drop(recv);
    let core = &shared.core;
    core.on_receipts(&shared.credentials.id, receipts, now, wakes);
    is_authenticated
}

/// Says what a receipt was to say that nobody took along
pub(crate) fn acknowledge(shared: &Arc<Shared>, now: Timestamp, wakes: &mut Wakes) {
    let mut recv = shared.recv().lock();
    recv.on_receipt_overdue();
    recv.transmit_control(shared, now);
    wakes.append(recv.take_wakes());
}

/// The timers of the receiving half
pub(crate) fn on_timer(
    shared: &Arc<Shared>,
    scope: Scope,
    now: Timestamp,
    wakes: &mut Wakes,
) -> Turn {
    let Some(mut recv) = lock_unless_busy(shared, now) else {
        return Turn::Busy;
    };
    recv.on_timer(now);
    drain_locked(recv, shared, scope, now, wakes);
    Turn::Taken
}

fn socket_event(backlog: &Few<Incoming>) -> Event {
    let capacity = usize::from(u16::MAX);
    if backlog.is_empty() {
        return Event::ReadSocketBlocked(builder::StreamReadSocketBlocked { capacity });
    }
    let committed_len = backlog.iter().map(|train| train.packets.total_len()).sum();
    Event::ReadSocketFlushed(builder::StreamReadSocketFlushed {
        capacity,
        committed_len,
    })
}

fn note_dropped(error: &Error, shared: &Shared) {
    match error.kind() {
        ErrorKind::Decode => shared.counters().dropped.undecodable.add(1),
        ErrorKind::Duplicate => shared.counters().duplicates.add(1),
        // the others are counted where they are found
        _ => {}
    }
}
