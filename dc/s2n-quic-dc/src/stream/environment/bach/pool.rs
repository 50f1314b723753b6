// SPDX-License-Identifier: Apache-2.0

//! The sockets and workers of an environment in a simulation.

use super::{
    clock::SimClock,
    socket::SimSocket,
    task::{self, Surroundings},
};
use crate::{
    counter::Counter,
    event,
    socket::{pool::Pool, recv::udp::Worker as ReceiveWorker, send::udp::Worker as SendWorker},
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
use s2n_quic_platform::socket::options::{Options, ReusePort};
use std::{io, sync::Arc};

pub(super) struct Setup<Sub: event::Subscriber> {
    pub(super) sockets: usize,
    pub(super) config: Config,
    pub(super) options: Options,
    pub(super) max_segments: usize,
    pub(super) acceptor: Option<Accepting<Sub>>,
    pub(super) turns: Arc<Counter>,
}

/// One socket on its way to its tasks
struct Bound {
    socket: Arc<SimSocket>,
    sending: Arc<Bell>,
    receiving: Arc<Bell>,
}

pub(super) fn start<Sub>(setup: Setup<Sub>) -> io::Result<Started>
where
    Sub: event::Subscriber + Clone,
{
    let pool = Pool::new(setup.config.pool)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let clock = SimClock::new();
    let now = clock.now();

    let mut options = setup.options;
    if setup.config.reuse_port {
        options.reuse_port = ReusePort::BeforeBind;
    }
    let mut bound = Vec::with_capacity(setup.sockets);
    let mut shards = Vec::with_capacity(setup.sockets);
    for index in 0..setup.sockets {
        let socket = Arc::new(SimSocket::bind(&options, setup.max_segments)?);
        let local_addr = socket.bound_to();
        if setup.config.reuse_port {
            // the first socket chooses the port that all share
            options.addr.set_port(local_addr.port());
        }
        let (sending, receiving) = (Arc::<Bell>::default(), Arc::<Bell>::default());
        let bell = |bell: &Arc<Bell>| Doorbell::new(Box::new(bell.clone()));
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
        clock: Box::new(clock.clone()),
        map: setup.config.map.clone(),
        settings: setup.config.settings(),
        shards,
        acceptor: setup.acceptor,
    });
    let core = &started.core;
    for (shard, bound) in core.shards.iter().zip(bound) {
        let addr = shard.local_addr;
        let surroundings = |bell: Arc<Bell>| Surroundings {
            socket: bound.socket.clone(),
            bell,
            clock: clock.clone(),
            turns: setup.turns.clone(),
        };
        let worker = SendWorker::new(
            bound.socket.clone(),
            shard.sender.clone(),
            Duration::ZERO,
            now,
        );
        let sending = task::send(
            Sending::new(worker, clock.clone()),
            surroundings(bound.sending),
        );
        ::bach::task::spawn_named(sending, format_args!("dc_quic://{addr}/send"));

        let worker = ReceiveWorker::new(bound.socket.clone(), core.clone(), shard.clone())
            .on_shared_runtime();
        let receiving = task::receive(Receiving::new(worker), surroundings(bound.receiving));
        ::bach::task::spawn_named(receiving, format_args!("dc_quic://{addr}/recv"));
    }
    Ok(started)
}
