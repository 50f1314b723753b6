// SPDX-License-Identifier: Apache-2.0

//! A client and a server in one simulation: time, sockets and network are simulated, everything else is the real stack.
//!
//! Either end may be the published crate: both use the same simulation, so that old and new meet on a network that loses what the
//! seed says.
//!
//! The rule: a run is a function of its [`Simulation`]. Its packets are the same every time, and it ends within a limit of simulated
//! time.

pub mod network;
pub mod peer;

use crate::{
    endpoint::{Pairing, Side},
    transfer::{client_stream, server_stream, Case, Outcome},
};
use bach::{environment::default::Runtime, ext::*, task::JoinHandle, time::Instant};
use network::{Counts, Network, Node, Trace};
use peer::{Endpoint, Socket};
use s2n_quic_dc::{stream::metrics::Metrics, testing::secrets::Agreement};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;

/// What happens in a simulation.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// What the network's decisions follow from.
    pub seed: u64,
    /// Which implementations.
    pub pairing: Pairing,
    /// The transfers.
    pub case: Case,
    /// What packets of the client pass through, in order.
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

/// What has happened.
#[derive(Debug)]
pub struct Report {
    /// From the first packet to the last byte read, in simulated time.
    pub took: Duration,
    /// Every packet of the client and of the server.
    pub trace: Trace,
    /// What became of the client's packets.
    pub to_server: Counts,
    /// What became of the server's packets.
    pub to_client: Counts,
    /// Of the client, at the very end; `None` for the published one.
    pub client: Option<Metrics>,
    /// Of the server, at the very end; `None` for the published one.
    pub server: Option<Metrics>,
    /// How often the workers of new ends woke up.
    pub turns: u64,
    /// What still happened while nobody had anything to say.
    pub quiet: Quiet,
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
            to_server: vec![Node::Delay(delay)],
            to_client: vec![Node::Delay(delay)],
            agreed: Agreement::default(),
            socket: Socket::default(),
            limit: Duration::from_secs(60),
            listen: Duration::ZERO,
        }
    }

    /// Adds `node` for both directions.
    pub fn with(mut self, node: Node) -> Self {
        self.to_server.push(node);
        self.to_client.push(node);
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// Says which stream failed in what, or that the limit was passed.
    ///
    /// # Panics
    ///
    /// When nothing can happen any more and a stream still waits: bach lists the tasks and what each waits for.
    pub fn run(&self) -> Outcome<Report> {
        let network = Network::new(
            self.seed,
            [("client", &self.to_server), ("server", &self.to_client)],
        );
        let result = Arc::new(Mutex::new(None));
        let mut runtime = Runtime::new().with_net_queues(Some(Box::new(network.clone())));
        let (simulation, slot) = (self.clone(), result.clone());
        runtime.run(|| {
            async move {
                let outcome = simulation.direct(&network).await;
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

    async fn direct(&self, network: &Network) -> Outcome<Report> {
        let (server, client) = self.bind().await?;
        let start = Instant::now();
        let transfers = self.transfer(&client, &server);
        bach::time::timeout(self.limit, transfers)
            .await
            .map_err(|_| format!("not done after {:?} of simulated time", self.limit))??;
        let took = start.elapsed();
        let quiet = self.listen(network, &client, &server).await;
        Ok(Report {
            took,
            trace: network.trace(),
            to_server: network.counts("client"),
            to_client: network.counts("server"),
            client: client.metrics(),
            server: server.metrics(),
            turns: client.turns() + server.turns(),
            quiet,
        })
    }

    /// The server and the client, each with an address of its own and the secret that they share
    async fn bind(&self) -> Outcome<(Endpoint, Endpoint)> {
        let socket = self.socket;
        let (server_side, client_side) = (self.pairing.server, self.pairing.client);
        let server = async move { Endpoint::bind(server_side, SERVER_PORT, socket) };
        let server = server.group("server").await?;
        let client = async move { Endpoint::bind(client_side, 0, socket) };
        let client = client.group("client").await?;
        server.share_secret(&client, &self.agreed);
        Ok((server, client))
    }

    async fn transfer(&self, client: &Endpoint, server: &Endpoint) -> Outcome {
        let case = self.case;
        let client_waits_for_end = self.pairing.server == Side::New;
        let server_waits_for_end = self.pairing.client == Side::New;
        let accepting = {
            let server = server.clone();
            let tolerates_phantoms = self.pairing.server == Side::Old;
            async move { serve(server, case, server_waits_for_end, tolerates_phantoms).await }
        }
        .spawn_named("server");
        let mut streams: Vec<JoinHandle<Outcome<u64>>> = Vec::new();
        for key in 0..case.streams as u64 {
            let (client, addr) = (client.clone(), server.addr());
            let stream = async move { open(client, addr, key, case, client_waits_for_end).await };
            streams.push(stream.spawn_named(format_args!("client/{key}")));
        }
        let mut keys = BTreeSet::new();
        for stream in streams {
            let key = stream.await.map_err(|error| format!("{error:?}"))??;
            if !keys.insert(key) {
                return Err(format!("two streams had the payload {key}"));
            }
        }
        accepting.await.map_err(|error| format!("{error:?}"))?
    }

    async fn listen(&self, network: &Network, client: &Endpoint, server: &Endpoint) -> Quiet {
        if self.listen.is_zero() {
            return Quiet::default();
        }
        // timers of streams that are gone may still come up once, until the longest of them has, and pools shrink
        let idle = Duration::from_millis(self.agreed.idle_timeout_ms.into());
        bach::time::sleep(idle + SETTLING).await;
        let now = || Quiet {
            packets: network.packets(),
            turns: client.turns() + server.turns(),
        };
        let before = now();
        bach::time::sleep(self.listen).await;
        let after = now();
        Quiet {
            packets: after.packets - before.packets,
            turns: after.turns - before.turns,
        }
    }
}

async fn open(
    client: Endpoint,
    server: SocketAddr,
    key: u64,
    case: Case,
    waits_for_end: bool,
) -> Outcome<u64> {
    let stream = client.connect(server).await;
    let stream = stream.map_err(|error| format!("connect {key}: {error}"))?;
    client_stream(stream, key, case, waits_for_end)
        .await
        .map_err(|error| format!("client's stream {key}: {error}"))
}

/// Accepts until as many streams as the client opens have succeeded
async fn serve(
    server: Endpoint,
    case: Case,
    waits_for_end: bool,
    tolerates_phantoms: bool,
) -> Outcome {
    let (results, mut done) = mpsc::unbounded_channel();
    let accepting = async move {
        for key in 0.. {
            let Ok(stream) = server.accept().await else {
                break;
            };
            let results = results.clone();
            async move {
                let result = server_stream(stream, key, case, waits_for_end).await;
                // nobody listens once all streams that count have succeeded
                let _ = results.send((key, result));
            }
            .spawn_named(format_args!("server/{key}"));
        }
    };
    accepting.spawn_named("accept");
    let mut keys = BTreeSet::new();
    while keys.len() < case.streams {
        let (key, result) = done
            .recv()
            .await
            .ok_or("the server's environment is gone")?;
        match result {
            Ok(key) if !keys.insert(key) => {
                return Err(format!("two streams had the payload {key}"));
            }
            Ok(_) => {}
            // a late copy of an opening packet makes the published server accept a stream that fails at its first packet
            Err(error) if tolerates_phantoms && error.contains("PermissionDenied") => {}
            Err(error) => return Err(format!("server's stream {key}: {error}")),
        }
    }
    Ok(())
}

/// Of the server; the client's is chosen by the simulation
const SERVER_PORT: u16 = 4433;

/// After the idle timeout: what the last probes and answers of a stream may take, and what pools take to give back the memory that
/// these used, half of it each second
const SETTLING: Duration = Duration::from_secs(20);
