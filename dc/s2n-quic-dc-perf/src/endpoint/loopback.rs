// SPDX-License-Identifier: Apache-2.0

//! Clients and servers in this process, which have shaken hands each with each.
//!
//! The one rule: each end has secrets and sockets of its own, as in a process of its own. The servers share a certificate.

use super::{
    client::{ClientConfig, ClientEnd, WheelClient},
    identity::Identity,
    probe::WheelProbe,
    server::{ServerConfig, ServerEnd, WheelServer},
    tls::Trust,
    StartError,
};
use crate::transport::Ends;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    thread::available_parallelism,
};

/// Ends on 127.0.0.1. They may be dropped anywhere.
pub struct Loopback {
    /// The clients' ways to the servers, and the counters of all ends.
    pub ends: Ends<WheelClient>,
    /// The servers, in the order of each client's ways.
    pub servers: Vec<WheelServer>,
}

/// Starts `clients` clients and `peers` servers that use datagrams of `mtu` bytes of UDP payload, and lets each client shake hands with
/// each server. Neither number may be 0.
///
/// The sockets of each side are as many as there are processors, shared among its ends; each end has at least one.
///
/// # Errors
///
/// [`StartError`] tells which step failed.
pub async fn loopback(clients: u32, peers: u32, mtu: u16) -> Result<Loopback, StartError> {
    if clients == 0 {
        return Err(StartError::NoEnds("clients"));
    }
    if peers == 0 {
        return Err(StartError::NoEnds("peers"));
    }
    let processors = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let identity = Identity::self_signed(&[LOCALHOST])?;

    let config = ServerConfig {
        listen: SocketAddr::new(LOCALHOST, 0),
        mtu,
        sockets: Some(share(processors, peers)),
    };
    let mut servers = Vec::new();
    for _ in 0..peers {
        servers.push(ServerEnd::start(&config, &identity).await?);
    }

    let config = ClientConfig {
        server: config.listen,
        mtu,
        trust: Trust::Pinned(vec![identity.fingerprint()]),
        sockets: Some(share(processors, clients)),
        max_in_flight_transmissions: None,
    };
    let mut ways = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..clients {
        let mut end = ClientEnd::start(&config)?;
        let mut to_servers = Vec::new();
        for server in &servers {
            to_servers.push(end.reach(server.address()).await?);
        }
        ways.push(to_servers);
        ends.push(end.library().clone());
    }

    let probe = WheelProbe::new(
        ends,
        servers.iter().map(|end| end.library().clone()).collect(),
    );
    Ok(Loopback {
        servers: servers.iter().map(ServerEnd::acceptor).collect(),
        ends: Ends {
            clients: ways,
            probe: Box::new(probe),
            both_ends: true,
        },
    })
}

/// The sockets of each of `ends` ends that share `processors`.
fn share(processors: NonZeroUsize, ends: u32) -> NonZeroUsize {
    let each = processors.get() / (ends.max(1) as usize);
    NonZeroUsize::new(each).unwrap_or(NonZeroUsize::MIN)
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_shared_and_none_is_without() {
        let share = |processors, ends| share(NonZeroUsize::new(processors).unwrap(), ends).get();
        assert_eq!(share(8, 1), 8);
        assert_eq!(share(8, 3), 2);
        assert_eq!(share(2, 100), 1);
        assert_eq!(share(1, 0), 1);
    }
}
