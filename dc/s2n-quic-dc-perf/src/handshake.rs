// SPDX-License-Identifier: Apache-2.0

//! A client and a server on loopback that trust each other, set up as a service would: TLS 1.3 with client certificates.
//!
//! The one rule: nothing is tuned. MTU, windows and timeouts are the defaults, so that a figure is one that a service would see.

use rcgen::{generate_simple_self_signed, CertifiedKey};
use s2n_quic::provider::{
    event::disabled::Subscriber as NoHandshakeEvents,
    tls::{default as tls_default, Provider as TlsProvider},
};
use s2n_quic_core::time::StdClock;
use s2n_quic_dc::{
    event::disabled::Subscriber as NoEvents,
    path::secret::{stateless_reset::Signer, Map},
    psk,
    stream::{application, client::tokio as dc_client, server::tokio as dc_server},
};
use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
};

/// The stream of both ends.
pub type Stream = application::Stream<NoEvents>;

/// The server end, with its handshake server.
pub type Server = dc_server::Server<psk::server::Provider, NoEvents>;

/// The client end, with its handshake client.
type Client = dc_client::Client<psk::client::Provider, NoEvents>;

/// A client and a server on loopback.
///
/// Both may own runtimes: drop it outside of any.
pub struct Loopback {
    client: Client,
    server: Server,
    handshake_addr: SocketAddr,
    acceptor_addr: SocketAddr,
}

impl Loopback {
    /// Starts both ends on free ports, and lets them shake hands.
    ///
    /// # Errors
    ///
    /// [`StartError`] tells which step failed.
    pub async fn start() -> Result<Self, StartError> {
        let tls = Tls::self_signed()?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));

        let handshake = psk::server::Provider::builder()
            .start(loopback, tls.clone(), NoHandshakeEvents, secret_map()?)
            .await
            .map_err(StartError::Handshake)?;
        let server = Server::builder()
            .with_address(loopback)
            .build(handshake, NoEvents::default())
            .map_err(StartError::Bind)?;

        let handshake = psk::client::Provider::builder()
            .start(
                loopback,
                secret_map()?,
                tls,
                NoHandshakeEvents,
                SERVER_NAME.into(),
            )
            .map_err(StartError::Handshake)?;
        let client = Client::new(handshake, NoEvents::default()).map_err(StartError::Bind)?;

        let handshake_addr = server.handshake_addr().map_err(StartError::Bind)?;
        let acceptor_addr = server.acceptor_addr().map_err(StartError::Bind)?;
        client
            .handshake_with(handshake_addr, SERVER_NAME.into())
            .await
            .map_err(|error| StartError::Handshake(error.into()))?;
        Ok(Self {
            client,
            server,
            handshake_addr,
            acceptor_addr,
        })
    }

    /// Opens a stream; returns without waiting for the server. Cancel safe: the stream is closed.
    ///
    /// # Errors
    ///
    /// Those of the library's `connect`.
    pub async fn connect(&self) -> io::Result<Stream> {
        self.client
            .connect(self.handshake_addr, self.acceptor_addr, SERVER_NAME.into())
            .await
    }

    /// The server end. Clones share one accept queue.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }
}

/// Why the ends could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No certificate could be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The map of path secrets refused its settings.
    #[error("path secret map: {0}")]
    Map(#[source] Box<dyn Error + Send + Sync>),
    /// The handshake could not be started, or failed.
    #[error("handshake: {0}")]
    Handshake(#[source] Box<dyn Error + Send + Sync>),
    /// A socket could not be opened.
    #[error("socket: {0}")]
    Bind(#[source] io::Error),
}

/// One self-signed certificate that both ends present and trust.
#[derive(Clone)]
struct Tls {
    certificate: String,
    key: String,
}

impl Tls {
    fn self_signed() -> Result<Self, rcgen::Error> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        Ok(Self {
            certificate: cert.pem(),
            key: signing_key.serialize_pem(),
        })
    }
}

impl TlsProvider for Tls {
    type Server = tls_default::Server;
    type Client = tls_default::Client;
    type Error = Box<dyn Error + Send + Sync>;

    fn start_server(self) -> Result<Self::Server, Self::Error> {
        Ok(tls_default::Server::builder()
            .with_certificate(self.certificate.as_str(), self.key.as_str())?
            .with_client_authentication()?
            .with_trusted_certificate(self.certificate.as_str())?
            .build()?)
    }

    fn start_client(self) -> Result<Self::Client, Self::Error> {
        Ok(tls_default::Client::builder()
            .with_certificate(self.certificate.as_str())?
            .with_client_identity(self.certificate.as_str(), self.key.as_str())?
            .build()?)
    }
}

fn secret_map() -> Result<Map, StartError> {
    Map::builder()
        .with_signer(Signer::random())
        .with_capacity(SECRETS)
        .with_clock(StdClock::default())
        .with_subscriber(NoEvents::default())
        .build()
        .map_err(|error| StartError::Map(error.into()))
}

/// The name in the certificate.
const SERVER_NAME: &str = "localhost";

/// Path secrets a map can hold. One pair of ends needs one; the rest is room for renewed handshakes.
const SECRETS: usize = 64;
