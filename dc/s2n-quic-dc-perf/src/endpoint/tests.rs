// SPDX-License-Identifier: Apache-2.0

//! Ends against each other, over real sockets on loopback.

use super::{
    loopback, Announcement, ClientConfig, ClientEnd, Distrust, Identity, ServerConfig, ServerEnd,
    StartError, TlsError, Trust, WheelClient, WheelServer,
};
use crate::transport::{read, write_all, Client as _, Server as _};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::{net::UdpSocket, runtime::Builder, time::timeout};

/// Runs `test`, with its ends, on threads of a runtime that outlives them. A test that hangs fails after a minute.
fn run<F: Future<Output = ()> + Send + 'static>(test: F) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let task = tokio::spawn(test);
        timeout(Duration::from_secs(60), task)
            .await
            .expect("not done after 60 s")
            .unwrap();
    });
}

fn localhost(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn start_server(listen: SocketAddr, mtu: u16, identity: &Identity) -> ServerEnd {
    let config = ServerConfig {
        listen,
        mtu,
        sockets: Some(NonZeroUsize::MIN),
    };
    ServerEnd::start(&config, identity).await.unwrap()
}

async fn reach(server: SocketAddr, mtu: u16, trust: Trust) -> Result<WheelClient, StartError> {
    let config = ClientConfig {
        server,
        mtu,
        trust,
        sockets: Some(NonZeroUsize::MIN),
        max_in_flight_transmissions: None,
    };
    ClientEnd::start(&config)?.reach(server).await
}

/// Answers each request with as many bytes as its first two say, then with its content.
async fn answer(mut server: WheelServer) -> io::Result<()> {
    loop {
        let mut stream = server.accept().await?;
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match read(&mut stream, &mut buffer).await? {
                0 => break,
                read => request.extend_from_slice(&buffer[..read]),
            }
        }
        let len = usize::from(u16::from_be_bytes([request[0], request[1]]));
        write_all(&mut stream, &vec![7; len], false).await?;
        write_all(&mut stream, &request, true).await?;
    }
}

fn request(answer_len: u16, len: usize) -> Bytes {
    let mut request = vec![42; len];
    request[..2].copy_from_slice(&answer_len.to_be_bytes());
    request.into()
}

/// A call and a stream, both ways.
async fn exchange(client: &WheelClient) {
    let expected =
        |answer_len: u16, request: &[u8]| [&vec![7; usize::from(answer_len)], request].concat();

    let called = request(100, 20_000);
    let response = client.call(called.clone(), 20_100).await.unwrap();
    assert_eq!(response, expected(100, &called));

    let written = request(60_000, 50_000);
    let mut stream = client.open().await.unwrap();
    write_all(&mut stream, &written[..30_000], false)
        .await
        .unwrap();
    write_all(&mut stream, &written[30_000..], true)
        .await
        .unwrap();
    let mut response = Vec::new();
    let mut buffer = vec![0; 10_000];
    loop {
        match read(&mut stream, &mut buffer).await.unwrap() {
            0 => break,
            read => response.extend_from_slice(&buffer[..read]),
        }
    }
    assert_eq!(response, expected(60_000, &written));
}

#[test]
fn a_client_reaches_the_server_that_it_pinned_over_both_ip_versions() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let server = start_server(listen.parse().unwrap(), 1450, &identity).await;
            let serving = tokio::spawn(answer(server.acceptor()));
            let trust = Trust::Pinned(vec![identity.fingerprint()]);
            let client = reach(server.address(), 1450, trust).await.unwrap();
            exchange(&client).await;
            serving.abort();
        }
    });
}

#[test]
fn another_certificate_is_refused_with_both_fingerprints() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        let other = Identity::self_signed(&[]).unwrap();
        let server = start_server(localhost(0), 1450, &identity).await;
        let trust = Trust::Pinned(vec![other.fingerprint()]);
        match reach(server.address(), 1450, trust).await {
            Err(StartError::Distrust(Distrust::Fingerprint { found, trusted })) => {
                assert_eq!(found, identity.fingerprint());
                assert_eq!(trusted, [other.fingerprint()]);
            }
            result => panic!("{:?}", result.err()),
        }
    });
}

/// An authority, and a server's certificate for `name` that it vouches for.
fn issued(name: &str) -> (String, Identity) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::from_params(&params, &key);

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let pem = certificate.pem();
    let key = key.serialize_pem();
    (authority, Identity::from_pem(pem, key).unwrap())
}

