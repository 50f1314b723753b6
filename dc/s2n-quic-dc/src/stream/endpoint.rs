// SPDX-License-Identifier: Apache-2.0

//! How streams come to be: opened by the application, or accepted from a peer's first packet.
//!
//! The one rule: a stream is only shown to the application, and only kept, once a packet of it has authenticated.

use crate::{
    event::{self, api, builder, IntoEvent as _},
    path::secret::{map, schedule::Initiator},
    stream::{
        address::Address,
        application::{Handle, Stream},
        environment::{
            core::{Core, Guard},
            started::Running,
        },
        keys::{kept::KeptKeys, Generation, Keys},
        path::Path,
        shared::{Basis, Parts, Shared},
        terms::Terms,
    },
};
use published_dc::stream::shared::Subscriber;
use s2n_quic_core::{dc::ApplicationParams, time::Timestamp};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

mod acceptor;

pub(crate) use acceptor::Accepting;

/// Opens a stream to the peer that the handshake leads to, and sends nothing yet
///
/// Waits while so many streams of this path are unconfirmed by the peer that it might take another key for a replay.
///
/// # Errors
///
/// Whatever `handshake` returns, `QuotaExceeded` when the secret has no keys left, `InvalidInput` when the address cannot be reached from the environment's sockets.
///
/// # Cancel safety
///
/// Cancel safe if `handshake` is: nothing has been opened when the future is dropped before it is ready.
pub(crate) async fn open<Env: Running>(
    handshake: impl Future<Output = io::Result<map::Peer>>,
    acceptor_addr: SocketAddr,
    env: &Env,
) -> io::Result<Stream<Env::Subscriber>> {
    let peer = handshake.await?;
    let started = env.started().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the environment was built without a pool, so it has no sockets",
        )
    })?;
    let guard = started.guard.clone();
    let events = env.subscriber().clone();
    open_on(&started.core, guard, events, peer, acceptor_addr).await
}

/// As [`open`], on an environment in its parts
pub(crate) async fn open_on<Sub>(
    core: &Arc<Core>,
    guard: Guard,
    events: Sub,
    peer: map::Peer,
    acceptor_addr: SocketAddr,
) -> io::Result<Stream<Sub>>
where
    Sub: event::Subscriber + Clone,
{
    // all are bound to addresses of one kind
    let any = core.shards.first().ok_or(io::ErrorKind::NotConnected)?;
    let remote = reachable(acceptor_addr, any.local_addr)?;

    let path = core.path(*peer.id());
    let place = path.admission.open().await;
    let now = core.clock.get_time();
    let (basis, permit) = match core.idle_keys.take(*peer.id(), remote, now) {
        Some(kept) => {
            core.counters.streams_continued.add(1);
            (Basis::kept(&kept), place.fill_without_key())
        }
        None => {
            let Some((pair, params)) = peer.pair(&path.secret.features()) else {
                return Err(io::Error::new(
                    io::ErrorKind::QuotaExceeded,
                    "the path secret has no key ids left; a new handshake was requested",
                ));
            };
            let permit = place.fill(pair.credentials.key_id.as_u64());
            let basis = Basis::derived(pair, &params, None, path, Initiator::Local, core, now)?;
            (basis, permit)
        }
    };
    let subscriber = subscriber(events, now);
    // not before the wait, so that it counts as open for the next one
    let shard = core.next_shard().ok_or(io::ErrorKind::NotConnected)?;
    let queue_id = shard.routes.next_id();
    let shared = Shared::new(
        Parts {
            core: core.clone(),
            shard: shard.clone(),
            basis,
            queue_id,
            address: Address::client(remote, queue_id),
            permit: Some(permit),
            events: subscriber.clone(),
            is_accepted: false,
        },
        now,
    );
    core.counters.streams_opened.add(1);
    shard.routes.insert(&shared);
    shared.begin(now);
    Ok(Stream::new(Handle {
        shared,
        subscriber,
        guard,
    }))
}

/// The address to send to, seen from a socket bound to `local`
fn reachable(acceptor: SocketAddr, local: SocketAddr) -> io::Result<SocketAddr> {
    let mut remote = acceptor;
    if remote.ip().is_unspecified() {
        remote.set_ip(if local.is_ipv4() {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        });
    }
    if remote.is_ipv6() && local.is_ipv4() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{acceptor} is an IPv6 address, and the socket is bound to the IPv4 address {local}"),
        ));
    }
    Ok(remote)
}

impl Basis {
    fn kept(kept: &KeptKeys) -> Self {
        Self {
            keys: kept.keys(),
            terms: kept.terms,
            application_data: kept.application_data.clone(),
            path: kept.path.clone(),
        }
    }

    #[inline(always)] // takes the keys from where the map has left them
    fn derived(
        pair: map::Bidirectional,
        params: &ApplicationParams,
        application_data: Option<map::ApplicationData>,
        path: Arc<Path>,
        initiator: Initiator,
        core: &Core,
        now: Timestamp,
    ) -> io::Result<Self> {
        let control = pair.control.map(Arc::new);
        let control = path
            .secret
            .control_keys(&pair.credentials, control, initiator, &core.map);
        let Some(control) = control else {
            return Err(io::Error::other(
                "the path secret gave no control keys, which streams over UDP need",
            ));
        };
        let terms = Terms::new(params, initiator, core.settings.max_pending);
        path.prepare(terms.datagram_len);
        Ok(Self {
            keys: Keys::new(
                pair.credentials,
                pair.application,
                control,
                Generation::FIRST,
                now,
            ),
            terms,
            application_data,
            path,
        })
    }
}

fn subscriber<Sub: event::Subscriber>(subscriber: Sub, now: Timestamp) -> Arc<Subscriber<Sub>> {
    let meta: api::ConnectionMeta = builder::ConnectionMeta {
        id: 0,
        timestamp: now.into_event(),
    }
    .into_event();
    let info: api::ConnectionInfo = builder::ConnectionInfo {}.into_event();
    let context = subscriber.create_connection_context(&meta, &info);
    Arc::new(Subscriber {
        subscriber,
        context,
    })
}
