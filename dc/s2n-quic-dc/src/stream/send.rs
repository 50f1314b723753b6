// SPDX-License-Identifier: Apache-2.0

//! The sending half of a stream.

pub mod application;
pub(crate) mod flow;
mod loss;
mod queue;
pub(crate) mod state;
mod turn;
pub(crate) mod worker;

pub use published_dc::stream::send::{Error, ErrorKind};
