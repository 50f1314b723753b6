// SPDX-License-Identifier: Apache-2.0

//! Reading and writing on a stream that is well.

use super::between_new_peers;
use bytes::{Bytes, BytesMut};
use s2n_quic_core::buffer::reader::storage;
use s2n_quic_dc_tests::{
    endpoint::Config,
    payload::Payload,
    transfer::{receive, receive_end, send},
};
use std::io::ErrorKind;

#[test]
fn a_read_after_the_end_is_zero_again_and_again() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, mut server) = network.pair().await.expect("a stream");
        client
            .write_all_from_fin(&mut &b"all"[..])
            .await
            .expect("written");
        let mut bytes: Vec<u8> = Vec::new();
        while server.read_into(&mut bytes).await.expect("read") != 0 {}
        assert_eq!(bytes, b"all");
        for _ in 0..5 {
            assert_eq!(server.read_into(&mut bytes).await.expect("the end"), 0);
        }
        assert_eq!(bytes, b"all");
    });
}

#[test]
fn a_read_that_got_bytes_returns_them_before_the_end() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, mut server) = network.pair().await.expect("a stream");
        client
            .write_all_from_fin(&mut &b"0123456789"[..])
            .await
            .expect("written");
        // one byte at a time: the end must neither hide bytes nor come early
        let mut all = Vec::new();
        loop {
            let mut byte = [0; 1];
            match server.read_into(&mut &mut byte[..]).await.expect("read") {
                0 => break,
                _ => all.push(byte[0]),
            }
        }
        assert_eq!(all, b"0123456789");
    });
}

#[test]
fn a_write_after_shutdown_is_a_broken_pipe_unless_it_is_empty_and_final() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (_reader, mut writer) = client.into_split();
        writer.shutdown().expect("shut down");

        let error = writer.write_from(&mut &b"late"[..]).await;
        assert_eq!(
            error.expect_err("it is shut down").kind(),
            ErrorKind::BrokenPipe
        );
        let error = writer.write_all_from_fin(&mut &b"late"[..]).await;
        assert_eq!(
            error.expect_err("it is shut down").kind(),
            ErrorKind::BrokenPipe
        );
        let error = writer.write_from(&mut storage::Empty).await;
        assert_eq!(
            error.expect_err("it is shut down").kind(),
            ErrorKind::BrokenPipe
        );
        for _ in 0..3 {
            let written = writer.write_from_fin(&mut storage::Empty).await;
            assert_eq!(written.expect("nothing to write"), 0);
        }

        let (mut reader, _writer) = server.into_split();
        receive_end(&mut reader).await.expect("no late bytes");
    });
}

#[test]
fn a_write_after_a_final_write_is_a_broken_pipe() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (_reader, mut writer) = client.into_split();
        send(&mut writer, Payload::new(1, 5000))
            .await
            .expect("sent");
        let error = writer.write_from(&mut &b"late"[..]).await;
        assert_eq!(
            error.expect_err("the end was written").kind(),
            ErrorKind::BrokenPipe
        );
        let (mut reader, _writer) = server.into_split();
        receive(&mut reader, 5000).await.expect("what was sent");
    });
}

#[test]
fn shutting_down_twice_is_fine() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (_reader, mut writer) = client.into_split();
        writer
            .write_all_from(&mut &b"x"[..])
            .await
            .expect("written");
        writer.shutdown().expect("shut down");
        writer.shutdown().expect("shut down already");
        drop(writer);
        let (mut reader, _writer) = server.into_split();
        let mut bytes: Vec<u8> = Vec::new();
        while reader.read_into(&mut bytes).await.expect("read") != 0 {}
        assert_eq!(bytes, b"x");
    });
}

