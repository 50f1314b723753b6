// SPDX-License-Identifier: Apache-2.0

//! What both halves of a stream, the workers and the application's handles share.
//!
//! Lock order: the receiving half, then the sending half, then the inbox, then the path. Never two halves the other way round.
//!
//! The one rule: wakers are woken after every lock is released, so whatever collects them returns them.

use crate::{
    clock::{ticks, Clock},
    credentials::Credentials,
    event::builder,
    path::secret::map::ApplicationData,
    socket::pool::Pool,
    stream::{
        address::Address,
        control_keys::ControlKeys,
        environment::core::{Core, Counters, Shard},
        events::{Event, Events},
        keys::Keys,
        nudge,
        path::{admission::Permit, Path, Wakes},
        piggyback::Piggyback,
        recv,
        send::{self, worker::Letter},
        terms::Terms,
    },
    sync::{letterbox::Letterbox, spares::Reused},
};
use core::{
    ops::Deref,
    sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering},
    task::Waker,
};
use parking_lot::Mutex;
use s2n_quic_core::{
    endpoint::Location, frame::ConnectionClose, inet::ExplicitCongestionNotification,
    recovery::window::FlowId, time::Timestamp, varint::VarInt,
};
use std::{io, net::SocketAddr, sync::Arc};

mod succession;
mod timers;

/// Every packet ends with a tag of this many bytes
pub(crate) const TAG_LEN: usize = 16;

/// Streams whose memory is kept for the next ones: calls end and begin by turns, and this is half a megabyte
pub(crate) const MAX_SPARES: usize = 256;

/// No deadline is armed
const DISARMED: u64 = u64::MAX;

/// A code of CONNECTION_CLOSE, and who speaks: the transport or the application
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    Application(u8),
    Transport(u8),
}

impl CloseCode {
    /// The reader was dropped with nothing unread, before the end
    pub(crate) const STOPPED: Self = Self::Application(0);
    /// The application gave up: a panic, or a reader dropped with bytes unread
    pub(crate) const APPLICATION: Self = Self::Application(1);
    /// The accept queue had no room
    pub(crate) const PRUNED: Self = Self::Application(2);
    /// The stream cannot go on with the keys of another (RFC 9000, section 20.1: CONNECTION_REFUSED)
    pub(crate) const REFUSED: Self = Self::Transport(2);

    pub(crate) fn frame(self) -> ConnectionClose<'static> {
        match self {
            Self::Application(code) => ConnectionClose {
                error_code: VarInt::from_u8(code),
                frame_type: None,
                reason: None,
            },
            Self::Transport(code) => ConnectionClose {
                error_code: VarInt::from_u8(code),
                frame_type: Some(VarInt::ZERO),
                reason: None,
            },
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Half {
    Read = 1,
    Write = 2,
}

/// One stream
///
/// It is small: whoever looks after it later, and finds that it is over, keeps only this in memory until then.
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    /// Given back when the stream is dropped, and there until then
    body: Reused<Body>,
}

/// What there is of a stream
pub(crate) struct Body {
    send: Mutex<send::state::State>,
    recv: Mutex<recv::state::State>,
    pub(crate) shard: Arc<Shard>,
    pub(crate) path: Arc<Path>,
    pub(crate) flow: FlowId,
    pub(crate) queue_id: u64,
    pub(crate) credentials: Credentials,
    pub(crate) control_keys: ControlKeys,
    pub(crate) keys_since: Timestamp,
    pub(crate) address: Address,
    pub(crate) application_data: Option<ApplicationData>,
    pub(crate) inbox: recv::shared::Inbox,
    /// What the peer says while the writer has the lock of the sending half
    pub(crate) letterbox: Letterbox<Letter>,
    /// The peer has opened it
    pub(crate) is_accepted: bool,
    /// Set until the peer has confirmed the key id
    pub(crate) permit: Mutex<Option<Permit>>,
    pub(crate) events: Arc<dyn Events>,
    /// Somebody listens: each packet has events, and nobody else should pay for them
    pub(crate) is_heard: bool,
    pub(crate) terms: Terms,
    /// Microseconds of the clock at which the peer was last heard
    last_activity: AtomicU64,
    /// The tick of the one timer entry that counts, or [`DISARMED`]; entries with another tick are stale
    armed: AtomicU64,
    /// Bits of [`Half`] that the application has let go of
    closed: AtomicU8,
    /// An acknowledgement waits to leave with what the application writes
    is_control_deferred: AtomicBool,
}

/// What a new stream is made of
pub(crate) struct Parts {
    pub(crate) core: Arc<Core>,
    pub(crate) shard: Arc<Shard>,
    pub(crate) basis: Basis,
    pub(crate) queue_id: u64,
    pub(crate) address: Address,
    pub(crate) permit: Option<Permit>,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) is_accepted: bool,
}

