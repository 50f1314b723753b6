// SPDX-License-Identifier: Apache-2.0

//! Opening, accepting, refusing.

use super::{between_new_peers, read_to_error, write_to_error};
use bytes::Bytes;
use published_dc::stream::{
    client::{error, rpc::InMemoryResponse},
    Protocol,
};
use s2n_quic_core::buffer::writer::storage;
use s2n_quic_dc::stream::server::tokio as server;
use s2n_quic_dc_tests::{
    cert,
    endpoint::{
        client_handshake, server_handshake, Client, Config, NewClient, NewServer, Server, Stream,
        Subscriber,
    },
    payload::Payload,
    transfer, watch,
};
use std::{io, io::ErrorKind, net::SocketAddr, num::NonZeroU16, time::Duration};

#[test]
fn a_stream_is_accepted_before_any_byte_is_written() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, mut server) = network.pair().await.expect("announced by nothing");
        // and the server may be the first to speak
        server.write_all_from(&mut &b"hi"[..]).await.expect("open");
        let mut bytes = [0; 2];
        let read = client.read_into(&mut &mut bytes[..]).await.expect("open");
        assert_eq!(&bytes[..read], b"hi");
    });
}

#[test]
fn streams_are_accepted_in_the_order_in_which_they_came() {
    between_new_peers(
        Config::default().with_one_socket(),
        async move |network, _log| {
            let mut clients = Vec::new();
            for number in 0..10 {
                let mut client = network.connect().await.expect("a stream");
                client
                    .write_all_from(&mut &[number][..])
                    .await
                    .expect("sent");
                clients.push(client);
            }
            for number in 0..10 {
                let (mut server, _peer) = network.server.accept().await.expect("a stream");
                let mut byte = [0; 1];
                let read = server.read_into(&mut &mut byte[..]).await.expect("open");
                assert_eq!((read, byte[0]), (1, number));
            }
        },
    );
}

#[test]
fn a_full_accept_queue_refuses_the_oldest_streams() {
    let backlog = NonZeroU16::new(2);
    let config = Config {
        backlog,
        ..Config::default().with_one_socket()
    };
    between_new_peers(config, async move |network, log| {
        let mut clients = Vec::new();
        for number in 0..5 {
            let mut client = network.connect().await.expect("a stream");
            client
                .write_all_from(&mut &[number][..])
                .await
                .expect("sent");
            clients.push(client);
        }
        // nobody accepts: the watchdog is the bound, and the idle timeout would be another kind of error
        for (number, client) in clients.iter_mut().enumerate().take(3) {
            log.note(format!("waiting for the refusal of {number}"));
            let (bytes, kind) = read_to_error(client).await.expect("refused");
            assert_eq!((bytes.len(), kind), (0, ErrorKind::ConnectionRefused));
            assert_eq!(write_to_error(client).await, ErrorKind::ConnectionRefused);
        }
        for number in 3..5 {
            log.note(format!("accepting {number}"));
            let (mut server, _peer) = network.server.accept().await.expect("a stream");
            let mut byte = [0; 1];
            let read = server.read_into(&mut &mut byte[..]).await.expect("open");
            assert_eq!((read, byte[0]), (1, number));
        }
    });
}

#[test]
fn a_server_that_lost_its_secrets_denies_and_a_new_handshake_heals() {
    between_new_peers(Config::default(), async move |network, log| {
        let (client, _server) = network.pair().await.expect("a stream");
        drop(client);
        network.server.drop_state();

        let mut denied = network.connect().await.expect("a cached secret");
        let (bytes, kind) = read_to_error(&mut denied).await.expect("denied");
        assert_eq!((bytes.len(), kind), (0, ErrorKind::PermissionDenied));
        assert_eq!(
            write_to_error(&mut denied).await,
            ErrorKind::PermissionDenied
        );

        // the denial has asked for a handshake in the background; until that is done, streams fail in the same way
        let answering = tokio::spawn(transfer::serve_rpcs(network.server.clone()));
        let acceptor = network.server.acceptor_addr().expect("bound");
        loop {
            let call = network
                .client
                .rpc(&network.server, acceptor, Bytes::from_static(b"again"));
            match call.await {
                Ok(response) => {
                    assert_eq!(response, transfer::reply(b"again"));
                    break;
                }
                Err(error) => {
                    log.note(format!("{:?}: {error}", error.kind()));
                    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                }
            }
        }
        answering.abort();
    });
}

