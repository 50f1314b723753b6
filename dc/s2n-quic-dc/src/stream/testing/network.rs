// SPDX-License-Identifier: Apache-2.0

//! A network in memory between two sockets: it delays, and does to each datagram what the test says.
//!
//! The one rule: every datagram that a socket takes is in the trace, with what became of it.

use super::{
    clock::Clock,
    inbox::{Datagram, Host, Inbox},
    Options,
};
use crate::{
    msg::segment,
    packet::{stream::PacketSpace, Packet},
    socket::io::{Backlog, Gather, Received, Socket},
    stream::shared::TAG_LEN,
};
use core::{fmt, time::Duration};
use parking_lot::Mutex;
use s2n_codec::DecoderBufferMut;
use s2n_quic_core::{frame::FrameMut, inet::ExplicitCongestionNotification};
use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

/// How soon a socket that would have blocked is tried again
const RETRY: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) fn addr(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 10 + self as u16))
    }

    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a datagram is, by its header
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first send of stream bytes
    Data(Data),
    /// A later send of them
    Retransmission(Data),
    /// A packet without payload in the recovery space
    Probe {
        number: u64,
        closes: bool,
    },
    Control {
        number: u64,
        closes: bool,
        max_data: u64,
    },
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    /// The key of the stream
    pub(crate) key_id: u64,
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) is_fin: bool,
}

impl Kind {
    fn of(bytes: &[u8]) -> Self {
        let mut bytes = bytes.to_vec();
        let decoder = DecoderBufferMut::new(&mut bytes);
        match decoder.decode_parameterized::<Packet<'_>>(TAG_LEN) {
            Ok((Packet::Stream(mut packet), _)) => {
                let number = packet.packet_number().as_u64();
                let data = Data {
                    key_id: packet.credentials().key_id.as_u64(),
                    number,
                    offset: packet.stream_offset().as_u64(),
                    len: packet.payload().len(),
                    is_fin: packet.is_fin(),
                };
                match packet.tag().packet_space() {
                    PacketSpace::Stream => Self::Data(data),
                    PacketSpace::Recovery if packet.is_retransmission() => {
                        Self::Retransmission(data)
                    }
                    PacketSpace::Recovery => Self::Probe {
                        number,
                        closes: packet
                            .control_frames_mut()
                            .any(|frame| matches!(frame, Ok(FrameMut::ConnectionClose(_)))),
                    },
                }
            }
            Ok((Packet::Control(mut packet), _)) => {
                let number = packet.packet_number().as_u64();
                let (mut closes, mut max_data) = (false, 0);
                for frame in packet.control_frames_mut() {
                    match frame {
                        Ok(FrameMut::ConnectionClose(_)) => closes = true,
                        Ok(FrameMut::MaxData(frame)) => max_data = frame.maximum_data.as_u64(),
                        _ => {}
                    }
                }
                Self::Control {
                    number,
                    closes,
                    max_data,
                }
            }
            _ => Self::Other,
        }
    }

    pub(crate) fn data(&self) -> Option<Data> {
        match self {
            Self::Data(data) | Self::Retransmission(data) => Some(*data),
            _ => None,
        }
    }

    pub(crate) fn is_first_send(&self) -> bool {
        matches!(self, Self::Data(_))
    }

    pub(crate) fn is_retransmission(&self) -> bool {
        matches!(self, Self::Retransmission(_))
    }

    pub(crate) fn is_control(&self) -> bool {
        matches!(self, Self::Control { .. })
    }

    pub(crate) fn closes(&self) -> bool {
        matches!(
            self,
            Self::Probe { closes: true, .. } | Self::Control { closes: true, .. }
        )
    }
}

/// What becomes of a datagram
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Deliver,
    Drop,
    Duplicate,
    /// Delivered later than the others
    Hold(Duration),
    /// Delivered with a mark of congestion
    Mark,
}

/// A datagram that a socket has taken
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) side: Side,
    pub(crate) micros: u64,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    pub(crate) fate: Fate,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            side,
            micros,
            kind,
            fate,
            bytes,
        } = self;
        write!(f, "{micros} {side:?} {kind:?} {} B {fate:?}", bytes.len())
    }
}

