// SPDX-License-Identifier: Apache-2.0

//! What happens in a simulation, and when.
//!
//! The rule: the director knows what is to happen. It opens no stream and moves no packet itself.

use super::{
    network::{Network, Way, SERVER},
    peer::{Endpoint, CLIENT_PORT, SERVER_PORT},
    streams::{open, serve, Common, News, STOPPED},
    End, Ending, Quiet, Report, Restart, Simulation,
};
use crate::{endpoint::Side, transfer::Outcome};
use bach::{
    ext::*,
    time::{sleep, timeout, Instant},
};
use std::{collections::BTreeSet, io, sync::Arc, time::Duration};
use tokio::sync::{mpsc, Semaphore};

/// Plays `simulation` on a network that its sockets are bound to.
pub(super) async fn direct(simulation: &Simulation, network: &Network) -> Outcome<Report> {
    let (clients, server) = bind(simulation).await?;
    let addr = server.addr();
    let (news, inbox) = mpsc::unbounded_channel();
    let common = Common {
        case: simulation.case,
        client_waits_for_end: simulation.pairing.server == Side::New,
        server_waits_for_end: simulation.pairing.client == Side::New,
        start: Instant::now(),
        news,
    };

    let stop = Arc::new(Semaphore::new(0));
    serve(&common, server.clone(), stop.clone());
    for (number, client) in (0..).zip(&clients) {
        let round = simulation.streams_per_client() * number;
        let later = round + simulation.case.streams as u64;
        open(&common, client, addr, round..later, Duration::ZERO);
        if let Some(round) = simulation.later {
            let keys = later..later + round.streams as u64;
            open(&common, client, addr, keys, round.after);
        }
    }
    let restarting = restart(simulation.clone(), network.clone(), server, stop, common);
    let restarting = restarting.group(SERVER).spawn_named("restart");
    let tally = Tally::new(simulation, inbox);
    let ends = timeout(simulation.limit, tally.run())
        .await
        .map_err(|_| format!("not done after {:?} of simulated time", simulation.limit))??;
    let servers = restarting.await.map_err(|error| format!("{error:?}"))??;

    let quiet = listen(simulation, network, &clients, &servers).await;
    let acts = Way::ALL.into_iter().flat_map(|way| {
        let acts = network.acts(way).into_iter();
        acts.map(move |(node, acts)| (way, node, acts))
    });
    let mut clients = clients.iter().map(Endpoint::metrics);
    let mut servers = servers.iter().map(Endpoint::metrics);
    let (client, server) = (clients.next().flatten(), servers.next().flatten());
    Ok(Report {
        took: ends.last().map(|end| end.at).unwrap_or_default(),
        ends,
        trace: network.trace(),
        to_server: network.counts(Way::ToServer),
        to_client: network.counts(Way::ToClient),
        acts: acts.collect(),
        client,
        server,
        others: clients.chain(servers).flatten().collect(),
        turns: quiet.0,
        quiet: quiet.1,
    })
}

/// The clients and the server, each with an address of its own, and with the secrets that they share
async fn bind(simulation: &Simulation) -> Outcome<(Vec<Endpoint>, Endpoint)> {
    let socket = simulation.socket;
    let pairing = simulation.pairing;
    let server = async move { Endpoint::bind(pairing.server, SERVER_PORT, socket) };
    let server = server.group(SERVER).await?;
    let mut clients = Vec::new();
    for number in 0..simulation.clients {
        let client = async move { Endpoint::bind(pairing.client, CLIENT_PORT, socket) };
        let client = client.group(format!("client/{number}")).await?;
        server.share_secret(&client, number, &simulation.agreed);
        clients.push(client);
    }
    Ok((clients, server))
}

/// The servers that are there at the end, the one that streams go to first
async fn restart(
    simulation: Simulation,
    network: Network,
    server: Endpoint,
    stop: Arc<Semaphore>,
    common: Common,
) -> Outcome<Vec<Endpoint>> {
    let addr = server.addr();
    let mut servers = vec![server];
    match simulation.restart {
        None => return Ok(servers),
        Some(Restart::Crash(after)) => {
            sleep(after).await;
            network.unplug(addr);
        }
        Some(Restart::Orderly(after)) => {
            sleep(after).await;
            stop.close();
            servers.clear();
            while network.is_bound(addr) {
                sleep(PORT_POLL).await;
            }
        }
    }
    let next = Endpoint::bind(simulation.pairing.server, addr.port(), simulation.socket)?;
    serve(&common, next.clone(), Arc::new(Semaphore::new(0)));
    servers.insert(0, next);
    Ok(servers)
}

