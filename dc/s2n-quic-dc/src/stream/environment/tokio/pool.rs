// SPDX-License-Identifier: Apache-2.0

//! Sockets and workers of an environment: for each socket one that sends and one that receives.
//!
//! Two workers, because a batch of 64 KB costs about 14 µs in the kernel each way, and neither should wait for the other.
//!
//! The one rule: nothing runs before everything that can fail has been made, except for the threads themselves.

use super::{
    task::Host,
    threads::{ReceiveSeat, SendSeat},
};
use crate::{
    clock::tokio::Clock,
    event,
    socket::{
        io::Socket as _, pool::Pool, recv::udp::Worker as ReceiveWorker,
        send::udp::Worker as SendWorker, udp::UdpSocket, waker::Parker,
    },
    stream::{
        endpoint::Accepting,
        environment::{
            core::Shard,
            drive::{Receiving, Sending},
            routes::Routes,
            started::{Standing, Started},
            udp::Config,
        },
    },
    sync::doorbell::{Bell, Doorbell},
};
use core::time::Duration;
use s2n_quic_core::time::Clock as _;
use s2n_quic_platform::socket::options::{Options, ReusePort};
use std::{io, sync::Arc, thread};

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

/// What `ppoll` oversleeps by at the median on a virtual machine, see `benches/examples/oversleep.rs`
const TIMER_RESOLUTION: Duration = Duration::from_micros(50);

/// One socket on its way to its workers
struct Bound {
    socket: Arc<UdpSocket>,
    bell: Arc<Bell>,
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
        let bell = Arc::<Bell>::default();
        shards.push(Shard::new(
            local_addr,
            Routes::new(index, setup.sockets),
            [
                Doorbell::new(Box::new(sending.waker().clone())),
                Doorbell::new(Box::new(bell.clone())),
            ],
            socket.traffic(),
            now,
        ));
        bound.push(Bound {
            socket,
            bell,
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

    let host = (!setup.config.blocking).then(Host::current).flatten();
    for (index, bound) in bound.into_iter().enumerate() {
        let prefix = &setup.thread_name_prefix;
        let shard = core.shards[index].clone();
        let (socket, clock) = (bound.socket.clone(), setup.clock.clone());
        let worker = SendWorker::new(socket.clone(), shard.sender.clone(), TIMER_RESOLUTION, now);
        let seat = SendSeat {
            sending: Sending::new(worker, clock.clone()),
            socket,
            parker: bound.sending,
            clock,
        };
        // the first to be there, since the one that receives ends the one that sends
        let mut worker = ReceiveWorker::new(bound.socket.clone(), core.clone(), shard);
        if host.is_some() {
            worker = worker.on_shared_runtime();
        }
        let receiving = ReceiveSeat {
            receiving: Receiving::new(worker),
            socket: bound.socket,
            bell: bound.bell,
            parker: bound.receiving,
            clock: setup.clock.clone(),
            name: format!("{prefix}::recv::{index}"),
        };
        thread::Builder::new()
            .name(format!("{prefix}::send::{index}"))
            .spawn(move || seat.run())?;
        match &host {
            Some(host) => host.spawn(receiving)?,
            None => receiving.spawn()?,
        }
    }
    Ok(started)
}
