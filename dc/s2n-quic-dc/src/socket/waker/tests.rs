// SPDX-License-Identifier: Apache-2.0

//! Sleeps that end for each of the reasons they may, none judged by how long they took.

use super::*;
use std::{net::UdpSocket, thread};

const FOREVER: Option<Duration> = None;
const NOT_AT_ALL: Option<Duration> = Some(Duration::ZERO);

fn parker() -> Parker {
    Parker::new().expect("a descriptor is to be had")
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").expect("loopback")
}

fn woken() -> Ready {
    Ready {
        woken: true,
        ..Ready::default()
    }
}

#[test]
fn a_sleep_ends_when_its_time_is_up() {
    let parker = parker();
    for timeout in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_micros(50),
    ] {
        let ready = parker.park(None, Some(timeout)).expect("no error");
        assert_eq!(ready, Ready::default());
    }
}

#[test]
fn a_wake_before_the_sleep_ends_it_and_is_taken_by_it() {
    let parker = parker();
    parker.waker().wake();
    parker.waker().wake();
    assert_eq!(parker.park(None, FOREVER).expect("no error"), woken());
    let again = parker.park(None, NOT_AT_ALL).expect("no error");
    assert_eq!(again, Ready::default(), "two wakes before a sleep are one");
}

#[test]
fn a_wake_from_another_thread_ends_an_endless_sleep() {
    let parker = parker();
    let waker = Arc::clone(parker.waker());
    let other = thread::spawn(move || waker.wake());
    // an early end is allowed, being stuck is not
    while !parker.park(None, FOREVER).expect("no error").woken {}
    other.join().expect("no panic");
}

#[test]
fn a_timeout_of_any_length_is_accepted() {
    let parker = parker();
    for timeout in [Duration::MAX, LONGEST, Duration::from_secs(u64::MAX)] {
        parker.waker().wake();
        let ready = parker.park(None, Some(timeout)).expect("no error");
        assert_eq!(ready, woken());
    }
}

#[test]
fn draining_takes_the_wake_and_tells_whether_there_was_one() {
    let waker = Waker::new().expect("a descriptor is to be had");
    assert!(!waker.drain());
    waker.wake();
    assert!(waker.drain());
    assert!(!waker.drain());
}

#[test]
fn a_wake_on_a_full_counter_is_not_lost() {
    let waker = Waker::new().expect("a descriptor is to be had");
    let full = u64::MAX - 1;
    waker.0.write(full).expect("the largest value there is");
    waker.wake();
    assert!(waker.drain());
}

#[test]
fn a_socket_is_reported_for_what_was_asked_and_nothing_else() {
    let parker = parker();
    let (socket, peer) = (socket(), socket());
    let park = |interest| {
        let ready = parker.park(Some((socket.as_fd(), interest)), NOT_AT_ALL);
        let ready = ready.expect("no error");
        (ready.readable, ready.writable)
    };
    assert_eq!(park(Interest::Readable), (false, false));
    assert_eq!(park(Interest::Writable), (false, true));
    assert_eq!(park(Interest::Both), (false, true));

    let addr = socket.local_addr().expect("bound");
    peer.send_to(b"x", addr).expect("sent");
    let ready = parker.park(Some((socket.as_fd(), Interest::Readable)), FOREVER);
    assert!(ready.expect("no error").readable);
    assert_eq!(park(Interest::Writable), (false, true));
    assert_eq!(park(Interest::Both), (true, true));
}

#[test]
fn a_wake_and_a_ready_socket_are_reported_together() {
    let parker = parker();
    let socket = socket();
    parker.waker().wake();
    let ready = parker.park(Some((socket.as_fd(), Interest::Both)), FOREVER);
    let expected = Ready {
        readable: false,
        writable: true,
        woken: true,
    };
    assert_eq!(ready.expect("no error"), expected);
}

#[test]
fn a_pending_socket_error_ends_the_sleep_instead_of_hiding() {
    let parker = parker();
    let (socket, busy) = (socket(), socket());
    // it holds its port but takes nothing from strangers, so that the answer is an error on this socket
    let elsewhere = busy.local_addr().expect("bound");
    busy.connect(elsewhere).expect("no handshake");
    socket.connect(elsewhere).expect("no handshake");
    socket.send(b"x").expect("sent");
    let ready = parker.park(Some((socket.as_fd(), Interest::Readable)), FOREVER);
    assert!(ready.expect("no error").readable);
}
