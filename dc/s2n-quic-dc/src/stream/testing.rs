// SPDX-License-Identifier: Apache-2.0

//! Two environments against each other, on a simulated network and in simulated time.
//!
//! All of the code under test is the real one: streams, pool, wheels and both socket workers. What is replaced is the outermost edge,
//! which is sockets, clock and threads. A worker is polled as its thread would poll it: when its bell rang, its socket is
//! ready or its time has come. Application tasks are polled when they were woken. So a wake that is lost ends in a panic that says
//! what waits for what.
//!
//! The one rule: a simulation depends on nothing but the test, so it repeats byte for byte.

use crate::clock::ticks;
pub(crate) use crate::testing::secrets::{self, Agreement};
use crate::{
    event::disabled::Subscriber,
    path::secret::Map,
    socket::{
        pool::{self, Pool},
        recv::udp::Worker as ReceiveWorker,
        send::udp::{Next, Worker as SendWorker},
        udp::Traffic,
    },
    stream::{
        application,
        endpoint::{self, Accepting},
        environment::{
            core::{Core, Guard, Routes, Settings, Shard},
            started::{Standing, Started},
        },
        metrics::Metrics,
        path::Path,
        server::{accept, stats},
    },
    sync::doorbell::{Doorbell, Wake},
};
use clock::{timestamp, Clock};
use core::{
    future::Future,
    pin::{pin, Pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use network::{Network, Side, SimSocket};
use s2n_quic_core::time::Timestamp;
use std::{cell::RefCell, fmt::Write as _, io, rc::Rc, sync::Arc};

pub(crate) mod clock;
pub(crate) mod network;

pub(crate) type Stream = application::Stream<Subscriber>;

/// Rounds at one moment after which something is taken to run in circles
const MAX_ROUNDS: usize = 100_000;

/// How a simulation is set up
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// One way
    pub(crate) delay: Duration,
    pub(crate) max_pending: usize,
    /// Bytes that receive windows may grow by, at each end
    pub(crate) max_receive_window_bytes: usize,
    pub(crate) pool: pool::Config,
    pub(crate) agreed: Agreement,
    /// Whether the sockets join packets on receive
    pub(crate) joins: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            max_pending: 16,
            max_receive_window_bytes: 256 << 20,
            pool: pool::Config::default(),
            agreed: Agreement::default(),
            joins: true,
        }
    }
}

/// A flag that a waker or doorbell sets
#[derive(Default)]
struct Flag(AtomicBool);

