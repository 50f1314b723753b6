// SPDX-License-Identifier: Apache-2.0

//! Random submissions, polls, faults and ends of streams, against the counts of what must have become of each transmission.
//!
//! The one rule under test: every submission completes exactly once, and is on the wire exactly if it completed as sent.

use super::{
    fixture::{ends, Bench, End, Plan, Sent},
    Next, Priority,
};
use crate::socket::send::{completion::Queue, transmission::Completions};
use bolero::{check, TypeGenerator};
use nix::errno::Errno;
use std::{collections::HashMap, sync::Arc};

#[derive(Debug, TypeGenerator)]
enum Op {
    Submit {
        stream: u8,
        priority: u8,
        delay: u8,
        to_other_peer: bool,
        packets: u8,
        is_short: bool,
        is_large: bool,
    },
    Poll {
        advance: u8,
    },
    /// The call after those that have a fault already takes some messages and fails
    Fault {
        taken: u8,
        errno: u8,
    },
    EndStream(u8),
}

const STREAMS: usize = 3;

struct Model {
    bench: Bench,
    now: u64,
    /// Indexed by serial number, with the stream
    plans: Vec<(usize, Plan)>,
    /// `None` once it has died
    streams: Vec<Option<Arc<Completions>>>,
}

impl Model {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            now: 0,
            plans: Vec::new(),
            streams: (0..STREAMS).map(|_| Some(Queue::new())).collect(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Submit {
                stream,
                priority,
                delay,
                to_other_peer,
                packets,
                is_short,
                is_large,
            } => {
                let index = usize::from(stream) % STREAMS;
                let Some(stream) = &self.streams[index] else {
                    return;
                };
                // four of the larger ones fill a round
                let segment_len = if is_large {
                    10 * super::PACKET
                } else {
                    super::PACKET
                };
                let plan = Plan {
                    // half of them are due at once
                    departure: self.now + u64::from(delay.saturating_sub(u8::MAX / 2) / 4),
                    priority: match priority % 3 {
                        0 => Priority::Control,
                        1 => Priority::Recovery,
                        _ => Priority::Data,
                    },
                    port: 7 + u16::from(to_other_peer),
                    packets: 1 + usize::from(packets) % 20,
                    segment_len,
                    last: if is_short { 10 } else { segment_len },
                    ..Plan::new(self.plans.len() as u32)
                };
                self.bench.submit_for(stream, plan);
                self.plans.push((index, plan));
            }
            Op::Poll { advance } => {
                self.now += u64::from(advance / 8);
                self.bench.poll(self.now);
            }
            Op::Fault { taken, errno } => {
                let errnos = [Errno::EAGAIN, Errno::EAGAIN, Errno::ENOBUFS, Errno::EPERM];
                let errno = errnos[usize::from(errno) % errnos.len()];
                self.bench.fail(usize::from(taken) % 4, errno);
            }
            Op::EndStream(stream) => {
                // rarely, so that most streams live
                if let Some(stream) = self.streams.get_mut(usize::from(stream)) {
                    *stream = None;
                }
            }
        }
    }

    /// Lets everything leave, or ends the worker with whatever it has, and checks what became of it
    fn finish(mut self, worker_ends_early: bool) {
        if !worker_ends_early {
            self.bench.socket.faults.lock().clear();
            assert_eq!(self.bench.run(self.now + 100_000), Next::At(None));
            let metrics = &self.bench.sender.metrics;
            let ended = metrics.sent.get() + metrics.failed.get() + metrics.cancelled.get();
            assert_eq!(ended, self.plans.len() as u64);
        }
        let wire: Vec<Sent> = self.bench.calls().into_iter().flatten().collect();
        let pool = self.bench.pool.clone();
        drop(self.bench);
        assert_eq!(pool.stats().in_use_bytes, 0);

        let packets = count_packets(&wire);
        check_order(&wire, &self.plans);
        let mut completed: HashMap<u32, End> = HashMap::new();
        for stream in self.streams.iter().flatten() {
            for (serial, end) in ends(stream) {
                let again = completed.insert(serial, end);
                assert_eq!(again, None, "{serial} completed twice");
            }
            assert_eq!(stream.outstanding(), 0);
        }
        for (serial, (stream, plan)) in self.plans.iter().enumerate() {
            let on_the_wire = packets.get(&(serial as u32)).copied().unwrap_or(0);
            assert!(on_the_wire == 0 || on_the_wire == plan.packets, "{plan:?}");
            let was_sent = on_the_wire > 0;
            let end = completed.get(&(serial as u32));
            match (end, &self.streams[*stream]) {
                (Some(End::Sent(time)), _) => assert!(was_sent && *time >= plan.departure),
                (Some(End::Failed(errno)), _) => assert!(!was_sent && *errno != Errno::EAGAIN),
                (Some(End::Cancelled), _) => assert!(!was_sent && worker_ends_early),
                (None, Some(_)) => panic!("{plan:?} was forgotten"),
                // nobody can tell how it ended; it was sent whole or not at all
                (None, None) => {}
            }
        }
    }
}

fn count_packets(wire: &[Sent]) -> HashMap<u32, usize> {
    let mut packets = HashMap::new();
    for (serial, _) in wire.iter().flat_map(|sent| &sent.packets) {
        *packets.entry(*serial).or_default() += 1;
    }
    packets
}

/// Within one priority nothing is overtaken by what was submitted later for the same destination and the same time or a later one
fn check_order(wire: &[Sent], plans: &[(usize, Plan)]) {
    let left: Vec<u32> = wire.iter().flat_map(Sent::serials).collect();
    for (index, later) in left.iter().enumerate() {
        for earlier in &left[..index] {
            let (_, first) = plans[*earlier as usize];
            let (_, second) = plans[*later as usize];
            let is_overtaken = first.port == second.port
                && first.priority == second.priority
                && second.serial < first.serial
                && second.departure <= first.departure;
            assert!(!is_overtaken, "{first:?} left before {second:?}");
        }
    }
}

#[test]
fn every_submission_completes_exactly_once_whatever_the_socket_does() {
    check!()
        .with_type::<(bool, Vec<Op>)>()
        .for_each(|(worker_ends_early, ops)| {
            let mut model = Model::new();
            for op in ops {
                model.apply(op);
            }
            model.finish(*worker_ends_early);
        });
}
