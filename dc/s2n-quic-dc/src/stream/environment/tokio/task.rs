// SPDX-License-Identifier: Apache-2.0

//! Receive workers as tasks of the application's runtime.
//!
//! Between the packet and the task that reads it there is then no second thread to wake, which is most of what a small call costs. Its
//! timers are tokio's, with a resolution of a millisecond: what needs a finer one is sent, and has a thread.
//!
//! The one rule: a worker outlives its runtime. When the runtime ends before the worker has, it goes on on a thread.

use super::threads::ReceiveSeat;
use crate::{
    clock::tokio::Clock,
    socket::{send::udp::Next, udp::UdpSocket},
    stream::environment::drive::Turn,
};
use core::{
    future::{poll_fn, Future as _},
    pin::Pin,
    task::{ready, Context, Poll},
    time::Duration,
};
use s2n_quic_core::time::{Clock as _, Timestamp};
use std::{
    io,
    panic::{catch_unwind, AssertUnwindSafe},
    thread,
};
use tokio::{
    io::Interest,
    net,
    runtime::{Handle, RuntimeFlavor},
    time::{sleep, Instant, Sleep},
};

/// Turns that others have before a worker that goes last: the acceptor, the task that it hands the stream to, and as much again for those that
/// another thread of the runtime has taken over. Tokio's own `yield_now` waits until nobody is ready or 61 tasks have run, which are a
/// millisecond where there are a thousand cold ones.
const LAST: u32 = 4;

/// A runtime that workers can run on
pub(super) struct Host(Handle);

impl Host {
    /// The runtime that the caller is in
    ///
    /// A runtime of one thread is none: it only runs while somebody blocks on it.
    pub(super) fn current() -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        (handle.runtime_flavor() == RuntimeFlavor::MultiThread).then_some(Self(handle))
    }

    /// Has a task run the worker, or a thread if the runtime was built without IO or timers
    pub(super) fn spawn(&self, seat: ReceiveSeat) -> io::Result<()> {
        // tokio tells by a panic, and by nothing else, that a runtime lacks one of its drivers
        let register = || Bed::new(&seat.socket);
        match catch_unwind(AssertUnwindSafe(register)) {
            Ok(bed) => drop(self.0.spawn(run(Tenure(Some(seat)), bed?))),
            Err(_) => seat.spawn()?,
        }
        Ok(())
    }
}

/// A worker on a runtime that may end before it does
struct Tenure(Option<ReceiveSeat>);

impl Drop for Tenure {
    fn drop(&mut self) {
        // a worker that has panicked does not go on
        if let Some(seat) = self.0.take().filter(|_| !thread::panicking()) {
            if let Err(error) = seat.spawn() {
                tracing::error!(%error, "the runtime of a socket has ended, and no thread can go on for it: its streams fail");
            }
        }
    }
}

/// Where a worker sleeps
struct Bed {
    /// Tells when the socket is readable, and does nothing else
    socket: net::UdpSocket,
    alarm: Alarm,
    /// How often it lies down for others before its next turn
    passes: u32,
}

impl Bed {
    fn new(socket: &UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: net::UdpSocket::from_std(socket.try_clone()?)?,
            alarm: Alarm::new(),
            passes: 0,
        })
    }

    /// Lets those who are ready have `passes` turns each
    fn step_aside(&mut self, passes: u32, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.passes = passes - 1;
        // who is woken in its own turn comes after all who wait for theirs
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Runs `turn`, and takes note if it has emptied the socket
    fn turn(&self, mut turn: impl FnMut() -> Turn) -> Turn {
        let mut taken = None;
        // not run at all if the socket has nothing, as far as the runtime knows
        let _ = self
            .socket
            .try_io(Interest::READABLE, || match taken.insert(turn()) {
                Turn::Sleep(_) => Err(io::ErrorKind::WouldBlock.into()),
                Turn::Again | Turn::Last | Turn::Done => Ok(()),
            });
        taken.unwrap_or_else(turn)
    }

    /// Ready when something has come, or the time that `next` says
    fn poll(&mut self, next: Next, clock: &Clock, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(readable) = self.socket.poll_recv_ready(cx) {
            return Poll::Ready(readable);
        }
        self.alarm.poll(next, clock, cx).map(Ok)
    }
}

/// Returns early if the runtime shuts down
async fn run(mut tenure: Tenure, mut bed: Bed) {
    let end = poll_fn(|cx| match &mut tenure.0 {
        Some(seat) => poll(seat, &mut bed, cx),
        None => Poll::Ready(Ok(())),
    })
    .await;
    if end.is_ok() {
        tenure.0 = None;
    }
}

fn poll(seat: &mut ReceiveSeat, bed: &mut Bed, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    seat.bell.register(cx.waker());
    if bed.passes > 0 {
        return bed.step_aside(bed.passes, cx);
    }
    loop {
        seat.receiving.wake_up();
        let clock = &seat.clock;
        match bed.turn(|| seat.receiving.turn(|| clock.get_time())) {
            Turn::Sleep(next) => ready!(bed.poll(next, clock, cx))?,
            Turn::Again => return bed.step_aside(1, cx),
            Turn::Last => return bed.step_aside(LAST, cx),
            Turn::Done => return Poll::Ready(Ok(())),
        }
    }
}

/// Wakes a task at a time, or up to a millisecond later
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Timestamp>,
}

impl Alarm {
    fn new() -> Self {
        Self {
            sleep: Box::pin(sleep(Duration::ZERO)),
            armed: None,
        }
    }

    /// Ready at the time that `next` says, or earlier
    fn poll(&mut self, next: Next, clock: &Clock, cx: &mut Context<'_>) -> Poll<()> {
        let at = match next {
            Next::Now => return Poll::Ready(()),
            Next::At(at) => at,
            // a worker that receives does not wait for room to send
            Next::Writable => None,
        };
        let Some(at) = at else {
            return Poll::Pending;
        };
        // one that is set to an earlier time stays: to wake up once too often costs less than to set it each time
        if self.armed.is_none_or(|armed| at < armed) {
            let delay = at.saturating_duration_since(clock.get_time());
            self.sleep
                .as_mut()
                .reset(Instant::now() + delay.min(LONGEST));
            self.armed = Some(at);
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.armed = None;
        Poll::Ready(())
    }
}

/// More than anybody waits, and less than what overflows an instant
const LONGEST: Duration = Duration::from_secs(1 << 30);
