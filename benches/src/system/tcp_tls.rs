// SPDX-License-Identifier: Apache-2.0

//! TLS 1.3 over TCP: one connection a stream; calls take a connection from a pool and give it back.
//!
//! The one rule: a connection goes back into the pool only after a whole answer was read from it, so that no call finds the
//! rest of another one's.

use super::inbox::Inbox;
use crate::{
    settings::{Settings, StartError},
    tls,
};
use bytes::Bytes;
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use s2n_quic_dc_perf::{
    measure::Sample,
    transport::{self, poll_read_from, Ends, Probe},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    task::{ready, Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    time::timeout,
};
use tokio_rustls::{
    rustls::pki_types::{InvalidDnsNameError, ServerName},
    TlsAcceptor, TlsConnector, TlsStream,
};

/// Starts servers and clients. Connections are made when streams are opened.
///
/// # Errors
///
/// [`StartError`] says which step failed.
pub async fn start(settings: &Settings) -> Result<(Ends<Client>, Vec<Inbox<Stream>>), StartError> {
    raise_descriptor_limit()?;
    let acceptor = TlsAcceptor::from(Arc::new(
        tls::server(&[]).map_err(StartError::at("server"))?,
    ));
    let mut servers = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..settings.peers {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let listener = socket.listen(BACKLOG)?;
        addresses.push(listener.local_addr()?);
        servers.push(accept(listener, acceptor.clone()));
    }

    let connector = TlsConnector::from(Arc::new(
        tls::client(&[]).map_err(StartError::at("client"))?,
    ));
    let name = server_name().map_err(StartError::at("server name"))?;
    let client = |address: &SocketAddr| Client {
        address: *address,
        name: name.clone(),
        connector: connector.clone(),
        idle: Arc::default(),
    };
    let clients = (0..settings.clients)
        .map(|_| addresses.iter().map(client).collect())
        .collect();
    let ends = Ends {
        clients,
        probe: Box::new(NoCounters),
        both_ends: true,
    };
    Ok((ends, servers))
}

/// What differs from the defaults, for people.
#[must_use]
pub fn settings() -> Vec<(String, String)> {
    [
        ("version", "tokio-rustls 0.26; a connection a stream, pooled for calls; handshakes are part of the time"),
        ("crypto", "TLS 1.3, rustls with aws-lc-rs, AES-128-GCM"),
        ("TCP", "TCP_NODELAY; buffers and the rest are the kernel's, which tunes buffers only if nobody sets them"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Each connection takes two descriptors of this process.
fn raise_descriptor_limit() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

fn server_name() -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(tls::NAME)
}

/// Makes the handshakes beside each other, and hands the streams to one queue.
fn accept(listener: TcpListener, acceptor: TlsAcceptor) -> Inbox<Stream> {
    Inbox::fill(|sender| async move {
        // an error here is that of one connection, or a want of descriptors that passes
        loop {
            let Ok((connection, _peer)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let (sender, acceptor) = (sender.clone(), acceptor.clone());
            tokio::spawn(async move {
                // what goes wrong with a connection is seen, and told, by its client
                if connection.set_nodelay(true).is_err() {
                    return;
                }
                if let Ok(stream) = acceptor.accept(connection).await {
                    // fails only when the server is gone
                    let _ = sender.send(Stream::new(stream)).await;
                }
            });
        }
    })
}

/// The way to one server, with the connections that wait for the next call.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
    idle: Arc<Mutex<Vec<Stream>>>,
}

impl transport::Client for Client {
    type Stream = Stream;

    async fn open(&self) -> io::Result<Stream> {
        let connection = TcpStream::connect(self.address).await?;
        connection.set_nodelay(true)?;
        let connecting = self.connector.connect(self.name.clone(), connection);
        Ok(Stream::new(connecting.await?))
    }

    /// Dropping the future closes the connection, which may have an answer under way.
    const POOLS_CALLS: bool = true;

    async fn call(&self, request: Bytes, response_len: usize) -> io::Result<Vec<u8>> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.open().await?,
        };
        transport::write_all(&mut stream, &request, false).await?;
        let mut response = vec![0; response_len];
        let len = transport::read_up_to(&mut stream, &mut response).await?;
        if len < response_len {
            // the connection has ended and is of no use to another call
            response.truncate(len);
            return Ok(response);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(stream);
        Ok(response)
    }
}

/// A connection. One that is dropped before its end is cut off without the notice that TLS ends with, which is an error for its
/// reader.
pub struct Stream {
    /// Taken on drop only.
    tls: Option<TlsStream<TcpStream>>,
    is_finished: bool,
    is_read: bool,
}

impl Stream {
    fn new(tls: impl Into<TlsStream<TcpStream>>) -> Self {
        Self {
            tls: Some(tls.into()),
            is_finished: false,
            is_read: false,
        }
    }

    fn tls(&mut self) -> io::Result<&mut TlsStream<TcpStream>> {
        let tls = self.tls.as_mut();
        tls.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl transport::Stream for Stream {
    async fn write(&mut self, data: [&[u8]; 2], is_fin: bool) -> io::Result<usize> {
        let tls = self.tls()?;
        let len = match data {
            [[], []] => 0,
            [slice, []] | [[], slice] => tls.write(slice).await?,
            slices => tls.write_vectored(&slices.map(io::IoSlice::new)).await?,
        };
        if len < transport::len_of(data) {
            return Ok(len);
        }
        if is_fin {
            tls.shutdown().await?;
            self.is_finished = true;
        } else {
            tls.flush().await?;
        }
        Ok(len)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(poll_read_from(self.tls()?, cx, buffer))?;
        self.is_read |= read == 0 && !buffer.is_empty();
        Poll::Ready(Ok(read))
    }
}

impl Drop for Stream {
    /// A socket that is closed with something left to read resets the connection, and what is still to be delivered is lost. So
    /// one that was ended in good order is read to its end first.
    fn drop(&mut self) {
        let runtime = Handle::try_current();
        if let (true, false, Some(mut tls), Ok(runtime)) =
            (self.is_finished, self.is_read, self.tls.take(), runtime)
        {
            runtime.spawn(timeout(LINGER, async move {
                let mut rest = [0; 1024];
                while let Ok(1..) = tls.read(&mut rest).await {}
            }));
        }
    }
}

/// Segments are the kernel's business.
struct NoCounters;

impl Probe for NoCounters {
    fn sample(&self) -> Sample {
        Sample::default()
    }
}

/// Connections that may wait for the server: what Linux allows by default (`SOMAXCONN`).
const BACKLOG: u32 = 4096;

/// How long a connection that was ended waits for the other end. Arbitrary: far longer than a full send buffer takes.
const LINGER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers;
    use s2n_quic_dc_perf::transport::{read, write_all};
    use s2n_quic_dc_perf::transport::{Client as _, Server as _};
    use tokio::runtime::Builder;

    /// A client and a server that can reach it.
    async fn ends() -> (Client, Inbox<Stream>) {
        let settings = Settings {
            clients: 1,
            peers: 1,
            streams: 1,
            mtu: 1450,
            socket_buffer: buffers::ASKED,
        };
        let (mut ends, mut servers) = start(&settings).await.unwrap();
        (ends.clients.remove(0).remove(0), servers.remove(0))
    }

    #[test]
    fn what_was_written_arrives_although_the_writer_left_something_unread() {
        const LEN: usize = 20_000_000;
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, mut server) = ends().await;
            let serving = tokio::spawn(async move {
                let mut stream = server.accept().await.unwrap();
                write_all(&mut stream, &vec![7; LEN], true).await.unwrap();
                server
            });
            let mut stream = client.open().await.unwrap();
            write_all(&mut stream, b"nobody reads this", true)
                .await
                .unwrap();
            let mut buffer = vec![0; 1000];
            let mut len = 0;
            loop {
                match read(&mut stream, &mut buffer).await.unwrap() {
                    0 => break,
                    read => len += read,
                }
            }
            assert_eq!(len, LEN);
            serving.await.unwrap();
        });
    }

    #[test]
    fn a_call_takes_the_connection_of_the_one_before() {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, mut server) = ends().await;
            let serving = tokio::spawn(async move {
                let mut stream = server.accept().await.unwrap();
                let mut request = [0; 4];
                for _ in 0..3 {
                    assert_eq!(read(&mut stream, &mut request).await.unwrap(), 4);
                    write_all(&mut stream, &request, false).await.unwrap();
                }
                // cuts the answer of the fourth short
                assert_eq!(read(&mut stream, &mut request).await.unwrap(), 4);
                write_all(&mut stream, &request[..2], true).await.unwrap();
            });
            for _ in 0..3 {
                let request = Bytes::from_static(b"ping");
                assert_eq!(client.call(request, 4).await.unwrap(), b"ping");
                assert_eq!(client.idle.lock().unwrap().len(), 1);
            }
            let request = Bytes::from_static(b"ping");
            assert_eq!(client.call(request, 4).await.unwrap(), b"pi");
            assert_eq!(client.idle.lock().unwrap().len(), 0);
            serving.await.unwrap();
        });
    }
}
