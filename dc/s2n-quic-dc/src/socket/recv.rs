// SPDX-License-Identifier: Apache-2.0

//! From the socket to the stream.

mod crowding;
mod dispatcher;
mod refusals;
pub(crate) mod router;
pub(crate) mod udp;
