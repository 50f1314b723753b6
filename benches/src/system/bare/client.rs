// SPDX-License-Identifier: Apache-2.0

//! The thread that makes calls.
//!
//! The one rule: it never hangs. Silence of some patience fails the calls that wait, and others are begun in their place.

use super::{
    calls::{Call, Calls, Tally},
    now,
    outbox::{By, Outbox, Sent},
    packet::{self, Type},
    Load, OverOnDrop, Received, WINDOW,
};
use crate::train::{self, Train};
use nix::{errno::Errno, sys::socket::MsgFlags};
use s2n_quic_dc::{path::secret::map::Peer, stream::TransportFeatures};
use s2n_quic_dc_perf::exchange::{Exchange, Then, Verdict};
use std::{
    io,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// What became of the calls.
pub(super) struct Made {
    pub(super) tally: Tally,
    pub(super) elapsed: Duration,
    /// Whether calls were left when the time for them was over.
    pub(super) is_timed_out: bool,
    pub(super) requests: Sent,
    pub(super) acks: Sent,
    pub(super) received: Received,
    /// Responses that were authentic.
    pub(super) opened: u64,
}

/// Makes calls.
pub(super) struct Client<'a> {
    load: &'a Load,
    peer: Peer,
    socket: &'a UdpSocket,
    /// Calls at once.
    at_once: usize,
    calls: Calls,
    begun: u64,
    requests: Outbox<'a>,
    acks: Outbox<'a>,
    /// What the application reads into.
    data: Vec<u8>,
    received: Received,
    opened: u64,
}

impl<'a> Client<'a> {
    /// Makes at most `most` calls at once.
    pub(super) fn new(load: &'a Load, peer: Peer, socket: &'a UdpSocket, most: usize) -> Self {
        let streams = usize::try_from(load.workload.streams).unwrap_or(most);
        Self {
            load,
            peer,
            socket,
            at_once: streams.clamp(1, most),
            calls: Calls::new(),
            begun: 0,
            requests: Outbox::new(socket, (By::Client, Type::Request), load.tamper),
            acks: Outbox::new(socket, (By::Client, Type::Ack), load.tamper),
            data: vec![0; train::MAX_LEN],
            received: Received::default(),
            opened: 0,
        }
    }

    /// Makes calls until the time for them is over, and waits for the last of them.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub(super) fn run(mut self, start: Instant, is_over: &AtomicBool) -> io::Result<Made> {
        let _over = OverOnDrop(is_over);
        let mut buffer = vec![0; train::MAX_LEN];
        let mut heard = start;
        let mut is_timed_out = false;
        loop {
            let elapsed = start.elapsed();
            if elapsed > self.load.limit {
                is_timed_out = self.calls.len() > 0;
                self.calls.give_up("not finished in time");
            } else {
                self.begin(elapsed)?;
            }
            // first what the server has to do most for
            self.requests.flush()?;
            self.acks.flush()?;
            if self.calls.len() == 0 {
                break;
            }
            if is_over.load(Ordering::SeqCst) {
                self.calls.give_up("the server is gone");
                break;
            }
            match train::receive(self.socket, &mut buffer, MsgFlags::empty()) {
                Ok(train) => {
                    self.take(&buffer, train)?;
                    heard = now();
                }
                Err(Errno::EAGAIN) if heard.elapsed() >= self.load.patience => {
                    self.calls.give_up("no response or acknowledgement");
                    heard = now();
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Made {
            elapsed: start.elapsed(),
            is_timed_out,
            requests: self.requests.sent(),
            acks: self.acks.sent(),
            received: self.received,
            opened: self.opened,
            tally: self.calls.into_tally(),
        })
    }

    /// Begins as many calls as there may be. As in the engine, each slot makes at least one.
    fn begin(&mut self, elapsed: Duration) -> io::Result<()> {
        let least = u64::from(self.load.workload.streams);
        while self.calls.waiting() < self.at_once
            && self.calls.len() < WINDOW
            && (elapsed < self.load.until || self.begun < least)
        {
            self.begun += 1;
            let begun = now();
            let (keys, _params) = self
                .peer
                .pair(&TransportFeatures::UDP)
                .ok_or_else(|| io::Error::other("no key ids are left"))?;
            let key_id = keys.credentials.key_id.as_u64();
            let size = self.load.workload.pick(key_id);
            let exchange = Exchange {
                seed: key_id,
                request: size.request.bytes(),
                response: size.response.bytes(),
                then: Then::End,
            };
            let header = exchange.encode();
            let len = packet::len(header.len(), exchange.request)
                .ok_or_else(|| io::Error::other("a request is too long"))?;
            let data = exchange.request_pattern();
            let data = data.bytes(0, exchange.request as usize);
            let sealer = &keys.application.sealer;
            self.requests.push(len, |datagram| {
                packet::seal(sealer, (Type::Request, key_id), &header, data, datagram);
            })?;
            let control = keys
                .control
                .ok_or_else(|| io::Error::other("no keys for acknowledgements"))?;
            let opener = keys.application.opener;
            self.calls
                .push(Call::new(key_id, exchange, begun, opener, control));
        }
        Ok(())
    }

    fn take(&mut self, buffer: &[u8], train: Train<()>) -> io::Result<()> {
        self.received.calls += 1;
        for datagram in buffer[..train.len].chunks(train.segment) {
            self.received.datagrams += 1;
            match packet::parse(datagram) {
                Some((Type::Response, key_id)) => self.take_response(key_id, datagram)?,
                Some((Type::Ack, key_id)) => self.take_ack(key_id, datagram),
                // not from the server
                Some((Type::Request, _)) | None => {}
            }
        }
        Ok(())
    }

    fn take_response(&mut self, key_id: u64, datagram: &[u8]) -> io::Result<()> {
        // it may be late, for a call that was given up
        let Some(call) = self.calls.unanswered(key_id) else {
            return Ok(());
        };
        let Ok(answer) = packet::open(&call.opener, datagram, &mut self.data) else {
            self.calls.fail(key_id, "a response is not authentic");
            return Ok(());
        };
        self.opened += 1;
        if !is_right(&call.exchange, answer) {
            self.calls.fail(key_id, "wrong content");
            return Ok(());
        }
        let took = call.begun.elapsed();
        let sealer = &call.control.sealer;
        self.acks.push(packet::ACK, |datagram| {
            packet::sign(sealer, key_id, datagram);
        })?;
        self.calls.on_response(key_id, took);
        Ok(())
    }

    fn take_ack(&mut self, key_id: u64, datagram: &[u8]) {
        let Some(call) = self.calls.get(key_id) else {
            return;
        };
        match packet::verify(&call.control.opener, datagram) {
            Ok(()) => self.calls.on_ack(key_id),
            Err(_) => self
                .calls
                .fail(key_id, "an acknowledgement is not authentic"),
        }
    }
}

/// Whether the server found the request right, and so is its response.
fn is_right(exchange: &Exchange, answer: &[u8]) -> bool {
    let Some((verdict, data)) = answer.split_first_chunk() else {
        return false;
    };
    let verdict = Verdict::decode(verdict).map(Verdict::outcome);
    verdict == Some(Ok(exchange.request))
        && data.len() as u64 == exchange.response
        && exchange
            .response_pattern()
            .first_difference(0, data)
            .is_none()
}
