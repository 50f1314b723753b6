// SPDX-License-Identifier: Apache-2.0

//! Two simulated sockets: what is sent in batches, joined on receive, refused or cut off, as a kernel does it.

use super::*;
use crate::testing::{ext::*, sim};
use core::time::Duration;
use std::net::Ipv4Addr;

fn bind(joins: bool) -> SimSocket {
    let mut options = Options::new((Ipv4Addr::UNSPECIFIED, 0).into());
    options.gro = joins;
    SimSocket::bind(&options, segment::MAX_SEGMENTS).expect("bind")
}

/// What arrives of `messages`, each of which is bytes, a segment length and a mark
fn exchange(
    joins: bool,
    messages: &'static [(&'static [u8], usize, ExplicitCongestionNotification)],
    expect: &'static [(&'static [u8], usize)],
) {
    sim(|| {
        async move {
            let (from, to) = (bind(joins), bind(joins));
            for (bytes, segment_len, ecn) in messages {
                let payload = &[IoSlice::new(bytes)];
                from.send(&Gather {
                    addr: to.bound_to(),
                    ecn: *ecn,
                    segment_len: *segment_len,
                    payload,
                })
                .expect("send");
            }
            Duration::from_millis(10).sleep().await;
            let mut buffer = vec![0; 65_535];
            for (bytes, segment_len) in expect {
                let received = to.recv(&mut buffer).expect("receive");
                assert_eq!(&&buffer[..received.len], bytes);
                assert_eq!(received.segment_len, *segment_len);
                assert_eq!(received.addr, from.bound_to());
            }
            let error = to.recv(&mut buffer).expect_err("nothing is left");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let (sent, got) = (from.traffic().snapshot(), to.traffic().snapshot());
            assert_eq!(sent.sends, messages.len() as u64);
            assert_eq!(got.recvs, expect.len() as u64);
            assert_eq!(sent.segments_sent, got.segments_received);
        }
        .primary()
        .spawn();
    });
}

const ECT: ExplicitCongestionNotification = ExplicitCongestionNotification::Ect0;
const NOT: ExplicitCongestionNotification = ExplicitCongestionNotification::NotEct;

#[test]
fn a_batch_is_as_many_datagrams_as_it_has_packets() {
    let expect: &[(&[u8], usize)] = &[(b"abc", 3), (b"def", 3), (b"g", 1)];
    exchange(false, &[(b"abcdefg", 3, ECT)], expect);
}

#[test]
fn a_socket_that_cannot_segment_sends_the_packets_one_by_one() {
    sim(|| {
        async {
            let options = Options::new((Ipv4Addr::UNSPECIFIED, 0).into());
            let socket = SimSocket::bind(&options, 2).unwrap();
            let parts = [b"abcd", b"efgh"].map(|part| IoSlice::new(part));
            let message = Gather {
                addr: socket.bound_to(),
                ecn: ECT,
                segment_len: 3,
                payload: &parts,
            };
            socket.send(&message).unwrap();
            let sent = socket.traffic().snapshot();
            assert_eq!((sent.sends, sent.segments_sent), (2, 3));
            Duration::from_millis(10).sleep().await;
            let mut buffer = [0; 10];
            let received = socket.recv(&mut buffer).unwrap();
            assert_eq!(received.segment_len, 3);
            assert_eq!(buffer[..received.len], *b"abcdefgh");
        }
        .primary()
        .spawn();
    });
}

#[test]
fn what_arrived_together_is_received_together_up_to_a_short_packet() {
    let messages: &[(&[u8], usize, _)] = &[(b"abcdefg", 3, ECT), (b"hij", 3, ECT)];
    exchange(true, messages, &[(b"abcdefg", 3), (b"hij", 3)]);
}

#[test]
fn packets_of_another_mark_or_of_more_bytes_are_not_joined() {
    let messages: &[(&[u8], usize, _)] = &[(b"abc", 3, ECT), (b"def", 3, NOT), (b"ghij", 4, NOT)];
    exchange(true, messages, &[(b"abc", 3), (b"def", 3), (b"ghij", 4)]);
}

#[test]
fn messages_that_a_kernel_would_refuse_are_refused() {
    sim(|| {
        async {
            let socket = bind(true);
            let bytes = vec![0; segment::MAX_TOTAL + 1];
            let send = |len: usize, segment_len| {
                let payload = &[IoSlice::new(&bytes[..len])];
                let message = Gather {
                    addr: socket.bound_to(),
                    ecn: NOT,
                    segment_len,
                    payload,
                };
                socket.send(&message).map_err(|error| error.kind())
            };
            assert_eq!(send(0, 1), Err(io::ErrorKind::InvalidInput));
            assert_eq!(send(45, 1), Err(io::ErrorKind::InvalidInput));
            assert_eq!(send(44, 1), Ok(()));
            let longest = segment::MAX_TOTAL;
            assert_eq!(
                send(longest + 1, longest + 1),
                Err(io::ErrorKind::InvalidInput)
            );
            assert_eq!(send(longest, longest), Ok(()));
        }
        .primary()
        .spawn();
    });
}

#[test]
fn a_datagram_that_does_not_fit_is_gone() {
    sim(|| {
        async {
            let socket = bind(true);
            for byte in [b"aaa", b"bbb"] {
                let payload = &[IoSlice::new(byte)];
                let message = Gather {
                    addr: socket.bound_to(),
                    ecn: NOT,
                    segment_len: 3,
                    payload,
                };
                socket.send(&message).unwrap();
                Duration::from_millis(10).sleep().await;
                if byte == b"aaa" {
                    let error = socket.recv(&mut [0; 2]).unwrap_err();
                    assert!(Truncated::is(&error));
                }
            }
            let mut buffer = [0; 10];
            assert_eq!(socket.recv(&mut buffer).unwrap().len, 3);
            assert_eq!(buffer[..3], *b"bbb");
        }
        .primary()
        .spawn();
    });
}
