// SPDX-License-Identifier: Apache-2.0

//! The size of datagrams: what may be asked for, and what a path turned out to carry.
//!
//! The one rule: a datagram size here is in bytes of UDP payload. The handshake counts the headers of IP and UDP as well; that is
//! translated in one place, [`packet_size`].
//!
//! Each end looks for the size of its own datagrams while the handshake's connection is still open, and tells the other when it is done.
//! Streams take the size that was found when they are opened, so nothing is measured before both have found theirs.

use s2n_quic::provider::event::{
    events::{ConnectionClosed, ConnectionStarted, MtuProbingCompleteReceived, MtuUpdated},
    ConnectionInfo, ConnectionMeta, Subscriber,
};
use s2n_quic_dc::psk::io::DEFAULT_MTU as LARGEST_PACKET;
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// The datagram size if none is asked for: with all headers it fits Ethernet's 1500 bytes, over IPv6 too.
pub const DEFAULT: u16 = 1450;

/// The datagram sizes that may be asked for over the IP version of `ip`, in bytes.
///
/// The least is QUIC's own (RFC 9000, section 14); the most is what the handshake's library caps packets at, less the headers.
#[must_use]
pub const fn range(ip: IpAddr) -> RangeInclusive<u16> {
    SMALLEST_DATAGRAM..=LARGEST_PACKET - headers(ip)
}

/// The size of an IP packet that carries a datagram of `mtu` bytes.
///
/// # Errors
///
/// [`MtuError`] if `mtu` is not within [`range`].
pub fn packet_size(mtu: u16, ip: IpAddr) -> Result<u16, MtuError> {
    if range(ip).contains(&mtu) {
        Ok(mtu + headers(ip))
    } else {
        Err(MtuError { mtu, ip })
    }
}

/// A datagram size is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "mtu is {mtu}, allowed are {} to {} bytes of UDP payload over {}",
    range(*ip).start(), range(*ip).end(), if ip.is_ipv4() { "IPv4" } else { "IPv6" }
)]
pub struct MtuError {
    /// What was asked for, in bytes.
    pub mtu: u16,
    /// An address of the IP version that it was asked for.
    pub ip: IpAddr,
}

/// What a path carries: the largest datagrams of both ends, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// Those of the client.
    pub to_server: u16,
    /// Those of the server.
    pub to_client: u16,
}

impl PathMtu {
    /// Whether both are what was asked for.
    ///
    /// The search leaves a gain of less than 20 bytes alone, so that much less is no difference.
    #[must_use]
    pub fn is(&self, mtu: u16) -> bool {
        let accepted = mtu.saturating_sub(SEARCH_STEP - 1)..=mtu;
        accepted.contains(&self.to_server) && accepted.contains(&self.to_client)
    }
}

impl fmt::Display for PathMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            to_server,
            to_client,
        } = self;
        write!(
            f,
            "{to_server} bytes to the server, {to_client} to the client"
        )
    }
}

/// Listens to the handshakes of a client, for what they find out about paths.
pub(super) struct Listener(watch::Sender<Searches>);

/// Tells what handshakes found out.
pub(super) struct Discovery(watch::Receiver<Searches>);

/// A pair of the two.
pub(super) fn discovery() -> (Listener, Discovery) {
    let (sender, receiver) = watch::channel(Searches::new());
    (Listener(sender), Discovery(receiver))
}

impl Discovery {
    /// What the handshake with `server` found; `None` if its connection ended before, or the time that the library gives it was over.
    pub(super) async fn wait(&self, server: SocketAddr) -> Option<PathMtu> {
        let mut updates = self.0.clone();
        let is_over = |searches: &Searches| searches.get(&key(server)).is_some_and(Search::is_over);
        let searches = timeout(LIMIT, updates.wait_for(is_over)).await.ok()?.ok()?;
        let search = searches.get(&key(server))?;
        Some(PathMtu {
            to_server: search.to_server?,
            to_client: search.to_client?,
        })
    }
}

/// The latest search for each server.
type Searches = HashMap<(IpAddr, u16), Search>;

const fn key(server: SocketAddr) -> (IpAddr, u16) {
    (server.ip(), server.port())
}

/// What is known of a search.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// The connection that it is made on. An earlier one to the same server may still have to say that it is closed.
    connection: u64,
    to_server: Option<u16>,
    to_client: Option<u16>,
    is_closed: bool,
}

impl Search {
    const fn is_over(&self) -> bool {
        self.is_closed || (self.to_server.is_some() && self.to_client.is_some())
    }
}

impl Listener {
    fn start(&self, server: SocketAddr, connection: u64) {
        let search = Search {
            connection,
            to_server: None,
            to_client: None,
            is_closed: false,
        };
        self.0.send_modify(|searches| {
            searches.insert(key(server), search);
        });
    }

