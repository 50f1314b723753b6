// SPDX-License-Identifier: Apache-2.0

//! One sender that always has something to send, and a link with a queue: the controller's behaviour without the rest of the stack.
//!
//! The one rule: only the sums of a run are compared, so that a better algorithm need not repeat the same steps.

use super::super::*;
use crate::recovery::bandwidth::Departures;
use published_core::{packet::number::PacketNumberSpace, recovery::RttEstimator};
use std::collections::{BTreeMap, BinaryHeap};

const MTU: u64 = 1450;
const BATCH: u32 = 44 * 1450;

#[derive(Clone, Copy, Debug)]
struct Link {
    bits_per_second: u64,
    /// Each way
    delay_us: u64,
    /// In bytes
    queue: u64,
}

#[derive(Debug, Default)]
struct Report {
    sent: u64,
    lost: u64,
    /// Bytes that left the link, as a share of what it can carry
    busy: f64,
    window: u64,
}

impl Report {
    fn lost_share(&self) -> f64 {
        self.lost as f64 / self.sent as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// So many packets reach the link together, ten times as fast as it sends
    Departure(u64),
    Acknowledgement {
        number: u64,
        sent: u64,
    },
}

struct Sender {
    congestion: Congestion,
    departures: Departures,
    rtt: RttEstimator,
    outstanding: u64,
    next_number: u64,
    /// Packets by number, and when they left
    unacknowledged: BTreeMap<u64, u64>,
}

fn time(nanos: u64) -> Timestamp {
    // SAFETY: the simulation has one made-up clock
    unsafe { Timestamp::from_duration(Duration::from_secs(1) + Duration::from_nanos(nanos)) }
}

fn nanos_of(bytes: u64, bits_per_second: u64) -> u64 {
    (u128::from(bytes) * 8_000_000_000 / u128::from(bits_per_second)) as u64
}

impl Sender {
    fn rate(&self) -> Option<u64> {
        self.rtt.first_rtt_sample()?;
        let gain = if self.congestion.is_doubling() { 8 } else { 5 };
        let nanos = self.rtt.smoothed_rtt().as_nanos().max(1);
        Some((u128::from(self.congestion.window() * gain / 4) * 1_000_000_000 / nanos) as u64)
    }

    /// What may leave now, as departures
    fn send(&mut self, now: u64, events: &mut BinaryHeap<std::cmp::Reverse<(u64, u64, Event)>>) {
        loop {
            let window = self.congestion.window();
            let turn = u64::from(self.departures.burst(self.rate())).min(window / 4);
            let room = window.saturating_sub(self.outstanding);
            if room < turn / 2 || room == 0 {
                return;
            }
            let packets = room.min(turn).div_ceil(MTU);
            let len = packets * MTU;
            let departure = self.departures.schedule(len as u32, self.rate(), time(now));
            let wait = departure.saturating_duration_since(time(now)).as_nanos() as u64;
            self.outstanding += len;
            self.next_number += packets;
            let key = (now + wait, self.next_number, Event::Departure(packets));
            events.push(std::cmp::Reverse(key));
        }
    }

