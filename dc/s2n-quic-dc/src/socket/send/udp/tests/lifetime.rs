// SPDX-License-Identifier: Apache-2.0

//! Streams and workers that end, and who is woken when.
//!
//! The one rule under test: whatever ends first, each transmission completes once.

use super::{
    fixture::{at, ends, ticket, Bench, End, Plan, Wakes},
    Next, Priority, Transmission,
};
use crate::{
    msg::send::Builder,
    socket::{
        pool::{Class, Purpose},
        send::{completion::Queue, transmission::Completions},
    },
};
use nix::errno::Errno;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    task::{Wake, Waker},
};

fn prioritized(serial: u32, priority: Priority) -> Plan {
    Plan {
        priority,
        ..Plan::new(serial)
    }
}

#[test]
fn data_and_retransmissions_of_a_dead_stream_are_cancelled_unsent() {
    let mut bench = Bench::new();
    let closed = Queue::new();
    let dropped = Queue::new();
    for (stream, serial) in [(&closed, 0), (&dropped, 2)] {
        bench.submit_for(stream, prioritized(serial, Priority::Data));
        bench.submit_for(stream, prioritized(serial + 1, Priority::Recovery));
    }
    bench.submit(Plan::new(4));
    closed.close();
    drop(dropped);
    bench.run(0);
    assert_eq!(bench.left(), [4], "the living stream is not held up");
    // the completions came, to nobody
    assert_eq!((closed.dropped(), closed.outstanding()), (2, 0));
    assert_eq!(ends(&closed), []);
    let metrics = &bench.sender.metrics;
    assert_eq!((metrics.cancelled.get(), metrics.sent.get()), (4, 1));
    assert_eq!(bench.pinned(), 0);
}

#[test]
fn control_of_a_dead_stream_is_sent_all_the_same() {
    let mut bench = Bench::new();
    let closed = Queue::new();
    let dropped = Queue::new();
    bench.submit_for(&closed, prioritized(0, Priority::Control));
    bench.submit_for(&dropped, prioritized(1, Priority::Control));
    closed.close();
    drop(dropped);
    bench.run(0);
    assert_eq!(bench.left(), [0, 1]);
    assert_eq!(bench.sender.metrics.cancelled.get(), 0);
}

#[test]
fn data_that_waits_for_the_socket_is_not_sent_once_its_stream_has_died() {
    let mut bench = Bench::new();
    let stream = Queue::new();
    bench.submit_for(&stream, Plan::new(0));
    bench.submit_for(&stream, prioritized(1, Priority::Control));
    bench.fail(0, Errno::EAGAIN);
    assert_eq!(bench.poll(0), Next::Writable);
    drop(stream);
    bench.run(0);
    assert_eq!(bench.left(), [1]);
    assert_eq!(bench.pinned(), 0);
}

#[test]
fn what_nobody_waits_for_is_sent() {
    let mut bench = Bench::new();
    let descriptor = bench.pool.alloc(Class::Packet, Purpose::Control).unwrap();
    let mut builder = Builder::new(descriptor, 4).unwrap();
    builder.push(|buffer| buffer.len()).unwrap();
    let peer = ([192, 0, 2, 1], 7).into();
    let message = builder.finish(peer, Plan::new(0).ecn).unwrap();
    bench.sender.submit(Transmission {
        message,
        departure: at(0),
        priority: Priority::Data,
        ticket: None,
    });
    bench.run(0);
    assert_eq!(bench.calls().len(), 1);
    assert_eq!(bench.pinned(), 0);
}

#[test]
fn an_armed_worker_is_rung_once_for_a_batch_and_a_busy_one_not_at_all() {
    let mut bench = Bench::new();
    for serial in 0..3 {
        bench.submit(Plan::new(serial));
    }
    assert_eq!(bench.rings.count(), 0, "the worker is awake");
    bench.run(0);
    bench.worker.sender().doorbell.arm();
    for serial in 3..6 {
        bench.submit(Plan::new(serial));
    }
    assert_eq!(bench.rings.count(), 1);
    bench.run(0);
    // armed again, it has to be rung again
    bench.worker.sender().doorbell.arm();
    bench.submit(Plan::new(6));
    assert_eq!(bench.rings.count(), 2);
    bench.run(0);
    assert_eq!(bench.left(), (0..7).collect::<Vec<u32>>());
}

