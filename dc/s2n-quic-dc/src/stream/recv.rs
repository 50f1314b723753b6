// SPDX-License-Identifier: Apache-2.0

//! The receiving half of a stream.

pub mod application;
pub(crate) mod budget;
mod buffer;
pub(crate) mod lingering;
mod ranges;
pub(crate) mod refusal;
pub(crate) mod shared;
pub(crate) mod state;
mod window;
pub(crate) mod worker;

pub use published_dc::stream::recv::{
    application::{AckMode, ReadMode},
    Error, ErrorKind,
};

use crate::stream::send;

/// What a failure of the sending half means for the receiving one; `None` if it goes on
pub(crate) fn error_from_sender(kind: send::ErrorKind) -> Option<ErrorKind> {
    use send::ErrorKind as Send;
    match kind {
        Send::IdleTimeout => Some(ErrorKind::IdleTimeout),
        Send::KeyReplayPrevented => Some(ErrorKind::KeyReplayPrevented),
        Send::KeyReplayMaybePrevented { gap } => Some(ErrorKind::KeyReplayMaybePrevented { gap }),
        Send::UnknownPathSecret => Some(ErrorKind::UnknownPathSecret),
        Send::TransportError { code } => Some(ErrorKind::TransportError { code }),
        // a reader that stopped early with nothing unread says nothing about the other direction
        Send::ApplicationError { error } if *error == 0 => None,
        Send::ApplicationError { error } => Some(ErrorKind::ApplicationError { error }),
        Send::FatalError => Some(ErrorKind::TruncatedTransport),
        Send::PayloadTooLarge
        | Send::PacketBufferTooSmall
        | Send::PacketNumberExhaustion
        | Send::RetransmissionFailure
        | Send::StreamFinished
        | Send::FinalSizeChanged
        | Send::FrameError { .. } => None,
    }
}
