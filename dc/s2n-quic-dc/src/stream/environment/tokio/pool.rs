// SPDX-License-Identifier: Apache-2.0

//! The threads of an environment: for each socket one that sends and one that receives.
//!
//! Two threads, because a batch of 64 KB costs about 14 µs in the kernel each way, and neither should wait for the other. They sleep in
//! `ppoll`, which wakes within tens of microseconds.
//!
//! The one rule: a thread ends only when nothing is left for it to do, or when the time for that is up.

use crate::{
    clock::tokio::Clock,
    event,
    socket::{
        io::Socket as _,
        pool::Pool,
        recv::udp::Worker as ReceiveWorker,
        send::udp::{Next, Worker as SendWorker},
        udp::UdpSocket,
        waker::{Interest, Parker, Waker},
    },
    stream::{
        endpoint::Accepting,
        environment::{
            core::{Routes, Shard},
            drive::{Receiving, Sending, Turn},
            started::{Standing, Started},
            udp::Config,
        },
    },
    sync::doorbell::{Doorbell, Wake},
};
use core::time::Duration;
use s2n_quic_core::time::Clock as _;
use s2n_quic_platform::socket::options::{Options, ReusePort};
use std::{io, os::fd::AsFd as _, sync::Arc, thread};

/// Receive and send buffers that sockets ask for: the kernel grants what its limits allow
const SOCKET_BUFFER: usize = 4 << 20;

pub(super) struct Setup<Sub: event::Subscriber> {
    pub(super) sockets: usize,
    pub(super) config: Config,
    pub(super) options: Options,
    pub(super) thread_name_prefix: String,
    pub(super) clock: Clock,
    pub(super) acceptor: Option<Accepting<Sub>>,
}

impl Wake for Arc<Waker> {
    fn wake(&self) {
        Waker::wake(self);
    }
}

/// What `ppoll` oversleeps by at the median on a virtual machine, see `benches/examples/oversleep.rs`
const TIMER_RESOLUTION: Duration = Duration::from_micros(50);

/// One socket on its way to its threads
struct Bound {
    socket: Arc<UdpSocket>,
    sending: Parker,
    receiving: Parker,
}

pub(super) fn start<Sub>(setup: Setup<Sub>) -> io::Result<Started>
where
    Sub: event::Subscriber + Clone,
{
    let pool = Pool::new(setup.config.pool)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let now = setup.clock.get_time();

    let mut bound = Vec::with_capacity(setup.sockets);
    let mut shards = Vec::with_capacity(setup.sockets);
    let mut options = setup.options;
    options.send_buffer.get_or_insert(SOCKET_BUFFER);
    options.recv_buffer.get_or_insert(SOCKET_BUFFER);
    for index in 0..setup.sockets {
        if setup.config.reuse_port {
            // a port that the kernel is to choose must not be shared before it is bound
            options.reuse_port = match options.addr.port() {
                0 => ReusePort::AfterBind,
                _ => ReusePort::BeforeBind,
            };
        }
        let socket = Arc::new(UdpSocket::new(options.build_udp()?)?);
        let local_addr = socket.local_addr()?;
        if setup.config.reuse_port {
            // the first socket chooses the port that all share
            options.addr.set_port(local_addr.port());
        }
        let (sending, receiving) = (Parker::new()?, Parker::new()?);
        let bell = |parker: &Parker| Doorbell::new(Box::new(parker.waker().clone()));
        shards.push(Shard::new(
            local_addr,
            Routes::new(index, setup.sockets),
            [bell(&sending), bell(&receiving)],
            socket.traffic(),
            now,
        ));
        bound.push(Bound {
            socket,
            sending,
            receiving,
        });
    }

    let started = Started::new(Standing {
        pool,
        clock: Box::new(setup.clock.clone()),
        map: setup.config.map.clone(),
        settings: setup.config.settings(),
        shards,
        acceptor: setup.acceptor,
    });
    let core = &started.core;

    for (index, bound) in bound.into_iter().enumerate() {
        let prefix = &setup.thread_name_prefix;
        let shard = core.shards[index].clone();
        let (socket, clock) = (bound.socket.clone(), setup.clock.clone());
        let worker = SendWorker::new(socket.clone(), shard.sender.clone(), TIMER_RESOLUTION, now);
        let sending = Sending::new(worker, clock.clone());
        thread::Builder::new()
            .name(format!("{prefix}::send::{index}"))
            .spawn(move || run_sender(&sending, &socket, &bound.sending, &clock))?;

        let (socket, clock) = (bound.socket, setup.clock.clone());
        let worker = ReceiveWorker::new(socket.clone(), core.clone(), shard);
        thread::Builder::new()
            .name(format!("{prefix}::recv::{index}"))
            .spawn(move || run_receiver(worker, &socket, &bound.receiving, &clock))?;
    }
    Ok(started)
}

fn run_sender(sending: &Sending<UdpSocket>, socket: &UdpSocket, parker: &Parker, clock: &Clock) {
    request_precise_timers();
    while let Turn::Sleep(next) = sending.turn() {
        let interest = (next == Next::Writable).then(|| (socket.as_fd(), Interest::Writable));
        sleep(parker, interest, next, clock);
        sending.wake_up();
    }
}

fn run_receiver(
    worker: ReceiveWorker<UdpSocket>,
    socket: &UdpSocket,
    parker: &Parker,
    clock: &Clock,
) {
    request_precise_timers();
    let mut receiving = Receiving::new(worker);
    while let Turn::Sleep(next) = receiving.turn(|| clock.get_time()) {
        sleep(
            parker,
            Some((socket.as_fd(), Interest::Readable)),
            next,
            clock,
        );
        receiving.wake_up();
    }
    receiving.finish();
}

fn sleep(
    parker: &Parker,
    interest: Option<(std::os::fd::BorrowedFd<'_>, Interest)>,
    next: Next,
    clock: &Clock,
) {
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