/// One message that a socket has taken
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) micros: u64,
    pub(crate) segments: usize,
    /// How many buffers it was gathered from: one per transmission
    pub(crate) buffers: usize,
}

type Faults = Box<dyn FnMut(&Sent) -> Fate + Send>;
type SendFaults = Box<dyn FnMut() -> Option<i32> + Send>;

#[derive(Clone)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
}

struct State {
    clock: Clock,
    delay: u64,
    faults: Faults,
    in_flight: BTreeMap<(u64, u64), (Side, Datagram)>,
    sequence: u64,
    trace: Vec<Sent>,
    ports: [Port; 2],
}

struct Port {
    inbox: Inbox,
    /// Gives the number of the error that a send is to fail with
    send_faults: SendFaults,
    would_block: usize,
    blocked_until: u64,
    /// When the socket last would have blocked
    blocked_at: u64,
    attempts: usize,
    calls: Vec<Call>,
}

impl Network {
    pub(crate) fn new(clock: Clock, options: &Options) -> Self {
        let port = |host| Port {
            inbox: Inbox::new(host, options.joins),
            send_faults: Box::new(|| None),
            would_block: 0,
            blocked_until: 0,
            blocked_at: 0,
            attempts: 0,
            calls: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(State {
                clock,
                delay: options.delay.as_micros() as u64,
                faults: Box::new(|_| Fate::Deliver),
                in_flight: BTreeMap::new(),
                sequence: 0,
                trace: Vec::new(),
                ports: [port(Host::default()), port(options.server)],
            })),
        }
    }

    pub(crate) fn socket(&self, side: Side) -> Arc<SimSocket> {
        Arc::new(SimSocket {
            side,
            network: self.clone(),
        })
    }

    /// Has `faults` say what becomes of every datagram from now on
    pub(crate) fn set_faults(&self, faults: impl FnMut(&Sent) -> Fate + Send + 'static) {
        self.state.lock().faults = Box::new(faults);
    }

    pub(crate) fn clear_faults(&self) {
        self.set_faults(|_| Fate::Deliver);
    }

    /// Has sends fail with the error that `faults` gives
    pub(crate) fn set_send_faults(
        &self,
        side: Side,
        faults: impl FnMut() -> Option<i32> + Send + 'static,
    ) {
        self.state.lock().ports[side as usize].send_faults = Box::new(faults);
    }

    /// The next `count` sends would block
    pub(crate) fn would_block(&self, side: Side, count: usize) {
        self.state.lock().ports[side as usize].would_block = count;
    }

    /// All sends would block, for so long
    pub(crate) fn block(&self, side: Side, duration: Duration) {
        let mut state = self.state.lock();
        let until = state.clock.micros() + duration.as_micros() as u64;
        state.ports[side as usize].blocked_until = until;
    }

    /// Datagrams that found no room at `side`
    pub(crate) fn overflowed(&self, side: Side) -> usize {
        self.state.lock().ports[side as usize].inbox.overflowed
    }

    /// How often `side` has looked how full its buffer is
    pub(crate) fn looks(&self, side: Side) -> usize {
        self.state.lock().ports[side as usize].inbox.looks
    }

    pub(crate) fn trace(&self) -> Vec<Sent> {
        self.state.lock().trace.clone()
    }

    /// Those that `side` sent and `f` accepts
    pub(crate) fn sent(&self, side: Side, f: impl Fn(&Kind) -> bool) -> Vec<Sent> {
        let state = self.state.lock();
        let sent = state.trace.iter();
        sent.filter(|sent| sent.side == side && f(&sent.kind))
            .cloned()
            .collect()
    }

    /// Has a datagram arrive that `from` is not sending now
    pub(crate) fn inject(&self, from: Side, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let due = state.clock.micros() + state.delay;
        let ecn = ExplicitCongestionNotification::Ect0;
        state.put_in_flight(due, from.other(), Datagram { bytes, ecn });
    }

    pub(crate) fn calls(&self, side: Side) -> Vec<Call> {
        self.state.lock().ports[side as usize].calls.clone()
    }

    /// Calls of any kind that would send, whether they did or not
    pub(crate) fn attempts(&self, side: Side) -> usize {
        self.state.lock().ports[side as usize].attempts
    }

    /// Moves what has arrived to the sockets; true if there was something
    pub(super) fn deliver(&self) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let now = state.clock.micros();
        let mut any = false;
        while let Some(entry) = state.in_flight.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (to, datagram) = entry.remove();
            state.ports[to as usize].inbox.push(datagram);
            any = true;
        }
        any
    }

    pub(super) fn next_delivery(&self) -> Option<u64> {
        let state = self.state.lock();
        let arrival = state.in_flight.first_key_value().map(|((at, _), _)| *at);
        let now = state.clock.micros();
        let ports = state.ports.iter();
        ports
            .filter_map(|port| port.inbox.readable_at(now))
            .chain(arrival)
            .min()
    }

    pub(super) fn is_readable(&self, side: Side) -> bool {
        let state = self.state.lock();
        let now = state.clock.micros();
        state.ports[side as usize].inbox.is_readable(now)
    }

    /// When a socket that would have blocked does not any more
    pub(super) fn writable_at(&self, side: Side) -> u64 {
        let state = self.state.lock();
        let port = &state.ports[side as usize];
        port.blocked_until.max(port.blocked_at + RETRY)
    }
}

