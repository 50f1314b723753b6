// SPDX-License-Identifier: Apache-2.0

//! What a stream starts with, as the handshake has agreed.
//!
//! The one rule: what is said here holds for the whole life of the stream.

use crate::{
    path::secret::schedule::Initiator,
    stream::{environment::udp::IDLE_TIMEOUT, recv, send},
};
use core::time::Duration;
use s2n_quic_core::dc::ApplicationParams;

/// The longest datagram that a stream sends: the wire's payload length is exact up to this, and so is the controller's
const MAX_DATAGRAM_LEN: u16 = 16_383;

/// The shortest that every path carries
const MIN_DATAGRAM_LEN: u16 = 1200;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) send: send::flow::Limits,
    pub(crate) recv: recv::state::Limits,
    pub(crate) datagram_len: u16,
    pub(crate) idle_timeout: Duration,
}

impl Terms {
    /// For a stream that `initiator` opens, and that may have `max_pending` transmissions of data in the wheel
    pub(crate) fn new(
        params: &ApplicationParams,
        initiator: Initiator,
        max_pending: usize,
    ) -> Self {
        let local_window = params.local_recv_max_data.as_u64();
        let remote_window = params.remote_max_data.as_u64();
        // a client of the published crate enforces its own view of the window, so a server starts with the smaller of the two
        let max_data = match initiator {
            Initiator::Local => remote_window,
            Initiator::Remote => remote_window.min(local_window),
        };
        Self {
            send: send::flow::Limits {
                max_data,
                max_unacknowledged: params.local_send_max_data.as_u64(),
                max_pending,
            },
            recv: recv::state::Limits {
                window: local_window,
                agreed: local_window.max(remote_window),
            },
            datagram_len: params
                .max_datagram_size()
                .clamp(MIN_DATAGRAM_LEN, MAX_DATAGRAM_LEN),
            idle_timeout: params.max_idle_timeout().unwrap_or(IDLE_TIMEOUT),
        }
    }
}
