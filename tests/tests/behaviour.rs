// SPDX-License-Identifier: Apache-2.0

//! What a service author may rely on: the documented semantics of the streams, one test for each sentence.
//!
//! The rule: what is tested is the API of this tree, from both ends of a real connection. An error must be of the
//! documented kind, and where a peer has to learn about something, the test waits for the peer to learn it.

mod close;
mod open;
mod read_write;

use s2n_quic_dc_tests::{
    endpoint::{Config, Network, Pairing, Stream},
    payload::Payload,
    transfer::Outcome,
    watch::{self, Log},
};
use std::{future::Future, io};

/// Runs `body` with a new client and a new server.
fn between_new_peers<F>(config: Config, body: impl FnOnce(Network, Log) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    watch::run(async move |log| {
        let network = Network::start(Pairing::NEW_TO_NEW, config)
            .await
            .expect("sockets and threads");
        body(network, log).await;
    });
}

/// Reads until an error comes and gives its kind and the bytes before it.
async fn read_to_error(stream: &mut Stream) -> Outcome<(Vec<u8>, io::ErrorKind)> {
    let mut bytes = Vec::new();
    loop {
        match stream.read_into(&mut bytes).await {
            Ok(0) => return Err(format!("a clean end after {} bytes", bytes.len())),
            Ok(_) => {}
            Err(error) => return Ok((bytes, error.kind())),
        }
    }
}

/// Writes until an error comes and gives its kind.
async fn write_to_error(stream: &mut Stream) -> io::ErrorKind {
    let bytes = Payload::new(0, 1 << 16).to_vec();
    loop {
        if let Err(error) = stream.write_all_from(&mut &bytes[..]).await {
            return error.kind();
        }
        // credit may be there for long; the news of the peer have to be let in
        tokio::task::yield_now().await;
    }
}
