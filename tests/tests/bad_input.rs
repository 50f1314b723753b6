// SPDX-License-Identifier: Apache-2.0

//! Datagrams that no peer sends, thrown at a live server and at a live client.
//!
//! The rule: whatever is thrown, the transfers beside it are unharmed, no request is delivered twice, and nothing
//! panics. What is thrown is made from captured packets, so that it gets further than noise does.

use s2n_quic_dc_tests::{
    endpoint::{Client, Config, Network, Pairing, Server},
    relay::{Direction, Impairments, Relay},
    seed::{self, Random},
    transfer::{self, Context as _, Outcome},
    watch::{self, Log},
};
use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::{net::UdpSocket, task::JoinSet, time};

#[test]
fn empty_and_truncated_packets_harm_nobody() {
    throw_at_both_ends(|captured, _random| {
        let mut out = vec![Vec::new()];
        for packet in captured {
            let all_headers = (1..packet.len()).filter(|len| *len <= 128 || len % 97 == 0);
            out.extend(all_headers.map(|len| packet[..len].to_vec()));
        }
        out
    });
}

#[test]
fn every_first_byte_with_any_body_harms_nobody() {
    throw_at_both_ends(|captured, random| {
        let mut out = Vec::new();
        for first in 0..=255 {
            for len in [1, 2, 17, 42, 60, 1400] {
                let mut packet = vec![0; len];
                random.fill(&mut packet);
                packet[0] = first;
                out.push(packet);
            }
            for packet in captured {
                let mut packet = packet.clone();
                packet[0] = first;
                out.push(packet);
            }
        }
        out
    });
}

#[test]
fn any_flipped_bit_harms_nobody() {
    throw_at_both_ends(|captured, random| {
        let mut out = Vec::new();
        for packet in captured {
            let bits = packet.len() as u64 * 8;
            // each bit of the header and of what follows it, and some of the rest
            let flipped = (0..bits.min(80 * 8)).chain((0..64).map(|_| random.below(bits)));
            out.extend(flipped.map(|bit| {
                let mut packet = packet.clone();
                packet[(bit / 8) as usize] ^= 1 << (bit % 8);
                packet
            }));
        }
        out
    });
}

#[test]
fn replayed_packets_are_not_delivered_again() {
    throw_at_both_ends(|captured, random| {
        let mut out = Vec::new();
        for _ in 0..50 {
            let mut packets = captured.to_vec();
            let start = random.below(packets.len() as u64) as usize;
            packets.rotate_left(start);
            out.extend(packets);
        }
        out
    });
}

#[test]
fn unknown_queue_ids_harm_nobody() {
    throw_at_both_ends(|captured, random| {
        let mut out = Vec::new();
        for packet in captured {
            let at = stream_id_at(packet);
            for _ in 0..200 {
                // eight bytes long, and any number: from a queue that might be there to one that cannot be
                let queue_id = random.draw() >> (2 + random.below(60));
                let mut packet = packet.clone();
                packet.splice(at..at + 1, varint((queue_id << 2 | 3) & MAX_VARINT));
                out.push(packet);
            }
        }
        out
    });
}

#[test]
fn forged_notices_about_secrets_harm_nobody() {
    throw_at_both_ends(|captured, random| {
        let mut out = Vec::new();
        for packet in captured {
            for tag in [0x60, 0x61, 0x62, 0x64, 0x65, 0x66] {
                for queue_id in 0..8 {
                    // the tag, a real credential id, the wire version
                    let mut notice = vec![tag];
                    notice.extend(&packet[CREDENTIAL_ID]);
                    notice.push(0);
                    if tag & 4 != 0 {
                        notice.push(queue_id);
                    }
                    if tag & 3 != 0 {
                        notice.extend(varint(random.below(100)));
                    }
                    let mut authentication = [0; 16];
                    random.fill(&mut authentication);
                    notice.extend(authentication);
                    out.push(notice);
                }
            }
        }
        out
    });
}

