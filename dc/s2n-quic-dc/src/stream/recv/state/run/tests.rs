// SPDX-License-Identifier: Apache-2.0

//! Two streams get the same packets, one with runs and one without, and nobody can tell which is which.

use super::*;
use crate::{
    credentials::Credentials,
    packet::stream::{encoder, Id},
    socket::pool::{Class, Purpose},
    stream::{
        recv::{worker, ReadMode},
        testing::{pattern, Options, Pair, Stream},
    },
};
use bolero::TypeGenerator;
use core::time::Duration;
use s2n_codec::EncoderBuffer;
use s2n_quic_core::{
    buffer::{
        reader::{storage, Incremental},
        writer::Storage as _,
    },
    inet::ExplicitCongestionNotification,
};
use std::sync::Arc;

/// Bytes of a stream that the packets may carry; more than its window, which is smaller
const BYTES: usize = 40_000;
const WINDOW: u32 = 16_000;

const MARKS: [ExplicitCongestionNotification; 4] = [
    ExplicitCongestionNotification::NotEct,
    ExplicitCongestionNotification::Ect0,
    ExplicitCongestionNotification::Ect1,
    ExplicitCongestionNotification::Ce,
];

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum What {
    /// The next bytes, and so many packets of them
    Next(#[generator(1u8..30)] u8),
    /// Bytes after some that are left out
    BehindGap,
    /// Bytes that were sent
    Again,
    /// A packet number is left out
    BehindNumber,
    /// A packet that was sent
    Twice,
    Retransmission,
    Probe,
    /// The last bytes
    End,
    Empty,
    WithFrames,
    Close,
    /// Says that it has seen a control packet
    Confirming,
    /// Not authentic
    Forged,
    OtherCredentials,
    CutShort,
    BeyondWindow,
    NextKeys,
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
struct Step {
    what: What,
    /// Bytes of each payload
    #[generator(1u8..)]
    len: u8,
    #[generator(0usize..4)]
    mark: usize,
    /// Reads so many bytes if it is odd; the packets go on waiting if not
    read: u8,
    /// Bytes that the application has room for in a read
    room: u16,
}

/// A client that says whatever it is told to, and the server's end of its stream
struct Line {
    pair: Pair,
    _streams: (Stream, Stream),
    client: Arc<Shared>,
    server: Arc<Shared>,
    bytes: Vec<u8>,
    number: u64,
    offset: usize,
    confirmed: u64,
    has_updated: bool,
    last_packet: Vec<u8>,
    received: Vec<u8>,
}

/// What a packet says
#[derive(Clone, Copy)]
struct Saying<'a> {
    offset: usize,
    len: usize,
    is_fin: bool,
    frames: &'a [u8],
    credentials: Credentials,
}

impl Line {
    fn new() -> Self {
        let mut options = Options::default();
        options.agreed.recv_window = WINDOW;
        options.agreed.initial_window = WINDOW;
        let mut pair = Pair::new(options);
        let streams = pair.connect();
        pair.run_for(Duration::from_millis(10));
        let [client, server] =
            [&pair.client, &pair.server].map(|end| end.core.stream(1).expect("it is open"));
        Self {
            pair,
            _streams: streams,
            client,
            server,
            bytes: pattern(BYTES, 3),
            // the first has announced the stream
            number: 1,
            offset: 0,
            confirmed: 0,
            has_updated: false,
            last_packet: Vec::new(),
            received: Vec::new(),
        }
    }

    fn saying(&self, len: usize) -> Saying<'static> {
        Saying {
            offset: self.offset,
            len,
            is_fin: false,
            frames: &[],
            credentials: self.client.credentials,
        }
    }

    fn seal(&mut self, saying: Saying<'_>) -> Vec<u8> {
        let mut packet = vec![0; 1000];
        let (source_queue_id, _, _) = self.client.address.for_packet();
        let end = (saying.offset + saying.len).min(BYTES);
        let mut bytes = &self.bytes[saying.offset.min(end)..end];
        let mut reader = Incremental::new(VarInt::from_u32(saying.offset as u32));
        let mut reader = reader
            .with_storage(&mut bytes, saying.is_fin)
            .expect("small");
        let len = encoder::encode(
            EncoderBuffer::new(&mut packet),
            source_queue_id,
            Id::normal(VarInt::from_u32(1)).expect("small"),
            VarInt::new(self.number).expect("small"),
            VarInt::new(self.confirmed).expect("small"),
            VarInt::ZERO,
            &mut storage::Empty,
            VarInt::from_u32(saying.frames.len() as u32),
            &saying.frames,
            &mut reader,
            self.client.send().lock().sealer(),
            &saying.credentials,
        );
        self.number += 1;
        packet.truncate(len);
        packet
    }

    fn probe(&mut self) -> Vec<u8> {
        let mut packet = vec![0; 1000];
        let (source_queue_id, _, _) = self.client.address.for_packet();
        let mut reader = Incremental::new(VarInt::from_u32(self.offset as u32));
        let mut nothing = storage::Empty;
        let mut reader = reader.with_storage(&mut nothing, false).expect("small");
        let len = encoder::probe(
            EncoderBuffer::new(&mut packet),
            source_queue_id,
            Id::normal(VarInt::from_u32(1)).expect("small"),
            VarInt::new(self.number).expect("small"),
            VarInt::new(self.confirmed).expect("small"),
            VarInt::ZERO,
            &mut storage::Empty,
            VarInt::ZERO,
            &(),
            &mut reader,
            &self.client.control_keys,
            &self.client.credentials,
        );
        packet.truncate(len);
        packet
    }

    /// The packets of one step
    fn packets(&mut self, step: Step) -> Vec<Vec<u8>> {
        let len = usize::from(step.len);
        let mut saying = self.saying(len);
        match step.what {
            What::Next(count) => {
                let next = |line: &mut Self| {
                    let packet = line.seal(line.saying(len));
                    line.offset = (line.offset + len).min(BYTES);
                    packet
                };
                return (0..count).map(|_| next(self)).collect();
            }
            What::BehindGap => saying.offset += len,
            What::Again => saying.offset = saying.offset.saturating_sub(len / 2),
            What::BehindNumber => self.number += 1,
            What::Twice => return vec![self.last_packet.clone()],
            What::Retransmission => {
                let mut packet = self.seal(saying);
                // which takes the number in between
                let empty = self.seal(self.saying(0));
                let space = match step.mark {
                    0 => PacketSpace::Stream,
                    _ => PacketSpace::Recovery,
                };
                Packet::retransmit(
                    DecoderBufferMut::new(&mut packet),
                    space,
                    VarInt::new(self.number).expect("small"),
                    &self.client.control_keys,
                )
                .expect("it was sealed");
                self.number += 1;
                self.offset = (self.offset + len).min(BYTES);
                return vec![empty, packet];
            }
            What::Probe => return vec![self.probe()],
            What::End => saying.is_fin = true,
            What::Empty => saying.len = 0,
            // a ping, and padding
            What::WithFrames => saying.frames = &[1, 0, 0],
            // by the application, with an error of its own and no reason
            What::Close => saying.frames = &[0x1d, 5, 0],
            What::Confirming => self.confirmed += 1,
            What::Forged => {
                let mut packet = self.seal(saying);
                let at = packet.len() - 1 - len / 2;
                packet[at] ^= 1;
                self.number -= 1;
                return vec![packet];
            }
            What::OtherCredentials => {
                saying.credentials.key_id = VarInt::from_u32(60);
                let packet = self.seal(saying);
                self.number -= 1;
                return vec![packet];
            }
            What::CutShort => {
                let packet = self.seal(saying);
                self.number -= 1;
                return vec![packet[..packet.len() / 2].to_vec()];
            }
            What::BeyondWindow => saying.offset = BYTES - len,
            What::NextKeys if self.has_updated => {}
            What::NextKeys => {
                self.has_updated = true;
                self.client.send().lock().update_sealer(&self.client);
            }
        }
        let packet = self.seal(saying);
        if saying.offset == self.offset {
            self.offset = (self.offset + saying.len).min(BYTES);
        }
        vec![packet]
    }

    /// Has the socket bring `packets`, a train of those of one length
    fn deliver(&mut self, packets: &[Vec<u8>], ecn: ExplicitCongestionNotification) {
        for packets in packets.chunk_by(|a, b| a.len() == b.len()) {
            let bytes = packets.concat();
            if bytes.is_empty() {
                // there was none before to repeat
                continue;
            }
            let pool = self.server.pool();
            let mut descriptor = pool.alloc(Class::Burst, Purpose::Control).expect("large");
            descriptor.as_mut_slice()[..bytes.len()].copy_from_slice(&bytes);
            let filled = descriptor.fill(bytes.len()).expect("it fits");
            let (_, _, remote) = self.server.address.for_packet();
            self.server.recv().lock().backlog.push_back(Incoming {
                packets: filled.into_segments(packets[0].len()).expect("not shared"),
                remote,
                ecn,
            });
        }
        self.last_packet = packets.last().cloned().unwrap_or_default();
    }

    /// Opens what has come, as a reader with room for `room` bytes does
    fn read(&mut self, room: usize, mode: ReadMode) {
        self.pair.clock.advance_to(self.pair.clock.micros() + 10);
        let now = self.pair.clock.now();
        let mut recv = self.server.recv().lock();
        let dest = &mut self.received.with_write_limit(room);
        // until nothing moves any more
        loop {
            let before = (recv.backlog.len(), dest.remaining_capacity());
            worker::open_packets(&mut recv, mode, dest, &self.server, now);
            let after = (recv.backlog.len(), dest.remaining_capacity());
            if after == before || after.1 == 0 {
                break;
            }
        }
        recv.on_read(&self.server, now);
        recv.take_wakes().wake();
    }

    /// Everything that a packet may change
    fn state(&self) -> String {
        let recv = self.server.recv().lock();
        let buffer = &recv.buffer;
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            (recv.phase, recv.highest, recv.seen, recv.unanswered),
            (&recv.stream, &recv.recovery, recv.ecn),
            (recv.is_control_due, recv.is_invited, recv.has_offer),
            (buffer.len(), buffer.consumed_len(), buffer.final_size()),
            (buffer.total_received_len(), &recv.window),
            recv.opener.needs_update(),
            self.server.last_heard(),
            self.server.address.for_packet(),
            (recv.has_all(), recv.is_finished(), recv.backlog.len()),
            self.pair.server.metrics(),
        )
    }
}