/// What streams have said so far.
struct Tally<'a> {
    simulation: &'a Simulation,
    inbox: mpsc::UnboundedReceiver<News>,
    ends: Vec<End>,
    accepted: usize,
    /// Of payloads that have arrived, at the clients and at the server
    keys: [BTreeSet<u64>; 2],
}

impl<'a> Tally<'a> {
    fn new(simulation: &'a Simulation, inbox: mpsc::UnboundedReceiver<News>) -> Self {
        Self {
            simulation,
            inbox,
            ends: Vec::new(),
            accepted: 0,
            keys: Default::default(),
        }
    }

    /// Listens until every stream has ended as it is to
    async fn run(mut self) -> Outcome<Vec<End>> {
        while !self.is_done() {
            match self.inbox.recv().await.ok_or("all streams are gone")? {
                News::Accepted => self.accepted += 1,
                News::Ended(end) => self.judge(end)?,
            }
        }
        Ok(self.ends)
    }

    fn is_done(&self) -> bool {
        let opened = self.simulation.streams_per_client() as usize;
        let opened = opened * usize::from(self.simulation.clients);
        let at_client = self.ends.iter().filter(|end| end.is_client).count();
        let at_server = self.ends.len() - at_client;
        let [_, served] = &self.keys;
        match self.ending_at_server() {
            Ending::Complete => at_client == opened && served.len() == opened,
            _ => at_client == opened && at_server == self.accepted,
        }
    }

    fn ending_at_server(&self) -> Ending {
        let Simulation {
            ending,
            ending_at_server,
            ..
        } = *self.simulation;
        ending_at_server.unwrap_or(ending)
    }

    fn judge(&mut self, end: End) -> Outcome {
        let per_client = self.simulation.streams_per_client();
        let ending = match self.simulation.later {
            _ if !end.is_client => self.ending_at_server(),
            Some(later) if end.key % per_client >= self.simulation.case.streams as u64 => {
                later.ending
            }
            _ => self.simulation.ending,
        };
        let is_of = |error: &str, kinds: &[io::ErrorKind]| {
            let mut names = kinds.iter().map(|kind| format!(": {kind:?}: "));
            names.any(|name| error.contains(&name))
        };
        // a late copy of an opening packet makes the published server accept a stream that fails at its first packet
        let is_phantom = |error: &str| {
            let is_old = self.simulation.pairing.server == Side::Old;
            is_old && !end.is_client && is_of(error, &[io::ErrorKind::PermissionDenied])
        };
        let is_expected = match (&end.outcome, ending) {
            (Ok(_), Ending::Complete | Ending::Either(_)) => true,
            (Ok(_), Ending::Fail(_)) => false,
            (Err(error), _) if error == STOPPED || is_phantom(error) => true,
            (Err(_), Ending::Complete) => false,
            (Err(error), Ending::Fail(kinds) | Ending::Either(kinds)) => is_of(error, kinds),
        };
        let is_new = match end.outcome {
            Ok(key) => self.keys[usize::from(!end.is_client)].insert(key),
            Err(_) => true,
        };
        if !is_expected || !is_new {
            return Err(format!("{end:?}, and not {ending:?}, and not twice"));
        }
        self.ends.push(end);
        Ok(())
    }
}

/// How often workers have woken up so far, and what still happened
async fn listen(
    simulation: &Simulation,
    network: &Network,
    clients: &[Endpoint],
    servers: &[Endpoint],
) -> (u64, Quiet) {
    let now = || Quiet {
        packets: network.packets(),
        turns: clients.iter().chain(servers).map(Endpoint::turns).sum(),
    };
    if simulation.listen.is_zero() {
        return (now().turns, Quiet::default());
    }
    // timers of streams that are gone may still come up once, until the longest of them has, and pools shrink
    sleep(simulation.idle_timeout() + SETTLING).await;
    let before = now();
    sleep(simulation.listen).await;
    let after = now();
    let quiet = Quiet {
        packets: after.packets - before.packets,
        turns: after.turns - before.turns,
    };
    (after.turns, quiet)
}

/// After the idle timeout: what the last probes and answers of a stream may take, and what pools take to give back the memory
/// that these used, half of it each second
const SETTLING: Duration = Duration::from_secs(20);

/// How often it is looked whether a port is free; arbitrary.
const PORT_POLL: Duration = Duration::from_millis(1);
