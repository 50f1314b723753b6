// SPDX-License-Identifier: Apache-2.0

//! How streams come to be: opened by the application, or accepted from a peer's first packet.
//!
//! The one rule: a stream is only shown to the application, and only kept, once a packet of it has authenticated.

use crate::{
    credentials::Credentials,
    event::{self, api, builder, IntoEvent as _},
    path::secret::{
        map::{self, ApplicationPair, ControlPair},
        schedule::Initiator,
    },
    stream::{
        address::Address,
        application::{Builder, Handle, Stream},
        environment::{
            core::{Acceptor, Core, Guard, Opening, Shard, WeakGuard},
            started::Running,
            udp::IDLE_TIMEOUT,
        },
        path::{admission::Permit, Path},
        recv, send,
        server::accept,
        shared::{Parts, Shared},
        TransportFeatures,
    },
};
use published_dc::stream::shared::Subscriber;
use s2n_quic_core::{dc::ApplicationParams, time::Timestamp};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
};

/// The longest datagram that a stream sends: the wire's payload length is exact up to this, and so is the controller's
const MAX_DATAGRAM_LEN: u16 = 16_383;

/// The shortest that every path carries
const MIN_DATAGRAM_LEN: u16 = 1200;

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
    let first = core.shards.first().ok_or(io::ErrorKind::NotConnected)?;
    let remote = reachable(acceptor_addr, first.local_addr)?;

    let path = core.path(*peer.id());
    let place = path.admission.open().await;
    let pair = peer.pair(&path.secret.features());
    let Some((keys, params)) = pair.map(|(keys, params)| (Keys::from(keys), params)) else {
        return Err(io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "the path secret has no key ids left; a new handshake was requested",
        ));
    };
    let permit = place.fill(keys.credentials.key_id.as_u64());

    let now = core.clock.get_time();
    let subscriber = subscriber(events, now);
    // not before the wait, so that it counts as open for the next one
    let shard = core.next_shard().ok_or(io::ErrorKind::NotConnected)?;
    let queue_id = shard.routes.next_id();
    let shared = build(
        keys,
        &params,
        New {
            address: Address::client(remote, queue_id),
            queue_id,
            application_data: None,
            permit: Some(permit),
            initiator: Initiator::Local,
            path,
            now,
        },
        core,
        shard,
        subscriber.clone(),
    )?;
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

struct New {
    address: Address,
    queue_id: u64,
    application_data: Option<map::ApplicationData>,
    permit: Option<Permit>,
    /// Who opens the stream: the client
    initiator: Initiator,
    path: Arc<Path>,
    now: Timestamp,
}

/// The keys that the map has derived for a stream
///
/// Those of control packets are seldom among them, and room for them is six sevenths of what the map returns: too much to move with each stream.
struct Keys {
    credentials: Credentials,
    application: ApplicationPair,
    control: Option<Arc<ControlPair>>,
}

impl From<map::Bidirectional> for Keys {
    #[inline(always)] // takes them from where the map has left them
    fn from(keys: map::Bidirectional) -> Self {
        Self {
            credentials: keys.credentials,
            application: keys.application,
            control: keys.control.map(Arc::new),
        }
    }
}

fn build<Sub: event::Subscriber>(
    keys: Keys,
    params: &ApplicationParams,
    new: New,
    core: &Arc<Core>,
    shard: &Arc<Shard>,
    subscriber: Arc<Subscriber<Sub>>,
) -> io::Result<Arc<Shared>> {
    let control_keys =
        new.path
            .secret
            .control_keys(&keys.credentials, keys.control, new.initiator, &core.map);
    let Some(control_keys) = control_keys else {
        return Err(io::Error::other(
            "the path secret gave no control keys, which streams over UDP need",
        ));
    };
    let datagram_len = params
        .max_datagram_size()
        .clamp(MIN_DATAGRAM_LEN, MAX_DATAGRAM_LEN);
    let local_window = params.local_recv_max_data.as_u64();
    let remote_window = params.remote_max_data.as_u64();
    // a client of the published crate enforces its own view of the window, so a server starts with the smaller of the two
    let max_data = match new.initiator {
        Initiator::Local => remote_window,
        Initiator::Remote => remote_window.min(local_window),
    };
    let send = send::flow::Limits {
        max_data,
        max_unacknowledged: params.local_send_max_data.as_u64(),
        max_pending: core.settings.max_pending,
    };
    let recv = recv::state::Limits {
        window: local_window,
        agreed: local_window.max(remote_window),
    };
    new.path.prepare(datagram_len);
    Ok(Shared::new(
        Parts {
            path: new.path,
            core: core.clone(),
            shard: shard.clone(),
            queue_id: new.queue_id,
            credentials: keys.credentials,
            keys: keys.application,
            control_keys,
            send,
            recv,
            address: new.address,
            application_data: new.application_data,
            permit: new.permit,
            events: subscriber,
            datagram_len,
            idle_timeout: params.max_idle_timeout().unwrap_or(IDLE_TIMEOUT),
        },
        new.now,
    ))
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
    fn accept(&self, opening: Opening<'_>, core: &Arc<Core>, shard: &Arc<Shard>, now: Timestamp) {
        let Some(guard) = self.guard.get().and_then(WeakGuard::upgrade) else {
            return;
        };
        // none is made for whoever names a secret
        let path = core.known_path(&opening.credentials.id);
        let features = path.as_ref().map(|path| path.secret.features());
        let pair = core.map.pair_for_credentials(
            &opening.credentials,
            opening.source_queue_id,
            &features.unwrap_or(TransportFeatures::UDP),
            opening.answer,
        );
        let keys = pair.map(|(keys, params, data)| (Keys::from(keys), params, data));
        let Some((keys, params, application_data)) = keys else {
            return;
        };
        let subscriber = subscriber(self.accepting.subscriber.clone(), now);
        let queue_id = shard.routes.next_id();
        let remote = opening.arrival.remote;
        let built = build(
            keys,
            &params,
            New {
                address: Address::server(remote, opening.source_queue_id, queue_id),
                queue_id,
                application_data,
                permit: None,
                initiator: Initiator::Remote,
                path: path.unwrap_or_else(|| core.path(opening.credentials.id)),
                now,
            },
            core,
            shard,
            subscriber.clone(),
        );
        let Ok(shared) = built else { return };

        shared.inbox.push(opening.arrival, now);
        let is_authenticated = recv::worker::open_first(&shared, now, opening.wakes);
        if !is_authenticated {
            // forged or replayed: nothing is kept of it
            return;
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
    }
}