/// Has both kinds of streams take the same steps
fn compare(steps: &[Step]) {
    let (mut in_runs, mut one_by_one) = (Line::new(), Line::new());
    for step in steps {
        for (line, mode) in [
            (&mut in_runs, ReadMode::UntilFull),
            (&mut one_by_one, ReadMode::Once),
        ] {
            let packets = line.packets(*step);
            line.deliver(&packets, MARKS[step.mark]);
            if step.read % 2 == 1 {
                line.read(usize::from(step.room), mode);
            }
        }
        assert_eq!(in_runs.state(), one_by_one.state());
        assert!(in_runs.received == one_by_one.received);
    }
    let len = in_runs.received.len();
    assert!(in_runs.received == in_runs.bytes[..len]);
    let end = in_runs.server.recv().lock().buffer.final_size();
    assert!(end.is_none_or(|end| len as u64 <= end));
}

#[test]
fn a_run_changes_what_its_packets_would_change_one_by_one() {
    bolero::check!()
        .with_type::<Vec<Step>>()
        .with_iterations(2000)
        .for_each(|steps| compare(steps));
}

/// The reader has room for what fills the gap and for some of what waits behind it
#[test]
fn a_run_ends_where_bytes_wait_already() {
    let step = |what, len| Step {
        what,
        len,
        mark: 1,
        read: 1,
        room: 300,
    };
    compare(&[step(What::BehindGap, 150), step(What::Next(10), 40)]);
}