impl State {
    fn put_in_flight(&mut self, due: u64, to: Side, datagram: Datagram) {
        self.sequence += 1;
        self.in_flight.insert((due, self.sequence), (to, datagram));
    }
}

pub(crate) struct SimSocket {
    side: Side,
    network: Network,
}

impl Socket for SimSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.side.addr())
    }

    fn send(&self, message: &Gather<'_>) -> io::Result<()> {
        let mut guard = self.network.state.lock();
        let state = &mut *guard;
        let now = state.clock.micros();
        let port = &mut state.ports[self.side as usize];
        port.attempts += 1;
        if port.would_block > 0 || port.blocked_until > now {
            port.would_block = port.would_block.saturating_sub(1);
            port.blocked_at = now;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(errno) = (port.send_faults)() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let payload: Vec<u8> = message
            .payload
            .iter()
            .flat_map(|buffer| buffer.iter().copied())
            .collect();
        assert!(payload.len() <= segment::MAX_TOTAL);
        assert_eq!(message.addr, self.side.other().addr());
        let segments = payload.chunks(message.segment_len.max(1));
        port.calls.push(Call {
            micros: now,
            segments: segments.len(),
            buffers: message.payload.len(),
        });
        assert!(segments.len() <= segment::MAX_SEGMENTS);
        for bytes in segments {
            let mut sent = Sent {
                side: self.side,
                micros: now,
                kind: Kind::of(bytes),
                bytes: bytes.to_vec(),
                fate: Fate::Deliver,
            };
            sent.fate = (state.faults)(&sent);
            let due = now + state.delay;
            let arrivals: &[u64] = match sent.fate {
                Fate::Deliver | Fate::Mark => &[due],
                Fate::Drop => &[],
                Fate::Duplicate => &[due, due],
                Fate::Hold(extra) => &[due + extra.as_micros() as u64],
            };
            for due in arrivals {
                let datagram = Datagram {
                    bytes: bytes.to_vec(),
                    ecn: match sent.fate {
                        Fate::Mark => ExplicitCongestionNotification::Ce,
                        _ => message.ecn,
                    },
                };
                state.put_in_flight(*due, self.side.other(), datagram);
            }
            state.trace.push(sent);
        }
        Ok(())
    }

    fn send_many(&self, messages: &[Gather<'_>]) -> (usize, Option<io::Error>) {
        for (sent, message) in messages.iter().enumerate() {
            if let Err(error) = self.send(message) {
                return (sent, Some(error));
            }
        }
        (messages.len(), None)
    }

    fn recv(&self, payload: &mut [u8]) -> io::Result<Received> {
        let mut state = self.network.state.lock();
        let now = state.clock.micros();
        let inbox = &mut state.ports[self.side as usize].inbox;
        inbox.recv(payload, self.side.other().addr(), now)
    }

    fn backlog(&self) -> Option<Backlog> {
        self.network.state.lock().ports[self.side as usize]
            .inbox
            .backlog()
    }

    fn max_segments(&self) -> usize {
        segment::MAX_SEGMENTS
    }
}
