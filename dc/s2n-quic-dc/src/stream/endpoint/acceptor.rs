// SPDX-License-Identifier: Apache-2.0

//! What becomes of the first packet of a stream that a peer opens.
//!
//! The one rule: its keys are looked for among those that were offered, and then in the map, each of which gives away a key once.

use super::subscriber;
use crate::{
    credentials::Credentials,
    event::{self, builder, IntoEvent as _},
    path::secret::{map::Map, schedule::Initiator},
    stream::{
        address::Address,
        application::{Builder, Handle},
        control_keys::ControlKeys,
        environment::core::{Acceptor, Core, Guard, Opening, Shard, WeakGuard},
        keys::{offers::Claimed, Generation, Keys},
        recv,
        server::accept,
        shared::{Basis, Parts, Shared},
        TransportFeatures,
    },
};
use s2n_quic_core::time::Timestamp;
use std::sync::{Arc, OnceLock};

/// What an acceptor is made of
pub(crate) struct Accepting<Sub: event::Subscriber> {
    pub(crate) sender: accept::Sender<Sub>,
    pub(crate) flavor: accept::Flavor,
    pub(crate) subscriber: Sub,
}

impl<Sub: event::Subscriber + Clone> Accepting<Sub> {
    /// `guard` is set once the environment stands
    pub(crate) fn into_acceptor(self, guard: Arc<OnceLock<WeakGuard>>) -> Box<dyn Acceptor> {
        Box::new(QueueAcceptor {
            accepting: self,
            guard,
        })
    }
}

struct QueueAcceptor<Sub: event::Subscriber> {
    accepting: Accepting<Sub>,
    guard: Arc<OnceLock<WeakGuard>>,
}

impl<Sub: event::Subscriber + Clone> Acceptor for QueueAcceptor<Sub> {
    fn accept(
        &self,
        mut opening: Opening<'_>,
        core: &Arc<Core>,
        shard: &Arc<Shard>,
        now: Timestamp,
    ) {
        let Some(guard) = self.guard.get().and_then(WeakGuard::upgrade) else {
            return;
        };
        if Generation::of(opening.credentials.key_id) > Generation::FIRST {
            match core.offers.claim(&opening.credentials) {
                Claimed::Offered(kept) => {
                    let basis = Basis::kept(&kept);
                    let has_opened = self.open(basis, opening, core, shard, guard, now);
                    core.offers.return_claim(kept, has_opened);
                    core.counters.streams_continued.add(has_opened.into());
                    return;
                }
                Claimed::Busy => return,
                Claimed::Unknown if refuse(&mut opening, &core.map, now) => return,
                // the map has come as far as that
                Claimed::Unknown => {}
            }
        }
        // none is made for whoever names a secret
        let path = core.known_path(&opening.credentials.id);
        let features = path.as_ref().map(|path| path.secret.features());
        let pair = core.map.pair_for_credentials(
            &opening.credentials,
            opening.source_queue_id,
            &features.unwrap_or(TransportFeatures::UDP),
            opening.answer,
        );
        let Some((pair, params, application_data)) = pair else {
            return;
        };
        let path = path.unwrap_or_else(|| core.path(opening.credentials.id));
        let initiator = Initiator::Remote;
        let basis = Basis::derived(pair, &params, application_data, path, initiator, core, now);
        if let Ok(basis) = basis {
            self.open(basis, opening, core, shard, guard, now);
        }
    }
}

impl<Sub: event::Subscriber + Clone> QueueAcceptor<Sub> {
    /// Makes a stream of its first packet, unless that is not authentic
    fn open(
        &self,
        basis: Basis,
        opening: Opening<'_>,
        core: &Arc<Core>,
        shard: &Arc<Shard>,
        guard: Guard,
        now: Timestamp,
    ) -> bool {
        let subscriber = subscriber(self.accepting.subscriber.clone(), now);
        let queue_id = shard.routes.next_id();
        let remote = opening.arrival.remote;
        let shared = Shared::new(
            Parts {
                core: core.clone(),
                shard: shard.clone(),
                basis,
                queue_id,
                address: Address::server(remote, opening.source_queue_id, queue_id),
                permit: None,
                events: subscriber.clone(),
                is_accepted: true,
            },
            now,
        );
        shared.inbox.push(opening.arrival, now);
        let is_authenticated =
            recv::worker::open_first(&shared, opening.is_followed, now, opening.wakes);
        if !is_authenticated {
            // forged or replayed: nothing is kept of it
            return false;
        }
        core.counters.streams_accepted.add(1);
        core.insert_opened(&shared);
        shared.begin(now);

        let remote_address = remote.into();
        self.accepting.subscriber.on_acceptor_udp_stream_enqueued(
            &builder::EndpointMeta {
                timestamp: now.into_event(),
            }
            .into_event(),
            &builder::AcceptorUdpStreamEnqueued {
                remote_address: &remote_address,
                credential_id: &*shared.credentials.id,
                stream_id: shared.credentials.key_id.as_u64(),
            }
            .into_event(),
        );
        let handle = Handle {
            shared,
            subscriber,
            guard,
        };
        let stream = Builder::new(handle, now);
        // an application that accepts no more leaves the stream to be refused
        if let Ok(waker) = self.accepting.sender.enqueue(self.accepting.flavor, stream) {
            opening.wakes.push(waker);
        }
        true
    }
}

/// Ends a stream that would go on with keys which nobody knows any more to have offered; false if it is not one
fn refuse(opening: &mut Opening<'_>, map: &Map, now: Timestamp) -> bool {
    let credentials = opening.credentials;
    let of_map = Credentials {
        id: credentials.id,
        key_id: Generation::map_key_id(credentials.key_id),
    };
    let features = TransportFeatures::UDP;
    let queue_id = opening.source_queue_id;
    let pair = map.pair_for_credentials(&of_map, queue_id, &features, opening.answer);
    let Some((pair, ..)) = pair else {
        // the client is told if the secret is unknown
        return true;
    };
    let Some(control) = pair.control else {
        return false;
    };
    let keys = Keys::new(
        credentials,
        pair.application,
        ControlKeys::Derived(Arc::new(control)),
        Generation::of(credentials.key_id),
        now,
    );
    // opening it changes it, even if it is not authentic
    let packet = opening.arrival.packets.first_mut();
    let packet = packet.map(|packet| packet.to_vec());
    packet.is_some_and(|mut packet| {
        recv::refusal::refuse(&keys, &mut packet, opening.answer).is_some()
    })
}