#[test]
fn unknown_credentials_are_answered_now_and_then() {
    watch::run(async move |log| -> Outcome {
        let victims = Victims::start(&log).await?;
        let target = victims.network.server.acceptor_addr().context("bound")?;
        let mut random = Random::new(seed::from_env());
        let opener = &victims.to_server[0];
        let thrown: Vec<Datagram> = (0..1000)
            .map(|_| {
                let mut packet = opener.clone();
                random.fill(&mut packet[CREDENTIAL_ID]);
                packet
            })
            .collect();

        let socket = UdpSocket::bind((target.ip(), 0)).await.context("bind")?;
        let mut answer = [0; 2048];
        // the first is answered: the peer has to learn that its secret is of no use
        socket.send_to(&thrown[0], target).await.context("send")?;
        let (len, from) = socket.recv_from(&mut answer).await.context("recv")?;
        assert_eq!(
            from, target,
            "the answer comes from where the question went to"
        );
        assert!(matches!(answer[0], 0x60 | 0x64), "{:#04x}", answer[0]);
        assert_eq!(answer[CREDENTIAL_ID], thrown[0][CREDENTIAL_ID]);
        assert!(len <= thrown[0].len(), "{len} bytes are an amplification");

        log.note("a thousand more");
        let mut answers = 1;
        for packet in &thrown[1..] {
            socket.send_to(packet, target).await.context("send")?;
            while socket.try_recv(&mut answer).is_ok() {
                answers += 1;
            }
        }
        // until there have been none for a while
        while time::timeout(QUIET, socket.recv(&mut answer)).await.is_ok() {
            answers += 1;
        }
        assert!(answers <= 100, "{answers} of 1000 were answered");
        victims.call().await
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Throws what `make` makes of captured packets at the end that those packets were for, beside RPCs of a megabyte.
fn throw_at_both_ends(make: fn(&[Datagram], &mut Random) -> Vec<Datagram>) {
    watch::run(async move |log| -> Outcome {
        let victims = Victims::start(&log).await?;
        let mut random = Random::new(seed::from_env());
        let acceptor = victims.network.server.acceptor_addr().context("bound")?;
        for (name, target, captured) in [
            ("server", acceptor, &victims.to_server),
            ("client", victims.client_addr, &victims.to_client),
        ] {
            let thrown = make(captured, &mut random);
            log.note(format!("throwing {} at the {name}", thrown.len()));
            victims.work_under(target, thrown).await?;
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("DC_TEST_SEED={}: {error}", seed::from_env()));
}

type Datagram = Vec<u8>;

/// A client and a server at work, and packets that each has been sent before.
struct Victims {
    network: Network,
    client_addr: SocketAddr,
    to_server: Vec<Datagram>,
    to_client: Vec<Datagram>,
    /// How many whole requests the server's application was given.
    served: Arc<AtomicU64>,
    /// How many requests the client has made.
    called: AtomicU64,
    serving: tokio::task::JoinHandle<()>,
    log: Log,
}

impl Victims {
    async fn start(log: &Log) -> Outcome<Self> {
        // one socket each, so that what is thrown arrives where the transfers are
        let config = Config::default().with_one_socket();
        let network = Network::start(Pairing::NEW_TO_NEW, config)
            .await
            .context("start")?;
        let acceptor = network.server.acceptor_addr().context("bound")?;
        let relay = Relay::start(acceptor, Impairments::NONE).context("relay")?;

        // the client's address as the server sees it
        let (client, server) = network.pair().await.context("a stream")?;
        let client_addr = server.peer_addr().context("open")?;
        drop((client, server));

        let served = Arc::new(AtomicU64::new(0));
        let serving = tokio::spawn(serve(network.server.clone(), served.clone()));
        let mut victims = Self {
            client_addr,
            served,
            called: AtomicU64::new(0),
            serving,
            to_server: Vec::new(),
            to_client: Vec::new(),
            log: log.clone(),
            network,
        };
        victims.call_through(relay.addr(), 1, 5000).await?;
        let captured = |direction| {
            let mut packets = relay.captured(direction);
            // the first of a stream are of all kinds, and the later ones say no more
            packets.truncate(6);
            packets
        };
        victims.to_server = captured(Direction::ToServer);
        victims.to_client = captured(Direction::ToClient);
        Ok(victims)
    }

    /// Works while `thrown` arrives at `target`, and once more after that.
    async fn work_under(&self, target: SocketAddr, thrown: Vec<Datagram>) -> Outcome {
        let throwing = tokio::spawn(throw(target, thrown));
        while !throwing.is_finished() {
            self.call().await?;
        }
        throwing.await.map_err(|error| error.to_string())??;
        self.call().await?;
        let (served, called) = (
            self.served.load(Ordering::Relaxed),
            self.called.load(Ordering::Relaxed),
        );
        if served == called {
            Ok(())
        } else {
            Err(format!("{called} requests were made and {served} arrived"))
        }
    }

    /// A megabyte each way.
    async fn call(&self) -> Outcome {
        let acceptor = self.network.server.acceptor_addr().context("bound")?;
        self.call_through(acceptor, 4, 1 << 18).await
    }

    async fn call_through(&self, acceptor: SocketAddr, count: usize, size: usize) -> Outcome {
        let Network { client, server } = &self.network;
        let (client, server): (&Client, &Server) = (client, server);
        transfer::rpcs(client, server, acceptor, count, size).await?;
        let called = self.called.fetch_add(count as u64, Ordering::Relaxed);
        self.log.note(format!("{called} calls done"));
        Ok(())
    }
}

/// Answers requests as [`transfer::serve_rpcs`] does, and counts those that arrived whole.
async fn serve(server: Server, served: Arc<AtomicU64>) {
    let mut calls = JoinSet::new();
    while let Ok((mut stream, _peer)) = server.accept().await {
        let served = served.clone();
        calls.spawn(async move {
            let mut request: Vec<u8> = Vec::new();
            while stream.read_into(&mut request).await? != 0 {}
            if !request.is_empty() {
                served.fetch_add(1, Ordering::Relaxed);
            }
            let response = transfer::reply(&request);
            stream.write_all_from_fin(&mut &response[..]).await
        });
        while calls.try_join_next().is_some() {}
    }
}

async fn throw(target: SocketAddr, thrown: Vec<Datagram>) -> Outcome {
    let socket = UdpSocket::bind((target.ip(), 0)).await.context("bind")?;
    for some in thrown.chunks(20) {
        for datagram in some {
            socket.send_to(datagram, target).await.context("send")?;
        }
        // leaves room in the victim's socket buffer: a flood would test the kernel
        time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

impl Drop for Victims {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Where the stream id of a captured packet is: after the tag, the credentials, the wire version and, in a stream
/// packet, two unused bytes. The key ids here are all below 64 and so one byte long.
fn stream_id_at(packet: &[u8]) -> usize {
    match packet[0] {
        0x00..=0x3f => 21,
        _ => 19,
    }
}

/// Eight bytes long, whatever the value.
fn varint(value: u64) -> [u8; 8] {
    (value | 0b11 << 62).to_be_bytes()
}

/// Every packet has it right after its first byte.
const CREDENTIAL_ID: std::ops::Range<usize> = 1..17;

const MAX_VARINT: u64 = (1 << 62) - 1;

/// Answers to packets on loopback take microseconds.
const QUIET: Duration = Duration::from_millis(500);
