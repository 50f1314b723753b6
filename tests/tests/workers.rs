// SPDX-License-Identifier: Apache-2.0

//! What drives the sockets: the runtime that an environment is built on, or threads.
//!
//! The rule: an environment works wherever it was built, and streams outlive what they were opened on.

use s2n_quic_dc::{
    event::disabled::Subscriber,
    path::secret::Map,
    socket::Options,
    stream::{
        application::Stream,
        client,
        environment::{
            tokio::{Builder, Environment},
            udp::Config,
        },
        server::{accept, stats},
    },
    testing::secrets,
};
use s2n_quic_dc_tests::{
    payload::Payload,
    watch::{self, Log},
};
use std::{
    future::ready,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::runtime::{self, Runtime};

/// More than the windows of both ends hold, so that neither end is done without the other
const LEN: usize = 8 << 20;

/// One end of a connection, on one socket
struct End {
    env: Environment<Subscriber>,
    streams: accept::Receiver<Subscriber>,
    map: Map,
}

impl End {
    /// `name` starts the names of its threads, so that they can be told from those of other tests
    fn bind(name: &str, is_blocking: bool) -> Self {
        let map = secrets::map();
        let (sender, streams) = accept::channel(16);
        let mut config = Config::new(map.clone());
        config.blocking = is_blocking;
        let env = Builder::new(Subscriber::default())
            .with_threads(1)
            .with_thread_name_prefix(name.to_owned())
            .with_socket_options(Options::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            .with_pool(config)
            .with_acceptor(sender)
            .build()
            .expect("a socket and threads");
        Self { env, streams, map }
    }

    fn addr(&self) -> SocketAddr {
        self.env.pool_addr().expect("bound")
    }

    /// A stream to `server`, which has accepted it
    async fn pair(&self, server: &Self) -> (Stream<Subscriber>, Stream<Subscriber>) {
        let (here, there) = ((&self.map, self.addr()), (&server.map, server.addr()));
        if self.map.get_untracked(server.addr()).is_none() {
            secrets::share(1, here, there, &secrets::Agreement::default());
        }
        let peer = self.map.get_untracked(server.addr());
        let peer = ready(peer.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let mut opened = client::tokio::connect_udp(peer, server.addr(), &self.env)
            .await
            .expect("a stream");
        opened
            .write_all_from(&mut &b"."[..])
            .await
            .expect("written");
        let (stats, ..) = stats::channel();
        let (mut accepted, ..) = accept::accept(&server.streams, &stats)
            .await
            .expect("a stream");
        let mut byte = [0; 1];
        let read = accepted.read_into(&mut &mut byte[..]).await.expect("open");
        assert_eq!((read, byte), (1, *b"."));
        (opened, accepted)
    }
}

async fn write(mut stream: Stream<Subscriber>) {
    let bytes = Payload::new(0, LEN).to_vec();
    stream
        .write_all_from_fin(&mut &bytes[..])
        .await
        .expect("written");
}

async fn read(mut stream: Stream<Subscriber>) {
    let mut bytes = Vec::<u8>::new();
    while stream.read_into(&mut bytes).await.expect("received") > 0 {}
    assert!(
        bytes == Payload::new(0, LEN).to_vec(),
        "every byte is there"
    );
}

/// Both ways, one after the other
async fn exchange(client: &End, server: &End) {
    let (opened, accepted) = client.pair(server).await;
    tokio::join!(write(opened), read(accepted));
    let (opened, accepted) = client.pair(server).await;
    tokio::join!(read(opened), write(accepted));
}

/// The runtime that `build` makes, elsewhere than the test's own
fn runtime(build: impl FnOnce(&mut runtime::Builder) -> &mut runtime::Builder) -> Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    build(builder.worker_threads(1)).build().expect("threads")
}

/// Whether this process has a thread of this name
fn has_thread(name: &str) -> bool {
    std::fs::read_dir("/proc/self/task")
        .expect("procfs")
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok())
        .any(|comm| comm.trim_end() == name)
}

/// Threads give themselves their names
async fn wait_for_thread(name: &str, log: &Log) {
    log.note(format!("waits for the thread {name}"));
    while !has_thread(name) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn the_runtime_receives_unless_threads_are_asked_for() {
    watch::run(async move |log| {
        let (client, server) = (End::bind("asked", true), End::bind("default", false));
        exchange(&client, &server).await;
        wait_for_thread("asked::recv::0", &log).await;
        wait_for_thread("default::send::", &log).await;
        assert!(!has_thread("default::recv::"));
    });
}

#[test]
fn an_environment_needs_no_runtime() {
    let (client, server) = (End::bind("none", false), End::bind("none", false));
    watch::run(async move |log| {
        exchange(&client, &server).await;
        wait_for_thread("none::recv::0", &log).await;
    });
}

#[test]
fn a_runtime_that_only_runs_while_somebody_blocks_on_it_does_not_receive() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an epoll instance");
    let bind = async || (End::bind("single", false), End::bind("single", false));
    let (client, server) = runtime.block_on(bind());
    watch::run(async move |_log| exchange(&client, &server).await);
    drop(runtime);
}

#[test]
fn a_runtime_without_io_or_without_timers_does_not_receive() {
    for enable in [None, Some(runtime::Builder::enable_io as Enable)] {
        let runtime = runtime(|builder| match enable {
            Some(enable) => enable(builder),
            None => builder,
        });
        let _context = runtime.enter();
        let (client, server) = (End::bind("bare", false), End::bind("bare", false));
        watch::run(async move |_log| exchange(&client, &server).await);
    }
}

type Enable = fn(&mut runtime::Builder) -> &mut runtime::Builder;

#[test]
fn streams_and_environments_outlive_the_runtime_that_received_for_them() {
    watch::run(async move |log| {
        let runtime = runtime(runtime::Builder::enable_all);
        let bind = async || (End::bind("outlive", false), End::bind("outlive", false));
        let (client, server) = runtime.spawn(bind()).await.expect("bound");
        let (opened, accepted) = client.pair(&server).await;
        assert!(!has_thread("outlive::recv::"));

        runtime.shutdown_background();

        tokio::join!(write(opened), read(accepted));
        exchange(&client, &server).await;
        wait_for_thread("outlive::recv::", &log).await;
    });
}
