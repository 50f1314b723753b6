// SPDX-License-Identifier: Apache-2.0

//! The library's counters, of all ends that are in this process.
//!
//! The one rule: counters and levels of ends are added up.

use super::{
    client::{Client, ClientEnd},
    server::Server,
};
use crate::{measure::Sample, transport};

/// Reads the counters of clients and servers. Keeps them running.
pub struct WheelProbe {
    clients: Vec<Client>,
    servers: Vec<Server>,
}

impl WheelProbe {
    pub(super) const fn new(clients: Vec<Client>, servers: Vec<Server>) -> Self {
        Self { clients, servers }
    }

    /// Reads the counters of clients whose servers are elsewhere.
    #[must_use]
    pub fn of_clients(clients: &[ClientEnd]) -> Self {
        let clients = clients.iter().map(|end| end.library().clone());
        Self::new(clients.collect(), Vec::new())
    }
}

impl transport::Probe for WheelProbe {
    fn sample(&self) -> Sample {
        let clients = self.clients.iter().map(Client::metrics);
        Sample::of(clients.chain(self.servers.iter().map(Server::metrics)))
    }
}
