// SPDX-License-Identifier: Apache-2.0

//! Which messages share a system call, and what happens when the kernel refuses to segment one.
//!
//! The rule: all or nothing towards the caller. Once one packet of a message is out, the message counts as sent.

use super::{
    kernel::{Kernel, BATCH},
    stats::Stats,
};
use crate::{
    msg::{
        addr::{self, Family},
        cmsg::Control,
        segment::{MAX_SEGMENTS, MAX_TOTAL},
    },
    socket::io::Gather,
};
use nix::errno::Errno;
use std::{
    io::{self, IoSlice},
    os::fd::BorrowedFd,
    slice,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        Arc,
    },
};

/// The sending half of a socket, over anything that sends.
#[derive(Debug)]
pub(super) struct Transmitter<K> {
    kernel: K,
    /// That of the socket.
    family: Family,
    /// Goes from true to false at most once. Nothing is published with it, hence the relaxed accesses: a thread that sees the old
    /// value only has its message refused and sends it packet by packet too.
    segments: AtomicBool,
    stats: Arc<Stats>,
}

impl<K: Kernel> Transmitter<K> {
    pub(super) fn new(kernel: K, family: Family) -> Self {
        Self {
            kernel,
            family,
            segments: AtomicBool::new(true),
            stats: Arc::default(),
        }
    }

    pub(super) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    pub(super) fn max_segments(&self) -> usize {
        if self.segments.load(Relaxed) {
            MAX_SEGMENTS
        } else {
            1
        }
    }

    /// Sends one message.
    pub(super) fn send(&self, fd: BorrowedFd<'_>, message: &Gather<'_>) -> io::Result<()> {
        let message = self.admit(message)?;
        if message.segments() > self.max_segments() {
            return self.send_singly(fd, &message);
        }
        match self.submit(fd, slice::from_ref(&message), control(&message)) {
            Ok(_) => Ok(()),
            Err(error) => self.recover(fd, &message, error),
        }
    }

    /// Sends messages in order; neighbours that share their ancillary data go with one system call.
    pub(super) fn send_many(
        &self,
        fd: BorrowedFd<'_>,
        messages: &[Gather<'_>],
    ) -> (usize, Option<io::Error>) {
        let mut sent = 0;
        while let Some(first) = messages.get(sent) {
            match self.send_run(fd, first, &messages[sent + 1..]) {
                Ok(count) => sent += count,
                Err(error) => return (sent, Some(error)),
            }
        }
        (sent, None)
    }

    /// Sends `first`, and with it as many of those behind it as one call takes. Returns how many went, at least one.
    fn send_run(
        &self,
        fd: BorrowedFd<'_>,
        first: &Gather<'_>,
        behind: &[Gather<'_>],
    ) -> io::Result<usize> {
        let first = self.admit(first)?;
        if first.segments() > self.max_segments() {
            return self.send_singly(fd, &first).map(|()| 1);
        }
        let shared = control(&first);
        let mut run = [first; BATCH];
        let mut len = 1;
        for next in behind.iter().take(BATCH - 1) {
            // one that cannot be sent is reported when it is the first
            match self.admit(next) {
                Ok(next) if control(&next) == shared => run[len] = next,
                _ => break,
            }
            len += 1;
        }
        match self.submit(fd, &run[..len], shared) {
            Ok(count) => Ok(count),
            Err(error) => self.recover(fd, &first, error).map(|()| 1),
        }
    }

    /// `message` with its address in the socket's family, if it is within the limits.
    fn admit<'a>(&self, message: &Gather<'a>) -> io::Result<Gather<'a>> {
        let within = (1..=MAX_SEGMENTS).contains(&message.segments())
            && message.payload.len() <= MAX_SEGMENTS
            && message.total_len() <= MAX_TOTAL;
        if !within {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a message must have 1 to 44 packets from at most 44 buffers and at most 65487 bytes",
            ));
        }
        let addr = self.family.for_send(message.addr)?;
        Ok(Gather { addr, ..*message })
    }

    /// Sends `message`, which failed as a whole, packet by packet if it was segmentation that failed.
    fn recover(
        &self,
        fd: BorrowedFd<'_>,
        message: &Gather<'_>,
        error: io::Error,
    ) -> io::Result<()> {
        let errno = error.raw_os_error().map(Errno::from_raw);
        let refused = matches!(errno, Some(Errno::EIO | Errno::EMSGSIZE));
        if !refused || message.segments() == 1 {
            return Err(error);
        }
        self.send_singly(fd, message)?;
        // a packet went that did not go in company
        self.segments.store(false, Relaxed);
        Ok(())
    }

    /// Sends each packet of `message` on its own. Fails only if the first one does.
    fn send_singly(&self, fd: BorrowedFd<'_>, message: &Gather<'_>) -> io::Result<()> {
        let mut parts = [IoSlice::new(&[]); MAX_PARTS];
        let mut ends = [0; MAX_SEGMENTS];
        let packets = cut(message, &mut parts, &mut ends);

        let mut singles = [*message; MAX_SEGMENTS];
        let mut start = 0;
        for (single, end) in singles.iter_mut().zip(&ends[..packets]) {
            single.payload = &parts[start..*end];
            start = *end;
        }

        let mut unsent = &singles[..packets];
        while let Some(first) = unsent.first() {
            match self.submit(fd, unsent, control(first)) {
                Ok(count) => unsent = &unsent[count..],
                Err(error) if unsent.len() == packets => return Err(error),
                Err(_) => {
                    self.stats.on_abandoned(unsent.len());
                    break;
                }
            }
        }
        Ok(())
    }

    /// Makes the call and counts it. Returns how many messages went, at least one.
    fn submit(
        &self,
        fd: BorrowedFd<'_>,
        batch: &[Gather<'_>],
        control: Control,
    ) -> io::Result<usize> {
        let result = match self.kernel.submit(fd, batch, control) {
            // the manual leaves it open, and none of the loops here may spin on it
            Ok(0) => Err(Errno::EAGAIN.into()),
            result => result,
        };
        match &result {
            Ok(count) => self.stats.on_sent(&batch[..*count]),
            Err(error) => self.stats.on_send_error(error),
        }
        result
    }
}

/// The ancillary data that `message` is sent with.
fn control(message: &Gather<'_>) -> Control {
    // an admitted message of several packets has a length below 65 487
    let segment_len = u16::try_from(message.segment_len).ok();
    Control {
        family: addr::on_the_wire(message.addr),
        ecn: message.ecn,
        segment_len: segment_len.filter(|_| message.segments() > 1),
    }
}

/// Most pieces that an admitted message is cut into: every packet but the last ends one, and so does every buffer.
const MAX_PARTS: usize = 2 * MAX_SEGMENTS;

/// Cuts an admitted message at its packets' boundaries. Packet `i` is made of the `parts` from `ends[i - 1]` to `ends[i]`;
/// returns the number of packets.
fn cut<'a>(
    message: &Gather<'a>,
    parts: &mut [IoSlice<'a>; MAX_PARTS],
    ends: &mut [usize; MAX_SEGMENTS],
) -> usize {
    let (mut len, mut packets) = (0, 0);
    let mut room = message.segment_len;
    for buffer in message.payload {
        let mut rest: &[u8] = buffer;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(room));
            parts[len] = IoSlice::new(part);
            len += 1;
            room -= part.len();
            rest = behind;
            if room == 0 {
                ends[packets] = len;
                packets += 1;
                room = message.segment_len;
            }
        }
    }
    if room < message.segment_len {
        ends[packets] = len;
        packets += 1;
    }
    packets
}

#[cfg(test)]
mod tests;
