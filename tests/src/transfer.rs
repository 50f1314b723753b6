// SPDX-License-Identifier: Apache-2.0

//! Transfers whose every byte is compared.
//!
//! The rule: a transfer has succeeded when both applications have seen what they must see, and each end says so itself.
//! The end of a payload travels with its last bytes. The published sender does not repeat an end that travels alone, so
//! an end without bytes is waited for only from the new one.

use crate::{
    endpoint::{Client, Network, Reader, Server, Side, Stream, Writer},
    payload::{Checker, Payload},
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

/// Sends all of `payload`, with the end on the last bytes.
///
/// # Errors
///
/// Says after how many bytes which error came.
pub async fn send(writer: &mut Writer, payload: Payload) -> Outcome {
    // not a multiple of any packet size, so that writes end within packets
    let mut buffer = vec![0; 100_003.min(payload.len())];
    let mut position = 0;
    while position < payload.len() {
        let len = buffer.len().min(payload.len() - position);
        payload.fill(position, &mut buffer[..len]);
        let mut bytes = &buffer[..len];
        position += len;
        if position < payload.len() {
            writer.write_all_from(&mut bytes).await
        } else {
            writer.write_all_from_fin(&mut bytes).await
        }
        .with_context(|| format!("write up to byte {position} of {}", payload.len()))?;
    }
    Ok(())
}

/// Reads and compares a payload of `len` bytes up to its end.
///
/// # Errors
///
/// Says which byte differs, or after how many bytes which error came.
pub async fn receive(reader: &mut Reader, len: usize) -> Outcome<Payload> {
    let mut checker = Checker::new(len);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let mut out = &mut buffer[..];
        let read = reader
            .read_into(&mut out)
            .await
            .with_context(|| format!("read after {} of {len} bytes", checker.position()))?;
        if read == 0 {
            return checker.finish();
        }
        checker.check(&buffer[..read])?;
    }
}

/// Reads an end that has no bytes before it.
///
/// # Errors
///
/// When there are bytes, or when reading fails.
pub async fn receive_end(reader: &mut Reader) -> Outcome {
    let mut buffer = [0; 1];
    let mut out = &mut buffer[..];
    match reader.read_into(&mut out).await.context("read the end")? {
        0 => Ok(()),
        _ => Err(format!("byte {:#04x} instead of the end", buffer[0])),
    }
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

async fn client_stream(stream: Stream, key: u64, case: Case, waits_for_end: bool) -> Outcome<u64> {
    let payload = Payload::new(key, case.size);
    let (mut reader, mut writer) = stream.into_split();
    match case.kind {
        Kind::Upload => {
            send(&mut writer, payload).await?;
            if waits_for_end {
                receive_end(&mut reader).await?;
            }
            Ok(key)
        }
        Kind::Download => {
            let payload = receive(&mut reader, case.size).await?;
            writer.shutdown().context("shutdown")?;
            Ok(payload.key())
        }
        Kind::Echo => {
            let (_, echoed) =
                tokio::try_join!(send(&mut writer, payload), receive(&mut reader, case.size))?;
            if echoed == payload {
                Ok(key)
            } else {
                Err(format!("the echo is that of stream {}", echoed.key()))
            }
        }
    }
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

async fn server_stream(stream: Stream, key: u64, case: Case, waits_for_end: bool) -> Outcome<u64> {
    let (mut reader, mut writer) = stream.into_split();
    match case.kind {
        Kind::Upload => {
            let payload = receive(&mut reader, case.size).await?;
            writer.shutdown().context("shutdown")?;
            Ok(payload.key())
        }
        Kind::Download => {
            send(&mut writer, Payload::new(key, case.size)).await?;
            if waits_for_end {
                receive_end(&mut reader).await?;
            }
            Ok(key)
        }
        Kind::Echo => {
            let payload = echo(&mut reader, &mut writer, case.size).await?;
            Ok(payload.key())
        }
    }
}

/// Sends back what is read while it is read.
async fn echo(reader: &mut Reader, writer: &mut Writer, len: usize) -> Outcome<Payload> {
    let mut checker = Checker::new(len);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let mut out = &mut buffer[..];
        let read = reader
            .read_into(&mut out)
            .await
            .with_context(|| format!("read after {} of {len} bytes", checker.position()))?;
        if read == 0 {
            return checker.finish();
        }
        checker.check(&buffer[..read])?;
        let mut bytes = &buffer[..read];
        if checker.position() < len {
            writer.write_all_from(&mut bytes).await
        } else {
            writer.write_all_from_fin(&mut bytes).await
        }
        .with_context(|| format!("write up to byte {} of {len}", checker.position()))?;
    }
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

/// In bytes. Larger than one burst, so that several packets are read at once.
const READ_SIZE: usize = 1 << 17;
