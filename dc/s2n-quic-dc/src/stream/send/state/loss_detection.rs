// SPDX-License-Identifier: Apache-2.0

//! Which of the packets that were sent are lost, and what becomes of them.
//!
//! The one rule: a packet that is called lost goes on to its retransmission with the window that it holds, and is remembered for a while, so that it
//! is recognized if it was only late.

use super::{
    acknowledge::{event_time, lifetime, Space},
    lost::LostPacket,
    min_option,
    transmission::{Content, Info},
    State,
};
use crate::{
    event::builder,
    stream::{events::Event, path::Departed, send::loss, shared::Shared},
};
use s2n_quic_core::{recovery::congestion::Signal, time::Timestamp};

impl State {
    pub(super) fn detect_losses(&mut self, shared: &Shared, now: Timestamp) {
        self.loss_deadline = None;
        self.forget_lost(shared, now);
        let Some(newest) = self.newest else { return };
        if self.stream.is_empty() && self.recovery.is_empty() {
            return;
        }
        let thresholds = shared.path.loss_thresholds();
        let mut next_deadline = None;
        let is_older = |info: &Info| info.sequence < newest.sequence;
        let lost = self.take_if(is_older, |info, departed| {
            match loss::detect(info.sequence, departed.time, newest, thresholds, now) {
                loss::Outcome::Lost => true,
                loss::Outcome::NotLostYet(deadline) => {
                    next_deadline = min_option(next_deadline, deadline);
                    false
                }
            }
        });
        self.loss_deadline = next_deadline;

        for (space, number, info) in lost {
            self.on_packet_lost(space, number, info, shared, now);
        }
    }

    /// Takes out what has left and `f` says, of transmissions of which `may_be` does so by their first packets
    fn take_if(
        &mut self,
        may_be: impl Fn(&Info) -> bool,
        mut f: impl FnMut(&Info, Departed) -> bool,
    ) -> Vec<(Space, u64, Info)> {
        let mut taken = Vec::new();
        for (space, packets) in [
            (Space::Stream, &mut self.stream),
            (Space::Recovery, &mut self.recovery),
        ] {
            let records = &self.records;
            packets.remove_if(
                &may_be,
                |_, info| {
                    let departed = records.departed(info.record);
                    departed.is_some_and(|departed| f(info, departed))
                },
                |number, info| taken.push((space, number, info)),
            );
        }
        taken
    }

    /// Everything that has left is lost: later packets of other streams have arrived
    pub(super) fn on_overtaken(&mut self, shared: &Shared, now: Timestamp) {
        let lost = self.take_if(|_| true, |_, _| true);
        for (space, number, info) in lost {
            self.on_packet_lost(space, number, info, shared, now);
        }
    }

    /// What has been lost for so long does not arrive any more
    fn forget_lost(&mut self, shared: &Shared, now: Timestamp) {
        if self.lost.is_empty() {
            return;
        }
        let lifetime = shared.path.pto_period(2);
        while let Some(packet) = self.lost.pop_expired(lifetime, now) {
            self.records.settle(packet.data.origin);
        }
    }

    fn on_packet_lost(
        &mut self,
        space: Space,
        number: u64,
        info: Info,
        shared: &Shared,
        now: Timestamp,
    ) {
        let departed = self.records.departed(info.record);
        if let Some(departed) = departed {
            shared.path.on_congestion(Signal::Loss, departed, now);
        }
        shared.counters().packets_lost.add(1);
        let data = match info.content {
            Content::Data(data) if !self.records.is_acknowledged(&data) => data,
            Content::Data(_) | Content::Probe => {
                self.discard(info, shared, now);
                return;
            }
        };
        match (space, departed) {
            (Space::Stream, Some(departed)) => {
                let forgotten = self.lost.push(LostPacket {
                    number,
                    sequence: info.sequence,
                    departed,
                    data,
                    since: now,
                });
                if let Some(forgotten) = forgotten {
                    self.records.settle(forgotten.data.origin);
                }
            }
            // a copy that arrives late says little about the network, because its first send may have arrived as well
            (Space::Recovery, _) | (Space::Stream, None) => self.records.settle(info.record),
        }
        shared.publish(now, || {
            Event::PacketLost(builder::StreamPacketLost {
                packet_len: usize::from(info.packet_len),
                payload_len: usize::from(data.payload_len),
                packet_number: number,
                stream_offset: data.offset,
                time_sent: event_time(departed, now),
                lifetime: lifetime(departed, now),
                is_retransmission: space == Space::Recovery,
            })
        });
        self.retransmissions.push_back((data, info.held));
    }
}
