// SPDX-License-Identifier: Apache-2.0

//! The system calls over loopback, with both address families and across them.

use super::*;
use crate::{
    msg::{
        segment,
        send::{Builder, Message},
    },
    socket::{
        io::Truncated,
        pool::{Class, Config, Pool, Purpose},
        waker::{Interest, Parker},
    },
};
use s2n_quic_core::inet::ExplicitCongestionNotification::{self, Ce, Ect0, Ect1, NotEct};
use std::io::IoSlice;

fn bind(addr: &str) -> io::Result<UdpSocket> {
    UdpSocket::new(std::net::UdpSocket::bind(addr)?)
}

fn v4() -> UdpSocket {
    bind("127.0.0.1:0").expect("IPv4 loopback")
}

/// A socket bound to an IPv6 address, or `None` where there is no IPv6.
fn v6(addr: &str) -> Option<UdpSocket> {
    let socket = bind(addr);
    if let Err(error) = &socket {
        eprintln!("skipped: no socket on {addr}: {error}");
    }
    socket.ok()
}

/// Sockets that can reach each other, for each family there is.
fn pairs() -> Vec<(UdpSocket, UdpSocket)> {
    let mut pairs = vec![(v4(), v4())];
    if let (Some(a), Some(b)) = (v6("[::1]:0"), v6("[::1]:0")) {
        pairs.push((a, b));
    }
    pairs
}

fn addr(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("bound")
}

/// Sleeps until something arrives and receives it.
fn recv(socket: &UdpSocket, payload: &mut [u8]) -> io::Result<Received> {
    let parker = Parker::new().expect("a descriptor is to be had");
    loop {
        match socket.recv(payload) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let wait = Some((socket.as_fd(), Interest::Readable));
                parker.park(wait, None).expect("an open socket");
            }
            result => return result,
        }
    }
}

/// Receives packets until they hold `total_len` bytes, however the kernel has joined them.
fn recv_packets(socket: &UdpSocket, total_len: usize) -> Vec<Vec<u8>> {
    let mut payload = vec![0; 65_535];
    let mut packets = Vec::new();
    let mut len = 0;
    while len < total_len {
        let received = recv(socket, &mut payload).expect("something arrives");
        let bytes = &payload[..received.len];
        packets.extend(bytes.chunks(received.segment_len).map(<[u8]>::to_vec));
        len += received.len;
    }
    packets
}

/// Bytes in which every packet differs from its neighbours.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 251 + i) as u8).collect()
}

fn gather<'a>(
    to: &UdpSocket,
    ecn: ExplicitCongestionNotification,
    segment_len: usize,
    payload: &'a [IoSlice<'a>],
) -> Gather<'a> {
    Gather {
        addr: addr(to),
        ecn,
        segment_len,
        payload,
    }
}

#[test]
fn a_full_batch_arrives_as_its_packets() {
    for (sender, receiver) in pairs() {
        let bytes = bytes(44 * 1450);
        // from several descriptors, as coalesced messages are
        let payload: Vec<_> = bytes.chunks(11 * 1450).map(IoSlice::new).collect();
        let message = gather(&receiver, Ect0, 1450, &payload);
        sender.send(&message).expect("sent");
        let packets = recv_packets(&receiver, bytes.len());
        assert!(packets.iter().eq(bytes.chunks(1450)));

        let sent = sender.stats();
        assert_eq!((sent.segments_sent, sent.bytes_sent), (44, 44 * 1450));
        let received = receiver.stats();
        assert_eq!(received.segments_received, 44);
        assert_eq!(received.bytes_received, 44 * 1450);
        if sender.max_segments() == segment::MAX_SEGMENTS {
            assert_eq!(sent.sends, 1);
        }
    }
}

