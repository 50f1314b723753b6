// SPDX-License-Identifier: Apache-2.0

//! What drives the sending half apart from the writer: control packets of the peer.
//!
//! The worker sends nothing itself. It takes in what happened, first the completions and then the acknowledgements, has the state put
//! retransmissions and probes into the wheel, and wakes the writer once per batch.
//!
//! The one rule: completions come before acknowledgements, so that an ACK finds the departure of the packets that it names.

use crate::{
    crypto::open::Control as _,
    event::builder,
    packet::{control, stream},
    socket::pool::Segment,
    stream::{
        events::Event,
        path::Wakes,
        receipt::Receipt,
        send::state::State,
        shared::{Shared, TAG_LEN},
    },
};
use s2n_codec::DecoderBufferMut;
use s2n_quic_core::time::Timestamp;
use std::{net::SocketAddr, sync::Arc};

/// Takes in the acknowledgements of an authenticated packet with data, and arms the timer for what comes next; the receiving half is locked
pub(crate) fn on_piggyback(
    packet: &mut stream::decoder::Packet<'_>,
    shared: &Shared,
    now: Timestamp,
) -> Wakes {
    let outcome = hear(shared, now, |send| send.on_piggyback(packet, shared, now));
    shared.arm_send(outcome.timeout);
    outcome.wakes
}

/// Takes in the receipt of what this half has sent, and arms the timer for what comes next
pub(crate) fn on_receipt(shared: &Arc<Shared>, receipt: &Receipt, now: Timestamp) -> Wakes {
    shared.on_heard(now);
    take_in(shared, now, |send| send.on_receipt(receipt, shared, now))
}

/// Takes in what the peer says to this stream alone, and lets the stream go after its last acknowledgement, or arms its timer
fn take_in(shared: &Arc<Shared>, now: Timestamp, say: impl FnOnce(&mut State)) -> Wakes {
    // the peer addressed our queue, so it knows it
    shared.on_answered();
    let outcome = hear(shared, now, say);
    if outcome.is_quiet && shared.is_let_go() {
        shared.settle(now);
    } else {
        shared.arm_send(outcome.timeout);
    }
    outcome.wakes
}

/// What comes of what the peer says
struct Outcome {
    wakes: Wakes,
    timeout: Option<Timestamp>,
    is_quiet: bool,
}

/// Has the sending half take in what the peer says, and forgets the streams that the peer has heard about
fn hear(shared: &Shared, now: Timestamp, say: impl FnOnce(&mut State)) -> Outcome {
    let mut send = shared.send().lock();
    send.on_completions(shared);
    say(&mut send);
    let outcome = Outcome {
        wakes: send.take_wakes(),
        timeout: send.next_timeout(now),
        is_quiet: send.is_quiet(),
    };
    let receipts = send.take_receipts();
    drop(send);
    shared.core.forget(receipts);
    outcome
}

/// An authenticated control packet
pub(crate) struct Letter {
    packet: Segment,
    at: Timestamp,
}

impl Letter {
    /// Has the sending half take it in
    pub(super) fn read(mut self, send: &mut State, shared: &Shared) {
        let decoder = DecoderBufferMut::new(&mut self.packet);
        if let Ok((mut packet, _)) = control::decoder::Packet::decode(decoder, (), TAG_LEN) {
            send.on_control_packet(&mut packet, shared, self.at);
        }
    }
}

/// Takes a control packet in, and arms the timer for what comes next; what does not authenticate is counted and dropped
///
/// It does not wait for a writer that encrypts, which reads it then.
pub(crate) fn on_control_packet(
    shared: &Arc<Shared>,
    mut packet: Segment,
    remote: SocketAddr,
    now: Timestamp,
) -> Wakes {
    let mut wakes = Wakes::default();
    if !authenticate(shared, &mut packet, remote, now, &mut wakes) {
        return wakes;
    }
    match shared.letterbox.leave(Letter { packet, at: now }) {
        Ok(()) => shared.on_answered(),
        Err(letter) => wakes.append(take_in(shared, now, |send| {
            letter.read(send, shared);
        })),
    }
    wakes
}

/// Counts and publishes what came, and notes that the peer is there if it is authentic; returns whether it is
fn authenticate(
    shared: &Shared,
    bytes: &mut [u8],
    remote: SocketAddr,
    now: Timestamp,
    wakes: &mut Wakes,
) -> bool {
    let decoded = control::decoder::Packet::decode(DecoderBufferMut::new(bytes), (), TAG_LEN);
    let Ok((packet, _)) = decoded else {
        shared.counters().dropped.undecodable.add(1);
        return false;
    };
    if *packet.credentials() != shared.credentials {
        shared.counters().dropped.credentials.add(1);
        return false;
    }
    let is_authenticated = shared
        .control_keys
        .verify(packet.header(), packet.auth_tag())
        .is_ok();
    shared.publish(now, || {
        Event::ControlPacketReceived(builder::StreamControlPacketReceived {
            packet_len: packet.total_len(),
            control_data_len: packet.control_data().len(),
            packet_number: packet.packet_number().as_u64(),
            is_authenticated,
        })
    });
    if is_authenticated {
        shared.on_authenticated(remote, packet.source_queue_id(), now, wakes);
    } else {
        shared.counters().dropped.unauthenticated.add(1);
    }
    is_authenticated
}
