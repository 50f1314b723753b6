// SPDX-License-Identifier: Apache-2.0

//! Server and client as two processes on two machines: in network namespaces, joined by a virtual Ethernet.
//!
//! The one rule: the client gets what the server printed, as a user would copy it. Without namespaces (they need root and `ip` of
//! iproute2) a test says so and passes, unless `DC_TEST_NEED_NETNS` is set.

#![allow(
    clippy::disallowed_methods,
    reason = "the outermost edge: processes are given a time by the real clock"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by a panic, helpers of tests too"
)]

mod namespace;
mod process;

use namespace::{Namespace, Pair};
use process::Process;
use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

/// The command under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_dc-perf");

/// A link: packets of `packet` bytes over one IP version, for datagrams of `mtu` bytes.
#[derive(Clone, Copy)]
struct Link {
    packet: u16,
    is_v6: bool,
    mtu: u16,
}

/// Two namespaces, or none and a word about it.
fn pair(packet: u16, is_v6: bool) -> Option<Pair> {
    match Pair::new(packet, is_v6) {
        Ok(pair) => Some(pair),
        Err(missing) => {
            assert!(env::var_os("DC_TEST_NEED_NETNS").is_none(), "{missing}");
            println!("skipped: {missing}");
            None
        }
    }
}

/// Two namespaces and a server in one of them.
struct Setup {
    // dropped before the namespaces
    server: Process,
    /// The arguments of the client's command, as the server printed them.
    arguments: Vec<String>,
    pair: Pair,
}

impl Setup {
    /// `None` without namespaces.
    fn new(link: Link, more: &[&str]) -> Option<Self> {
        let pair = pair(link.packet, link.is_v6)?;
        let listen = SocketAddr::new(pair.server.address(link.is_v6), PORT).to_string();
        let mtu = link.mtu.to_string();
        let arguments = ["server", "--listen", &listen, "--mtu", &mtu];
        let mut server = start(&pair.server, arguments.iter().chain(more));
        let command = server.wait_for("dc-perf client ");
        let mut arguments = vec!["client".to_owned()];
        arguments.extend(command.split(' ').map(str::to_owned));
        Some(Self {
            server,
            arguments,
            pair,
        })
    }

    /// Starts the client with the server's arguments and more.
    fn client(&self, more: &str) -> Process {
        let more = more.split(' ').map(str::to_owned);
        start(
            &self.pair.client,
            self.arguments.iter().cloned().chain(more),
        )
    }

    /// Replaces the value of an argument that the server printed.
    fn replace(&mut self, argument: &str, value: &str) {
        let place = self.arguments.iter().position(|given| given == argument);
        self.arguments[place.unwrap() + 1] = value.to_owned();
    }
}

fn start<A: AsRef<std::ffi::OsStr>>(
    namespace: &Namespace,
    arguments: impl IntoIterator<Item = A>,
) -> Process {
    let mut command = namespace.command(PROGRAM);
    command.args(arguments);
    Process::start(command)
}

/// An upload and calls, which must end well, with datagrams of the link's size on the wire.
fn moves_data_over(link: Link) {
    let Some(setup) = Setup::new(link, &[]) else {
        return;
    };
    let wire = &setup.pair.client;
    let sent_before = (wire.counter("tx_packets"), wire.counter("tx_bytes"));

    let (status, printed) = setup
        .client("--workload upload --streams 4 --bytes 1MB")
        .wait();
    assert!(status.success(), "{status}\n{printed}");

    // the devices cut batches into datagrams before they count; headers of Ethernet are counted, acknowledgements are few
    let packets = wire.counter("tx_packets") - sent_before.0;
    let bytes = wire.counter("tx_bytes") - sent_before.1;
    let largest = u64::from(link.mtu) + 8 + if link.is_v6 { 40 } else { 20 } + 14;
    let average = bytes / packets;
    assert!(bytes >= 4_000_000, "{bytes} bytes left the namespace");
    assert!(
        (largest * 8 / 10..=largest).contains(&average),
        "{packets} packets of {average} bytes on average, of at most {largest}"
    );

    let (status, printed) = setup
        .client("--workload rpc --streams 4 --duration 500ms --request 20KB --response 20KB")
        .wait();
    assert!(status.success(), "{status}\n{printed}");
}