    fn on_acknowledgement(&mut self, number: u64, sent: u64, now: u64, report: &mut Report) {
        if self.unacknowledged.remove(&number).is_none() {
            return;
        }
        let rtt = Duration::from_nanos(now - sent);
        self.rtt.update_rtt(
            Duration::ZERO,
            rtt,
            time(now),
            true,
            PacketNumberSpace::ApplicationData,
        );
        let is_limiting = true;
        self.congestion.on_acknowledged(
            Acknowledged {
                bytes: MTU,
                sent: time(sent),
                rtt: Some(rtt),
                is_limiting,
            },
            time(now),
        );
        self.outstanding -= MTU;
        while let Some((&lost, &sent)) = self.unacknowledged.first_key_value() {
            if lost + 3 > number {
                break;
            }
            self.unacknowledged.pop_first();
            self.outstanding -= MTU;
            report.lost += 1;
            self.congestion
                .on_congestion(Signal::Loss, time(sent), time(now));
        }
    }
}

fn run(link: Link, seconds: f64) -> Report {
    let mut sender = Sender {
        congestion: Congestion::new(Limits {
            initial: 10 * MTU,
            min: 4 * MTU,
            max: 64 << 20,
        }),
        departures: Departures::new(MTU as u32, BATCH),
        rtt: RttEstimator::new(Duration::from_millis(2)),
        outstanding: 0,
        next_number: 0,
        unacknowledged: BTreeMap::new(),
    };
    let mut events = BinaryHeap::new();
    let mut report = Report::default();
    let end = (seconds * 1e9) as u64;
    let (mut free_at, mut delivered, mut number) = (0, 0, 0);
    sender.send(0, &mut events);
    while let Some(std::cmp::Reverse((now, _, event))) = events.pop() {
        if now > end {
            break;
        }
        match event {
            Event::Departure(packets) => {
                for packet in 0..packets {
                    let at = now + nanos_of(packet * MTU, 10 * link.bits_per_second);
                    sender.unacknowledged.insert(number, now);
                    report.sent += 1;
                    let start = at.max(free_at);
                    let leaves = start + nanos_of(MTU, link.bits_per_second);
                    if leaves - at <= nanos_of(link.queue, link.bits_per_second) {
                        free_at = leaves;
                        delivered += MTU;
                        let back = leaves + 2000 * link.delay_us;
                        let event = Event::Acknowledgement { number, sent: now };
                        events.push(std::cmp::Reverse((back, u64::MAX, event)));
                    }
                    number += 1;
                }
            }
            Event::Acknowledgement { number, sent } => {
                sender.on_acknowledgement(number, sent, now, &mut report);
                sender.send(now, &mut events);
            }
        }
    }
    report.busy = delivered as f64 / (link.bits_per_second as f64 / 8.0 * seconds);
    report.window = sender.congestion.window();
    report
}

/// Rates from 100 Mbit/s to 10 Gbit/s, round trips from 40 µs to 5 ms, and queues of half, one and four times what is on the way
fn links() -> impl Iterator<Item = (Link, f64)> {
    [100_000_000, 1_000_000_000, 10_000_000_000]
        .into_iter()
        .flat_map(|bits_per_second| {
            [20, 100, 500, 2500].map(move |delay_us| (bits_per_second, delay_us))
        })
        .flat_map(|(bits_per_second, delay_us)| {
            let on_the_way = bits_per_second / 8 * 2 * delay_us / 1_000_000;
            [on_the_way / 2, on_the_way, 4 * on_the_way].map(|queue| {
                let link = Link {
                    bits_per_second,
                    delay_us,
                    // less than a burst can't be used by anybody who sends bursts
                    queue: queue.max(32_000),
                };
                // long enough that slow start is a small part of it
                let seconds = match bits_per_second {
                    10_000_000_000 => (delay_us as f64 / 1250.0).max(0.2),
                    1_000_000_000 => 2.0,
                    _ => 10.0,
                };
                (link, seconds)
            })
        })
}

#[test]
fn a_bottleneck_is_busy_and_loses_little() {
    for (link, seconds) in links() {
        let report = run(link, seconds);
        assert!(report.lost > 0, "{link:?} {report:?}");
        assert!(report.lost_share() < 0.01, "{link:?} {report:?}");
        assert!(report.busy > 0.97, "{link:?} {report:?}");
    }
}

#[test]
fn slow_start_ends_before_it_floods_a_long_queue() {
    // with 2.5 MB of queue, doubling until the first loss would lose as much at once
    let link = Link {
        bits_per_second: 1_000_000_000,
        delay_us: 250,
        queue: 2_500_000,
    };
    let report = run(link, 0.02);
    assert_eq!(report.lost, 0, "{report:?}");
    assert!(report.busy > 0.9, "{report:?}");
    assert!(report.window < 1_000_000, "{report:?}");
}
