// SPDX-License-Identifier: Apache-2.0

//! Why a client could not start to connect.
//!
//! The one rule: these are the published crate's types, so that services which recover the cause from an
//! [`std::io::Error`] with `from_io` find it whichever crate produced it.

pub use published_dc::stream::client::error::{Error, Kind};
