// SPDX-License-Identifier: Apache-2.0

//! Socket workers on threads of their own, which sleep in `ppoll`, and wake within tens of microseconds.
//!
//! The one rule: a thread ends only when nothing is left for it to do, or when the time for that is up.

use crate::{
    clock::tokio::Clock,
    socket::{
        send::udp::Next,
        udp::UdpSocket,
        waker::{Interest, Parker, Waker},
    },
    stream::environment::drive::{Receiving, Sending, Turn},
    sync::doorbell::{Bell, Wake},
};
use core::time::Duration;
use s2n_quic_core::time::Clock as _;
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    task, thread,
};

impl Wake for Arc<Waker> {
    fn wake(&self) {
        Waker::wake(self);
    }
}

/// A worker that sends, and what its thread needs
pub(super) struct SendSeat {
    pub(super) sending: Arc<Sending<UdpSocket>>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) parker: Parker,
    pub(super) clock: Clock,
}

impl SendSeat {
    /// Runs until the worker is done
    pub(super) fn run(self) {
        request_precise_timers();
        loop {
            match self.sending.turn() {
                Turn::Sleep(next) => {
                    let interest = (next == Next::Writable).then_some(Interest::Writable);
                    let interest = interest.map(|interest| (self.socket.as_fd(), interest));
                    sleep(&self.parker, interest, next, &self.clock);
                    self.sending.wake_up();
                }
                Turn::Again | Turn::Last => {}
                Turn::Done => return,
            }
        }
    }
}

/// A worker that receives, and what its thread or its task needs
pub(super) struct ReceiveSeat {
    pub(super) receiving: Receiving<UdpSocket>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) bell: Arc<Bell>,
    pub(super) parker: Parker,
    pub(super) clock: Clock,
    pub(super) name: String,
}

impl ReceiveSeat {
    /// Has a thread run it until the worker is done
    pub(super) fn spawn(self) -> io::Result<()> {
        let name = self.name.clone();
        thread::Builder::new()
            .name(name)
            .spawn(move || self.run())
            .map(drop)
    }

    fn run(mut self) {
        request_precise_timers();
        let waker = task::Waker::from(self.parker.waker().clone());
        loop {
            self.bell.register(&waker);
            match self.receiving.turn(|| self.clock.get_time()) {
                Turn::Sleep(next) => {
                    let interest = (self.socket.as_fd(), Interest::Readable);
                    sleep(&self.parker, Some(interest), next, &self.clock);
                    self.receiving.wake_up();
                }
                Turn::Again | Turn::Last => {}
                Turn::Done => return,
            }
        }
    }
}

fn sleep(parker: &Parker, interest: Option<(BorrowedFd<'_>, Interest)>, next: Next, clock: &Clock) {
    let timeout = match next {
        Next::Now => return,
        Next::Writable => None,
        Next::At(at) => at.map(|at| at.saturating_duration_since(clock.get_time())),
    };
    if parker.park(interest, timeout).is_err() {
        // out of kernel memory: nothing is lost by looking again a little later
        thread::sleep(Duration::from_millis(1));
    }
}

/// By default the kernel may end a sleep 50 µs late, which at 10 Gbit/s is a batch
fn request_precise_timers() {
    // refused in some containers; the workers are then a little late
    let _ = nix::sys::prctl::set_timerslack(1);
}
