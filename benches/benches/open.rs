// SPDX-License-Identifier: Apache-2.0

//! Opening one full GSO batch: 44 datagrams of 1450 bytes, and 7 of 8950.
//!
//! Path measured: from the descriptor that the batch was received into to the application's buffer, by the functions that a
//! socket worker and a read call: the descriptor is cut with `Filled::into_segments`, each segment is classified by
//! `packet::Packet`, decoded by `packet::stream::decoder::Packet` and decrypted straight into the buffer; then the descriptor
//! goes home. See `batch.rs` beside the benches for the calls. `receive and decrypt` also takes the descriptor out of the
//! pool and makes the system call, `UdpSocket::recv` with receive offload, on a socket of loopback.
//!
//! Beside it the same batch as the `ceiling` of the comparison opens it, with nothing but a packet number in front: what `open/decrypt` takes more is
//! the wire format's, whatever else a transport does.
//!
//! Left out of `socket/recv/udp.rs` and `stream/recv/state/open.rs`: the inbox between worker and reader, the ranges to
//! acknowledge, the reassembler (packets are in order and the buffer has room, so it only counts), and events.
//!
//! The one rule: every batch that is opened is the whole one, and its bytes are those that were sealed. The lengths are
//! checked each time, the contents before and after; a packet that does not authenticate ends the bench.

use criterion::{criterion_group, criterion_main, BatchSize, BenchmarkId, Criterion, Throughput};
use s2n_quic_dc::{
    msg::send::Message,
    socket::{
        io::{Gather, Socket as _},
        pool::{Class, Config, Filled, Pool, Purpose, Unfilled},
        udp::UdpSocket,
    },
};
use s2n_quic_dc_benches::{
    batch::{datagrams, Opener, Secret, DATAGRAM_LENS},
    system::flood::Batch,
};
use s2n_quic_dc_perf::pattern::Pattern;
use std::{
    io::{self, IoSlice},
    net::{self, Ipv4Addr},
    thread,
    time::Duration,
};

/// A batch that was sealed, and what it takes to receive and open it.
struct Bench {
    pool: Pool,
    message: Message,
    opener: Opener,
    sender: UdpSocket,
    receiver: UdpSocket,
    /// The application's; larger than what is in a batch
    buffer: Vec<u8>,
    payload: Vec<u8>,
    /// Bytes of payload in the batch
    opened_len: usize,
}

impl Bench {
    fn new(datagram_len: usize) -> Self {
        let pool = Pool::new(Config::default()).expect("the default configuration is valid");
        let (sender, receiver) = (socket(), socket());
        let mut payload = vec![0; datagrams(datagram_len) * datagram_len];
        let len = payload.len();
        payload.copy_from_slice(Pattern::new(datagram_len as u64).bytes(0, len));
        let (mut sealer, opener) = Secret::new().open_stream();
        let to = receiver.local_addr().expect("it is bound");
        let message = sealer.seal(&pool, datagram_len, &payload, to);
        assert_eq!(message.segments().len(), datagrams(datagram_len));

        let mut bench = Self {
            pool,
            message,
            opener,
            sender,
            receiver,
            buffer: vec![0; payload.len()],
            payload,
            opened_len: 0,
        };
        let filled = bench.fill();
        bench.opened_len = bench.open(filled);
        bench.check();
        bench
    }

    fn alloc(&self) -> Unfilled {
        self.pool
            .alloc(Class::Burst, Purpose::Control)
            .expect("the bench stays below the ceiling")
    }

    /// A descriptor as it is after the batch was received.
    fn fill(&self) -> Filled {
        let mut descriptor = self.alloc();
        let sealed = self.message.payload();
        descriptor.as_mut_slice()[..sealed.len()].copy_from_slice(sealed);
        descriptor.fill(sealed.len()).expect("it fitted before")
    }

    fn send(&self) {
        let payload = [IoSlice::new(self.message.payload())];
        let batch = Gather {
            addr: self.message.addr(),
            ecn: self.message.ecn(),
            segment_len: self.message.segment_len(),
            payload: &payload,
        };
        self.sender.send(&batch).expect("loopback takes a batch");
    }