#[test]
fn an_authority_is_believed_about_the_address_that_was_connected_to() {
    run(async {
        let (authority, identity) = issued("127.0.0.1");
        let server = start_server(localhost(0), 1450, &identity).await;
        let serving = tokio::spawn(answer(server.acceptor()));
        let trust = Trust::Certificate(authority.clone());
        let client = reach(server.address(), 1450, trust).await.unwrap();
        exchange(&client).await;
        serving.abort();

        let (other_authority, _) = issued("127.0.0.1");
        let (authority_elsewhere, elsewhere) = issued("192.0.2.1");
        let server_elsewhere = start_server(localhost(0), 1450, &elsewhere).await;
        for (server, authority, expected) in [
            (&server, other_authority, identity.fingerprint()),
            (
                &server_elsewhere,
                authority_elsewhere,
                elsewhere.fingerprint(),
            ),
        ] {
            match reach(server.address(), 1450, Trust::Certificate(authority)).await {
                Err(StartError::Distrust(Distrust::Certificate { found, .. })) => {
                    assert_eq!(found, expected);
                }
                result => panic!("{:?}", result.err()),
            }
        }
    });
}

#[test]
fn a_certificate_that_is_itself_in_the_file_is_trusted_whatever_its_names() {
    run(async {
        let made = rcgen::generate_simple_self_signed(["elsewhere.test".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity::from_pem(certificate.clone(), key).unwrap();
        let server = start_server(localhost(0), 1450, &identity).await;
        let (authority, _) = issued("127.0.0.1");
        let trust = Trust::Certificate(authority + &certificate);
        assert!(reach(server.address(), 1450, trust).await.is_ok());
    });
}

#[test]
fn trust_in_nothing_cannot_be_set_up() {
    let trust = Trust::Certificate("no certificate".to_owned());
    let config = ClientConfig {
        server: localhost(1),
        mtu: 1450,
        trust,
        sockets: None,
        max_in_flight_transmissions: None,
    };
    let error = ClientEnd::start(&config).err().unwrap();
    let is_file = matches!(error, StartError::Tls(TlsError::Certificate(_)));
    assert!(is_file, "{error}");
}

#[test]
fn streams_are_taken_on_the_next_port_and_the_address_is_announced() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        let server = start_server(localhost(0), 1450, &identity).await;
        let port = server.address().port();
        assert_ne!(port, 0);
        assert_eq!(
            server.library().acceptor_addr().unwrap(),
            localhost(port + 1)
        );
        let announcement: Announcement = server.announcement();
        let command = format!(
            "dc-perf client --connect 127.0.0.1:{port} --fingerprint {}",
            identity.fingerprint()
        );
        assert!(announcement.to_string().ends_with(&command));
    });
}

#[test]
fn two_servers_cannot_share_a_port() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        let first = start_server(localhost(0), 1450, &identity).await;
        let port = first.address().port();
        for (port, sockets) in [(port - 1, 1), (port - 1, 2), (port, 2), (port + 1, 2)] {
            let config = ServerConfig {
                listen: localhost(port),
                mtu: 1450,
                sockets: NonZeroUsize::new(sockets),
            };
            let error = ServerEnd::start(&config, &identity).await.err().unwrap();
            let is_bind = matches!(error, StartError::Handshake(_) | StartError::Bind(_));
            assert!(is_bind, "{port}: {error}");
        }
    });
}

#[test]
fn datagram_sizes_and_ports_out_of_range_are_refused_with_the_range() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        for (listen, mtu, text) in [
            ("127.0.0.1:0", 1199, "mtu is 1199, allowed are 1200 to 8912"),
            ("[::1]:0", 8893, "mtu is 8893, allowed are 1200 to 8892"),
            (
                "127.0.0.1:65535",
                1450,
                "the port is 65535, allowed are 0 to 65534",
            ),
        ] {
            let listen = listen.parse().unwrap();
            let config = ServerConfig {
                listen,
                mtu,
                sockets: None,
            };
            let error = ServerEnd::start(&config, &identity).await.err().unwrap();
            assert!(error.to_string().starts_with(text), "{error}");
            let trust = Trust::Pinned(vec![identity.fingerprint()]);
            let error = reach(listen, mtu, trust).await.err().unwrap();
            assert!(
                listen.port() == 0 || error.to_string().starts_with(text),
                "{error}"
            );
        }
    });
}

/// Forwards datagrams between one client and the server's port for streams, and notes the largest each way.
struct Tap {
    address: SocketAddr,
    /// To the server, to the client.
    largest: Arc<[AtomicUsize; 2]>,
}

impl Tap {
    /// Its task ends with the runtime.
    async fn start(server: SocketAddr) -> Self {
        let bind = || UdpSocket::bind(SocketAddr::new(server.ip(), 0));
        let (front, back) = (bind().await.unwrap(), bind().await.unwrap());
        let address = front.local_addr().unwrap();
        let largest: Arc<[AtomicUsize; 2]> = Arc::default();
        let noted = largest.clone();
        tokio::spawn(async move {
            let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((len, from)) = front.recv_from(&mut up) => {
                        client = Some(from);
                        noted[0].fetch_max(len, Ordering::Relaxed);
                        let _ = back.send_to(&up[..len], server).await;
                    }
                    Ok((len, _)) = back.recv_from(&mut down) => {
                        noted[1].fetch_max(len, Ordering::Relaxed);
                        if let Some(client) = client {
                            let _ = front.send_to(&down[..len], client).await;
                        }
                    }
                }
            }
        });
        Self { address, largest }
    }
}