#[test]
fn a_stream_is_woken_once_per_batch() {
    let mut bench = Bench::new();
    let other: Arc<Completions> = Queue::new();
    let (wakes, other_wakes) = (Wakes::default(), Wakes::default());
    for batch in 1..=3 {
        assert!(bench.stream.register(&wakes.waker()));
        assert!(other.register(&other_wakes.waker()));
        for serial in 0..20 {
            bench.submit(Plan::new(serial));
            bench.submit_for(&other, Plan::new(serial));
        }
        bench.run(batch);
        assert_eq!(wakes.count(), batch as usize);
        assert_eq!(other_wakes.count(), batch as usize);
        assert_eq!(ends(&bench.stream).len(), 20);
        assert_eq!(ends(&other).len(), 20);
    }
}

/// Looks at the completions as soon as it is woken
struct Eager {
    stream: Arc<Completions>,
    seen: Mutex<Vec<(u32, End)>>,
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        self.seen.lock().extend(ends(&self.stream));
    }
}

#[test]
fn a_stream_that_is_woken_finds_the_whole_batch() {
    let mut bench = Bench::new();
    let eager = Arc::new(Eager {
        stream: bench.stream.clone(),
        seen: Mutex::default(),
    });
    assert!(bench.stream.register(&Waker::from(eager.clone())));
    for serial in 0..10 {
        bench.submit(Plan::new(serial));
    }
    bench.poll(0);
    assert_eq!(eager.seen.lock().len(), 10);
}

#[test]
fn a_worker_that_ends_cancels_what_it_was_given_wherever_that_is() {
    let mut bench = Bench::new();
    let wakes = Wakes::default();
    assert!(bench.stream.register(&wakes.waker()));
    // held for the socket, in the wheel, and not yet looked at
    bench.submit(prioritized(0, Priority::Control));
    bench.fail(0, Errno::EAGAIN);
    bench.poll(0);
    bench.submit(Plan {
        departure: 1_000_000,
        ..Plan::new(1)
    });
    bench.fail(0, Errno::EAGAIN);
    bench.poll(0);
    bench.submit(Plan::new(2));
    assert_eq!(wakes.count(), 0);

    let Bench {
        worker,
        sender,
        stream,
        pool,
        ..
    } = bench;
    drop(worker);
    let mut ended = ends(&stream);
    ended.sort_by_key(|(serial, _)| *serial);
    assert_eq!(ended, [0, 1, 2].map(|serial| (serial, End::Cancelled)));
    assert_eq!(wakes.count(), 1);
    assert_eq!(pool.stats().in_use_bytes, 0);
    assert_eq!(sender.metrics.depth.get(), 0);
}

#[test]
fn what_is_submitted_after_the_worker_has_ended_is_cancelled_and_the_stream_woken() {
    let bench = Bench::new();
    let Bench {
        worker,
        sender,
        stream,
        pool,
        ..
    } = bench;
    drop(worker);
    let wakes = Wakes::default();
    for serial in 0..2 {
        assert!(stream.register(&wakes.waker()));
        let descriptor = pool.alloc(Class::Packet, Purpose::Data).unwrap();
        let mut builder = Builder::new(descriptor, 4).unwrap();
        builder.push(|buffer| buffer.len()).unwrap();
        let plan = Plan::new(serial);
        let peer = ([192, 0, 2, 1], plan.port).into();
        sender.submit(Transmission {
            message: builder.finish(peer, plan.ecn).unwrap(),
            departure: at(0),
            priority: plan.priority,
            ticket: Some(ticket(&stream, serial)),
        });
        assert_eq!(ends(&stream), [(serial, End::Cancelled)]);
        assert_eq!(wakes.count(), 1 + serial as usize);
    }
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
fn a_worker_that_is_told_to_finish_is_done_when_everything_has_left() {
    let mut bench = Bench::new();
    bench.run(0);
    assert!(!bench.worker.is_done(), "nobody has said so");
    bench.submit(Plan::new(0));
    bench.submit(Plan {
        departure: 500,
        ..Plan::new(1)
    });
    bench.fail(0, Errno::EAGAIN);
    bench.poll(0);
    bench.worker.sender().doorbell.arm();
    bench.sender.finish();
    assert_eq!(bench.rings.count(), 1, "the worker hears of it");
    assert!(!bench.worker.is_done(), "the socket was full");
    assert_eq!(bench.run(0), Next::At(Some(at(500))));
    assert!(!bench.worker.is_done(), "one is not due");
    bench.run(500);
    assert!(bench.worker.is_done());
    assert_eq!(bench.left(), [0, 1]);
}

#[test]
fn a_worker_is_not_done_while_it_has_not_looked_at_a_submission() {
    let mut bench = Bench::new();
    assert_eq!(bench.run(0), Next::At(None));
    // the last word of a stream, between the worker's last look and the question
    bench.submit(prioritized(0, Priority::Control));
    bench.sender.finish();
    assert!(!bench.worker.is_done());
    bench.run(0);
    assert_eq!(bench.left(), [0]);
    assert!(bench.worker.is_done());
}
