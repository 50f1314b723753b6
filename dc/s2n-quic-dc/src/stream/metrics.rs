// SPDX-License-Identifier: Apache-2.0

//! What an environment did, read at one moment.

use super::environment::core::Core;
use crate::socket::pool;

mod lateness;
mod waits;

pub(crate) use lateness::LatenessCounters;
pub use lateness::{Lateness, LatenessRange};
pub use waits::Waits;
pub(crate) use waits::{Reason, WaitCounters};

/// Counters and levels of one environment; counters start at zero with it
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// The descriptor pool
    pub pool: pool::Stats,
    /// Transmissions that wait in the wheels for their time
    pub wheel_entries: u64,
    /// The most that one wheel held
    pub wheel_peak_entries: u64,
    /// Transmissions that left
    pub transmissions_sent: u64,
    /// Transmissions of streams that were gone before their time came
    pub transmissions_cancelled: u64,
    /// Transmissions that the socket refused
    pub transmissions_failed: u64,
    /// Sends that found the socket full
    pub would_block: u64,
    /// How late transmissions of data left against their departure times
    pub lateness: Lateness,
    /// System calls that sent something
    pub send_calls: u64,
    /// Datagrams that went with them
    pub segments_sent: u64,
    /// System calls that received something
    pub recv_calls: u64,
    /// Those that found the socket's receive buffer more than two thirds full: what they received counts as marked by congestion, so that peers slow
    /// down before something is lost. If there are many, the socket wants a larger buffer, or the host more processors.
    pub recv_calls_crowded: u64,
    /// Packets with stream data that were made: first copies, retransmissions and probes
    pub packets_sent: u64,
    /// Packets that were declared lost
    pub packets_lost: u64,
    /// Packets that were declared lost and arrived after all: the network has reordered them
    pub spurious_losses: u64,
    /// Packets that were sent again, as retransmissions and as probes
    pub packets_retransmitted: u64,
    /// Probes among them
    pub probes: u64,
    /// Acknowledgements, credit and closes sent
    pub control_packets: u64,
    /// Datagrams received, before anything is known about them
    pub segments_received: u64,
    /// Packets that had arrived before
    pub duplicates: u64,
    /// Datagrams that were empty, cut short, or of an unknown kind
    pub dropped_undecodable: u64,
    /// Packets of a kind that streams have no use for
    pub dropped_unexpected: u64,
    /// Packets for a queue that does not exist (any more)
    pub dropped_unroutable: u64,
    /// Packets with the credentials of another stream
    pub dropped_credentials: u64,
    /// Packets that failed to authenticate
    pub dropped_unauthenticated: u64,
    /// First packets of clients whose secret is not known here, or whose keys are not any more
    pub dropped_unknown_secret: u64,
    /// Packets for which a stream's inbox or the pool had no room
    pub dropped_overflow: u64,
    /// Streams that this side opened
    pub streams_opened: u64,
    /// Streams that peers opened
    pub streams_accepted: u64,
    /// Streams among both that go on with the keys of another
    pub streams_continued: u64,
    /// Keys that are kept for streams to come
    pub kept_keys: u64,
    /// Streams that are open, or still answer
    pub streams: u64,
    /// Peers whose paths are known
    pub paths: u64,
    /// Bytes queued and in flight, over all paths
    pub window_outstanding: u64,
    /// The windows that hold them
    pub window_limit: u64,
    /// Streams whose opening the peer has not confirmed
    pub opens_unconfirmed: u64,
    /// Opens that wait for those
    pub opens_waiting: u64,
    /// Bytes that receive windows have grown by, beyond what the handshakes promised
    pub receive_window_bytes: u64,
    /// Growths of receive windows that the environment's budget refused
    pub receive_window_refusals: u64,
    /// What writers waited for
    pub waits: Waits,
}

impl Metrics {
    pub(crate) fn of(core: &Core) -> Self {
        let counters = &core.counters;
        let dropped = &counters.dropped;
        let mut metrics = Self {
            pool: core.pool.stats(),
            packets_lost: counters.packets_lost.get(),
            spurious_losses: counters.spurious_losses.get(),
            packets_retransmitted: counters.packets_retransmitted.get(),
            probes: counters.probes.get(),
            packets_sent: counters.packets_sent.get(),
            control_packets: counters.control_packets.get(),
            segments_received: counters.segments_received.get(),
            recv_calls_crowded: counters.crowded.get(),
            duplicates: counters.duplicates.get(),
            dropped_undecodable: dropped.undecodable.get(),
            dropped_unexpected: dropped.unexpected.get(),
            dropped_unroutable: dropped.unroutable.get(),
            dropped_credentials: dropped.credentials.get(),
            dropped_unauthenticated: dropped.unauthenticated.get(),
            dropped_unknown_secret: dropped.unknown_secret.get(),
            dropped_overflow: dropped.overflow.get(),
            streams_opened: counters.streams_opened.get(),
            streams_accepted: counters.streams_accepted.get(),
            streams_continued: counters.streams_continued.get(),
            kept_keys: (core.idle_keys.len() + core.offers.len()) as u64,
            receive_window_bytes: core.budget.taken(),
            receive_window_refusals: core.budget.refused(),
            ..Self::default()
        };
        for shard in &core.shards {
            let sender = &shard.sender.metrics;
            metrics.wheel_entries += sender.depth.get();
            metrics.wheel_peak_entries = metrics.wheel_peak_entries.max(sender.depth.peak());
            metrics.transmissions_sent += sender.sent.get();
            metrics.transmissions_cancelled += sender.cancelled.get();
            metrics.transmissions_failed += sender.failed.get();
            metrics.would_block += sender.would_block.get();
            metrics.lateness += sender.lateness.get();
            metrics.waits += shard.waits.get();
            metrics.streams += shard.routes.len() as u64;
            let socket = shard.traffic.snapshot();
            metrics.send_calls += socket.sends;
            metrics.segments_sent += socket.segments_sent;
            metrics.recv_calls += socket.recvs;
        }
        core.for_each_path(|path| {
            let (outstanding, limit) = path.usage();
            let (unconfirmed, waiting) = path.admission.depth();
            metrics.paths += 1;
            metrics.window_outstanding += outstanding;
            metrics.window_limit += limit;
            metrics.opens_unconfirmed += unconfirmed as u64;
            metrics.opens_waiting += waiting as u64;
        });
        metrics
    }
}
