// SPDX-License-Identifier: Apache-2.0

//! One message as it meets the socket: its address, its ancillary data and its payload.
//!
//! The rule: a message leaves or arrives whole. What cannot be sent or received in one piece is an error, never a
//! shorter message.

pub(crate) mod addr;
pub(crate) mod cmsg;
pub(crate) mod recv;
pub mod segment;
pub mod send;