/// What comes from the map of secrets, or from the stream before it
pub(crate) struct Basis {
    pub(crate) keys: Keys,
    pub(crate) terms: Terms,
    pub(crate) application_data: Option<ApplicationData>,
    pub(crate) path: Arc<Path>,
}

/// A segment that was received for a stream, with what the network said about it
pub(crate) struct Received<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) remote: SocketAddr,
    pub(crate) ecn: ExplicitCongestionNotification,
}

impl Shared {
    pub(crate) fn new(parts: Parts, now: Timestamp) -> Arc<Self> {
        let Basis {
            keys,
            terms,
            application_data,
            path,
        } = parts.basis;
        let flow = path.insert_flow();
        let holding = parts.core.budget.holding();
        let body = parts.core.spares.place(|| Body {
            send: Mutex::new(send::state::State::new(keys.sealer, terms.send)),
            recv: Mutex::new(recv::state::State::new(keys.opener, terms.recv, holding)),
            shard: parts.shard,
            flow,
            path,
            queue_id: parts.queue_id,
            credentials: keys.credentials,
            control_keys: keys.control,
            keys_since: keys.since,
            address: parts.address,
            application_data,
            inbox: recv::shared::Inbox::default(),
            letterbox: Letterbox::new(),
            permit: Mutex::new(parts.permit),
            is_heard: parts.events.are_heard(),
            events: parts.events,
            terms,
            is_accepted: parts.is_accepted,
            last_activity: AtomicU64::new(ticks(now)),
            armed: AtomicU64::new(DISARMED),
            closed: AtomicU8::new(0),
            is_control_deferred: AtomicBool::new(false),
        });
        Arc::new(Self {
            core: parts.core,
            body,
        })
    }

    pub(crate) fn send(&self) -> &Mutex<send::state::State> {
        &self.body.send
    }

    pub(crate) fn recv(&self) -> &Mutex<recv::state::State> {
        &self.body.recv
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.core.clock.get_time()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.core.clock
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.core.pool
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.core.counters
    }

    pub(crate) fn datagram_len(&self) -> usize {
        usize::from(self.terms.datagram_len)
    }

    /// Publishes what `event` makes, which is nothing if nobody listens
    pub(crate) fn publish(&self, now: Timestamp, event: impl FnOnce() -> Event) {
        if self.is_heard {
            self.events.publish(now, event());
        }
    }

