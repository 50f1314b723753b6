// SPDX-License-Identifier: Apache-2.0

//! What becomes of streams whose secret or key the peer does not know.
//!
//! The one rule: the map of secrets authenticates what the peer says, and is asked once.

use super::core::Core;
use crate::{
    credentials,
    packet::secret_control,
    stream::{recv, send, shared::Shared},
};
use s2n_quic_core::time::Timestamp;
use std::{net::SocketAddr, sync::Arc};

impl Core {
    /// Takes in a packet that says that a secret or key is not known at the peer
    pub(crate) fn on_secret_control(
        &self,
        packet: &secret_control::Packet<'_>,
        remote: SocketAddr,
        now: Timestamp,
    ) {
        let queue_id = packet.queue_id();
        let id = *packet.credential_id();
        // the map authenticates and may drop the secret, so it is asked once and its answer is used for the stream as well
        let verdict = match packet {
            secret_control::Packet::UnknownPathSecret(packet) => self
                .map
                .handle_unknown_path_secret_packet(packet, &remote)
                .map(|_| Verdict::Unknown),
            secret_control::Packet::StaleKey(packet) => self
                .map
                .handle_stale_key_packet(packet, &remote)
                .map(|stale| Verdict::Stale(stale.min_key_id.as_u64())),
            secret_control::Packet::ReplayDetected(packet) => self
                .map
                .handle_replay_detected_packet(packet, &remote)
                .map(|replay| Verdict::Replayed(replay.rejected_key_id.as_u64())),
        };
        let Some(verdict) = verdict else {
            self.counters.dropped.unauthenticated.add(1);
            return;
        };
        if let Verdict::Unknown = verdict {
            // the secret is of no use to any of its streams
            for stream in self.streams_of(&id) {
                stream.fail(
                    send::ErrorKind::UnknownPathSecret,
                    recv::ErrorKind::UnknownPathSecret,
                    now,
                );
            }
            return;
        }
        let stream = queue_id.and_then(|queue_id| self.stream(queue_id.as_u64()));
        let Some(stream) = stream.filter(|stream| stream.credentials.id == id) else {
            return;
        };
        let key_id = stream.credentials.key_id.as_u64();
        match verdict {
            Verdict::Stale(min_key_id) if min_key_id > key_id => {
                let gap = Some(min_key_id - key_id);
                stream.fail(
                    send::ErrorKind::KeyReplayMaybePrevented { gap },
                    recv::ErrorKind::KeyReplayMaybePrevented { gap },
                    now,
                );
            }
            Verdict::Replayed(rejected) if rejected == key_id => stream.fail(
                send::ErrorKind::KeyReplayPrevented,
                recv::ErrorKind::KeyReplayPrevented,
                now,
            ),
            Verdict::Unknown | Verdict::Stale(_) | Verdict::Replayed(_) => {}
        }
    }

    fn streams_of(&self, id: &credentials::Id) -> Vec<Arc<Shared>> {
        let shards = self.shards.iter();
        shards
            .flat_map(|shard| shard.routes.matching(|stream| stream.credentials.id == *id))
            .collect()
    }
}

enum Verdict {
    Unknown,
    Stale(u64),
    Replayed(u64),
}
