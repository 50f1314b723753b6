// SPDX-License-Identifier: Apache-2.0

//! What has arrived at a simulated socket and was not received yet.
//!
//! The one rule: what does not fit is lost, as in a kernel.

use crate::{
    msg::segment,
    socket::io::{Backlog, Received},
};
use core::time::Duration;
use s2n_quic_core::inet::ExplicitCongestionNotification;
use std::{collections::VecDeque, io, net::SocketAddr};

pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    pub(super) ecn: ExplicitCongestionNotification,
}

/// How a host comes to what has arrived: at any time, with room for everything, unless a test says otherwise
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// It receives once in so long, and then all that there is
    pub(crate) period: Duration,
    /// Bytes that its buffer has room for
    pub(crate) capacity: usize,
    /// Whether it says how full that is
    pub(crate) tells: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            period: Duration::from_micros(1),
            capacity: usize::MAX,
            tells: false,
        }
    }
}

pub(super) struct Inbox {
    datagrams: VecDeque<Datagram>,
    held: usize,
    joins: bool,
    host: Host,
    /// Datagrams that did not fit
    pub(super) overflowed: usize,
    /// How often it was asked how full it is
    pub(super) looks: usize,
}

impl Inbox {
    /// `joins`: as a kernel joins packets
    pub(super) fn new(host: Host, joins: bool) -> Self {
        Self {
            datagrams: VecDeque::new(),
            held: 0,
            joins,
            host,
            overflowed: 0,
            looks: 0,
        }
    }

    pub(super) fn push(&mut self, datagram: Datagram) {
        let held = self.held + datagram.bytes.len();
        if held > self.host.capacity {
            self.overflowed += 1;
            return;
        }
        self.held = held;
        self.datagrams.push_back(datagram);
    }

    /// Whether there is something that is received at `now`, in microseconds
    pub(super) fn is_readable(&self, now: u64) -> bool {
        self.readable_at(now) == Some(now)
    }

    /// When the next receive finds something, from `now` on
    pub(super) fn readable_at(&self, now: u64) -> Option<u64> {
        self.datagrams.front()?;
        Some(now.next_multiple_of(self.host.period.as_micros() as u64))
    }

    pub(super) fn backlog(&mut self) -> Option<Backlog> {
        self.looks += 1;
        self.host.tells.then_some(Backlog {
            held: self.held,
            capacity: self.host.capacity,
        })
    }

    /// What `addr` has sent
    pub(super) fn recv(
        &mut self,
        payload: &mut [u8],
        addr: SocketAddr,
        now: u64,
    ) -> io::Result<Received> {
        let first = match self.is_readable(now) {
            true => self.datagrams.pop_front(),
            false => None,
        };
        let first = first.ok_or(io::ErrorKind::WouldBlock)?;
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
        Ok(Received {
            len,
            segment_len: segment_len.max(1),
            addr,
            ecn: first.ecn,
        })
    }
}
