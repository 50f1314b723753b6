// SPDX-License-Identifier: Apache-2.0

//! What has arrived at a simulated socket and was not received yet.
//!
//! It has room for everything and is read at any time, unless a test makes it the buffer of a host that has little memory, and is
//! [busy](Inbox::set_busy) with something else.
//!
//! The one rule: what does not fit is lost, as in a kernel.

use crate::{msg::segment, socket::io::Backlog};
use core::time::Duration;
use s2n_quic_core::inet::ExplicitCongestionNotification;
use std::{collections::VecDeque, io};

pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    pub(super) ecn: ExplicitCongestionNotification,
}

/// What a receive has taken out
pub(super) struct Taken {
    pub(super) len: usize,
    pub(super) segment_len: usize,
    pub(super) ecn: ExplicitCongestionNotification,
}

/// A host that does something else most of the time
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    /// It receives once in so long, and then all that there is
    pub(crate) period: Duration,
    /// Bytes that its buffer has room for
    pub(crate) capacity: usize,
    /// Whether it says how full that is
    pub(crate) tells: bool,
}

pub(super) struct Inbox {
    datagrams: VecDeque<Datagram>,
    held: usize,
    joins: bool,
    busy: Option<Busy>,
    /// Datagrams that did not fit
    pub(super) overflowed: usize,
    /// How often it was asked how full it is
    pub(super) looks: usize,
}

impl Inbox {
    /// `joins`: as a kernel joins packets
    pub(super) fn new(joins: bool) -> Self {
        Self {
            datagrams: VecDeque::new(),
            held: 0,
            joins,
            busy: None,
            overflowed: 0,
            looks: 0,
        }
    }

    pub(super) fn set_busy(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    pub(super) fn push(&mut self, datagram: Datagram) {
        let len = datagram.bytes.len();
        if self
            .busy
            .is_some_and(|busy| self.held + len > busy.capacity)
        {
            self.overflowed += 1;
            return;
        }
        self.held += len;
        self.datagrams.push_back(datagram);
    }

    /// Whether there is something that is received at `now`, in microseconds
    pub(super) fn is_readable(&self, now: u64) -> bool {
        self.readable_at(now) == Some(now)
    }

    /// When the next receive finds something, from `now` on
    pub(super) fn readable_at(&self, now: u64) -> Option<u64> {
        self.datagrams.front()?;
        let period = self.busy.map_or(1, |busy| busy.period.as_micros() as u64);
        Some(now.next_multiple_of(period))
    }

    pub(super) fn backlog(&mut self) -> Option<Backlog> {
        self.looks += 1;
        let busy = self.busy.filter(|busy| busy.tells)?;
        Some(Backlog {
            held: self.held,
            capacity: busy.capacity,
        })
    }

    pub(super) fn take(&mut self, payload: &mut [u8], now: u64) -> io::Result<Taken> {
        if !self.is_readable(now) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let first = self
            .datagrams
            .pop_front()
            .ok_or(io::ErrorKind::WouldBlock)?;
        let segment_len = first.bytes.len();
        let mut len = segment_len;
        payload[..len].copy_from_slice(&first.bytes);
        // as the kernel joins: equal ones, and one shorter at the end
        while self.joins {
            let fits = self.datagrams.front().is_some_and(|next| {
                next.ecn == first.ecn
                    && next.bytes.len() <= segment_len
                    && len + next.bytes.len() <= payload.len()
                    && len / segment_len < segment::MAX_SEGMENTS
            });
            let Some(next) = self.datagrams.pop_front_if(|_| fits) else {
                break;
            };
            payload[len..len + next.bytes.len()].copy_from_slice(&next.bytes);
            len += next.bytes.len();
            if next.bytes.len() < segment_len {
                break;
            }
        }
        self.held -= len;
        Ok(Taken {
            len,
            segment_len: segment_len.max(1),
            ecn: first.ecn,
        })
    }
}
