// SPDX-License-Identifier: Apache-2.0

//! All or nothing, over a kernel that follows a script.

use super::*;
use crate::socket::udp::stats::{Errors, Snapshot};
use bolero::check;
use s2n_quic_core::inet::ExplicitCongestionNotification::{self, Ect0, NotEct};
use std::{collections::VecDeque, net::SocketAddr, os::fd::AsFd, sync::Mutex};

/// What the kernel answers to one call.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Fail(Errno),
    /// Take this many messages, even if there are more.
    Take(usize),
}
use Answer::{Fail, Take};

/// A kernel that answers from a script and then takes everything, and keeps what it took.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<Call>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    control: Control,
    /// Address and bytes of each message that was taken.
    taken: Vec<(SocketAddr, Vec<u8>)>,
}

impl Kernel for Script {
    fn submit(
        &self,
        _fd: BorrowedFd<'_>,
        batch: &[Gather<'_>],
        control: Control,
    ) -> io::Result<usize> {
        assert!((1..=BATCH).contains(&batch.len()));
        let answer = self.answers.lock().unwrap().pop_front();
        let taken = match answer {
            Some(Fail(errno)) => {
                let taken = Vec::new();
                self.calls.lock().unwrap().push(Call { control, taken });
                return Err(errno.into());
            }
            Some(Take(count)) => &batch[..count.min(batch.len())],
            None => batch,
        };
        let bytes = |message: &Gather<'_>| message.payload.concat_bytes();
        let taken = taken.iter().map(|message| (message.addr, bytes(message)));
        let taken: Vec<_> = taken.collect();
        let count = taken.len();
        self.calls.lock().unwrap().push(Call { control, taken });
        Ok(count)
    }
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for [IoSlice<'_>] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|part| part.iter().copied()).collect()
    }
}

/// A transmitter on a script, with a descriptor that nothing is done with.
struct Fixture {
    transmitter: Transmitter<Script>,
    file: std::net::UdpSocket,
}

impl Fixture {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Script::default();
        script.answers.lock().unwrap().extend(answers);
        Self {
            transmitter: Transmitter::new(script, Family::V4),
            file: std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback"),
        }
    }

    fn send(&self, message: &Gather<'_>) -> io::Result<()> {
        self.transmitter.send(self.file.as_fd(), message)
    }

    fn send_many(&self, messages: &[Gather<'_>]) -> (usize, Option<Errno>) {
        let (sent, error) = self.transmitter.send_many(self.file.as_fd(), messages);
        (sent, error.as_ref().and_then(errno))
    }

    fn calls(&self) -> Vec<Call> {
        self.transmitter.kernel.calls.lock().unwrap().clone()
    }

    /// The packets that have left, as the network sees them.
    fn packets(&self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for call in self.calls() {
            for (_, bytes) in call.taken {
                let len = call.control.segment_len.map_or(bytes.len(), usize::from);
                packets.extend(bytes.chunks(len).map(<[u8]>::to_vec));
            }
        }
        packets
    }

    fn stats(&self) -> Snapshot {
        self.transmitter.stats().snapshot()
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

fn gather<'a>(segment_len: usize, payload: &'a [IoSlice<'a>]) -> Gather<'a> {
    Gather {
        addr: ([192, 0, 2, 1], 7).into(),
        ecn: Ect0,
        segment_len,
        payload,
    }
}

/// Bytes in which every packet differs from its neighbours.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 + i) as u8).collect()
}

#[test]
fn a_batch_goes_with_one_call() {
    let bytes = bytes(44 * 1450);
    let payload = [IoSlice::new(&bytes)];
    let fixture = Fixture::new([]);
    fixture.send(&gather(1450, &payload)).expect("sent");
    let calls = fixture.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].control.segment_len, Some(1450));
    let stats = fixture.stats();
    assert_eq!((stats.sends, stats.segments_sent), (1, 44));
    assert_eq!(stats.bytes_sent, 44 * 1450);
}

#[test]
fn a_refused_batch_goes_packet_by_packet_and_the_caller_sees_success() {
    for refusal in [Errno::EIO, Errno::EMSGSIZE] {
        let bytes = bytes(3 * 1450 + 300);
        // the boundaries of the buffers are not those of the packets
        let (head, tail) = bytes.split_at(2000);
        let payload = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)];
        let fixture = Fixture::new([Fail(refusal)]);
        assert_eq!(fixture.transmitter.max_segments(), 44);

