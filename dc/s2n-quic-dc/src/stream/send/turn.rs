// SPDX-License-Identifier: Apache-2.0

//! One batch of a write: everything that it needs, in the order in which a writer may wait for it.
//!
//! The one rule: nothing is made before there is credit for it, and whatever was taken of the path's window and not used is the caller's to give
//! back.

use super::{
    flow::Blocked,
    queue::{self, Batch},
    state::State,
    Error,
};
use crate::{
    socket::pool::{Class, Waiter},
    stream::{
        path::{Allowance, Demand},
        piggyback::Piggyback,
        shared::Shared,
    },
};
use core::task::{Context, Poll};
use s2n_quic_core::{buffer::reader, time::Timestamp};

/// Bytes that are written at once by who converses, at the most
const MESSAGE: usize = 1 << 14;

/// One batch of one write
pub(super) struct Turn<'a> {
    pub(super) send: &'a mut State,
    pub(super) waiter: &'a mut Waiter,
    pub(super) shared: &'a Shared,
    /// What this poll has taken of the path's window and not used
    pub(super) allowance: &'a mut Allowance,
    /// What the first packet is to carry; taken once it does
    pub(super) piggyback: &'a mut Option<Piggyback>,
    /// How many batches the poll may still make
    pub(super) batches: usize,
    pub(super) now: Timestamp,
}

impl Turn<'_> {
    /// Asks for each kind of credit in turn, and sends once it has all
    pub(super) fn poll<S: reader::storage::Infallible>(
        self,
        cx: &mut Context<'_>,
        buf: &mut S,
        is_fin: bool,
    ) -> Poll<Result<usize, Error>> {
        let Self {
            send,
            waiter,
            shared,
            allowance,
            piggyback,
            batches,
            now,
        } = self;
        if send.sealer.needs_update() {
            // a receiver opens two phases only, so nothing of the old one may be left to retransmit
            if send.unacknowledged > 0 {
                send.block(Blocked::KeyUpdate, cx.waker());
                return Poll::Pending;
            }
            send.update_sealer(shared);
        }
        if is_fin && buf.buffer_is_empty() {
            // the end needs neither credit nor a turn
            send.transmit_end(shared, now);
            return Poll::Ready(Ok(0));
        }
        let written = buf.buffered_len();
        let credit = loop {
            match send.flow.available(written as u64) {
                Ok(credit) => break credit as usize,
                Err(Blocked::Pending) => {
                    send.block(Blocked::Pending, cx.waker());
                    if send.completions.register(cx.waker()) {
                        return Poll::Pending;
                    }
                    send.on_completions(shared);
                }
                Err(blocked) => {
                    send.block(blocked, cx.waker());
                    return Poll::Pending;
                }
            }
        };
        if send.is_stalled() {
            send.block(Blocked::Silence, cx.waker());
            return Poll::Pending;
        }
        let datagram_len = shared.datagram_len();
        let want = queue::window_for(credit, datagram_len, 1);
        // crumbs of a turn go back: small batches halve the throughput
        if allowance.bytes <= want.min(allowance.batch) / 2 {
            let turn = queue::window_for(credit, datagram_len, batches);
            // the peer's credit may be as small as a message at first
            send.is_bulk |= written > MESSAGE;
            let demand = Demand {
                bytes: turn - allowance.bytes,
                is_opening: send.is_opening(),
                // one without bytes announces a stream, and says nothing about it
                is_message: written > 0 && !send.is_bulk && send.unacknowledged == 0,
            };
            if demand.is_opening {
                shared.speak();
            }
            let (taken, more) = shared.path.poll_take(shared.flow, demand, cx.waker(), now);
            send.wakes.append(more);
            match taken {
                Poll::Ready(Allowance { bytes, batch }) => {
                    allowance.bytes += bytes;
                    allowance.batch = batch;
                }
                Poll::Pending => {
                    send.block(Blocked::Path, cx.waker());
                    return Poll::Pending;
                }
            }
        }
        let taken = want.min(allowance.bytes).min(allowance.batch);
        let pool = shared.pool();
        let len = (taken as usize).max(datagram_len);
        let class = Class::for_len(len, pool.config()).unwrap_or(Class::Burst);
        let descriptor = match pool.poll_alloc(class, waiter, cx) {
            Poll::Ready(descriptor) => descriptor,
            Poll::Pending => {
                send.block(Blocked::Pool, cx.waker());
                return Poll::Pending;
            }
        };
        let batch = Batch {
            payload: buf,
            is_fin,
            credit,
            window: taken,
            descriptor,
            piggyback,
        };
        let sent = send.transmit(batch, shared, now);
        if sent.is_ok() {
            allowance.bytes -= taken;
        }
        Poll::Ready(sent)
    }
}