#[test]
fn packets_in_a_row_are_one_run_until_one_is_special() {
    let mut line = Line::new();
    let plain = Step {
        what: What::Next(10),
        len: 100,
        mark: 1,
        read: 0,
        room: 0,
    };
    let special = Step {
        what: What::WithFrames,
        // as long as the others with its frames
        len: 96,
        ..plain
    };
    // behind the first, all offsets are of one length
    let first = Step {
        what: What::Next(1),
        ..plain
    };
    let packets = line.packets(first);
    line.deliver(&packets, MARKS[1]);
    line.read(BYTES, ReadMode::UntilFull);
    let packets = [plain, special, plain].map(|step| line.packets(step));
    line.deliver(&packets.concat(), MARKS[1]);

    let now = line.pair.clock.now();
    let mut recv = line.server.recv().lock();
    let mut train = recv.backlog.pop_front().expect("one");
    assert_eq!(train.packets.len(), 21);
    let mut open = |room: usize, limit: usize| {
        let dest = &mut line.received.with_write_limit(room);
        recv.open_run(&mut train, limit, dest, &line.server, now)
    };
    assert_eq!(open(99, 20), 0);
    assert_eq!(open(550, 20), 5);
    assert_eq!(open(BYTES, 3), 3);
    assert_eq!(open(BYTES, 20), 2);
    assert_eq!(open(BYTES, 20), 0);
    assert_eq!(train.packets.len(), 11);
    assert!(line.received == line.bytes[..1100]);
}
