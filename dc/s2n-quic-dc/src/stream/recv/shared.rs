// SPDX-License-Identifier: Apache-2.0

//! Where the socket worker leaves packets for a stream, and who is told.
//!
//! An application that waits in a read is woken and opens the packets itself, straight into its buffer. When none waits, the worker
//! does it after a moment, so that acknowledgements do not depend on how busy the application is.
//!
//! The one rule: a reader registers and looks under one lock, so a packet is either seen by its look or wakes it.

use crate::{
    socket::pool::Segments,
    stream::{path::Wakes, recv::Error},
    sync::few::Few,
};
use core::task::Waker;
use parking_lot::Mutex;
use s2n_quic_core::{inet::ExplicitCongestionNotification, time::Timestamp};
use std::net::SocketAddr;

/// Packets that wait for a stream at most: far more than its reader leaves before the worker opens them, see
/// [`MAX_PILE`](super::worker::MAX_PILE). What comes on top of that is dropped unacknowledged, so it is sent again.
const MAX_PACKETS: usize = 4096;

/// Packets in a row on their way from the socket to the stream
pub(crate) struct Incoming {
    pub(crate) packets: Segments,
    pub(crate) remote: SocketAddr,
    pub(crate) ecn: ExplicitCongestionNotification,
}

impl Incoming {
    /// Takes the first `count` packets off
    pub(crate) fn split_to(&mut self, count: usize) -> Self {
        Self {
            packets: self.packets.split_to(count),
            ..*self
        }
    }
}

#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trains: Few<Incoming>,
    /// Packets of all trains
    packets: usize,
    /// When the first of them came
    since: Option<Timestamp>,
    reader: Option<Waker>,
    /// The writing half learnt that the peer closed both
    failure: Option<(Error, Timestamp)>,
}

/// What was taken out beside the packets
pub(crate) struct Taken {
    pub(crate) since: Option<Timestamp>,
    pub(crate) failure: Option<(Error, Timestamp)>,
}

impl Inbox {
    /// Takes packets in, drops those that there is no room for, and returns how many that were
    pub(crate) fn push(&self, mut incoming: Incoming, now: Timestamp) -> usize {
        let mut state = self.state.lock();
        if state.trains.is_empty() {
            state.since = Some(now);
        }
        let len = incoming.packets.len();
        let kept = len.min(MAX_PACKETS - state.packets);
        if kept < len {
            incoming = incoming.split_to(kept);
        }
        if kept > 0 {
            state.packets += kept;
            state.trains.push_back(incoming);
        }
        len - kept
    }

    /// The reader that waits, to be woken by the caller; afterwards none does
    pub(crate) fn take_reader(&self) -> Option<Waker> {
        self.state.lock().reader.take()
    }

    pub(crate) fn wake_reader(&self) -> Wakes {
        let mut wakes = Wakes::default();
        wakes.push(self.take_reader());
        wakes
    }

    /// Moves the packets that have arrived to `out`, which is empty; a failure comes only after all that arrived before it
    pub(crate) fn take(&self, out: &mut Few<Incoming>) -> Taken {
        let mut state = self.state.lock();
        core::mem::swap(&mut state.trains, out);
        state.packets = 0;
        Taken {
            since: state.since.take(),
            failure: match out.is_empty() {
                true => state.failure.take(),
                false => None,
            },
        }
    }

    /// When the first of the packets came, if there are any
    pub(crate) fn since(&self) -> Option<Timestamp> {
        self.state.lock().since
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().packets
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.trains.is_empty() && state.failure.is_none()
    }

    /// Has the next packet or failure wake the reader; false, and nothing is registered, if there is something already
    #[must_use]
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if !state.trains.is_empty() || state.failure.is_some() {
            return false;
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(waker),
            reader => *reader = Some(waker.clone()),
        }
        true
    }

    /// The peer closed both halves
    pub(crate) fn fail(&self, error: Error, now: Timestamp) -> Wakes {
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        state.failure.get_or_insert((error, now));
        wakes.push(state.reader.take());
        wakes
    }
}