        fixture.send(&gather(1450, &payload)).expect("sent singly");
        assert!(fixture.packets().iter().eq(bytes.chunks(1450)));
        assert_eq!(fixture.calls()[1].control.segment_len, None);
        assert_eq!(fixture.transmitter.max_segments(), 1);

        // it is remembered: the next batch is not tried whole
        fixture.send(&gather(1450, &payload)).expect("sent singly");
        let calls = fixture.calls();
        assert_eq!(calls.len(), 3);
        assert!(calls[2].control.segment_len.is_none() && calls[2].taken.len() == 4);

        let stats = fixture.stats();
        let refusals = stats.send_errors.io + stats.send_errors.too_large;
        assert_eq!((stats.segments_sent, refusals), (8, 1));
        assert_eq!(stats.segments_abandoned, 0);
    }
}

#[test]
fn a_single_packet_that_is_refused_says_nothing_about_segmentation() {
    for refusal in [Errno::EIO, Errno::EMSGSIZE] {
        let bytes = bytes(1450);
        let payload = [IoSlice::new(&bytes)];
        let fixture = Fixture::new([Fail(refusal)]);
        let error = fixture.send(&gather(1450, &payload)).unwrap_err();
        assert_eq!(errno(&error), Some(refusal));
        assert_eq!(fixture.transmitter.max_segments(), 44);
        assert_eq!(fixture.calls().len(), 1);
    }
}

#[test]
fn segmentation_stays_on_if_the_packets_are_refused_alone_too() {
    let bytes = bytes(2 * 9000);
    let payload = [IoSlice::new(&bytes)];
    let fixture = Fixture::new([Fail(Errno::EMSGSIZE), Fail(Errno::EMSGSIZE)]);
    let error = fixture.send(&gather(9000, &payload)).unwrap_err();
    assert_eq!(errno(&error), Some(Errno::EMSGSIZE));
    assert_eq!(fixture.transmitter.max_segments(), 44);
    assert!(fixture.packets().is_empty());
}

