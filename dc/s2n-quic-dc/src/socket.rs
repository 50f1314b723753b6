// SPDX-License-Identifier: Apache-2.0

//! Sockets, the memory that they send from and receive into, and the workers that own them.

pub mod io;
pub mod pool;
pub(crate) mod recv;
pub mod send;
pub mod udp;
pub mod waker;

pub use s2n_quic_platform::socket::options::{Options, ReusePort};
