// SPDX-License-Identifier: Apache-2.0

//! When a worker looks at its socket, and in which order it wakes those who wait for what has come.

use super::*;
use core::pin::Pin;
use std::{sync::Mutex, task::Wake};

/// Writes down who was woken
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<&'static str>>>);

struct Line(&'static str, Journal);

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        let Self(name, journal) = &*self;
        journal.0.lock().unwrap().push(name);
    }
}

impl Journal {
    /// Polls `future`, which has to wait, and is in the journal as `name` once it is woken
    fn follow<F: Future>(&self, name: &'static str, future: Pin<&mut F>) {
        let waker = Waker::from(Arc::new(Line(name, self.clone())));
        let poll = future.poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn who_has_little_to_do_is_woken_last_and_who_accepts_after_that() {
    let mut pair = Pair::new(Options::default());
    let (mut small, mut reads_little) = pair.connect();
    let (mut bulk, mut reads_much) = pair.connect();
    let opening = pair.open();
    let mut new = pair.block_on(opening, SECOND).unwrap();
    pair.run_for(10 * MILLISECOND);
    let journal = Journal::default();
    let mut bytes = Vec::<u8>::new();
    journal.follow("little", pin!(reads_little.read_into(&mut bytes)));
    journal.follow("much", pin!(reads_much.read_into(&mut bytes)));
    let mut accepting = pin!(pair.accept());
    journal.follow("acceptor", accepting.as_mut());

    write_now(&mut new, &[1; 100]);
    write_now(&mut small, &[2; 100]);
    write_now(&mut bulk, &[3; 10_000]);
    pair.run_for(10 * MILLISECOND);
    assert_eq!(journal.names(), ["much", "little", "acceptor"]);
}

#[test]
fn who_has_little_to_do_does_not_wait_for_all_that_came_behind() {
    let mut pair = Pair::new(Options::default());
    let (mut first, mut reads_first) = pair.connect();
    let (mut small, mut reads_little) = pair.connect();
    let (mut second, mut reads_second) = pair.connect();
    // until the window holds two large writes
    let (mut early, mut reads_early) = pair.connect();
    let writing = pair.spawn("write", async move {
        write_all(&mut early, &pattern(1_000_000, 1)).await
    });
    pair.block_on(read_all(&mut reads_early), SECOND).unwrap();
    pair.block_on(writing, SECOND).unwrap();
    pair.run_for(10 * MILLISECOND);
    let journal = Journal::default();
    let mut bytes = Vec::<u8>::new();
    journal.follow("first", pin!(reads_first.read_into(&mut bytes)));
    journal.follow("little", pin!(reads_little.read_into(&mut bytes)));
    journal.follow("second", pin!(reads_second.read_into(&mut bytes)));

    // all of it comes at once
    pair.network.block(Side::Client, 5 * MILLISECOND);
    write_now(&mut first, &[1; 60_000]);
    write_now(&mut small, &[2; 100]);
    write_now(&mut second, &[3; 60_000]);
    pair.run_for(10 * MILLISECOND);
    assert_eq!(journal.names(), ["first", "little", "second"]);
}

#[test]
fn a_worker_looks_once_more_behind_a_message_of_several_packets() {
    let rounds = |len: usize| {
        let mut pair = Pair::new(Options::default());
        let (mut client, _server) = pair.connect();
        pair.run_for(SECOND);
        let before = pair.server.receive_rounds;
        assert_eq!(write_now(&mut client, &vec![1; len]), len);
        while pair.server.receive_rounds == before {
            pair.run_for(MILLISECOND / 10);
        }
        pair.server.receive_rounds - before
    };
    assert_eq!(rounds(5000), rounds(500) + 1);
    assert_eq!(rounds(50_000), rounds(5000));
}