#[test]
fn both_ends_send_datagrams_of_the_size_that_was_asked_for() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        for (ip, mtu) in [
            ("127.0.0.1", 1200),
            ("127.0.0.1", 1450),
            ("127.0.0.1", 8912),
            ("::1", 1200),
            ("::1", 1450),
            ("::1", 8892),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let server = start_server(SocketAddr::new(ip, 0), mtu, &identity).await;
            let serving = tokio::spawn(answer(server.acceptor()));
            let trust = Trust::Pinned(vec![identity.fingerprint()]);
            let client = reach(server.address(), mtu, trust).await.unwrap();
            let tap = Tap::start(server.library().acceptor_addr().unwrap()).await;
            exchange(&client.through(tap.address)).await;
            for largest in &*tap.largest {
                // those of a batch end with a whole block of the cipher
                let less = usize::from(mtu).checked_sub(largest.load(Ordering::Relaxed));
                assert!(less.is_some_and(|less| less < 16), "{mtu}: {less:?}");
            }
            let path = client.path();
            assert_eq!((path.to_server, path.to_client), (mtu, mtu));
            serving.abort();
        }
    });
}

#[test]
fn a_server_that_was_reached_can_be_reached_again_at_once() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        let servers = [
            start_server(localhost(0), 1450, &identity).await,
            start_server(localhost(0), 1450, &identity).await,
        ];
        let config = ClientConfig {
            server: servers[0].address(),
            mtu: 1450,
            trust: Trust::Pinned(vec![identity.fingerprint()]),
            sockets: Some(NonZeroUsize::MIN),
            max_in_flight_transmissions: None,
        };
        let mut client = ClientEnd::start(&config).unwrap();
        for server in [&servers[0], &servers[1], &servers[0], &servers[1]] {
            client.reach(server.address()).await.unwrap();
        }
    });
}

#[test]
fn a_server_with_another_datagram_size_is_refused() {
    run(async {
        let identity = Identity::self_signed(&[]).unwrap();
        let server = start_server(localhost(0), 4000, &identity).await;
        let trust = Trust::Pinned(vec![identity.fingerprint()]);
        match reach(server.address(), 1450, trust).await {
            Err(StartError::Path { mtu, found }) => {
                assert_eq!((mtu, found.to_server, found.to_client), (1450, 1450, 4000));
            }
            result => panic!("{:?}", result.err()),
        }
    });
}

#[test]
fn each_client_on_loopback_reaches_each_server_with_a_secret_of_its_own() {
    run(async {
        let loopback = loopback(3, 2, 1450).await.unwrap();
        assert_eq!(loopback.servers.len(), 2);
        let serving: Vec<_> = loopback
            .servers
            .iter()
            .map(|server| tokio::spawn(answer(server.clone())))
            .collect();
        let clients = &loopback.ends.clients;
        assert_eq!(clients.len(), 3);
        for to_servers in clients {
            assert_eq!(to_servers.len(), 2);
            for client in to_servers {
                exchange(client).await;
            }
        }
        assert!(loopback.ends.both_ends);
        assert!(serving.iter().all(|task| !task.is_finished()));

        // each server has one secret per client, none shared
        for server in &loopback.servers {
            assert_eq!(server.secrets(), 3);
        }
    });
}

#[test]
fn no_clients_and_no_servers_are_refused() {
    run(async {
        for (clients, peers, text) in [(0, 1, "clients is 0"), (1, 0, "peers is 0")] {
            let error = loopback(clients, peers, 1450).await.err().unwrap();
            assert!(error.to_string().starts_with(text), "{error}");
        }
    });
}

#[test]
fn too_long_an_answer_is_seen_and_a_much_too_long_one_is_not_kept() {
    run(async {
        let loopback = loopback(1, 1, 1450).await.unwrap();
        let serving = tokio::spawn(answer(loopback.servers[0].clone()));
        let client = &loopback.ends.clients[0][0];
        let called = request(10, 100);
        let response = client.call(called.clone(), 109).await.unwrap();
        assert_eq!(response.len(), 110);
        let error = client.call(called, 50).await.unwrap_err();
        assert!(error.to_string().contains("51 bytes"), "{error}");
        serving.abort();
    });
}

#[test]
fn a_number_of_transmissions_out_of_range_is_refused() {
    let config = |limit| ClientConfig {
        server: localhost(1),
        mtu: 1450,
        trust: Trust::Pinned(Vec::new()),
        sockets: Some(NonZeroUsize::MIN),
        max_in_flight_transmissions: Some(limit),
    };
    run(async move {
        for limit in [0, 1025] {
            let error = ClientEnd::start(&config(limit)).err().unwrap();
            let text = format!("max_in_flight_transmissions is {limit}, allowed are 1 to 1024");
            assert!(error.to_string().contains(&text), "{error}");
        }
        ClientEnd::start(&config(64)).unwrap();
    });
}
