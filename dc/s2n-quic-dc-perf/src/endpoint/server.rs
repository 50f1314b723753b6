// SPDX-License-Identifier: Apache-2.0

//! The server end: one that shakes hands and one that accepts streams, behind a single address.
//!
//! The one rule: streams go to the port after the one for handshakes, so that a client needs one address. The user names the port for
//! handshakes; if it is 0, the two are free ports in a row. No two servers can share either: the socket for handshakes has its port for
//! itself, and it is bound first.

use super::{
    fingerprint::Fingerprint, identity::Identity, mtu, probe::WheelProbe, stream::WheelStream,
    NoEvents, StartError,
};
use crate::transport;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use s2n_quic::provider::event::disabled::Subscriber as NoHandshakeEvents;
use s2n_quic_dc::{psk, stream::server::tokio as dc_server};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
};

/// The library's server.
pub(super) type Server = dc_server::Server<psk::server::Provider, NoEvents>;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where handshakes go to; the next port is for streams. Port 0 chooses free ports.
    pub listen: SocketAddr,
    /// Bytes of UDP payload of the datagrams that it sends, within [`mtu::range`].
    pub mtu: u16,
    /// Sockets for streams, each with two threads; the number of processors if `None`.
    pub sockets: Option<NonZeroUsize>,
}

/// A server that shakes hands and takes streams. It ends when it and its acceptors are dropped, which may be done anywhere.
pub struct ServerEnd {
    server: Server,
    address: SocketAddr,
    fingerprint: Fingerprint,
    mtu: u16,
}

impl ServerEnd {
    /// Starts a server that shows `identity`.
    ///
    /// # Errors
    ///
    /// [`StartError::Mtu`] and [`StartError::LastPort`] for what is out of range, [`StartError::Handshake`] and [`StartError::Bind`] if
    /// a socket could not be bound.
    pub async fn start(config: &ServerConfig, identity: &Identity) -> Result<Self, StartError> {
        let mut attempt = 1;
        loop {
            match Self::bind(config, identity).await {
                Err(error) if is_retried(&error, config.listen.port(), attempt) => attempt += 1,
                result => return result,
            }
        }
    }

    async fn bind(config: &ServerConfig, identity: &Identity) -> Result<Self, StartError> {
        let handshake = psk::server::Provider::builder()
            .with_mtu(mtu::packet_size(config.mtu, config.listen.ip())?)
            .with_initial_data_window(FIRST_FLIGHT)
            .start(
                config.listen,
                identity.tls(),
                NoHandshakeEvents,
                super::secret_map(SECRETS)?,
            )
            .await
            .map_err(StartError::Handshake)?;
        let address = handshake.local_addr();
        let mut builder = Server::builder().with_address(streams(address)?);
        if let Some(sockets) = config.sockets {
            builder = builder.with_workers(sockets);
        }
        let server = builder
            .build(handshake, NoEvents::default())
            .map_err(StartError::Bind)?;
        Ok(Self {
            server,
            address,
            fingerprint: identity.fingerprint(),
            mtu: config.mtu,
        })
    }

    /// What clients connect to. Streams go to the next port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts streams. All acceptors of a server share one queue.
    #[must_use]
    pub fn acceptor(&self) -> WheelServer {
        WheelServer(self.server.clone())
    }

    /// Reads the server's counters.
    #[must_use]
    pub fn probe(&self) -> WheelProbe {
        WheelProbe::new(Vec::new(), vec![self.server.clone()])
    }

    /// What the server listens on, and how to reach it: lines for the user.
    #[must_use]
    pub fn announcement(&self) -> Announcement {
        Announcement {
            listen: self.address,
            connect: SocketAddr::new(reachable(self.address.ip()), self.address.port()),
            fingerprint: self.fingerprint,
            mtu: self.mtu,
        }
    }

    pub(super) const fn library(&self) -> &Server {
        &self.server
    }
}

/// Accepts the streams of a [`ServerEnd`].
#[derive(Clone)]
pub struct WheelServer(Server);

#[cfg(test)]
impl WheelServer {
    /// How many clients' secrets the server has.
    pub(super) fn secrets(&self) -> usize {
        self.0.handshake_state().map().secrets_len()
    }
}

impl transport::Server for WheelServer {
    type Stream = WheelStream;

    async fn accept(&mut self) -> io::Result<WheelStream> {
        let (stream, _peer) = self.0.accept().await?;
        Ok(stream.into())
    }
}

/// What a server listens on, and the command that reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    listen: SocketAddr,
    connect: SocketAddr,
    fingerprint: Fingerprint,
    mtu: u16,
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            listen,
            connect,
            fingerprint,
            mtu,
        } = self;
        let next = listen.port().saturating_add(1);
        writeln!(f, "listening on {listen}, and on port {next} for streams")?;
        writeln!(f, "certificate {fingerprint} (SHA-256)")?;
        write!(
            f,
            "reach it with: dc-perf client --connect {connect} --fingerprint {fingerprint}"
        )?;
        if *mtu != mtu::DEFAULT {
            write!(f, " --mtu {mtu}")?;
        }
        Ok(())
    }
}

