// SPDX-License-Identifier: Apache-2.0

//! The clocks of the runtimes.
//!
//! The one rule: the environment reads the clock and passes the time on; nothing below it does.

pub use published_dc::clock::{Cached, Clock, Sleep, SleepHandle, Timer, Timestamp};

#[cfg(feature = "tokio")]
pub use published_dc::clock::tokio;
