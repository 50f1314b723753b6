// SPDX-License-Identifier: Apache-2.0

//! A stream as workloads see it.
//!
//! The one rule: nothing is added to what the library does, neither a buffer nor a retry.

use super::NoEvents;
use crate::transport::{poll_read_from, Stream};
use s2n_quic_core::buffer::reader::storage;
use s2n_quic_dc::stream::application;
use std::{
    io,
    task::{Context, Poll},
};

/// A stream of either end. Dropping it before its end gives it up.
#[derive(Debug)]
pub struct WheelStream(application::Stream<NoEvents>);

impl From<application::Stream<NoEvents>> for WheelStream {
    fn from(stream: application::Stream<NoEvents>) -> Self {
        Self(stream)
    }
}

impl Stream for WheelStream {
    async fn write(&mut self, data: [&[u8]; 2], is_fin: bool) -> io::Result<usize> {
        let mut data = storage::IoSlice::new(&data);
        if is_fin {
            self.0.write_from_fin(&mut data).await
        } else {
            self.0.write_from(&mut data).await
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read_from(&mut self.0, cx, buffer)
    }
}
