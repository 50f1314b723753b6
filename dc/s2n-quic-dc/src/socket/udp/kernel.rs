// SPDX-License-Identifier: Apache-2.0

//! The system call that sends: `sendmmsg`, for one message as for many.
//!
//! The rule: no allocation per call. The headers that the call needs live in each thread and are filled anew; `sendmsg` would do
//! for one message, but its binding allocates the control messages every time.

use crate::{
    msg::{cmsg::Control, segment::MAX_SEGMENTS},
    socket::io::Gather,
};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{sendmmsg, MsgFlags, MultiHeaders, SockaddrStorage},
};
use std::{
    cell::RefCell,
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Most messages in one call: a whole batch, should its packets have to go one by one.
pub(super) const BATCH: usize = MAX_SEGMENTS;

/// The part of a socket that fails on purpose in tests.
pub(super) trait Kernel {
    /// Sends up to [`BATCH`] messages that share `control`, in order, and returns how many of them went.
    ///
    /// An error means that none did; a number below that of the messages, that the next one failed.
    fn submit(
        &self,
        fd: BorrowedFd<'_>,
        batch: &[Gather<'_>],
        control: Control,
    ) -> io::Result<usize>;
}

/// The kernel itself.
#[derive(Debug)]
pub(super) struct Mmsg;

impl Kernel for Mmsg {
    fn submit(
        &self,
        fd: BorrowedFd<'_>,
        batch: &[Gather<'_>],
        control: Control,
    ) -> io::Result<usize> {
        HEADERS.with_borrow_mut(|headers| loop {
            match headers.submit(fd, batch, control) {
                Err(Errno::EINTR) => continue,
                result => break result.map_err(io::Error::from),
            }
        })
    }
}

thread_local! {
    static HEADERS: RefCell<Headers> = RefCell::new(Headers::new());
}

/// What `sendmmsg` reads, about 25 KiB per sending thread.
struct Headers {
    /// For messages of one packet: room for the mark.
    single: MultiHeaders<SockaddrStorage>,
    /// For messages of several packets: room for the mark and the segment length. Separate, as the kernel refuses control
    /// space that is not used up.
    segmented: MultiHeaders<SockaddrStorage>,
    addrs: Vec<Option<SockaddrStorage>>,
}

impl Headers {
    fn new() -> Self {
        // the library takes the capacity for the length, and a boxed slice has none to spare
        let exactly = |space: Vec<u8>| Some(space.into_boxed_slice().into_vec());
        Self {
            single: MultiHeaders::preallocate(BATCH, exactly(cmsg_space!(i32))),
            segmented: MultiHeaders::preallocate(BATCH, exactly(cmsg_space!(i32, u16))),
            addrs: Vec::with_capacity(BATCH),
        }
    }

    fn submit(
        &mut self,
        fd: BorrowedFd<'_>,
        batch: &[Gather<'_>],
        control: Control,
    ) -> nix::Result<usize> {
        let addrs = batch.iter().take(BATCH).map(|message| message.addr.into());
        self.addrs.clear();
        self.addrs.extend(addrs.map(Some));

        let headers = match control.segment_len {
            Some(_) => &mut self.segmented,
            None => &mut self.single,
        };
        control.encode(|control| {
            let payloads = batch.iter().map(|message| &message.payload);
            let sent = sendmmsg(
                fd.as_raw_fd(),
                headers,
                payloads,
                &self.addrs,
                control,
                MsgFlags::empty(),
            )?;
            // one result for each message that was sent
            Ok(sent.count())
        })
    }
}
