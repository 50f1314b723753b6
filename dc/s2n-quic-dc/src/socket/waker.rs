// SPDX-License-Identifier: Apache-2.0

//! Lets a thread sleep until its socket is ready, another thread has work for it, or some time has passed.
//!
//! The rule: a wake is never lost. It stays pending until the sleeper takes it, so that one sent before the sleep ends it at once.

use nix::{
    errno::Errno,
    poll::{ppoll, PollFd, PollFlags},
    sys::{
        eventfd::{EfdFlags, EventFd},
        time::TimeSpec,
    },
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

/// Ends the sleep of a [`Parker`] from another thread.
///
/// Wakes do not add up: any number of them before the sleeper takes them are one. A wake is a system call, so callers wake on the
/// edge from no work to some, not for each piece.
#[derive(Debug)]
pub struct Waker(EventFd);

impl Waker {
    /// Fails if the process or the system is out of file descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    /// Ends the sleep that is going on, or else the next one.
    pub fn wake(&self) {
        // the one error that can occur is a full counter, and then a wake is pending already: the descriptor is open and takes
        // eight bytes, and a write that does not block is not interrupted
        let _ = self.0.write(1);
    }

    /// Takes the pending wake, and returns whether there was one.
    pub fn drain(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl std::task::Wake for Waker {
    fn wake(self: Arc<Self>) {
        Waker::wake(&self);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What to wait for on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Until there is something to receive.
    Readable,
    /// Until there is room to send.
    Writable,
    /// Until either.
    Both,
}

impl Interest {
    fn flags(self) -> PollFlags {
        match self {
            Self::Readable => PollFlags::POLLIN,
            Self::Writable => PollFlags::POLLOUT,
            Self::Both => PollFlags::POLLIN | PollFlags::POLLOUT,
        }
    }
}

/// Why a sleep has ended; none of them if the time was up or a signal came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// There is something to receive, or an error to fetch.
    pub readable: bool,
    /// There is room to send, or an error to fetch.
    pub writable: bool,
    /// Somebody called [`Waker::wake`]. That wake is taken.
    pub woken: bool,
}

/// Sleeps, for one thread at a time.
#[derive(Debug)]
pub struct Parker {
    waker: Arc<Waker>,
}

impl Parker {
    /// A parker with a waker of its own. Fails as [`Waker::new`] does.
    pub fn new() -> io::Result<Self> {
        let waker = Arc::new(Waker::new()?);
        Ok(Self { waker })
    }

    /// What ends the sleep from elsewhere.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Sleeps until `socket` is ready, somebody wakes, or `timeout` has passed, and tells which.
    ///
    /// No timeout means as long as it takes. The kernel counts it in nanoseconds and may add its timer slack, 50 µs for a thread
    /// that has not asked for less. The sleep may end early with nothing ready: a signal does that, and a timeout of more than 68
    /// years. Callers look at the clock and park again. A pending socket error makes the socket ready for whatever was
    /// asked, since it stays until a call on the socket fetches it.
    ///
    /// Fails if `socket` is not an open descriptor, or the kernel is out of memory.
    pub fn park(
        &self,
        socket: Option<(BorrowedFd<'_>, Interest)>,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        let waker = PollFd::new(self.waker.as_fd(), PollFlags::POLLIN);
        let timeout = timeout.map(|timeout| TimeSpec::from_duration(timeout.min(LONGEST)));

        // without a socket the second place is there and not looked at
        let (other, len) = match socket {
            Some((socket, interest)) => (PollFd::new(socket, interest.flags()), 2),
            None => (waker.clone(), 1),
        };
        let mut descriptors = [waker, other];
        match ppoll(&mut descriptors[..len], timeout, None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }

        let mut ready = Ready::default();
        if let Some((_, interest)) = socket {
            let events = descriptors[1].revents().unwrap_or(PollFlags::empty());
            if events.contains(PollFlags::POLLNVAL) {
                return Err(Errno::EBADF.into());
            }
            let failed = events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
            let asked = interest.flags();
            let has = |flag| asked.contains(flag) && (failed || events.contains(flag));
            ready.readable = has(PollFlags::POLLIN);
            ready.writable = has(PollFlags::POLLOUT);
        }
        if descriptors[0].any().unwrap_or(true) {
            ready.woken = self.waker.drain();
        }
        Ok(ready)
    }
}

/// More than anybody waits, and what the kernel's seconds hold on every platform.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

#[cfg(test)]
mod tests;