#[test]
fn no_stream_hangs_when_the_server_lost_its_secrets_under_many() {
    let config = Config::default().with_idle_timeout(Duration::from_secs(2));
    between_new_peers(config, async move |network, log| {
        let (first, server) = network.pair().await.expect("a stream");
        drop((first, server));
        network.server.drop_state();
        let mut clients = Vec::new();
        let mut denied = 0;
        for _ in 0..20 {
            // the notice for one stream ends all of its secret, also one that is just being opened
            match network.connect().await {
                Ok(client) => clients.push(client),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                    denied += 1;
                }
            }
        }
        for (number, client) in clients.iter_mut().enumerate() {
            log.note(format!("waiting for the end of {number}"));
            let (_, kind) = read_to_error(client).await.expect("no clean end");
            match kind {
                ErrorKind::PermissionDenied => denied += 1,
                // the notice cannot be verified any more once a new handshake has replaced the secret
                ErrorKind::TimedOut => {}
                kind => panic!("stream {number} ended with {kind:?}"),
            }
        }
        assert!(denied > 0);
    });
}

#[test]
fn a_client_that_fails_fast_has_no_secret_first_and_one_later() {
    let config = Config {
        fail_fast: true,
        ..Config::default()
    };
    between_new_peers(config, async move |network, _log| {
        let error = network.connect().await.err().expect("no secret yet");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(matches!(
            error::Kind::from_io(&error),
            Some(error::Kind::PeerPskMissing)
        ));
        // the same handshake that is under way in the background, this time awaited
        network
            .client
            .handshake_state()
            .handshake_with(
                network.server.handshake_addr().expect("bound"),
                cert::NAME.into(),
            )
            .await
            .expect("a handshake");
        let (_client, _server) = network.pair().await.expect("a secret is there");
    });
}

#[test]
fn a_client_of_no_usable_protocol_says_invalid_input() {
    for protocol in [Protocol::Other("pigeon"), Protocol::Tcp] {
        watch::run(async move |_log| {
            let handshake = client_handshake(Config::default()).expect("a socket");
            let client = NewClient::builder()
                .with_default_protocol(protocol)
                .build(handshake, Subscriber::default())
                .expect("the protocol is looked at when it is used");
            let server = server_handshake(Config::default()).await.expect("a socket");
            let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));

            let error = client
                .connect(server.local_addr(), nowhere, cert::NAME.into())
                .await
                .expect_err("no such protocol");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{protocol:?}");
            let error = client
                .rpc(
                    server.local_addr(),
                    nowhere,
                    Bytes::new(),
                    InMemoryResponse::from(Vec::<u8>::new()),
                    cert::NAME.into(),
                )
                .await
                .expect_err("no such protocol");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{protocol:?}");
        });
    }
}

#[test]
fn a_server_of_no_usable_protocol_is_not_built() {
    watch::run(async move |_log| {
        let handshake = server_handshake(Config::default()).await.expect("a socket");
        let build = |builder: server::Builder| -> io::Result<NewServer> {
            builder
                .with_address(SocketAddr::from(([127, 0, 0, 1], 0)))
                .build(handshake.clone(), Subscriber::default())
        };
        let error = build(NewServer::builder().with_udp(false)).err();
        assert_eq!(
            error.expect("nothing to accept with").kind(),
            ErrorKind::InvalidInput
        );
        let error = build(NewServer::builder().with_protocol(Protocol::Other("pigeon"))).err();
        assert_eq!(
            error.expect("nothing to accept with").kind(),
            ErrorKind::InvalidInput
        );
        let tcp_only = build(NewServer::builder().with_protocol(Protocol::Tcp));
        assert!(
            tcp_only.is_err(),
            "a server that can do UDP only was silent"
        );
    });
}