    /// `NotConnected` once the application has let go of both halves
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        if self.is_let_go() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(self.address.remote())
    }

    /// Notes that the application has let go of a half
    pub(crate) fn close_half(&self, half: Half) {
        self.closed.fetch_or(half as u8, Ordering::AcqRel);
    }

    pub(crate) fn is_closed(&self, half: Half) -> bool {
        self.closed.load(Ordering::Acquire) & half as u8 != 0
    }

    /// An authenticated packet came: the peer is alive, and has confirmed what it saw of us
    pub(crate) fn on_authenticated(
        &self,
        remote: SocketAddr,
        source_queue_id: Option<VarInt>,
        now: Timestamp,
        wakes: &mut Wakes,
    ) {
        self.on_heard(now);
        if !self.address.is_confirmed() {
            if !self.address.on_authenticated(remote, source_queue_id) {
                self.publish(now, || {
                    Event::HandshakePacketRejected(builder::StreamHandshakePacketRejected {
                        reason: builder::StreamHandshakePacketRejectedReason::InvalidQueueId,
                    })
                });
            }
            if let Some(permit) = self.permit.lock().take() {
                wakes.push(permit.confirm());
            }
        }
    }

    /// The peer is alive
    pub(crate) fn on_heard(&self, now: Timestamp) {
        // the first packet of a batch says it for all
        let tick = ticks(now);
        if self.last_activity.load(Ordering::Relaxed) < tick {
            self.last_activity.fetch_max(tick, Ordering::Relaxed);
        }
    }

    /// The first packet is about to be made, or to wait for its turn
    pub(crate) fn speak(&self) {
        if let Some(permit) = &mut *self.permit.lock() {
            permit.speak();
        }
    }

    /// The peer proved that it has seen an answer of ours
    pub(crate) fn on_answered(&self) {
        self.address.on_answered();
    }

    /// The peer closed its end: what that means for the reading half
    pub(crate) fn on_peer_closed(&self, kind: send::ErrorKind, now: Timestamp) -> Wakes {
        // the receiving half comes first in the lock order, so it is told through the inbox
        match recv::error_from_sender(kind) {
            Some(kind) => self.inbox.fail(recv::Error::new(kind), now),
            None => Wakes::default(),
        }
    }

    /// Ends both halves without a word to the peer
    pub(crate) fn fail(&self, send: send::ErrorKind, recv: recv::ErrorKind, now: Timestamp) {
        let mut wakes = {
            let mut half = self.recv().lock();
            half.fail(recv::Error::new(recv), Location::Local, self, now);
            half.take_wakes()
        };
        {
            let mut half = self.send().lock();
            half.fail(send::Error::new(send), Location::Local, self, now);
            wakes.append(half.take_wakes());
        }
        let permit = self.permit.lock().take();
        wakes.push(permit.and_then(Permit::confirm));
        wakes.append(self.inbox.wake_reader());
        wakes.wake();
    }

    /// Ends both halves and tells the peer why; for a stream that no application will have
    pub(crate) fn refuse(self: &Arc<Self>, code: CloseCode, now: Timestamp) {
        let CloseCode::Application(number) = code else {
            return;
        };
        let error = VarInt::from_u8(number).into();
        let mut wakes = Wakes::default();
        {
            let mut recv = self.recv().lock();
            let error = recv::Error::new(recv::ErrorKind::ApplicationError { error });
            recv.on_local_error(error, code, self, now);
            recv.transmit_control(self, now);
            wakes.append(recv.take_wakes());
        }
        {
            let mut send = self.send().lock();
            let error = send::Error::new(send::ErrorKind::ApplicationError { error });
            send.on_local_error(error, code, self, now);
            wakes.append(send.take_wakes());
        }
        wakes.wake();
        self.close_half(Half::Read);
        self.close_half(Half::Write);
        self.settle(now);
    }

    /// An acknowledgement may leave with the next write; called with the receiving half locked
    pub(crate) fn defer_control(&self) {
        self.is_control_deferred.store(true, Ordering::Relaxed);
    }

    /// What an answer is to carry, if an acknowledgement waits for it and the peer looks for it there
    pub(crate) fn piggyback(&self, now: Timestamp) -> Option<Piggyback> {
        if !self.is_control_deferred.load(Ordering::Relaxed) {
            return None;
        }
        // a reader that is at it sees to it
        let mut recv = self.recv().try_lock()?;
        let mut piggyback = recv.piggyback()?;
        if self.is_accepted {
            self.offer_keys(&mut recv, &mut piggyback, now);
        }
        Some(piggyback)
    }

    /// What was deferred has left with the answer
    pub(crate) fn on_piggyback_sent(&self) {
        self.is_control_deferred.store(false, Ordering::Relaxed);
        // else it leaves once more, on its own
        if let Some(mut recv) = self.recv().try_lock() {
            recv.on_piggyback_sent();
        }
    }

    /// Something was written: what was deferred goes with it
    pub(crate) fn transmit_deferred_control(self: &Arc<Self>, now: Timestamp, wakes: &mut Wakes) {
        if !self.is_control_deferred.load(Ordering::Relaxed) {
            return;
        }
        // a reader that is at it sees to it
        if let Some(mut recv) = self.recv().try_lock() {
            self.is_control_deferred.store(false, Ordering::Relaxed);
            recv.transmit_control(self, now);
            wakes.append(recv.take_wakes());
        }
    }

    /// To be woken when the path is heard of again
    pub(crate) fn nudge(&self) -> Waker {
        nudge::waker(&self.core, self.queue_id)
    }

    /// Whether the application has let go of both halves
    pub(crate) fn is_let_go(&self) -> bool {
        self.closed.load(Ordering::Acquire) == Half::Read as u8 | Half::Write as u8
    }
}

impl Deref for Shared {
    type Target = Body;

    fn deref(&self) -> &Body {
        &self.body
    }
}

/// Schedules the stream with its worker
impl std::task::Wake for Shared {
    fn wake(self: Arc<Self>) {
        let receiver = self.shard.receiver.clone();
        receiver.schedule(self);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // the state holds window until it ends; an environment that was closed under a stream leaves some
        let this = &*self;
        let mut send = this.send().lock();
        send.on_completions(this);
        // the time is of interest to few, and this is the end of every call
        if !send.is_finished() {
            send.clear(this, this.now());
        }
        let wakes = send.take_wakes();
        drop(send);
        wakes.wake();
        self.path.remove_flow(self.flow, || this.now());
        if self.is_heard {
            let closed = Event::Closed(builder::ConnectionClosed {});
            self.events.publish(self.now(), closed);
        }
        self.core.spares.put(self.body.take());
    }
}
