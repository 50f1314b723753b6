// SPDX-License-Identifier: Apache-2.0

//! What a transfer takes from the allocator once it runs: nothing for each packet.
//!
//! An upload over loopback, by environments as services have them. The first part fills every pool, queue and table; from there on
//! allocations are counted, on all threads.
//!
//! The one rule: nothing in here allocates while it counts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use s2n_quic_dc::{
    event::disabled::Subscriber,
    path::secret::Map,
    socket::Options,
    stream::{
        client,
        environment::{
            tokio::{Builder, Environment},
            udp::Config,
        },
        server::{accept, stats},
    },
    testing::secrets,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    future::ready,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

/// The system's allocator, with a count of what it was asked for
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it is
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: what the caller promises is what the system's allocator asks for
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Fills every queue and table, and lets the windows grow
const WARM_UP: usize = 64 << 20;

/// While these bytes are received, allocations are counted
const COUNTED: usize = 128 << 20;

/// What the applications write and read at once
const CHUNK: usize = 256 << 10;

/// Bytes of payload that one packet carries at most
const PAYLOAD: usize = 1450;

/// Allocations for which there may be one per so many packets: a thread that is scheduled late finds queues longer than ever before, and
/// they grow
const PACKETS_PER_ALLOCATION: u64 = 20;

fn bind(map: &Map) -> (Environment<Subscriber>, accept::Receiver<Subscriber>) {
    let (sender, streams) = accept::channel(16);
    let env = Builder::new(Subscriber::default())
        .with_threads(1)
        .with_socket_options(Options::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
        .with_pool(Config::new(map.clone()))
        .with_acceptor(sender)
        .build();
    (env.unwrap(), streams)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_are_sent_and_received_without_the_allocator() {
    let (map, server_map) = (secrets::map(), secrets::map());
    let (client, _) = bind(&map);
    let (server, streams) = bind(&server_map);
    let (client_addr, server_addr) = (client.pool_addr().unwrap(), server.pool_addr().unwrap());
    secrets::share(
        1,
        (&map, client_addr),
        (&server_map, server_addr),
        &secrets::Agreement::default(),
    );

    let receiving = tokio::spawn(async move {
        let (stats, ..) = stats::channel();
        let (mut stream, ..) = accept::accept(&streams, &stats).await.unwrap();
        let mut buffer = vec![0; CHUNK];
        let mut received = 0;
        while received < WARM_UP {
            received += stream.read_into(&mut &mut buffer[..]).await.unwrap();
        }
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        while received < WARM_UP + COUNTED {
            let len = stream.read_into(&mut &mut buffer[..]).await.unwrap();
            assert!(len > 0, "the stream ended after {received} bytes");
            received += len;
        }
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        while stream.read_into(&mut &mut buffer[..]).await.unwrap() > 0 {}
        allocations
    });

    let peer = map.get_untracked(server_addr);
    let peer = ready(peer.ok_or_else(|| io::ErrorKind::NotFound.into()));
    let mut stream = client::tokio::connect_udp(peer, server_addr, &client)
        .await
        .unwrap();
    let chunk = vec![7; CHUNK];
    // more than is counted, so that the end is not part of it
    for _ in 0..(WARM_UP + COUNTED) / chunk.len() + 16 {
        stream.write_all_from(&mut &chunk[..]).await.unwrap();
    }
    drop(stream);

    let allocations = receiving.await.unwrap();
    let packets = (COUNTED / PAYLOAD) as u64;
    assert!(
        allocations <= packets / PACKETS_PER_ALLOCATION,
        "{allocations} allocations for {packets} packets"
    );
}