#[test]
fn an_unspecified_acceptor_address_means_loopback() {
    between_new_peers(Config::default(), async move |network, _log| {
        let mut acceptor = network.server.acceptor_addr().expect("bound");
        acceptor.set_ip([0, 0, 0, 0].into());
        let opened = network.client.connect(&network.server, acceptor).await;
        let _client = opened.expect("a stream");
        network.server.accept().await.expect("a stream");
    });
}

#[test]
fn a_v6_acceptor_cannot_be_reached_from_a_v4_socket() {
    between_new_peers(Config::default(), async move |network, _log| {
        let acceptor = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9));
        let opened = network.client.connect(&network.server, acceptor).await;
        assert!(opened.is_err());
    });
}

#[test]
fn a_thousand_rpcs_at_once_are_all_answered() {
    between_new_peers(Config::default(), async move |network, _log| {
        let acceptor = network.server.acceptor_addr().expect("bound");
        let answering = tokio::spawn(transfer::serve_rpcs(network.server.clone()));
        transfer::rpcs(&network.client, &network.server, acceptor, 1000, 200)
            .await
            .expect("a thousand responses");
        answering.abort();
    });
}

#[test]
fn an_rpc_without_room_for_a_response_fails() {
    between_new_peers(Config::default(), async move |network, _log| {
        let answering = tokio::spawn(transfer::serve_rpcs(network.server.clone()));
        let Client::New(client) = &network.client else {
            unreachable!("the client is new");
        };
        let result = client
            .rpc(
                network.server.handshake_addr().expect("bound"),
                network.server.acceptor_addr().expect("bound"),
                Bytes::from_static(b"request"),
                InMemoryResponse::from(storage::Empty),
                cert::NAME.into(),
            )
            .await;
        assert!(result.is_err());
        answering.abort();
    });
}

#[test]
fn clones_of_a_server_share_one_accept_queue() {
    between_new_peers(Config::default(), async move |network, _log| {
        let clones = [network.server.clone(), network.server.clone()];
        let accepting = clones.map(|server| {
            tokio::spawn(async move { server.accept().await.map(|(stream, _peer)| stream) })
        });
        let _first = network.connect().await.expect("a stream");
        let _second = network.connect().await.expect("a stream");
        for accepted in accepting {
            accepted.await.expect("no panic").expect("a stream");
        }
    });
}

#[test]
fn accepting_tells_how_long_a_stream_has_waited() {
    between_new_peers(Config::default(), async move |network, _log| {
        let Server::New(accepting) = &network.server else {
            unreachable!("the server is new");
        };
        let _client = network.connect().await.expect("a stream");
        let (stream, info, peer) = accepting.accept_with_info().await.expect("a stream");
        assert_eq!(stream.peer_addr().expect("open"), peer);
        assert!(info.app_queue_sojourn_time < watch::LIMIT);
        assert!(info.dc_quic_accept_time < watch::LIMIT);
    });
}

#[test]
fn a_stream_moves_to_another_runtime_and_goes_on() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let Stream::New(mut client) = client else {
            unreachable!("the client is new");
        };
        let (mut reader, mut writer) = server.into_split();
        let payload = Payload::new(2, 100_000);
        let other = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(async move {
                    client.rebind_to_current_runtime().expect("rebound");
                    client
                        .write_all_from_fin(&mut Bytes::from(payload.to_vec()))
                        .await
                        .expect("written");
                    let mut response: Vec<u8> = Vec::new();
                    while client.read_into(&mut response).await.expect("read") != 0 {}
                    response
                })
        });
        let received = transfer::receive(&mut reader, payload.len()).await;
        assert_eq!(received, Ok(payload));
        transfer::send(&mut writer, payload).await.expect("sent");
        let joined = tokio::task::spawn_blocking(move || other.join()).await;
        let response = joined.expect("no panic").expect("no panic");
        assert!(response == payload.to_vec());
    });
}