#[test]
fn data_moves_over_ipv4_with_packets_of_1500_bytes() {
    moves_data_over(Link {
        packet: 1500,
        is_v6: false,
        mtu: 1450,
    });
}

#[test]
fn data_moves_over_ipv6_with_packets_of_1500_bytes() {
    moves_data_over(Link {
        packet: 1500,
        is_v6: true,
        mtu: 1450,
    });
}

#[test]
fn data_moves_over_ipv4_with_jumbo_packets() {
    moves_data_over(Link {
        packet: 9000,
        is_v6: false,
        mtu: 8900,
    });
}

#[test]
fn data_moves_over_ipv6_with_jumbo_packets() {
    moves_data_over(Link {
        packet: 9000,
        is_v6: true,
        mtu: 8890,
    });
}

const ETHERNET: Link = Link {
    packet: 1500,
    is_v6: false,
    mtu: 1450,
};

#[test]
fn datagrams_that_the_path_does_not_carry_are_an_error_and_not_a_slow_run() {
    let link = Link {
        mtu: 8900,
        ..ETHERNET
    };
    let Some(setup) = Setup::new(link, &[]) else {
        return;
    };
    let (status, printed) = setup
        .client("--workload upload --streams 1 --bytes 1MB")
        .wait();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("mtu is 8900, but datagrams have "),
        "{printed}"
    );
}

#[test]
fn a_wrong_fingerprint_is_refused_with_the_right_one() {
    let Some(mut setup) = Setup::new(ETHERNET, &[]) else {
        return;
    };
    let place = setup.arguments.iter().position(|a| a == "--fingerprint");
    let right = setup.arguments[place.unwrap() + 1].clone();
    let wrong = "00".repeat(32);
    setup.replace("--fingerprint", &wrong);
    let (status, printed) = setup
        .client("--workload upload --streams 1 --bytes 1MB")
        .wait();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(
        printed.contains(&right) && printed.contains(&wrong),
        "{printed}"
    );
}

#[test]
fn a_certificate_from_files_is_shown_and_can_be_trusted_by_file() {
    let made = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = file("server.pem", made.cert.pem());
    let key = file("server.key", made.signing_key.serialize_pem());
    let setup = Setup::new(ETHERNET, &["--cert", &certificate, "--key", &key]);
    let Some(mut setup) = setup else {
        return;
    };
    let place = setup.arguments.iter().position(|a| a == "--fingerprint");
    setup.replace("--fingerprint", &certificate);
    setup.arguments[place.unwrap()] = "--ca".to_owned();
    let (status, printed) = setup
        .client("--workload upload --streams 1 --bytes 1MB")
        .wait();
    assert!(status.success(), "{status}\n{printed}");
}

#[test]
fn nothing_can_leave_the_namespaces() {
    for is_v6 in [false, true] {
        let Some(pair) = pair(1500, is_v6) else {
            continue;
        };
        for namespace in [&pair.server, &pair.client] {
            let routes = namespace.routes();
            assert!(!routes.is_empty());
            for route in routes.lines() {
                // no way over a gateway, and no device but these two
                let is_local = route.contains("dev dc0") || route.contains("dev lo");
                assert!(is_local && !route.contains("via"), "{route}");
                assert!(!route.starts_with("default"), "{route}");
            }
        }
    }
}

#[test]
fn namespaces_are_gone_after_a_panic() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let made = names.clone();
    let test = thread::spawn(move || {
        if let Some(pair) = pair(1500, false) {
            let mut names = made.lock().unwrap();
            *names = [pair.server.name(), pair.client.name()]
                .map(str::to_owned)
                .to_vec();
            assert!(names.iter().all(|name| namespace::list().contains(name)));
            drop(names);
            panic!("this panic is part of the test");
        }
    });
    let panicked = test.join().is_err();
    let names = names.lock().unwrap();
    assert_eq!(panicked, !names.is_empty());
    for name in &*names {
        assert!(!namespace::list().contains(name));
    }
}

#[test]
fn the_server_ends_when_it_is_interrupted() {
    let Some(setup) = Setup::new(ETHERNET, &[]) else {
        return;
    };
    setup.server.interrupt();
    let (status, printed) = setup.server.wait();
    assert!(status.success(), "{status}\n{printed}");
}

/// Any port will do: there is nothing else in the namespace.
const PORT: u16 = 4433;
