// SPDX-License-Identifier: Apache-2.0

//! How streams end: closed, reset, idle.

use super::{between_new_peers, read_to_error, write_to_error};
use bytes::Bytes;
use s2n_quic_dc_tests::{
    endpoint::{Config, Network, Pairing, Stream},
    payload::Payload,
    relay::{Impairments, Relay},
    transfer::{self, receive, receive_end, send},
    watch,
};
use std::{
    io::ErrorKind,
    panic,
    time::{Duration, Instant},
};

const MB: usize = 1 << 20;

#[test]
fn a_reader_dropped_before_any_byte_resets_the_peers_writer() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, server) = network.pair().await.expect("a stream");
        let (reader, _writer) = server.into_split();
        drop(reader);
        assert_eq!(
            write_to_error(&mut client).await,
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_reader_dropped_with_bytes_unread_resets_the_peers_writer() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, server) = network.pair().await.expect("a stream");
        let (mut reader, _writer) = server.into_split();
        client
            .write_all_from(&mut Bytes::from(vec![1; 30_000]))
            .await
            .expect("open");
        let mut few = [0; 10];
        let read = reader.read_into(&mut &mut few[..]).await.expect("open");
        assert_ne!(read, 0);
        drop(reader);
        assert_eq!(
            write_to_error(&mut client).await,
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_reader_dropped_after_the_end_harms_nobody() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (mut client_reader, mut client_writer) = client.into_split();
        let (mut server_reader, mut server_writer) = server.into_split();
        send(&mut client_writer, Payload::new(1, 10_000))
            .await
            .expect("sent");
        receive(&mut server_reader, 10_000).await.expect("received");
        drop(server_reader);
        // the other half goes on for long enough to notice a close that should not be there
        let (sent, received) = tokio::join!(
            send(&mut server_writer, Payload::new(2, MB)),
            receive(&mut client_reader, MB)
        );
        sent.expect("sent");
        received.expect("received");
    });
}

#[test]
fn a_writer_dropped_in_a_panic_is_no_clean_end() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, mut server) = network.pair().await.expect("a stream");
        let (_client_reader, mut writer) = client.into_split();
        let panicking = tokio::spawn(async move {
            writer
                .write_all_from(&mut &b"half of a mess"[..])
                .await
                .expect("open");
            // unwinds like a panic and prints nothing
            panic::resume_unwind(Box::new("expected"));
        });
        assert!(panicking.await.expect_err("a panic").is_panic());
        let (bytes, kind) = read_to_error(&mut server).await.expect("no clean end");
        assert_eq!(kind, ErrorKind::ConnectionReset);
        assert!(b"half of a mess".starts_with(&bytes));
    });
}

#[test]
fn a_stream_dropped_in_a_panic_fails_both_halves_of_the_peer() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, server) = network.pair().await.expect("a stream");
        let panicking = tokio::spawn(async move {
            let _stream = server;
            panic::resume_unwind(Box::new("expected"));
        });
        assert!(panicking.await.expect_err("a panic").is_panic());
        let (_, kind) = read_to_error(&mut client).await.expect("no clean end");
        assert_eq!(kind, ErrorKind::ConnectionReset);
        assert_eq!(
            write_to_error(&mut client).await,
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn the_server_goes_on_writing_after_the_client_has_finished() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (mut client_reader, mut client_writer) = client.into_split();
        let (mut server_reader, mut server_writer) = server.into_split();
        client_writer.shutdown().expect("open");
        drop(client_writer);
        receive_end(&mut server_reader).await.expect("the end");
        let (sent, received) = tokio::join!(
            send(&mut server_writer, Payload::new(1, MB)),
            receive(&mut client_reader, MB)
        );
        sent.expect("sent");
        received.expect("received");
    });
}

#[test]
fn the_client_goes_on_writing_after_the_server_has_finished() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (mut client_reader, mut client_writer) = client.into_split();
        let (mut server_reader, mut server_writer) = server.into_split();
        server_writer.shutdown().expect("open");
        drop(server_writer);
        receive_end(&mut client_reader).await.expect("the end");
        drop(client_reader);
        let (sent, received) = tokio::join!(
            send(&mut client_writer, Payload::new(1, MB)),
            receive(&mut server_reader, MB)
        );
        sent.expect("sent");
        received.expect("received");
    });
}

#[test]
fn an_unread_stream_that_is_dropped_resets_its_client_and_no_other() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, server) = network.pair().await.expect("a stream");
        let (other_client, other_server) = network.pair().await.expect("a stream");
        client
            .write_all_from(&mut &b"nobody reads this"[..])
            .await
            .expect("open");
        drop(server);
        assert_eq!(
            write_to_error(&mut client).await,
            ErrorKind::ConnectionReset
        );

        let (_other_client_reader, mut writer) = other_client.into_split();
        let (mut reader, _other_server_writer) = other_server.into_split();
        let (sent, received) = tokio::join!(
            send(&mut writer, Payload::new(1, MB)),
            receive(&mut reader, MB)
        );
        sent.expect("sent");
        received.expect("received");
    });
}

#[test]
fn an_accepted_stream_whose_client_is_gone_ends_cleanly() {
    between_new_peers(Config::default(), async move |network, _log| {
        let mut client = network.connect().await.expect("a stream");
        client.write_all_from(&mut &b"bye"[..]).await.expect("open");
        drop(client);
        let (mut server, _peer) = network.server.accept().await.expect("a stream");
        let mut bytes: Vec<u8> = Vec::new();
        while server.read_into(&mut bytes).await.expect("a clean end") != 0 {}
        assert_eq!(bytes, b"bye");
    });
}

