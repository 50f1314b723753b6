// SPDX-License-Identifier: Apache-2.0

//! One end of a simulation: an environment, and its two workers in place of their threads.
//!
//! The one rule: a worker is polled when its thread would wake up, and until it would sleep again.

use super::{
    clock::{timestamp, Clock},
    network::{Network, Side, SimSocket},
    Flag, Options, MAX_ROUNDS,
};
use crate::{
    clock::ticks,
    event::disabled::Subscriber,
    path::secret::Map,
    socket::{
        pool::{self, Pool},
        recv::udp::Worker as ReceiveWorker,
        send::udp::{Next, Worker as SendWorker},
        udp::Traffic,
    },
    stream::{
        endpoint::Accepting,
        environment::{
            core::{Core, Guard, Settings, Shard},
            routes::Routes,
            started::{Standing, Started},
        },
        metrics::Metrics,
        path::Path,
    },
    sync::doorbell::{Doorbell, Wake},
};
use core::{sync::atomic::Ordering, time::Duration};
use s2n_quic_core::time::Timestamp;
use std::sync::Arc;

/// One environment
pub(crate) struct End {
    pub(crate) core: Arc<Core>,
    pub(crate) shard: Arc<Shard>,
    pub(super) side: Side,
    pub(super) guard: Guard,
    sending: SendWorker<SimSocket>,
    receiving: ReceiveWorker<SimSocket>,
    /// Rounds of the receiving worker
    pub(crate) receive_rounds: usize,
    /// The sender's, and the receiver's
    bells: [Arc<Flag>; 2],
    pub(super) naps: [Nap; 2],
}

/// What a worker sleeps for
#[derive(Clone, Copy, Debug)]
pub(super) enum Nap {
    Until(Option<Timestamp>),
    Writable,
}

impl End {
    pub(super) fn new(
        side: Side,
        options: &Options,
        map: &Map,
        accepting: Option<Accepting<Subscriber>>,
        world: (&Clock, &Network),
    ) -> Self {
        let (clock, network) = world;
        let bells = [Arc::<Flag>::default(), Arc::<Flag>::default()];
        let now = clock.now();
        let shard = Shard::new(
            side.addr(),
            Routes::new(0, 1),
            bells
                .each_ref()
                .map(|flag| Doorbell::new(Box::new(Bell(flag.clone())))),
            Traffic::default(),
            now,
        );
        let Started { core, guard } = Started::new(Standing {
            pool: Pool::new(options.pool).expect("a valid pool"),
            clock: Box::new(clock.clone()),
            map: map.clone(),
            settings: Settings {
                max_pending: options.max_pending,
                max_rate: None,
                max_receive_window_bytes: options.max_receive_window_bytes,
            },
            shards: vec![shard.clone()],
            acceptor: accepting,
        });
        let socket = network.socket(side);
        // the first poll arms the bells
        bells
            .iter()
            .for_each(|bell| bell.0.store(true, Ordering::Relaxed));
        Self {
            sending: SendWorker::new(socket.clone(), shard.sender.clone(), Duration::ZERO, now),
            receiving: ReceiveWorker::new(socket, core.clone(), shard.clone()),
            core,
            shard,
            side,
            guard,
            bells,
            receive_rounds: 0,
            naps: [Nap::Until(None); 2],
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::of(&self.core)
    }

    /// Of data, set aside or in use, in bytes
    pub(crate) fn pool(&self) -> pool::Stats {
        self.core.pool.stats()
    }

    /// The path to the other end, of which there is one in a simulation
    pub(crate) fn path(&self) -> Arc<Path> {
        let mut found = None;
        self.core.for_each_path(|path| found = Some(path.clone()));
        found.expect("a stream was opened")
    }

    /// Transmissions in the wheels and in front of them, as of the worker's last round
    pub(crate) fn wheel_depth(&self) -> u64 {
        self.shard.sender.metrics.depth.get()
    }

    fn is_due(&self, index: usize, network: &Network, now: Timestamp) -> bool {
        let is_time = match self.naps[index] {
            Nap::Until(at) => at.is_some_and(|at| at <= now),
            Nap::Writable => timestamp(network.writable_at(self.side)) <= now,
        };
        let is_readable = index == 1 && network.is_readable(self.side);
        self.bells[index].take() || is_time || is_readable
    }

    /// As the threads of an environment do; true if anything was polled
    pub(super) fn turn(&mut self, network: &Network, now: Timestamp) -> bool {
        let mut any = false;
        if self.is_due(0, network, now) {
            let bell = &self.shard.sender.doorbell;
            bell.disarm();
            self.naps[0] = rest(|| self.sending.poll(now), bell);
            any = true;
        }
        if self.is_due(1, network, now) {
            let bell = &self.shard.receiver.doorbell;
            bell.disarm();
            let poll = || {
                self.receive_rounds += 1;
                self.receiving.poll(now)
            };
            self.naps[1] = rest(poll, bell);
            any = true;
        }
        any
    }

    pub(super) fn next_event(&self, network: &Network) -> Option<u64> {
        let naps = self.naps.iter().filter_map(|nap| match nap {
            Nap::Until(at) => at.map(ticks),
            Nap::Writable => Some(network.writable_at(self.side)),
        });
        naps.min()
    }
}

/// Polls a worker until it has nothing more to do now
fn rest(mut poll: impl FnMut() -> Next, bell: &Doorbell) -> Nap {
    for _ in 0..MAX_ROUNDS {
        if poll() == Next::Now {
            continue;
        }
        bell.arm();
        // what came before the bell was armed rang in vain: look again
        match poll() {
            Next::Now => bell.disarm(),
            Next::At(at) => return Nap::Until(at),
            Next::Writable => return Nap::Writable,
        }
    }
    panic!("a worker never comes to rest");
}

struct Bell(Arc<Flag>);

impl Wake for Bell {
    fn wake(&self) {
        self.0 .0.store(true, Ordering::Relaxed);
    }
}
