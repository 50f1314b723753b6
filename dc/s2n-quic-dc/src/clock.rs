// SPDX-License-Identifier: Apache-2.0

//! The clocks of the runtimes.
//!
//! The one rule: the environment reads the clock and passes the time on; nothing below it does.

pub use published_dc::clock::{Cached, Clock, Sleep, SleepHandle, Timer, Timestamp};

use ::core::time::Duration;

/// The clock's microseconds: what the timing wheels count in
pub(crate) fn ticks(time: Timestamp) -> u64 {
    // SAFETY: reading a timestamp has no precondition; it is compared with others of the same clock only
    let since_epoch = unsafe { time.as_duration() };
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// The time of a tick of the same clock
pub(crate) fn at_tick(tick: u64) -> Timestamp {
    // SAFETY: ticks are made of timestamps of the same clock, and all are compared with each other only
    unsafe { Timestamp::from_duration(Duration::from_micros(tick)) }
}

#[cfg(feature = "tokio")]
pub use published_dc::clock::tokio;

#[cfg(feature = "testing")]
pub use published_dc::clock::bach;
