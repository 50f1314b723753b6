// SPDX-License-Identifier: Apache-2.0

//! A socket of the simulation as the workers want it.
//!
//! A send of several packets becomes as many datagrams, each of which the network may delay, drop or reorder by itself. On receive,
//! datagrams that arrived together are joined where a kernel would join them.
//!
//! The one rule: what a kernel would refuse is refused here too.

use crate::{
    msg::segment,
    socket::{
        io::{Gather, Received, Socket, Truncated},
        udp::Traffic,
    },
};
use ::bach::net::{
    socket::{Options as BindOptions, RecvOptions, SendOptions},
    UdpSocket,
};
use core::task::{Context, Poll, Waker};
use parking_lot::Mutex;
use s2n_quic_core::inet::ExplicitCongestionNotification;
use s2n_quic_platform::socket::options::{Options, ReusePort};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
};

pub(super) struct SimSocket {
    socket: UdpSocket,
    local_addr: SocketAddr,
    max_segments: usize,
    traffic: Traffic,
    writer: Mutex<Waker>,
    inbound: Mutex<Inbound>,
}

struct Inbound {
    reader: Waker,
    joins: bool,
    /// Where datagrams land before it is known whether they can be joined
    buffer: Box<[u8]>,
    /// In the buffer already, and not yet handed out
    waiting: Option<Datagram>,
}

#[derive(Clone, Copy)]
struct Datagram {
    len: usize,
    addr: SocketAddr,
    ecn: ExplicitCongestionNotification,
}

impl SimSocket {
    /// Binds a socket in the group of the task that calls it
    pub(super) fn bind(options: &Options, max_segments: usize) -> io::Result<Self> {
        let mut bind = BindOptions::default();
        bind.local_addr = options.addr;
        bind.reuse_port = !matches!(options.reuse_port, ReusePort::Disabled);
        let socket = bind.build_udp()?;
        Ok(Self {
            local_addr: socket.local_addr()?,
            socket,
            max_segments,
            traffic: Traffic::default(),
            writer: Mutex::new(Waker::noop().clone()),
            inbound: Mutex::new(Inbound {
                reader: Waker::noop().clone(),
                joins: options.gro,
                buffer: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
                waiting: None,
            }),
        })
    }

    pub(super) fn bound_to(&self) -> SocketAddr {
        self.local_addr
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// Whom to wake once there is room after a send that would have blocked
    pub(super) fn on_writable(&self, waker: &Waker) {
        self.writer.lock().clone_from(waker);
    }

    /// Whom to wake once there is a datagram after a receive that would have blocked
    pub(super) fn on_readable(&self, waker: &Waker) {
        self.inbound.lock().reader.clone_from(waker);
    }

    fn check(message: &Gather<'_>) -> io::Result<()> {
        let (len, segments) = (message.total_len(), message.segments());
        if len == 0 || len > segment::MAX_TOTAL || segments > segment::MAX_SEGMENTS {
            let refused = format!("{segments} packets of together {len} bytes were to be sent");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, refused));
        }
        Ok(())
    }

    /// One call to the network
    fn submit(&self, message: &Gather<'_>) -> io::Result<()> {
        let mut options = SendOptions::default();
        options.ecn = message.ecn as u8;
        options.segment_len = (message.segments() > 1).then_some(message.segment_len);
        let waker = self.writer.lock().clone();
        let cx = &mut Context::from_waker(&waker);
        let sent = match self
            .socket
            .poll_send_msg(cx, message.addr, message.payload, options)
        {
            Poll::Ready(sent) => sent.map(|_| ()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        };
        self.traffic.on_send(message, &sent);
        sent
    }

    /// Sends a message of more packets than one call takes; once some are out, it counts as sent
    fn send_in_parts(&self, message: &Gather<'_>) -> io::Result<()> {
        let bytes: Vec<u8> = message
            .payload
            .iter()
            .flat_map(|part| part.iter())
            .copied()
            .collect();
        let part_len = message.segment_len * self.max_segments;
        for (index, part) in bytes.chunks(part_len).enumerate() {
            let payload = &[IoSlice::new(part)];
            match self.submit(&Gather {
                payload,
                ..*message
            }) {
                Ok(()) => {}
                Err(error) if index == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }
}

impl Socket for SimSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }

    fn send(&self, message: &Gather<'_>) -> io::Result<()> {
        Self::check(message)?;
        if message.segments() > self.max_segments {
            return self.send_in_parts(message);
        }
        self.submit(message)
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
        let result = self.inbound.lock().recv(&self.socket, payload);
        self.traffic.on_receive(&result);
        result
    }

    fn max_segments(&self) -> usize {
        self.max_segments
    }
}

impl Inbound {
    fn recv(&mut self, socket: &UdpSocket, payload: &mut [u8]) -> io::Result<Received> {
        let first = self.next(socket)?;
        let Some(dest) = payload.get_mut(..first.len) else {
            return Err(Truncated.into());
        };
        dest.copy_from_slice(&self.buffer[..first.len]);
        let mut received = Received {
            len: first.len,
            segment_len: first.len.max(1),
            addr: first.addr,
            ecn: first.ecn,
        };
        // only a full packet can be followed by another one
        while self.joins && received.len > 0 && received.len.is_multiple_of(received.segment_len) {
            let Ok(next) = self.next(socket) else { break };
            let end = received.len + next.len;
            let is_alike = next.addr == received.addr && next.ecn == received.ecn;
            let fits = end <= segment::MAX_TOTAL.min(payload.len());
            if !is_alike || !fits || next.len > received.segment_len || next.len == 0 {
                self.waiting = Some(next);
                break;
            }
            payload[received.len..end].copy_from_slice(&self.buffer[..next.len]);
            received.len = end;
        }
        Ok(received)
    }

    /// The next datagram, whose bytes are in the buffer
    fn next(&mut self, socket: &UdpSocket) -> io::Result<Datagram> {
        if let Some(datagram) = self.waiting.take() {
            return Ok(datagram);
        }
        let reader = self.reader.clone();
        let cx = &mut Context::from_waker(&reader);
        let into = &mut [IoSliceMut::new(&mut self.buffer)];
        match socket.poll_recv_msg(cx, into, RecvOptions::default()) {
            Poll::Ready(received) => received.map(|received| Datagram {
                len: received.len,
                addr: received.peer_addr,
                ecn: ExplicitCongestionNotification::new(received.ecn),
            }),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