#[test]
fn a_stream_has_no_peer_once_both_halves_are_closed() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (mut client_reader, mut client_writer) = client.into_split();
        let (mut server_reader, mut server_writer) = server.into_split();
        client_writer.shutdown().expect("open");
        assert!(client_writer.peer_addr().is_ok(), "the reader is open");
        receive_end(&mut server_reader).await.expect("the end");
        assert!(server_reader.peer_addr().is_ok(), "the writer is open");
        server_writer.shutdown().expect("open");
        receive_end(&mut client_reader).await.expect("the end");

        for error in [
            client_reader.peer_addr(),
            client_writer.peer_addr(),
            server_reader.peer_addr(),
            server_writer.peer_addr(),
        ] {
            let error = error.expect_err("both halves are closed");
            assert_eq!(error.kind(), ErrorKind::NotConnected);
        }
        assert!(client_writer.local_addr().is_ok(), "the socket is there");
    });
}

const IDLE: Duration = Duration::from_secs(1);

#[test]
fn silence_times_out_both_halves_at_both_ends() {
    let config = Config::default().with_idle_timeout(IDLE);
    between_new_peers(config, async move |network, log| {
        let start = Instant::now();
        let (client, server) = network.pair().await.expect("a stream");
        for (name, mut stream) in [("client", client), ("server", server)] {
            log.note(format!("waiting for the {name}'s reader to give up"));
            let (bytes, kind) = read_to_error(&mut stream).await.expect("silence");
            assert_eq!((bytes.len(), kind), (0, ErrorKind::TimedOut), "{name}");
            let kind = write_to_error(&mut stream).await;
            assert_eq!(kind, ErrorKind::TimedOut, "{name}");
        }
        assert!(start.elapsed() >= IDLE, "after {:?}", start.elapsed());
    });
}

#[test]
fn a_peer_that_vanishes_times_out_both_halves_of_a_busy_stream() {
    watch::run(async move |log| {
        let config = Config::default().with_idle_timeout(IDLE);
        let network = Network::start(Pairing::NEW_TO_NEW, config)
            .await
            .expect("sockets and threads");
        let acceptor = network.server.acceptor_addr().expect("bound");
        let relay = Relay::start(acceptor, Impairments::NONE).expect("a relay");
        log.watch("relay", relay.state());
        let opened = network.client.connect(&network.server, relay.addr()).await;
        let mut client = opened.expect("a stream");
        let (mut server, _peer) = network.server.accept().await.expect("a stream");
        client
            .write_all_from(&mut &b"ping"[..])
            .await
            .expect("open");
        let mut bytes = [0; 4];
        server.read_into(&mut &mut bytes[..]).await.expect("open");

        relay.set_impairments(Impairments::BLACKHOLE);
        log.note("the network is gone");
        let writing = tokio::spawn(async move {
            let kind = write_to_error(&mut client).await;
            (kind, client)
        });
        let (_, kind) = read_to_error(&mut server).await.expect("no clean end");
        assert_eq!(kind, ErrorKind::TimedOut, "the server's reader");
        let (kind, mut client) = writing.await.expect("no panic");
        assert_eq!(kind, ErrorKind::TimedOut, "the client's writer");
        let (_, kind) = read_to_error(&mut client).await.expect("no clean end");
        assert_eq!(kind, ErrorKind::TimedOut, "the client's reader");
        assert!(relay.counts().dropped > 0);
    });
}

#[test]
fn traffic_on_one_half_keeps_the_other_from_timing_out() {
    // four times the pause, so that a busy machine does not look like silence
    let timeout = 4 * PAUSE;
    let config = Config::default().with_idle_timeout(timeout);
    between_new_peers(config, async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (mut client_reader, mut client_writer) = client.into_split();
        let (mut server_reader, mut server_writer) = server.into_split();
        let waiting = tokio::spawn(async move {
            receive(&mut client_reader, 100).await.expect("received");
        });
        let start = Instant::now();
        while start.elapsed() < 2 * timeout {
            client_writer
                .write_all_from(&mut &b"x"[..])
                .await
                .expect("kept alive");
            let mut byte = [0; 1];
            let read = server_reader.read_into(&mut &mut byte[..]).await;
            assert_eq!((read.expect("kept alive"), byte), (1, *b"x"));
            tokio::time::sleep(PAUSE).await;
        }
        send(&mut server_writer, Payload::new(3, 100))
            .await
            .expect("kept alive");
        waiting.await.expect("the client's reader was kept alive");
    });
}

const PAUSE: Duration = Duration::from_millis(500);

#[test]
fn an_aborted_transfer_frees_what_it_held() {
    between_new_peers(Config::default(), async move |network, _log| {
        // each leaves a megabyte under way; later streams must not pay for it
        for _ in 0..20 {
            let (client, mut server) = network.pair().await.expect("a stream");
            let (client_reader, mut writer) = client.into_split();
            let writing = tokio::spawn(async move {
                let _ = send(&mut writer, Payload::new(1, MB)).await;
            });
            read_some(&mut server).await;
            drop(server);
            writing.await.expect("no panic");
            drop(client_reader);
        }
        let acceptor = network.server.acceptor_addr().expect("bound");
        let answering = tokio::spawn(transfer::serve_rpcs(network.server.clone()));
        transfer::rpcs(&network.client, &network.server, acceptor, 50, 1000)
            .await
            .expect("responses");
        answering.abort();
    });
}

async fn read_some(stream: &mut Stream) {
    let mut bytes = [0; 100];
    let read = stream.read_into(&mut &mut bytes[..]).await.expect("open");
    assert_ne!(read, 0);
}