#[test]
fn a_train_is_received_with_its_segment_length() {
    for (sender, receiver) in pairs() {
        if !receiver.joins_on_receive() {
            eprintln!("skipped: this kernel does not join packets on receive");
            return;
        }
        let bytes = bytes(20 * 1450 + 17);
        let payload = [IoSlice::new(&bytes)];
        let message = gather(&receiver, Ect0, 1450, &payload);
        sender.send(&message).expect("sent");
        let mut buffer = vec![0; 65_535];
        let received = recv(&receiver, &mut buffer).expect("something arrives");
        let expected = Received {
            len: bytes.len(),
            segment_len: 1450,
            addr: addr(&sender),
            ecn: Ect0,
        };
        assert_eq!(received, expected);
        assert_eq!(buffer[..received.len], bytes);
    }
}

#[test]
fn the_largest_batch_of_either_family_is_accepted() {
    for (sender, receiver) in pairs() {
        for segment_len in [1490, 8973] {
            let bytes = bytes(segment::MAX_TOTAL);
            let payload = [IoSlice::new(&bytes)];
            let message = gather(&receiver, NotEct, segment_len, &payload);
            sender.send(&message).expect("sent");
            let packets = recv_packets(&receiver, bytes.len());
            assert!(packets.iter().eq(bytes.chunks(segment_len)));
        }
    }
}

#[test]
fn a_short_last_packet_arrives_short() {
    for (sender, receiver) in pairs() {
        let bytes = bytes(3 * 1200 + 1);
        let payload = [IoSlice::new(&bytes)];
        let message = gather(&receiver, NotEct, 1200, &payload);
        sender.send(&message).expect("sent");
        let packets = recv_packets(&receiver, bytes.len());
        assert!(packets.iter().eq(bytes.chunks(1200)));
    }
}

#[test]
fn a_single_packet_is_its_own_segment() {
    for (sender, receiver) in pairs() {
        let bytes = bytes(700);
        let payload = [IoSlice::new(&bytes)];
        let message = gather(&receiver, NotEct, 1450, &payload);
        sender.send(&message).expect("sent");
        let mut buffer = [0; 2048];
        let received = recv(&receiver, &mut buffer).expect("something arrives");
        assert_eq!((received.len, received.segment_len), (700, 700));
        assert_eq!(received.addr, addr(&sender));
    }
}

#[test]
fn every_mark_arrives_on_single_packets_and_on_batches() {
    for (sender, receiver) in pairs() {
        let bytes = bytes(2400);
        let payload = [IoSlice::new(&bytes)];
        for ecn in [NotEct, Ect0, Ect1, Ce] {
            for segment_len in [1200, 2400] {
                let message = gather(&receiver, ecn, segment_len, &payload);
                sender.send(&message).expect("sent");
                let mut left = bytes.len();
                while left > 0 {
                    let mut buffer = [0; 4096];
                    let received = recv(&receiver, &mut buffer).expect("something arrives");
                    assert_eq!(received.ecn, ecn);
                    left -= received.len;
                }
            }
        }
    }
}

#[test]
fn a_dual_stack_socket_talks_to_v4_peers_by_their_v4_address() {
    let Some(dual) = v6("[::]:0") else { return };
    let plain = v4();
    let port = addr(&dual).port();
    let bytes = bytes(2 * 1200);
    let payload = [IoSlice::new(&bytes)];
    let mut buffer = [0; 4096];

    // both forms of the address reach the peer, with the mark and in packets
    let mapped = format!("[::ffff:127.0.0.1]:{}", addr(&plain).port());
    for form in [addr(&plain), mapped.parse().expect("an address")] {
        let message = Gather {
            addr: form,
            ..gather(&plain, Ect0, 1200, &payload)
        };
        dual.send(&message).expect("sent");
        let received = recv(&plain, &mut buffer).expect("something arrives");
        assert_eq!((received.ecn, received.segment_len), (Ect0, 1200));
        let from = SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(received.addr, from);
        if received.len < bytes.len() {
            recv(&plain, &mut buffer).expect("the second packet");
        }
    }

    let to_dual = Gather {
        addr: ([127, 0, 0, 1], port).into(),
        ..gather(&plain, Ect1, 1200, &payload)
    };
    plain.send(&to_dual).expect("sent");
    let received = recv(&dual, &mut buffer).expect("something arrives");
    assert_eq!((received.addr, received.ecn), (addr(&plain), Ect1));
}