    /// Does nothing if the server is not known yet, or the search goes on on another connection.
    fn update(
        &self,
        server: Option<SocketAddr>,
        connection: u64,
        update: impl FnOnce(&mut Search),
    ) {
        let Some(server) = server else {
            return;
        };
        self.0.send_modify(|searches| {
            let search = searches.get_mut(&key(server));
            if let Some(search) = search.filter(|search| search.connection == connection) {
                update(search);
            }
        });
    }
}

impl Subscriber for Listener {
    /// The server, once it is known.
    type ConnectionContext = Option<SocketAddr>;

    fn create_connection_context(
        &mut self,
        _: &ConnectionMeta,
        _: &ConnectionInfo<'_>,
    ) -> Option<SocketAddr> {
        None
    }

    fn on_connection_started(
        &mut self,
        server: &mut Option<SocketAddr>,
        meta: &ConnectionMeta,
        event: &ConnectionStarted<'_>,
    ) {
        let address = SocketAddr::from(&event.path.remote_addr);
        *server = Some(address);
        self.start(address, meta.id);
    }

    fn on_mtu_updated(
        &mut self,
        server: &mut Option<SocketAddr>,
        meta: &ConnectionMeta,
        event: &MtuUpdated,
    ) {
        if event.search_complete {
            self.update(*server, meta.id, |search| {
                search.to_server = Some(event.mtu)
            });
        }
    }

    fn on_mtu_probing_complete_received(
        &mut self,
        server: &mut Option<SocketAddr>,
        meta: &ConnectionMeta,
        event: &MtuProbingCompleteReceived<'_>,
    ) {
        self.update(*server, meta.id, |search| {
            search.to_client = Some(event.mtu)
        });
    }

    fn on_connection_closed(
        &mut self,
        server: &mut Option<SocketAddr>,
        meta: &ConnectionMeta,
        _: &ConnectionClosed,
    ) {
        self.update(*server, meta.id, |search| search.is_closed = true);
    }
}

/// Bytes of the headers of IP, without options, and of UDP.
const fn headers(ip: IpAddr) -> u16 {
    match ip {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    }
}

/// QUIC needs paths to carry datagrams of this many bytes.
const SMALLEST_DATAGRAM: u16 = 1200;

/// `PROBE_THRESHOLD` of the handshake's library, in bytes.
const SEARCH_STEP: u16 = 20;

/// The library's handshake gives the search 10 seconds before it closes the connection; one more lets it be the one to tell.
const LIMIT: Duration = Duration::from_secs(11);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn headers_are_added_for_the_ip_version() {
        assert_eq!(packet_size(DEFAULT, V4), Ok(1478));
        assert_eq!(packet_size(DEFAULT, V6), Ok(1498));
    }

    #[test]
    fn the_range_is_that_of_the_library_and_its_ends_are_in_it() {
        assert_eq!((range(V4), range(V6)), (1200..=8912, 1200..=8892));
        for (mtu, ip, packet) in [(1200, V4, 1228), (8912, V4, 8940), (8892, V6, 8940)] {
            assert_eq!(packet_size(mtu, ip), Ok(packet));
        }
        for (mtu, ip) in [(0, V4), (1199, V4), (8913, V4), (8893, V6), (u16::MAX, V6)] {
            assert_eq!(packet_size(mtu, ip), Err(MtuError { mtu, ip }));
        }
        assert_eq!(
            MtuError { mtu: 8950, ip: V6 }.to_string(),
            "mtu is 8950, allowed are 1200 to 8892 bytes of UDP payload over IPv6"
        );
    }

    #[test]
    fn less_than_the_step_of_the_search_is_no_difference() {
        let both = |to_server, to_client| PathMtu {
            to_server,
            to_client,
        };
        assert!(both(1450, 1450).is(1450));
        assert!(both(1431, 1450).is(1450));
        assert!(both(1450, 1431).is(1450));
        for differs in [
            both(1430, 1450),
            both(1450, 1430),
            both(1451, 1450),
            both(1450, 1451),
        ] {
            assert!(!differs.is(1450), "{differs}");
        }
    }

    #[test]
    fn what_an_earlier_connection_to_the_same_server_says_late_does_not_count() {
        let (listener, discovery) = discovery();
        let server = SocketAddr::new(V4, 4433);
        listener.start(server, 1);
        listener.start(server, 2);
        listener.update(Some(server), 1, |search| search.is_closed = true);
        listener.update(Some(SocketAddr::new(V4, 1)), 2, |search| {
            search.is_closed = true
        });
        listener.update(None, 2, |search| search.is_closed = true);
        let search = discovery.0.borrow()[&key(server)];
        assert!(!search.is_over());

        listener.update(Some(server), 2, |search| search.to_server = Some(1450));
        let search = discovery.0.borrow()[&key(server)];
        assert!(!search.is_over());
        listener.update(Some(server), 2, |search| search.to_client = Some(1400));
        let search = discovery.0.borrow()[&key(server)];
        assert!(search.is_over());
        assert_eq!(
            (search.to_server, search.to_client),
            (Some(1450), Some(1400))
        );
    }
}
