// SPDX-License-Identifier: Apache-2.0

//! Two environments against each other, on a simulated network and in simulated time.
//!
//! All of the code under test is the real one: streams, pool, wheels and both socket workers. What is replaced is the outermost edge,
//! which is sockets, clock and threads. A worker is polled as its thread would poll it: when its bell rang, its socket is
//! ready or its time has come. Application tasks are polled when they were woken. So a wake that is lost ends in a panic that says
//! what waits for what.
//!
//! The one rule: a simulation depends on nothing but the test, so it repeats byte for byte.

pub(crate) use crate::testing::secrets::{self, Agreement};
use crate::{
    event::disabled::Subscriber,
    path::secret::Map,
    socket::pool,
    stream::{
        application,
        endpoint::{self, Accepting},
        server::{accept, stats},
    },
};
use clock::Clock;
use core::{
    future::Future,
    pin::{pin, Pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
pub(crate) use end::End;
use inbox::Host;
use network::{Network, Side};
use std::{cell::RefCell, fmt::Write as _, io, rc::Rc, sync::Arc};

pub(crate) mod clock;
mod end;
pub(crate) mod inbox;
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
    /// How the server comes to what has arrived
    pub(crate) server: Host,
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
            server: Host::default(),
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
        let network = Network::new(clock.clone(), &options);
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
