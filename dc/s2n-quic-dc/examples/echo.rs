// SPDX-License-Identifier: Apache-2.0

//! A server that sends back what it gets, and a client that prints it, in one process.
//!
//! The one rule: the README quotes `main`, so it stays short enough to be read there.

use s2n_quic::provider::event::disabled::Subscriber as NoHandshakeEvents;
use s2n_quic_core::time::StdClock;
use s2n_quic_dc::{
    event::disabled::Subscriber as NoEvents,
    path::secret::{map::MapBuilderError, stateless_reset::Signer, Map},
    psk,
    stream::{client::tokio::Client, server::tokio::Server},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let any_port = "127.0.0.1:0".parse()?;
    let (certificate, key) = identity()?;

    // server: a TLS handshake gives each peer a path secret, from which its streams derive their keys
    let handshake = psk::server::Provider::builder()
        .start(any_port, (certificate, key), NoHandshakeEvents, secrets()?)
        .await?;
    let server = Server::new(any_port, handshake, NoEvents::default())?;
    let (handshake_addr, acceptor_addr) = (server.handshake_addr()?, server.acceptor_addr()?);
    let echo = tokio::spawn(async move {
        let (mut stream, _peer) = server.accept().await?;
        let mut request = Vec::new();
        while stream.read_into(&mut request).await? > 0 {}
        stream.write_all_from_fin(&mut &request[..]).await?;
        Ok::<_, std::io::Error>(server)
    });

    // client
    let name = || s2n_quic::server::Name::from("localhost");
    let handshake = psk::client::Provider::builder();
    let handshake =
        handshake.start(any_port, secrets()?, certificate, NoHandshakeEvents, name())?;
    let client = Client::new(handshake, NoEvents::default())?;
    let mut stream = client
        .connect(handshake_addr, acceptor_addr, name())
        .await?;
    stream.write_all_from_fin(&mut &b"hello"[..]).await?;
    let mut answer = Vec::new();
    while stream.read_into(&mut answer).await? > 0 {}
    println!("{}", String::from_utf8_lossy(&answer));

    echo.await??;
    Ok(())
}

/// A self-signed certificate and its key, for as long as the program runs.
fn identity() -> Result<(&'static str, &'static str), rcgen::Error> {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (identity.cert.pem(), identity.signing_key.serialize_pem());
    Ok((certificate.leak(), key.leak()))
}

/// Where an endpoint keeps the secrets that it shares with its peers.
fn secrets() -> Result<Map, MapBuilderError> {
    Map::builder()
        .with_signer(Signer::random())
        .with_capacity(1000)
        .with_clock(StdClock::default())
        .with_subscriber(NoEvents::default())
        .build()
}