#[test]
fn a_v6_peer_on_a_v4_socket_is_invalid_input() {
    let bytes = bytes(10);
    let payload = [IoSlice::new(&bytes)];
    let socket = v4();
    let message = Gather {
        addr: "[::1]:7".parse().expect("an address"),
        ..gather(&socket, NotEct, 10, &payload)
    };
    let error = socket.send(&message).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(socket.stats(), Snapshot::default(), "no call was made");
}

#[test]
fn many_messages_reach_their_peers_in_order() {
    for (sender, first) in pairs() {
        let Ok(second) = bind(&format!("{}:0", bracketed(addr(&first)))) else {
            continue;
        };
        let bytes = bytes(3 * 1000);
        let parts: Vec<_> = bytes.chunks(1000).map(IoSlice::new).collect();
        let messages = [
            gather(&first, Ect0, 1000, &parts[..1]),
            gather(&second, Ect0, 1000, &parts[1..2]),
            gather(&first, Ect0, 1000, &parts[2..]),
            gather(&second, Ect0, 1000, &parts),
        ];
        let (sent, error) = sender.send_many(&messages);
        assert!(sent == 4 && error.is_none(), "{error:?}");
        assert_eq!(recv_packets(&first, 2000), [&bytes[..1000], &bytes[2000..]]);
        let packets = recv_packets(&second, 4000);
        assert_eq!(packets[0], bytes[1000..2000]);
        assert_eq!(packets[1..].concat(), bytes);
        if sender.max_segments() > 1 {
            // three that are single packets, and one that is not
            assert_eq!(sender.stats().sends, 2);
        }
    }
}

