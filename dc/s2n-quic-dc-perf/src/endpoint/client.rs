// SPDX-License-Identifier: Apache-2.0

//! The client end: shakes hands with servers, and opens streams to those that it has shaken hands with.
//!
//! The one rule: who has a [`WheelClient`] has a server that is trusted and a path that carries the datagrams that were asked for;
//! what takes time once is over before anything is measured.

use super::{
    mtu::{self, Discovery, PathMtu},
    response::Bounded,
    server,
    stream::WheelStream,
    tls::{ClientTls, Trust},
    NoEvents, StartError,
};
use crate::transport;
use bytes::Bytes;
use s2n_quic::server::Name;
use s2n_quic_dc::{
    psk,
    stream::client::tokio::{self as dc_client, rpc::InMemoryResponse},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
};

/// The library's client.
pub(super) type Client = dc_client::Client<psk::client::Provider, NoEvents>;

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// A server that it is to talk to, by its address for handshakes. Others must be of the same IP version.
    pub server: SocketAddr,
    /// Bytes of UDP payload of datagrams, in both directions, within [`mtu::range`].
    pub mtu: u16,
    /// The servers that it talks to.
    pub trust: Trust,
    /// Sockets for streams, each with two threads; the number of processors if `None`.
    pub sockets: Option<NonZeroUsize>,
    /// Transmissions that one stream may have in the wheel, 1 to 1024; the library's default if `None`. For measuring that default.
    pub max_in_flight_transmissions: Option<usize>,
}

/// A client with secrets and sockets of its own. It ends when it and its ways to servers are dropped, which may be done anywhere.
pub struct ClientEnd {
    client: Client,
    tls: ClientTls,
    discovery: Discovery,
    mtu: u16,
}

impl ClientEnd {
    /// Starts a client. It talks to nobody yet.
    ///
    /// # Errors
    ///
    /// [`StartError::Mtu`] for what is out of range, [`StartError::Tls`] for a certificate that cannot be used,
    /// [`StartError::Handshake`] and [`StartError::Bind`] if a socket could not be bound; the latter also for a number of transmissions
    /// that is out of range.
    pub fn start(config: &ClientConfig) -> Result<Self, StartError> {
        let local = local_for(config.server.ip());
        let packet_size = mtu::packet_size(config.mtu, local)?;
        let tls = ClientTls::new(&config.trust)?;
        let (listener, discovery) = mtu::discovery();
        let handshake = psk::client::Provider::builder()
            .with_mtu(packet_size)
            .start(
                SocketAddr::new(local, 0),
                super::secret_map(SECRETS)?,
                tls.clone(),
                listener,
                // for handshakes that the library starts by itself, when a server has forgotten the secret
                name_of(config.server.ip()),
            )
            .map_err(StartError::Handshake)?;
        let mut builder = Client::builder();
        if let Some(sockets) = config.sockets {
            builder = builder.with_background_threads(sockets.get());
        }
        if let Some(limit) = config.max_in_flight_transmissions {
            builder = builder.with_tuning(move |tuned| tuned.max_in_flight_transmissions = limit);
        }
        let client = builder
            .build(handshake, NoEvents::default())
            .map_err(StartError::Bind)?;
        Ok(Self {
            client,
            tls,
            discovery,
            mtu: config.mtu,
        })
    }

    /// Shakes hands with the server at `address`, and waits until both ends know how large their datagrams may be.
    ///
    /// For one server after the other, as the exclusive borrow says. Cancel safe: a handshake that was started may go on, and the next
    /// call to the same address finds it done.
    ///
    /// # Errors
    ///
    /// [`StartError::Distrust`] if the server is not trusted, [`StartError::Unreachable`] if there is no server or it did not answer
    /// for 10 seconds, [`StartError::Path`] and [`StartError::PathUnknown`] if datagrams of the size that was asked for do not arrive.
    pub async fn reach(&mut self, address: SocketAddr) -> Result<WheelClient, StartError> {
        let streams = server::streams(address)?;
        let name = name_of(address.ip());
        // what an earlier server was refused for is no answer here
        self.tls.take_distrust();
        if let Err(error) = self.client.handshake_with(address, name.clone()).await {
            return Err(match self.tls.take_distrust() {
                Some(distrust) => distrust.into(),
                None => StartError::Unreachable { address, error },
            });
        }
        let mtu = self.mtu;
        match self.discovery.wait(address).await {
            Some(found) if found.is(mtu) => Ok(WheelClient {
                client: self.client.clone(),
                handshakes: address,
                streams,
                name,
                path: found,
            }),
            Some(found) => Err(StartError::Path { mtu, found }),
            None => Err(StartError::PathUnknown),
        }
    }

    pub(super) const fn library(&self) -> &Client {
        &self.client
    }
}

/// A client's way to one server. Clones share it.
#[derive(Clone)]
pub struct WheelClient {
    client: Client,
    handshakes: SocketAddr,
    streams: SocketAddr,
    name: Name,
    path: PathMtu,
}

impl WheelClient {
    /// What the path to the server carries.
    #[must_use]
    pub const fn path(&self) -> PathMtu {
        self.path
    }

    /// Where streams go to.
    #[must_use]
    pub const fn streams(&self) -> SocketAddr {
        self.streams
    }

    /// The same way, with streams to another address: that of something that passes them on to the server.
    #[must_use]
    pub fn through(&self, streams: SocketAddr) -> Self {
        Self {
            streams,
            ..self.clone()
        }
    }
}

impl transport::Client for WheelClient {
    type Stream = WheelStream;

    async fn open(&self) -> io::Result<WheelStream> {
        // every workload begins with a write
        let stream = self
            .client
            .open_udp(self.handshakes, self.streams, self.name.clone())
            .await?;
        Ok(stream.into())
    }

    /// The library's own call: the first packet of the request opens the stream.
    async fn call(&self, request: Bytes, response_len: usize) -> io::Result<Vec<u8>> {
        // one byte more than is expected, so that too long an answer is seen
        let response = Bounded::new(response_len.saturating_add(1));
        let response = self
            .client
            .rpc(
                self.handshakes,
                self.streams,
                request,
                InMemoryResponse::from(response),
                self.name.clone(),
            )
            .await?;
        Ok(response.into_bytes())
    }
}

/// The local address for talking to `server`: one that cannot be reached from elsewhere if it need not be, else left to the system.
const fn local_for(server: IpAddr) -> IpAddr {
    match server {
        IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(ip) if ip.is_loopback() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// The name that a certificate must have if an issuer is what makes it trusted. Always valid, which the library takes for granted.
fn name_of(ip: IpAddr) -> Name {
    ip.to_string().into()
}

/// Path secrets that a client has room for: one for each of its servers, and some for renewed handshakes.
const SECRETS: usize = 256;