#[test]
fn bytes_written_then_shut_down_and_dropped_at_once_all_arrive() {
    between_new_peers(Config::default(), async move |network, _log| {
        for _ in 0..20 {
            let (client, server) = network.pair().await.expect("a stream");
            let (client_reader, mut writer) = client.into_split();
            let payload = Payload::new(9, 50_000);
            writer
                .write_all_from(&mut Bytes::from(payload.to_vec()))
                .await
                .expect("written");
            writer.shutdown().expect("shut down");
            drop(writer);
            let (mut reader, _writer) = server.into_split();
            let received = receive(&mut reader, payload.len()).await;
            assert_eq!(received, Ok(payload));
            drop(client_reader);
        }
    });
}

#[test]
fn a_dropped_writer_is_a_clean_end() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (_client_reader, mut writer) = client.into_split();
        writer
            .write_all_from(&mut &b"ok"[..])
            .await
            .expect("written");
        drop(writer);
        let (mut reader, _writer) = server.into_split();
        let mut bytes: Vec<u8> = Vec::new();
        while reader.read_into(&mut bytes).await.expect("a clean end") != 0 {}
        assert_eq!(bytes, b"ok");
    });
}

#[test]
fn an_empty_write_is_zero_and_adds_nothing() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, mut server) = network.pair().await.expect("a stream");
        for byte in *b"abc" {
            assert_eq!(
                client.write_from(&mut storage::Empty).await.expect("open"),
                0
            );
            client.write_all_from(&mut &[byte][..]).await.expect("open");
        }
        client
            .write_all_from_fin(&mut storage::Empty)
            .await
            .expect("open");
        let mut bytes: Vec<u8> = Vec::new();
        while server.read_into(&mut bytes).await.expect("read") != 0 {}
        assert_eq!(bytes, b"abc");
    });
}

#[test]
fn a_read_without_capacity_waits_for_a_packet_and_keeps_its_bytes() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (mut client, mut server) = network.pair().await.expect("a stream");
        let mut none: [u8; 0] = [];
        let mut no_room = &mut none[..];
        let mut kept = &b"kept"[..];
        // the read is there first, so that a packet is sure to come to it
        let (read, written) = tokio::join!(
            server.read_into(&mut no_room),
            client.write_all_from(&mut kept)
        );
        assert_eq!(read.expect("open"), 0);
        written.expect("open");
        let mut bytes = BytesMut::new();
        while bytes.len() < 4 {
            assert_ne!(server.read_into(&mut bytes).await.expect("open"), 0);
        }
        assert_eq!(&bytes[..], b"kept");
    });
}

#[test]
fn a_fresh_stream_reads_until_its_buffer_is_full_of_what_has_arrived() {
    between_new_peers(Config::default(), async move |network, _log| {
        let (client, server) = network.pair().await.expect("a stream");
        let (_client_reader, mut writer) = client.into_split();
        let payload = Payload::new(5, 20_000);
        let (mut reader, mut server_writer) = server.into_split();
        send(&mut writer, payload).await.expect("sent");

        // a read fills what it is given as long as there is more
        let mut out = vec![0; 20_000];
        let mut filled = 0;
        let mut reads = 0;
        while filled < out.len() {
            let read = reader.read_into(&mut &mut out[filled..]).await;
            let read = read.expect("open");
            assert_ne!(read, 0, "the end came after {filled} bytes");
            filled += read;
            reads += 1;
        }
        assert!(out == payload.to_vec());
        // fifteen packets came; one read for each would be the other mode
        assert!(reads <= 15, "{reads} reads");
        server_writer.shutdown().expect("shut down");
    });
}

#[test]
fn both_ends_name_the_same_secret_and_each_others_addresses() {
    between_new_peers(
        Config::default().with_one_socket(),
        async move |network, _log| {
            let client = network.connect().await.expect("a stream");
            let (server, peer) = network.server.accept().await.expect("a stream");
            let acceptor = network.server.acceptor_addr().expect("bound");
            assert_eq!(client.path_secret_id(), server.path_secret_id());
            assert_eq!(client.peer_addr().expect("open"), acceptor);
            assert_eq!(server.local_addr().expect("open"), acceptor);
            assert_eq!(server.peer_addr().expect("open"), peer);
            let local = client.local_addr().expect("open");
            assert_eq!(local.port(), peer.port());
        },
    );
}