/// Where a server whose handshakes go to `handshakes` takes streams.
///
/// # Errors
///
/// [`StartError::LastPort`] if there is no next port.
pub(super) fn streams(handshakes: SocketAddr) -> Result<SocketAddr, StartError> {
    let port = handshakes.port().checked_add(1);
    let port = port.ok_or(StartError::LastPort)?;
    Ok(SocketAddr::new(handshakes.ip(), port))
}

/// Whether free ports are asked for once more, after an attempt that failed: another program may have the next port, or there is none.
fn is_retried(error: &StartError, port: u16, attempt: u32) -> bool {
    let is_next_port = matches!(error, StartError::Bind(_) | StartError::LastPort);
    is_next_port && port == 0 && attempt < ATTEMPTS
}

/// An address for others that stands for `ip`: `ip` itself, or if it stands for all addresses, the first that is good for more than
/// this machine. Without any, loopback is what is left.
fn reachable(ip: IpAddr) -> IpAddr {
    if !ip.is_unspecified() {
        return ip;
    }
    let others = getifaddrs().into_iter().flatten().filter_map(|interface| {
        let is_up = interface.flags.contains(InterfaceFlags::IFF_UP);
        let address = interface.address.filter(|_| is_up)?;
        let address = match ip {
            IpAddr::V4(_) => IpAddr::V4(address.as_sockaddr_in()?.ip()),
            IpAddr::V6(_) => IpAddr::V6(address.as_sockaddr_in6()?.ip()),
        };
        Some(address)
    });
    first_routable(others).unwrap_or(match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    })
}

/// Addresses of one link need its name, which another machine does not know.
fn first_routable(mut addresses: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    addresses.find(|address| match address {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    })
}

/// Path secrets that a server has room for: one for each of its clients, and some for renewed handshakes.
const SECRETS: usize = 4096;

/// Bytes that a client may send before the server reads: as many as a workload writes at once. The handshake's default follows the MTU,
/// and at 1450 it is ten datagrams, which is a round trip for each stream that has more to say.
const FIRST_FLIGHT: u64 = 256 << 10;

/// How often free ports are asked for. Arbitrary: each attempt fails only if the next port happens to be in use.
const ATTEMPTS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn streams_go_to_the_next_port() {
        let next = streams("[::1]:4433".parse().unwrap()).unwrap();
        assert_eq!(next, "[::1]:4434".parse().unwrap());
        let last = streams("127.0.0.1:65535".parse().unwrap());
        assert!(matches!(last, Err(StartError::LastPort)));
    }

    #[test]
    fn only_free_ports_are_asked_for_again_and_not_for_ever() {
        let bind = StartError::Bind(io::ErrorKind::AddrInUse.into());
        assert!(is_retried(&bind, 0, 1));
        assert!(is_retried(&StartError::LastPort, 0, ATTEMPTS - 1));
        assert!(!is_retried(&bind, 0, ATTEMPTS));
        assert!(!is_retried(&bind, 4433, 1));
        let handshake = StartError::Handshake("no such address".into());
        assert!(!is_retried(&handshake, 0, 1));
    }

    #[test]
    fn an_address_for_others_is_neither_of_this_machine_nor_of_a_link() {
        let addresses = [
            "127.0.0.1",
            "169.254.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "192.0.2.1",
        ];
        let first = |skip| first_routable(addresses.map(ip).into_iter().skip(skip));
        assert_eq!(first(0), Some(ip("fd00::1")));
        assert_eq!(first(5), Some(ip("192.0.2.1")));
        assert_eq!(first(6), None);
        assert_eq!(reachable(ip("127.0.0.1")), ip("127.0.0.1"));
        assert!(!reachable(ip("0.0.0.0")).is_unspecified());
        assert!(reachable(ip("::")).is_ipv6());
    }

    #[test]
    fn the_announcement_has_the_command_that_reaches_the_server() {
        let fingerprint = Fingerprint::of(b"abc");
        let mut announcement = Announcement {
            listen: "0.0.0.0:4433".parse().unwrap(),
            connect: "192.0.2.1:4433".parse().unwrap(),
            fingerprint,
            mtu: 1450,
        };
        let text = announcement.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "listening on 0.0.0.0:4433, and on port 4434 for streams"
        );
        assert_eq!(lines[1], format!("certificate {fingerprint} (SHA-256)"));
        let command = format!(
            "reach it with: dc-perf client --connect 192.0.2.1:4433 --fingerprint {fingerprint}"
        );
        assert_eq!(lines[2..], [command.as_str()]);
        announcement.mtu = 8000;
        assert!(announcement
            .to_string()
            .ends_with(&format!("{fingerprint} --mtu 8000")));
    }
}