impl Flag {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl std::task::Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Bell(Arc<Flag>);

impl Wake for Bell {
    fn wake(&self) {
        self.0 .0.store(true, Ordering::Relaxed);
    }
}

/// One environment
pub(crate) struct End {
    pub(crate) core: Arc<Core>,
    pub(crate) shard: Arc<Shard>,
    side: Side,
    guard: Guard,
    sending: SendWorker<SimSocket>,
    receiving: ReceiveWorker<SimSocket>,
    /// The sender's, and the receiver's
    bells: [Arc<Flag>; 2],
    naps: [Nap; 2],
}

/// What a worker sleeps for
#[derive(Clone, Copy, Debug)]
enum Nap {
    Until(Option<Timestamp>),
    Writable,
}

impl End {
    fn new(
        side: Side,
        options: &Options,
        map: &Map,
        accepting: Option<Accepting<Subscriber>>,
        world: (&Clock, &Network),
    ) -> Self {
        let (clock, network) = world;
        let bells = [Arc::<Flag>::default(), Arc::<Flag>::default()];
        let now = clock.now();
        let shard = Shard::new(
            side.addr(),
            Routes::new(0, 1),
            bells
                .each_ref()
                .map(|flag| Doorbell::new(Box::new(Bell(flag.clone())))),
            Traffic::default(),
            now,
        );
        let Started { core, guard } = Started::new(Standing {
            pool: Pool::new(options.pool).expect("a valid pool"),
            clock: Box::new(clock.clone()),
            map: map.clone(),
            settings: Settings {
                max_pending: options.max_pending,
                max_rate: None,
                max_receive_window_bytes: options.max_receive_window_bytes,
            },
            shards: vec![shard.clone()],
            acceptor: accepting,
        });
        let socket = network.socket(side);
        // the first poll arms the bells
        bells
            .iter()
            .for_each(|bell| bell.0.store(true, Ordering::Relaxed));
        Self {
            sending: SendWorker::new(socket.clone(), shard.sender.clone(), now),
            receiving: ReceiveWorker::new(socket, core.clone(), shard.clone()),
            core,
            shard,
            side,
            guard,
            bells,
            naps: [Nap::Until(None); 2],
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::of(&self.core)
    }

    /// Of data, set aside or in use, in bytes
    pub(crate) fn pool(&self) -> pool::Stats {
        self.core.pool.stats()
    }

    /// The path to the other end, of which there is one in a simulation
    pub(crate) fn path(&self) -> Arc<Path> {
        let mut found = None;
        self.core.for_each_path(|path| found = Some(path.clone()));
        found.expect("a stream was opened")
    }

    /// Transmissions in the wheels and in front of them, as of the worker's last round
    pub(crate) fn wheel_depth(&self) -> u64 {
        self.shard.sender.metrics.depth.get()
    }

    fn is_due(&self, index: usize, network: &Network, now: Timestamp) -> bool {
        let is_time = match self.naps[index] {
            Nap::Until(at) => at.is_some_and(|at| at <= now),
            Nap::Writable => timestamp(network.writable_at(self.side)) <= now,
        };
        let is_readable = index == 1 && network.is_readable(self.side);
        self.bells[index].take() || is_time || is_readable
    }

    /// As the threads of an environment do; true if anything was polled
    fn turn(&mut self, network: &Network, now: Timestamp) -> bool {
        let mut any = false;
        if self.is_due(0, network, now) {
            let bell = &self.shard.sender.doorbell;
            bell.disarm();
            self.naps[0] = rest(|| self.sending.poll(now), bell);
            any = true;
        }
        if self.is_due(1, network, now) {
            let bell = &self.shard.receiver.doorbell;
            bell.disarm();
            self.naps[1] = rest(|| self.receiving.poll(now), bell);
            any = true;
        }
        any
    }

    fn next_event(&self, network: &Network) -> Option<u64> {
        let naps = self.naps.iter().filter_map(|nap| match nap {
            Nap::Until(at) => at.map(ticks),
            Nap::Writable => Some(network.writable_at(self.side)),
        });
        naps.min()
    }
}

/// Polls a worker until it has nothing more to do now
fn rest(mut poll: impl FnMut() -> Next, bell: &Doorbell) -> Nap {
    for _ in 0..MAX_ROUNDS {
        if poll() == Next::Now {
            continue;
        }
        bell.arm();
        // what came before the bell was armed rang in vain: look again
        match poll() {
            Next::Now => bell.disarm(),
            Next::At(at) => return Nap::Until(at),
            Next::Writable => return Nap::Writable,
        }
    }
    panic!("a worker never comes to rest");
}

/// Two environments, the network between them, and the applications on top
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) network: Network,
    pub(crate) clock: Clock,
    map: Map,
    streams: accept::Receiver<Subscriber>,
    stats: stats::Sender,
    tasks: Vec<Task>,
}

struct Task {
    name: &'static str,
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Flag>,
}

/// What a spawned task is going to return
pub(crate) struct Join<T> {
    slot: Rc<RefCell<(Option<T>, Option<Waker>)>>,
}

impl<T> Join<T> {
    pub(crate) fn is_done(&self) -> bool {
        self.slot.borrow().0.is_some()
    }
}

