// SPDX-License-Identifier: Apache-2.0

//! A system without a network: a stream is a pipe in memory, and each peer may have one fault.

use super::*;
use crate::transport::poll_read_from;
use std::{
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
    task::{Context, Poll},
};
use tokio::{
    io::{duplex, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
};

/// What goes wrong at a peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    None,
    /// Opening a stream fails.
    Refuse,
    /// Opening a stream never ends.
    Hang,
    /// Opening a stream takes this long.
    Slow(Duration),
    /// Opening a stream panics.
    Panic,
    /// The byte at this position is wrong, in either direction.
    Flip(usize),
    /// The client sends only so many bytes and says that this is all.
    CutClient(usize),
    /// The server sends only so many bytes and says that this is all.
    CutServer(usize),
    /// The server sends one byte more.
    Append,
}

#[derive(Clone)]
pub(super) struct Memory {
    peers: Vec<Peer>,
}

#[derive(Clone)]
pub(super) struct Peer {
    fault: Fault,
    streams: mpsc::UnboundedSender<Pipe>,
    opened: Arc<AtomicU32>,
}

impl Memory {
    /// A peer for each fault, with its server running.
    pub(super) fn new(faults: &[Fault]) -> Self {
        let peers = faults.iter().map(|fault| {
            let (streams, accepted) = mpsc::unbounded_channel();
            tokio::spawn(serve(Acceptor(accepted)));
            Peer {
                fault: *fault,
                streams,
                opened: Arc::default(),
            }
        });
        Self {
            peers: peers.collect(),
        }
    }

    pub(super) fn ends(&self) -> Ends<Peer> {
        Ends {
            clients: vec![self.peers.clone()],
            probe: Box::new(NoCounters),
            both_ends: true,
        }
    }

    /// Streams that were opened to each peer.
    pub(super) fn opened(&self) -> Vec<u32> {
        let opened = |peer: &Peer| peer.opened.load(Ordering::Relaxed);
        self.peers.iter().map(opened).collect()
    }
}

struct NoCounters;

impl Probe for NoCounters {
    fn sample(&self) -> Sample {
        Sample::default()
    }
}

impl Client for Peer {
    type Stream = Pipe;

    async fn open(&self) -> io::Result<Pipe> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = duplex(64 << 10);
        let (mut client, mut server) = (Pipe::new(ours), Pipe::new(theirs));
        match self.fault {
            Fault::None => {}
            Fault::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
            Fault::Hang => std::future::pending().await,
            Fault::Slow(delay) => tokio::time::sleep(delay).await,
            Fault::Panic => panic!("asked for"),
            Fault::Flip(at) => {
                client.flip_at = Some(at);
                server.flip_at = Some(at);
            }
            Fault::CutClient(limit) => client.limit = limit,
            Fault::CutServer(limit) => server.limit = limit,
            Fault::Append => server.tail = b"!",
        }
        self.streams.send(server).map_err(io::Error::other)?;
        Ok(client)
    }
}

struct Acceptor(mpsc::UnboundedReceiver<Pipe>);

impl Server for Acceptor {
    type Stream = Pipe;

    async fn accept(&mut self) -> io::Result<Pipe> {
        self.0
            .recv()
            .await
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

pub(super) struct Pipe {
    inner: DuplexStream,
    written: usize,
    flip_at: Option<usize>,
    limit: usize,
    tail: &'static [u8],
}

impl Pipe {
    fn new(inner: DuplexStream) -> Self {
        Self {
            inner,
            written: 0,
            flip_at: None,
            limit: usize::MAX,
            tail: b"",
        }
    }
}

impl Stream for Pipe {
    async fn write(&mut self, data: [&[u8]; 2], is_fin: bool) -> io::Result<usize> {
        let data = data.concat();
        let len = data.len().min(10_000);
        let is_last = len == data.len();
        let mut data = data[..len].to_vec();
        if let Some(byte) = self
            .flip_at
            .and_then(|at| at.checked_sub(self.written))
            .and_then(|at| data.get_mut(at))
        {
            *byte ^= 1;
        }
        data.truncate(self.limit.saturating_sub(self.written));
        self.written += len;
        self.inner.write_all(&data).await?;
        if is_fin && is_last {
            self.inner.write_all(self.tail).await?;
            self.inner.shutdown().await?;
        }
        Ok(len)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read_from(&mut self.inner, cx, buffer)
    }
}