#[test]
fn would_block_on_the_first_single_packet_means_that_nothing_was_sent() {
    let bytes = bytes(3 * 1450);
    let payload = [IoSlice::new(&bytes)];
    let fixture = Fixture::new([Fail(Errno::EIO), Fail(Errno::EAGAIN)]);
    let error = fixture.send(&gather(1450, &payload)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(fixture.packets().is_empty());
    // the same message again, as the contract says
    fixture.send(&gather(1450, &payload)).expect("sent");
    assert!(fixture.packets().iter().eq(bytes.chunks(1450)));
}

#[test]
fn a_failure_after_the_first_single_packet_is_left_to_loss_recovery_and_counted() {
    for late in [Errno::EAGAIN, Errno::ENOBUFS] {
        let bytes = bytes(5 * 1450);
        let payload = [IoSlice::new(&bytes)];
        let fixture = Fixture::new([Fail(Errno::EIO), Take(2), Fail(late)]);
        fixture
            .send(&gather(1450, &payload))
            .expect("counts as sent");
        assert!(fixture.packets().iter().eq(bytes.chunks(1450).take(2)));
        assert_eq!(fixture.stats().segments_abandoned, 3);
        assert_eq!(fixture.stats().segments_sent, 2);
        assert_eq!(fixture.transmitter.max_segments(), 1);
    }
}

#[test]
fn an_interrupted_run_of_single_packets_goes_on_where_it_stopped() {
    let bytes = bytes(44 * 100);
    let payload = [IoSlice::new(&bytes)];
    let fixture = Fixture::new([Fail(Errno::EIO), Take(1), Take(40)]);
    fixture.send(&gather(100, &payload)).expect("sent");
    assert!(fixture.packets().iter().eq(bytes.chunks(100)));
    assert_eq!(fixture.stats().segments_abandoned, 0);
}

#[test]
fn would_block_sends_nothing_and_leaves_segmentation_on() {
    let bytes = bytes(3 * 1450);
    let payload = [IoSlice::new(&bytes)];
    let fixture = Fixture::new([Fail(Errno::EAGAIN)]);
    let error = fixture.send(&gather(1450, &payload)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(fixture.packets().is_empty());
    assert_eq!(fixture.transmitter.max_segments(), 44);
}

#[test]
fn a_kernel_that_takes_nothing_without_a_reason_counts_as_would_block() {
    let bytes = bytes(10);
    let payload = [IoSlice::new(&bytes)];
    let fixture = Fixture::new([Take(0)]);
    let error = fixture.send(&gather(1450, &payload)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn errors_are_counted_by_what_they_are() {
    let bytes = bytes(10);
    let payload = [IoSlice::new(&bytes)];
    let errnos = [
        Errno::EAGAIN,
        Errno::ENOBUFS,
        Errno::EPERM,
        Errno::EMSGSIZE,
        Errno::EIO,
        Errno::ECONNREFUSED,
        Errno::ENETUNREACH,
    ];
    let fixture = Fixture::new(errnos.map(Fail));
    for expected in errnos {
        let error = fixture.send(&gather(1450, &payload)).unwrap_err();
        assert_eq!(errno(&error), Some(expected));
    }
    let each_once = Errors {
        would_block: 1,
        no_buffers: 1,
        not_permitted: 1,
        too_large: 1,
        io: 1,
        refused: 1,
        other: 1,
    };
    assert_eq!(fixture.stats().send_errors, each_once);
    assert_eq!(fixture.stats().sends, 0);
}

#[test]
fn messages_to_many_peers_share_a_call_if_they_share_ancillary_data() {
    let bytes = bytes(3000);
    let (single, double) = ([IoSlice::new(&bytes[..1000])], [IoSlice::new(&bytes)]);
    let mut messages = Vec::new();
    for port in 1..=3 {
        let addr = ([192, 0, 2, 1], port).into();
        // a lone packet is the same whatever the length that it was cut for
        let segment_len = 1000 + usize::from(port);
        messages.push(Gather {
            addr,
            ..gather(segment_len, &single)
        });
    }
    for port in 4..=5 {
        let addr = ([192, 0, 2, 1], port).into();
        messages.push(Gather {
            addr,
            ..gather(1500, &double)
        });
    }
    messages.push(gather(1600, &double));
    messages.push(Gather {
        ecn: NotEct,
        ..gather(1600, &double)
    });

    let fixture = Fixture::new([]);
    assert_eq!(fixture.send_many(&messages), (7, None));
    let calls = fixture.calls();
    let sizes: Vec<usize> = calls.iter().map(|call| call.taken.len()).collect();
    assert_eq!(sizes, [3, 2, 1, 1]);
    let lens: Vec<_> = calls.iter().map(|call| call.control.segment_len).collect();
    assert_eq!(lens, [None, Some(1500), Some(1600), Some(1600)]);
    let marks: Vec<ExplicitCongestionNotification> =
        calls.iter().map(|call| call.control.ecn).collect();
    assert_eq!(marks, [Ect0, Ect0, Ect0, NotEct]);
    let ports = calls.iter().flat_map(|call| &call.taken);
    let ports: Vec<u16> = ports.map(|(addr, _)| addr.port()).collect();
    assert_eq!(ports, [1, 2, 3, 4, 5, 7, 7]);
}

#[test]
fn more_messages_than_one_call_takes_all_go() {
    let bytes = bytes(100);
    let payload = [IoSlice::new(&bytes)];
    let messages = [gather(100, &payload); 2 * BATCH + 1];
    let fixture = Fixture::new([]);
    assert_eq!(fixture.send_many(&messages), (2 * BATCH + 1, None));
    assert_eq!(fixture.calls().len(), 3);
    assert_eq!(fixture.send_many(&[]), (0, None));
}

#[test]
fn of_many_messages_those_before_the_failed_one_are_sent() {
    let bytes = bytes(100);
    let payload = [IoSlice::new(&bytes)];
    let messages = [gather(100, &payload); 5];
    let fixture = Fixture::new([Take(2), Fail(Errno::EAGAIN)]);
    assert_eq!(fixture.send_many(&messages), (2, Some(Errno::EAGAIN)));
    assert_eq!(fixture.packets().len(), 2);
}

#[test]
fn of_many_messages_a_refused_batch_is_recovered_in_its_place() {
    let bytes = bytes(2000);
    let payload = [IoSlice::new(&bytes)];
    let messages = [gather(1000, &payload); 3];
    let fixture = Fixture::new([Take(1), Fail(Errno::EIO)]);
    assert_eq!(fixture.send_many(&messages), (3, None));
    assert_eq!(fixture.packets().concat(), bytes.repeat(3));
    assert_eq!(fixture.transmitter.max_segments(), 1);
    assert_eq!(fixture.stats().send_errors.io, 1);
}

#[test]
fn a_message_beyond_the_limits_is_refused_before_it_reaches_the_kernel() {
    let bytes = bytes(MAX_TOTAL + 1);
    let whole = [IoSlice::new(&bytes)];
    let many = [IoSlice::new(&bytes[..1]); MAX_SEGMENTS + 1];
    let empty = [IoSlice::new(&[])];
    let small = [IoSlice::new(&bytes[..45])];
    let v6 = Gather {
        addr: "[2001:db8::1]:7".parse().expect("an address"),
        ..gather(45, &small)
    };
    let invalid = [
        gather(8973, &whole),
        gather(1450, &many),
        gather(1450, &empty),
        gather(1, &small),
        gather(0, &small),
        v6,
    ];
    let fixture = Fixture::new([]);
    for message in invalid {
        let error = fixture.send(&message).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{message:?}");
        // a valid one before it goes, and the error belongs to the one that is not
        let messages = [gather(45, &small), message];
        let (sent, error) = fixture
            .transmitter
            .send_many(fixture.file.as_fd(), &messages);
        assert_eq!(sent, 1);
        assert_eq!(
            error.map(|error| error.kind()),
            Some(io::ErrorKind::InvalidInput)
        );
    }
}

#[test]
fn the_largest_message_is_cut_without_running_out_of_parts() {
    // as many buffers as allowed, none of which ends with a packet
    let bytes = bytes(44 * 1000);
    let mut payload: Vec<_> = bytes[..43 * 999].chunks(999).map(IoSlice::new).collect();
    payload.push(IoSlice::new(&bytes[43 * 999..]));
    assert_eq!(payload.len(), MAX_SEGMENTS);
    let fixture = Fixture::new([Fail(Errno::EIO)]);
    fixture.send(&gather(1000, &payload)).expect("sent");
    assert!(fixture.packets().iter().eq(bytes.chunks(1000)));
}

#[test]
fn packets_are_the_same_whole_and_single() {
    check!()
        .with_type::<(u16, Vec<u16>)>()
        .for_each(|(segment_len, lens)| {
            let buffers: Vec<Vec<u8>> = lens
                .iter()
                .map(|len| bytes(usize::from(len % 3000)))
                .collect();
            let payload: Vec<_> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
            let total: usize = payload.iter().map(|part| part.len()).sum();
            let segment_len = usize::from(*segment_len).max(total / MAX_SEGMENTS);
            let message = gather(segment_len, &payload);
            let (whole, single) = (Fixture::new([]), Fixture::new([Fail(Errno::EIO)]));
            let sent = whole.send(&message).is_ok();
            if message.segments() != 1 {
                assert_eq!(single.send(&message).is_ok(), sent);
            } else {
                return;
            }
            assert_eq!(whole.packets(), single.packets());
            if sent {
                assert_eq!(whole.packets().concat(), payload.concat_bytes());
            }
        });
}