    /// Receives what is there, opens it at `start` of the buffer and returns how many bytes that were.
    fn receive(&mut self, start: usize) -> usize {
        let mut descriptor = self.alloc();
        let received = loop {
            match self.receiver.recv(descriptor.as_mut_slice()) {
                Ok(received) => break received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => panic!("the socket failed: {error}"),
            }
        };
        let segments = descriptor
            .fill(received.len)
            .expect("it fitted before")
            .into_segments(received.segment_len)
            .expect("nobody shares it");
        self.opener
            .open(segments, &mut self.buffer[start..])
            .expect("every packet authenticates")
    }

    /// Opens at the start of the buffer and returns how many bytes that were.
    fn open(&mut self, filled: Filled) -> usize {
        let segments = filled
            .into_segments(self.message.segment_len())
            .expect("nobody shares it");
        self.opener
            .open(segments, &mut self.buffer)
            .expect("every packet authenticates")
    }

    /// Compares what was opened last, and clears it.
    fn check(&mut self) {
        assert!(self.opened_len > 0);
        let opened = &mut self.buffer[..self.opened_len];
        assert!(*opened == self.payload[..self.opened_len]);
        opened.fill(0);
    }
}

fn socket() -> UdpSocket {
    net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(UdpSocket::new)
        .expect("loopback has free ports")
}

fn decrypt(c: &mut Criterion) {
    let mut group = c.benchmark_group("open/decrypt");
    for datagram_len in DATAGRAM_LENS {
        let mut bench = Bench::new(datagram_len);
        let len = bench.opened_len;
        let misses = bench.pool.stats().misses;
        group.throughput(Throughput::Bytes(bench.message.payload().len() as u64));
        group.bench_function(BenchmarkId::from_parameter(datagram_len), |b| {
            let bench = std::cell::RefCell::new(&mut bench);
            b.iter_batched(
                || bench.borrow().fill(),
                |filled| assert_eq!(bench.borrow_mut().open(filled), len),
                // one batch is in the cache when it is opened, as it is after the kernel has copied it
                BatchSize::PerIteration,
            );
        });
        assert_eq!(
            bench.pool.stats().misses,
            misses,
            "the allocator was measured"
        );
        bench.check();
    }
    group.finish();
}

fn ceiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("open/ceiling");
    for datagram_len in DATAGRAM_LENS {
        let mut batch = Batch::new(datagram_len);
        assert_eq!(batch.datagrams(), datagrams(datagram_len));
        batch.seal();
        group.throughput(Throughput::Bytes(batch.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(datagram_len), |b| {
            let batch = std::cell::RefCell::new(&mut batch);
            b.iter_batched(
                || batch.borrow_mut().receive(),
                |()| batch.borrow_mut().open(),
                BatchSize::PerIteration,
            );
        });
        batch.receive();
        batch.open();
        assert!(batch.is_intact(), "something else was opened");
    }
    group.finish();
}

fn receive_and_decrypt(c: &mut Criterion) {
    let mut group = c.benchmark_group("open/receive and decrypt");
    for datagram_len in DATAGRAM_LENS {
        let mut bench = Bench::new(datagram_len);
        let len = bench.opened_len;
        let misses = bench.pool.stats().misses;
        group.throughput(Throughput::Bytes(bench.message.payload().len() as u64));
        group.bench_function(BenchmarkId::from_parameter(datagram_len), |b| {
            let bench = std::cell::RefCell::new(&mut bench);
            b.iter_batched(
                || bench.borrow().send(),
                |()| {
                    let mut bench = bench.borrow_mut();
                    let mut opened = 0;
                    while opened < len {
                        opened += bench.receive(opened);
                    }
                    assert_eq!(opened, len);
                },
                BatchSize::PerIteration,
            );
        });
        assert_eq!(
            bench.pool.stats().misses,
            misses,
            "the allocator was measured"
        );
        bench.check();
        let stats = bench.receiver.stats();
        if bench.receiver.joins_on_receive() {
            // else the figure is that of a kernel without receive offload
            let joined = stats.segments_received / stats.recvs.max(1);
            assert_eq!(joined, datagrams(datagram_len) as u64);
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = decrypt, ceiling, receive_and_decrypt
}
criterion_main!(benches);
