// SPDX-License-Identifier: Apache-2.0

//! The thread that answers calls.
//!
//! The one rule: the keys of a call are kept until the client's acknowledgement was verified, and no longer than a window of key ids:
//! nothing that arrives makes the table grow past that.

use super::{
    mtu,
    outbox::{By, Outbox, Sent},
    packet::{self, Type},
    Load, OverOnDrop, Received, WINDOW,
};
use crate::{
    batch::Secret,
    train::{self, Train},
};
use nix::{errno::Errno, sys::socket::MsgFlags};
use s2n_quic_core::varint::VarInt;
use s2n_quic_dc::{
    credentials::{Credentials, Id},
    path::secret::{map::Bidirectional, open::control, Map},
    stream::TransportFeatures,
};
use s2n_quic_dc_perf::{
    exchange::{Exchange, Verdict},
    pattern::Verifier,
};
use std::{
    collections::VecDeque,
    io,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
};

/// What was answered.
pub(super) struct Served {
    /// Key ids of the calls whose acknowledgement did not come or was not authentic, and the bytes of their requests and responses.
    pub(super) unconfirmed: Vec<(u64, u64)>,
    pub(super) responses: Sent,
    pub(super) acks: Sent,
    pub(super) received: Received,
    /// Requests that were authentic.
    pub(super) opened: u64,
}

/// A call that was answered.
struct Held {
    key_id: u64,
    /// Of its request and response.
    bytes: u64,
    opener: control::Stream,
}

/// Answers calls.
pub(super) struct Server<'a> {
    load: &'a Load,
    map: &'a Map,
    id: Id,
    socket: &'a UdpSocket,
    /// In the order in which they came.
    held: VecDeque<Held>,
    unconfirmed: Vec<(u64, u64)>,
    responses: Outbox<'a>,
    acks: Outbox<'a>,
    /// What the application reads into.
    data: Vec<u8>,
    /// What the map would have a peer told whose keys it does not take. Nobody is told here.
    refusal: Vec<u8>,
    received: Received,
    opened: u64,
}

impl<'a> Server<'a> {
    pub(super) fn new(load: &'a Load, secret: &'a Secret, socket: &'a UdpSocket) -> Self {
        Self {
            load,
            map: secret.server(),
            // the same at both ends; there is but one
            id: *secret.peer().id(),
            socket,
            held: VecDeque::new(),
            unconfirmed: Vec::new(),
            responses: Outbox::new(socket, (By::Server, Type::Response), load.tamper),
            acks: Outbox::new(socket, (By::Server, Type::Ack), load.tamper),
            data: vec![0; train::MAX_LEN],
            refusal: Vec::new(),
            received: Received::default(),
            opened: 0,
        }
    }

    /// Answers until nothing comes after the client is through.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub(super) fn run(mut self, is_over: &AtomicBool) -> io::Result<Served> {
        let _over = OverOnDrop(is_over);
        let mut buffer = vec![0; train::MAX_LEN];
        loop {
            // before the wait, so that all that was sent has come when nothing comes
            let is_over = is_over.load(Ordering::SeqCst);
            match train::receive(self.socket, &mut buffer, MsgFlags::empty()) {
                Ok(train) => self.take(&buffer, train)?,
                Err(Errno::EAGAIN) if is_over => break,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let left = self.held.iter().map(|held| (held.key_id, held.bytes));
        self.unconfirmed.extend(left);
        Ok(Served {
            unconfirmed: self.unconfirmed,
            responses: self.responses.sent(),
            acks: self.acks.sent(),
            received: self.received,
            opened: self.opened,
        })
    }

    fn take(&mut self, buffer: &[u8], train: Train<()>) -> io::Result<()> {
        self.received.calls += 1;
        for datagram in buffer[..train.len].chunks(train.segment) {
            self.received.datagrams += 1;
            match packet::parse(datagram) {
                // the client finds out about one that is not answered
                Some((Type::Request, key_id)) => {
                    self.take_request(key_id, datagram)?;
                }
                Some((Type::Ack, key_id)) => self.take_ack(key_id, datagram),
                Some((Type::Response, _)) | None => {}
            }
        }
        // first what the client waits for
        self.responses.flush()?;
        self.acks.flush()
    }

    /// Answers a request; not if it is none.
    fn take_request(&mut self, key_id: u64, datagram: &[u8]) -> io::Result<()> {
        let Some(keys) = self.keys(key_id) else {
            return Ok(());
        };
        let Ok(request) = packet::open(&keys.application.opener, datagram, &mut self.data) else {
            return Ok(());
        };
        self.opened += 1;
        let Some((Ok(exchange), data)) = request
            .split_first_chunk()
            .map(|(header, data)| (Exchange::decode(header), data))
        else {
            return Ok(());
        };
        let len = packet::len(Verdict::LEN, exchange.response);
        let (Some(len), Some(control)) = (
            len.filter(|len| *len <= mtu(&self.load.workload)),
            keys.control,
        ) else {
            return Ok(());
        };

        let mut verifier = Verifier::new(exchange.request_pattern(), exchange.request);
        verifier.push(data);
        let verdict = Verdict::new(verifier.finish(), exchange.request).encode();
        let pattern = exchange.response_pattern();
        let data = pattern.bytes(0, exchange.response as usize);
        let sealer = &keys.application.sealer;
        self.responses.push(len, |datagram| {
            packet::seal(sealer, (Type::Response, key_id), &verdict, data, datagram);
        })?;
        self.acks.push(packet::ACK, |datagram| {
            packet::sign(&control.sealer, key_id, datagram);
        })?;
        if self.held.len() >= WINDOW {
            self.let_go();
        }
        self.held.push_back(Held {
            key_id,
            bytes: exchange.request.saturating_add(exchange.response),
            opener: control.opener,
        });
        Ok(())
    }

    fn keys(&mut self, key_id: u64) -> Option<Bidirectional> {
        let credentials = Credentials {
            id: self.id,
            key_id: VarInt::new(key_id).ok()?,
        };
        self.refusal.clear();
        let refusal = &mut self.refusal;
        let (keys, _params, _data) =
            self.map
                .pair_for_credentials(&credentials, None, &TransportFeatures::UDP, refusal)?;
        Some(keys)
    }

    /// Lets go of the keys of a call. The client acknowledges in order, so calls before it are no longer waited for.
    fn take_ack(&mut self, key_id: u64, datagram: &[u8]) {
        let mut held = self.held.iter();
        let Some(index) = held.position(|held| held.key_id == key_id) else {
            return;
        };
        if packet::verify(&self.held[index].opener, datagram).is_err() {
            return;
        }
        for _ in 0..index {
            self.let_go();
        }
        self.held.pop_front();
    }

    /// Gives the oldest call up.
    fn let_go(&mut self) {
        if let Some(held) = self.held.pop_front() {
            self.unconfirmed.push((held.key_id, held.bytes));
        }
    }
}
