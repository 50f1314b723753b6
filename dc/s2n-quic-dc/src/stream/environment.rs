// SPDX-License-Identifier: Apache-2.0

//! Where streams live: sockets, workers, the descriptor pool and the clock.
//!
//! The core of an environment knows no runtime. [`tokio`] drives it with threads and real sockets; with the feature `testing`, `bach`
//! drives it with tasks and simulated ones.

use crate::{clock, event};
use s2n_quic_core::time::Clock as _;
use s2n_quic_platform::features;

#[cfg(feature = "testing")]
pub mod bach;
pub(crate) mod core;
#[cfg(any(feature = "testing", feature = "tokio"))]
pub(crate) mod drive;
pub(crate) mod receipts;
pub(crate) mod routes;
mod secret_control;
pub(crate) mod started;
pub(crate) mod timers;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod udp;

/// What services pass on
pub trait Environment {
    /// The clock of this environment's runtime
    type Clock: Clone + clock::Clock;
    /// Where its events go
    type Subscriber: event::Subscriber + Clone;

    /// Where its events go
    fn subscriber(&self) -> &Self::Subscriber;

    /// The clock that all of its times are read from
    fn clock(&self) -> Self::Clock;

    /// How many segments one send may have
    fn gso(&self) -> features::Gso;

    /// Publishes events that belong to no stream
    fn endpoint_publisher(&self) -> event::EndpointPublisherSubscriber<'_, Self::Subscriber> {
        use event::IntoEvent as _;
        event::EndpointPublisherSubscriber::new(
            event::builder::EndpointMeta {
                timestamp: self.clock().get_time().into_event(),
            },
            None,
            self.subscriber(),
        )
    }
}
