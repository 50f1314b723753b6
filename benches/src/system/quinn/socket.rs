// SPDX-License-Identifier: Apache-2.0

//! quinn's own socket, asked for no larger sends than the kernel takes.
//!
//! The one rule: nothing but the number of datagrams in a send is changed.
//!
//! quinn 0.11 puts up to ten datagrams into a send. With datagrams of more than 6550 bytes that is more than the kernel takes
//! at once: it refuses with `EMSGSIZE`, which quinn takes for a failed probe of the path MTU, and all ten are lost.

use crate::train::MOST_PAYLOAD;
use quinn::{
    udp::{RecvMeta, Transmit},
    AsyncUdpSocket, UdpPoller,
};
use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A socket that sends at most so many datagrams at once.
#[derive(Debug)]
pub(super) struct Limited {
    socket: Arc<dyn AsyncUdpSocket>,
    segments: usize,
}

impl Limited {
    /// Sends datagrams of `mtu` bytes through `socket`.
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, mtu: u16) -> Self {
        let fitting = usize::from(MOST_PAYLOAD / mtu.max(1));
        let segments = socket.max_transmit_segments().min(fitting).max(1);
        Self { socket, segments }
    }
}

impl AsyncUdpSocket for Limited {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.segments
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
