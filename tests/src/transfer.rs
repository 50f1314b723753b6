// SPDX-License-Identifier: Apache-2.0

//! Transfers whose every byte is compared.
//!
//! The rule: a transfer has succeeded when both applications have seen what they must see, and each end says so itself.
//! The end of a payload travels with its last bytes. The published sender does not repeat an end that travels alone, so
//! an end without bytes is waited for only from the new one.

mod stream;

pub use stream::{client_stream, receive, receive_end, send, server_stream};

use crate::{
    endpoint::{Client, Network, Server, Side},
    payload::Payload,
    relay::Relay,
    watch::Log,
};
use bytes::Bytes;
use std::{collections::BTreeSet, fmt, io, net::SocketAddr};
use tokio::task::JoinSet;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From client to server.
    Upload,
    /// From server to client.
    Download,
    /// Both ways at once: the server sends back what it reads.
    Echo,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Upload, Self::Download, Self::Echo];
}

/// Some transfers at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Which way.
    pub kind: Kind,
    /// How many streams at once.
    pub streams: usize,
    /// How many bytes on each.
    pub size: usize,
}

/// Does `case` and compares all bytes.
///
/// # Errors
///
/// Says which stream failed in what.
pub async fn run(network: &Network, relay: Option<&Relay>, case: Case, log: &Log) -> Outcome {
    log.note(format!("{case:?}"));
    let Network { client, server } = network;
    let acceptor = match relay {
        Some(relay) => relay.addr(),
        None => server.acceptor_addr().context("acceptor_addr")?,
    };
    let ((), ()) = tokio::try_join!(
        serve(server.clone(), side_of_client(client), case, log),
        open_all(client, server, acceptor, case, log)
    )
    .map_err(|error| format!("{case:?}: {error}"))?;
    Ok(())
}

/// Makes `count` RPCs at the same time against [`serve_rpcs`], with requests of `size` bytes, and compares all responses.
///
/// # Errors
///
/// Says which call failed in what.
pub async fn rpcs(
    client: &Client,
    server: &Server,
    acceptor: SocketAddr,
    count: usize,
    size: usize,
) -> Outcome {
    let mut calls = JoinSet::new();
    for key in 0..count {
        let (client, server) = (client.clone(), server.clone());
        calls.spawn(async move {
            let request = Payload::new(key as u64, size).to_vec();
            let response = client
                .rpc(&server, acceptor, Bytes::from(request.clone()))
                .await
                .with_context(|| format!("rpc {key}"))?;
            if response == reply(&request) {
                Ok(())
            } else {
                Err(format!("rpc {key} got a wrong response"))
            }
        });
    }
    while let Some(done) = calls.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Answers RPCs until it is dropped. A stream that fails is let go: the client's side tells whether that mattered.
pub async fn serve_rpcs(server: Server) {
    let mut calls = JoinSet::new();
    while let Ok((mut stream, _peer)) = server.accept().await {
        calls.spawn(async move {
            let mut request = Vec::new();
            while stream.read_into(&mut request).await? != 0 {}
            stream
                .write_all_from_fin(&mut Bytes::from(reply(&request)))
                .await
        });
        while calls.try_join_next().is_some() {}
    }
}

/// What the server of [`serve_rpcs`] answers: every byte of the request counts, in its place.
pub fn reply(request: &[u8]) -> Vec<u8> {
    request.iter().rev().map(|byte| !byte).collect()
}

/// What a transfer ends with: a text that says what went wrong and where.
pub type Outcome<T = ()> = Result<T, String>;

/// Adds to an error what was being done.
pub trait Context<T> {
    /// Adds `what`.
    ///
    /// # Errors
    ///
    /// The given error as text.
    fn context(self, what: &str) -> Outcome<T>;

    /// Adds what `what` gives.
    ///
    /// # Errors
    ///
    /// The given error as text.
    fn with_context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Outcome<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: &str) -> Outcome<T> {
        self.with_context(|| what)
    }

    fn with_context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Outcome<T> {
        self.map_err(|error| format!("{}: {:?}: {error}", what(), error.kind()))
    }
}

/// The client's part of a case.
async fn open_all(
    client: &Client,
    server: &Server,
    acceptor: SocketAddr,
    case: Case,
    log: &Log,
) -> Outcome {
    let waits_for_end = side_of_server(server) == Side::New;
    let mut streams = JoinSet::new();
    for key in 0..case.streams as u64 {
        let (client, server) = (client.clone(), server.clone());
        streams.spawn(async move {
            let stream = client
                .connect(&server, acceptor)
                .await
                .with_context(|| format!("connect {key}"))?;
            client_stream(stream, key, case, waits_for_end)
                .await
                .map_err(|error| format!("client's stream {key}: {error}"))
        });
    }
    let mut keys = BTreeSet::new();
    while let Some(done) = streams.join_next().await {
        let key = done.map_err(|error| error.to_string())??;
        if !keys.insert(key) {
            return Err(format!("two streams had the payload {key}"));
        }
        log.note(format!("client has {} of {}", keys.len(), case.streams));
    }
    Ok(())
}

/// The server's part of a case: accepts until as many streams as the client opens have succeeded.
async fn serve(server: Server, client_side: Side, case: Case, log: &Log) -> Outcome {
    let tolerates_phantoms = side_of_server(&server) == Side::Old;
    let waits_for_end = client_side == Side::New;
    let mut streams = JoinSet::new();
    let mut keys = BTreeSet::new();
    let mut accepted = 0;
    while keys.len() < case.streams {
        tokio::select! {
            stream = server.accept() => {
                let (stream, _peer) = stream.context("accept")?;
                let key = accepted;
                accepted += 1;
                streams.spawn(async move {
                    server_stream(stream, key, case, waits_for_end)
                        .await
                        .map_err(|error| format!("server's stream {key}: {error}"))
                });
            }
            Some(done) = streams.join_next() => {
                match done.map_err(|error| error.to_string())? {
                    Ok(key) if !keys.insert(key) => {
                        return Err(format!("two streams had the payload {key}"));
                    }
                    Ok(_) => log.note(format!("server has {} of {}", keys.len(), case.streams)),
                    // a late copy of an opening packet makes the published server accept a stream that fails
                    // at its first packet
                    Err(error) if tolerates_phantoms && error.contains("PermissionDenied") => {
                        log.note(format!("phantom: {error}"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

fn side_of_client(client: &Client) -> Side {
    match client {
        Client::Old(_) => Side::Old,
        Client::New(_) => Side::New,
    }
}

fn side_of_server(server: &Server) -> Side {
    match server {
        Server::Old(_) => Side::Old,
        Server::New(_) => Side::New,
    }
}
