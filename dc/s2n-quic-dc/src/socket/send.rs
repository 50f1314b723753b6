// SPDX-License-Identifier: Apache-2.0

//! From the stream to the socket.

pub mod completion;
pub(crate) mod transmission;
pub(crate) mod udp;
pub mod wheel;
