// SPDX-License-Identifier: Apache-2.0

//! Clients and a server in one simulation: time, sockets and network are simulated, everything else is the real stack.
//!
//! Either end may be the published crate: both use the same simulation, so that old and new meet on a network that loses what the
//! seed says. [`check`](check::check) runs a simulation and asserts what must hold for every one.
//!
//! The rule: a run is a function of its [`Simulation`]. Its packets are the same every time, and it ends within a limit of
//! simulated time.

pub mod check;
mod direct;
pub mod network;
pub mod peer;
mod streams;

use crate::{
    endpoint::Pairing,
    transfer::{Case, Outcome},
};
use bach::{environment::default::Runtime, ext::*};
use network::{Counts, Network, Node, Trace, Way};
use peer::Socket;
use s2n_quic_dc::{stream::metrics::Metrics, testing::secrets::Agreement};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What happens in a simulation.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// What the network's decisions follow from.
    pub seed: u64,
    /// Which implementations.
    pub pairing: Pairing,
    /// The transfers of each client, all at once.
    pub case: Case,
    /// How they end.
    pub ending: Ending,
    /// How they end at the server, if it is not as all those of the clients may.
    pub ending_at_server: Option<Ending>,
    /// More streams, later.
    pub later: Option<Round>,
    /// How many clients there are, each with an address and a secret of its own. At most 100.
    pub clients: u8,
    /// What becomes of the server.
    pub restart: Option<Restart>,
    /// What packets of the clients pass through, in order.
    pub to_server: Vec<Node>,
    /// What packets of the server pass through, in order.
    pub to_client: Vec<Node>,
    /// What the handshake would have agreed on.
    pub agreed: Agreement,
    /// How the sockets of both ends behave, if they are new.
    pub socket: Socket,
    /// The transfers are to take no longer, in simulated time.
    pub limit: Duration,
    /// For how long to listen, once everything has been said: see [`Report::quiet`].
    pub listen: Duration,
}

/// Streams that are opened when others have been for a while, with transfers of the same kind and size.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Since the first streams were opened.
    pub after: Duration,
    /// How many each client opens.
    pub streams: usize,
    /// How they end.
    pub ending: Ending,
}

/// How streams may end. In each case, what was read is what was written: a stream never ends cleanly before its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All bytes arrive, and both ends see the end.
    Complete,
    /// Each end gets an error of one of these kinds.
    Fail(&'static [io::ErrorKind]),
    /// Each end has seen the end, or gets an error of one of these kinds.
    Either(&'static [io::ErrorKind]),
}

/// How a server goes, and one without its secrets comes, at the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Its process is gone at once, and the next one is there, since the first streams were opened.
    Crash(Duration),
    /// It drops its streams and its environment, and the next one comes when that has let go of the port.
    Orderly(Duration),
}

/// What has happened.
#[derive(Debug)]
pub struct Report {
    /// From the first packet to the last end of a stream, in simulated time.
    pub took: Duration,
    /// How streams have ended, in that order.
    pub ends: Vec<End>,
    /// Every packet of the clients and of the server.
    pub trace: Trace,
    /// What became of the clients' packets.
    pub to_server: Counts,
    /// What became of the server's packets.
    pub to_client: Counts,
    /// Each node in front of the server and in front of the clients, and how often it did what it is for.
    pub acts: Vec<(Way, Node, u64)>,
    /// Of the first client, at the very end; `None` for the published one.
    pub client: Option<Metrics>,
    /// Of the server, at the very end; `None` for the published one. After a restart, of the next one.
    pub server: Option<Metrics>,
    /// Of the other clients, and of a server that has crashed.
    pub others: Vec<Metrics>,
    /// How often the workers of new ends woke up.
    pub turns: u64,
    /// What still happened while nobody had anything to say.
    pub quiet: Quiet,
}

impl Report {
    /// Of all ends that are new.
    pub fn metrics(&self) -> impl Iterator<Item = &Metrics> {
        let first = [&self.client, &self.server].into_iter().flatten();
        first.chain(&self.others)
    }

    /// When the streams of one end ended.
    pub fn ends_of(&self, is_client: bool) -> impl Iterator<Item = &End> {
        let is_of = move |end: &&End| end.is_client == is_client;
        self.ends.iter().filter(is_of)
    }
}

/// How one end of a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether it is the end that opened the stream.
    pub is_client: bool,
    /// Of a client's stream: what its payload is made from. Of a server's: how many were accepted before.
    pub key: u64,
    /// Since the first streams were opened.
    pub at: Duration,
    /// The key of its payload, or what went wrong.
    pub outcome: Outcome<u64>,
}

/// What happened in the time of [`Simulation::listen`], which begins when streams that are done must have ended everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quiet {
    /// Packets sent by both ends.
    pub packets: u64,
    /// Times that a worker of a new end woke up.
    pub turns: u64,
}

impl Simulation {
    /// A clean network with `delay` each way, and a limit of a minute.
    pub fn new(pairing: Pairing, case: Case, delay: Duration) -> Self {
        Self {
            seed: crate::seed::from_env(),
            pairing,
            case,
            ending: Ending::Complete,
            ending_at_server: None,
            later: None,
            clients: 1,
            restart: None,
            to_server: vec![Node::Delay(delay)],
            to_client: vec![Node::Delay(delay)],
            agreed: Agreement::default(),
            socket: Socket::default(),
            limit: Duration::from_secs(60),
            listen: Duration::ZERO,
        }
    }

    /// Adds `node` for both directions.
    pub fn with(self, node: Node) -> Self {
        self.with_one_way(Way::ToServer, node)
            .with_one_way(Way::ToClient, node)
    }

    /// Adds `node` for one direction.
    pub fn with_one_way(mut self, way: Way, node: Node) -> Self {
        match way {
            Way::ToServer => self.to_server.push(node),
            Way::ToClient => self.to_client.push(node),
        }
        self
    }

    /// The transfers are to take no longer.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Streams end like this.
    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// How many streams each client opens, at first and later.
    fn streams_per_client(&self) -> u64 {
        let later = self.later.map_or(0, |round| round.streams);
        (self.case.streams + later) as u64
    }

    /// The idle timeout of its streams.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.agreed.idle_timeout_ms.into())
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// Says which stream did not end as it is to, or that the limit was passed.
    ///
    /// # Panics
    ///
    /// When nothing can happen any more and a stream still waits: bach lists the tasks and what each waits for.
    pub fn run(&self) -> Outcome<Report> {
        let network = Network::new(self.seed, &self.to_server, &self.to_client);
        let result = Arc::new(Mutex::new(None));
        let mut runtime = Runtime::new().with_net_queues(Some(Box::new(network.clone())));
        let (simulation, slot) = (self.clone(), result.clone());
        runtime.run(|| {
            async move {
                let outcome = direct::direct(&simulation, &network).await;
                *slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(outcome);
            }
            .primary()
            .spawn_named("director");
        });
        let outcome = result
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take();
        outcome.ok_or("the simulation ended without a result")?
    }
}