impl<T> Future for Join<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.slot.borrow_mut();
        match slot.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Pair {
    pub(crate) fn new(options: Options) -> Self {
        let clock = Clock::new();
        let network = Network::new(clock.clone(), options.delay, options.joins);
        let (map, server_map) = (secrets::map(), secrets::map());
        let (client_addr, server_addr) = (Side::Client.addr(), Side::Server.addr());
        secrets::share(
            0x5a,
            (&map, client_addr),
            (&server_map, server_addr),
            &options.agreed,
        );
        let (sender, streams) = accept::channel(4096);
        let (stats, _, _) = stats::channel();
        let accepting = Accepting {
            sender,
            flavor: accept::Flavor::Fifo,
            subscriber: Subscriber::default(),
        };
        let world = (&clock, &network);
        Self {
            client: End::new(Side::Client, &options, &map, None, world),
            server: End::new(Side::Server, &options, &server_map, Some(accepting), world),
            network,
            clock,
            map,
            streams,
            stats,
            tasks: Vec::new(),
        }
    }

    /// Opens a stream from the client; nothing is sent yet
    pub(crate) fn open(&self) -> impl Future<Output = io::Result<Stream>> + 'static {
        let (core, guard) = (self.client.core.clone(), self.client.guard.clone());
        let peer = self
            .map
            .get_untracked(Side::Server.addr())
            .expect("the secret is shared");
        async move {
            let addr = Side::Server.addr();
            endpoint::open_on(&core, guard, Subscriber::default(), peer, addr).await
        }
    }

    /// Takes a stream from the server's accept queue
    pub(crate) fn accept(&self) -> impl Future<Output = io::Result<Stream>> + 'static {
        let (streams, stats) = (self.streams.clone(), self.stats.clone());
        async move {
            let (stream, _, _) = accept::accept(&streams, &stats).await?;
            Ok(stream)
        }
    }

    /// A stream, announced to the server and accepted there
    pub(crate) fn connect(&mut self) -> (Stream, Stream) {
        let (open, accept) = (self.open(), self.accept());
        let connecting = async move {
            let mut client = open.await.expect("open");
            client.write_from(&mut &[][..]).await.expect("prelude");
            (client, accept.await.expect("accept"))
        };
        self.block_on(connecting, Duration::from_secs(5))
    }

    /// Runs a task of an application beside the others
    pub(crate) fn spawn<T: 'static>(
        &mut self,
        name: &'static str,
        future: impl Future<Output = T> + 'static,
    ) -> Join<T> {
        let slot = Rc::new(RefCell::new((None, None::<Waker>)));
        let result = slot.clone();
        self.tasks.push(Task {
            name,
            future: Box::pin(async move {
                let value = future.await;
                let waker = {
                    let mut result = result.borrow_mut();
                    result.0 = Some(value);
                    result.1.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            }),
            woken: Arc::new(Flag(AtomicBool::new(true))),
        });
        Join { slot }
    }

    /// Runs everything until `future` is ready; panics if that takes longer than `limit` of simulated time
    pub(crate) fn block_on<F: Future>(&mut self, future: F, limit: Duration) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let deadline = self.clock.micros() + limit.as_micros() as u64;
        loop {
            if woken.take() {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
            }
            self.settle();
            if woken.0.load(Ordering::Relaxed) {
                continue;
            }
            if !self.advance(deadline) {
                panic!("nothing more happens in {limit:?}: {}", self.dump());
            }
        }
    }

    /// Runs everything for so long
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let deadline = self.clock.micros() + duration.as_micros() as u64;
        self.settle();
        while self.advance(deadline) {
            self.settle();
        }
    }

    /// Does what can be done at this moment
    pub(crate) fn settle(&mut self) {
        let now = self.clock.now();
        for _ in 0..MAX_ROUNDS {
            let mut any = self.network.deliver();
            any |= self.poll_tasks();
            any |= self.client.turn(&self.network, now);
            any |= self.server.turn(&self.network, now);
            if !any {
                return;
            }
        }
        panic!("time stands still: {}", self.dump());
    }

    fn poll_tasks(&mut self) -> bool {
        let mut any = false;
        self.tasks.retain_mut(|task| {
            if !task.woken.take() {
                return true;
            }
            any = true;
            let waker = Waker::from(task.woken.clone());
            let poll = task.future.as_mut().poll(&mut Context::from_waker(&waker));
            poll.is_pending()
        });
        any
    }

    /// When something happens by itself next
    pub(crate) fn next_event(&self) -> Option<u64> {
        let events = [
            self.network.next_delivery(),
            self.client.next_event(&self.network),
            self.server.next_event(&self.network),
        ];
        events.into_iter().flatten().min()
    }

    /// Lets time pass until something happens, but not beyond `deadline`; false if nothing does until then
    fn advance(&self, deadline: u64) -> bool {
        let next = self.next_event().filter(|next| *next <= deadline);
        let to = next.unwrap_or(deadline).max(self.clock.micros());
        self.clock.advance_to(to);
        next.is_some()
    }

    /// The state of everything, for a simulation that has come to a halt
    fn dump(&self) -> String {
        let mut out = format!("at {:?}\n", self.clock);
        for task in &self.tasks {
            let _ = writeln!(out, "task {:?} waits", task.name);
        }
        for end in [&self.client, &self.server] {
            let _ = writeln!(out, "{:?}: {:?} {:?}", end.side, end.naps, end.metrics());
        }
        let trace = self.network.trace();
        for sent in &trace[trace.len().saturating_sub(20)..] {
            let _ = writeln!(out, "{sent:?}");
        }
        out
    }
}

/// Chance that repeats: SplitMix64
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in so many of a hundred cases
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// Bytes that are different at every offset that matters
pub(crate) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