fn bracketed(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// A message of `full` packets of 1200 bytes and, if it is not empty, a short one.
fn message(pool: &Pool, to: &UdpSocket, full: usize, short: usize) -> Message {
    let unfilled = pool.alloc(Class::Burst, Purpose::Data).expect("room");
    let mut builder = Builder::new(unfilled, 1200).expect("fits");
    for len in std::iter::repeat_n(1200, full).chain([short]) {
        let seed = full + builder.segments();
        let write = |buffer: &mut [u8]| {
            buffer[..len].fill(seed as u8);
            len
        };
        builder.push(write).expect("room");
    }
    builder.finish(addr(to), Ect0).expect("packets were pushed")
}

#[test]
fn messages_from_the_pool_that_coalesce_leave_with_one_call_and_arrive_as_their_packets() {
    let pool = Pool::new(Config::default()).expect("valid");
    for (sender, receiver) in pairs() {
        let streams = [
            message(&pool, &receiver, 20, 0),
            message(&pool, &receiver, 3, 0),
            message(&pool, &receiver, 10, 500),
        ];
        let mut open = streams[0].extent();
        for next in &streams[1..] {
            let joined = open.coalesce(&next.extent(), segment::MAX_SEGMENTS);
            open = joined.expect("they agree and fit");
        }
        let payload = streams.each_ref().map(|m| IoSlice::new(m.payload()));
        let joined = gather(&receiver, open.ecn, open.segment_len, &payload);
        assert_eq!(joined.segments(), 34);
        sender.send(&joined).expect("sent");
        if sender.max_segments() > 1 {
            assert_eq!(sender.stats().sends, 1);
        }
        let packets = recv_packets(&receiver, open.total_len);
        let expected = streams.iter().flat_map(Message::segments);
        assert!(packets.iter().eq(expected));
    }
    assert_eq!(pool.stats().in_use_bytes, 0, "all went home");
}

#[test]
fn a_packet_lost_from_a_burst_is_sent_again_alone() {
    let pool = Pool::new(Config::default()).expect("valid");
    let (sender, receiver) = (v4(), v4());
    let burst = message(&pool, &receiver, 5, 300);
    for (index, len) in [(2, 1200), (5, 300)] {
        let copy = burst.copy_segment(index, &pool, Purpose::Data);
        let (copy, copied) = copy.expect("room");
        let copy = copy.fill(copied).expect("fits");
        let payload = [IoSlice::new(&copy)];
        let alone = gather(&receiver, Ect0, burst.segment_len(), &payload);
        sender.send(&alone).expect("sent");
        let packets = recv_packets(&receiver, len);
        assert_eq!(packets.first().map(|p| &p[..]), burst.segment(index));
        assert_eq!(packets.len(), 1);
    }
}

#[test]
fn an_empty_socket_would_block() {
    let socket = v4();
    let error = socket.recv(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(!Truncated::is(&error));
    assert_eq!(socket.stats().recv_errors.would_block, 1);
}

#[test]
fn a_datagram_that_does_not_fit_is_an_error_of_its_own() {
    for (sender, receiver) in pairs() {
        let bytes = bytes(100);
        let payload = [IoSlice::new(&bytes)];
        for _ in 0..2 {
            let message = gather(&receiver, NotEct, 100, &payload);
            sender.send(&message).expect("sent");
        }
        let error = recv(&receiver, &mut [0; 99]).unwrap_err();
        assert!(Truncated::is(&error), "{error}");
        assert_eq!(receiver.stats().recv_errors.other, 1);
        // it is gone, and the next one is whole
        let received = recv(&receiver, &mut [0; 100]).expect("the second datagram");
        assert_eq!(received.len, 100);
    }
}

#[test]
fn an_empty_datagram_is_received_as_no_bytes() {
    let receiver = v4();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    sender.send_to(&[], addr(&receiver)).expect("sent");
    let received = recv(&receiver, &mut [0; 10]).expect("something arrives");
    assert_eq!((received.len, received.segment_len), (0, 1));
    assert_eq!(receiver.stats().segments_received, 1);
}

#[test]
fn the_largest_single_datagram_is_accepted() {
    let (sender, receiver) = (v4(), v4());
    let bytes = bytes(segment::MAX_TOTAL);
    let payload = [IoSlice::new(&bytes)];
    let message = gather(&receiver, NotEct, segment::MAX_TOTAL, &payload);
    sender.send(&message).expect("sent");
    assert_eq!(recv_packets(&receiver, bytes.len()), [bytes]);
    assert_eq!(sender.max_segments(), segment::MAX_SEGMENTS);
}

#[test]
fn the_socket_is_object_safe_and_shared_between_threads() {
    let socket: std::sync::Arc<dyn Socket> = std::sync::Arc::new(v4());
    let other = std::sync::Arc::clone(&socket);
    let thread = std::thread::spawn(move || other.local_addr().expect("bound"));
    let addr = thread.join().expect("no panic");
    assert_eq!(addr, socket.local_addr().expect("bound"));
}

#[test]
fn the_backlog_is_what_waits_in_the_receive_buffer() {
    for (sender, receiver) in pairs() {
        let empty = receiver.backlog().expect("the kernel tells");
        assert_eq!(empty.held, 0);
        let granted = nix::sys::socket::getsockopt(&receiver, nix::sys::socket::sockopt::RcvBuf);
        assert_eq!(empty.capacity, granted.expect("an open socket"));

        let bytes = bytes(20 * 1200);
        let payload = [IoSlice::new(&bytes)];
        let message = gather(&receiver, Ect0, 1200, &payload);
        sender.send(&message).expect("sent");
        let parker = Parker::new().expect("a descriptor is to be had");
        let wait = Some((receiver.as_fd(), Interest::Readable));
        parker.park(wait, None).expect("an open socket");
        let full = receiver.backlog().expect("the kernel tells");
        assert_eq!(full.capacity, empty.capacity);
        assert!(full.held >= 1200, "{full:?}");
        recv_packets(&receiver, bytes.len());
        assert!(receiver.backlog().expect("the kernel tells").held < full.held);
    }
}
