// SPDX-License-Identifier: Apache-2.0

//! Any sequence of operations, against the obvious model: a list of what is held, and a list of who waits.
//!
//! Idle memory is a number per class, see [`memory`]. The model knows which handles belong to one descriptor, so bytes in use are a sum over a set. That memory is never
//! shared by mistake is checked by content: each handle is written with bytes of its own, and after each operation
//! each handle must still have what was last written through it.

mod handles;
mod memory;

use super::*;
use crate::clock::at_tick;
use bolero::{check, produce, TypeGenerator};
use handles::write;
use memory::Memory;
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Op {
    Alloc {
        burst: bool,
        control: bool,
    },
    /// Polls for a descriptor on behalf of one of a few waiters.
    Wait {
        who: u8,
        burst: bool,
    },
    Cancel {
        who: u8,
    },
    Fill {
        which: u8,
        len: u8,
    },
    Clone {
        which: u8,
    },
    Drop {
        which: u8,
    },
    /// Filled to unfilled.
    Reuse {
        which: u8,
    },
    Cut {
        which: u8,
        segment_len: u8,
    },
    /// The next segment.
    Take {
        which: u8,
    },
    /// The next few segments, as one.
    Split {
        which: u8,
        count: u8,
    },
    Skip {
        which: u8,
        count: u8,
    },
    Write {
        which: u8,
    },
    /// Time passes until the next trim, or not quite.
    Trim {
        early: bool,
    },
    /// The ceiling becomes the reserve and so many packets; fewer than a burst are refused.
    Ceiling {
        packets: u8,
    },
}

#[test]
fn the_pool_agrees_with_a_list_of_what_is_held() {
    let ops = produce::<Vec<Op>>().with().len(0..=100usize);
    check!().with_generator(ops).for_each(|ops| {
        let mut model = Model::new();
        for op in ops {
            model.apply(*op);
            model.check();
        }
        model.finish();
    });
}

const WAITERS: usize = 4;
const START: u64 = 1_000_000;
const DATA: usize = 2 * BURST + PACKET;
const RESERVE: usize = BURST + PACKET;

struct Model {
    pool: Pool,
    memory: Memory,
    trimmer: Trimmer,
    keeper: (StdArc<Wakes>, Waker),
    /// The clock, in microseconds.
    now: u64,
    held: Vec<Held>,
    /// Class and purpose by descriptor.
    descriptors: BTreeMap<u64, (Class, Purpose)>,
    someone: [Someone; WAITERS],
    line: VecDeque<usize>,
    exhausted: u64,
    next_id: u64,
    stamp: u64,
}

struct Held {
    id: u64,
    handle: Handle,
    expected: Vec<u8>,
}

enum Handle {
    Unfilled(Unfilled),
    Filled(Filled),
    Segments(Segments, usize),
    Segment(Segment),
}

struct Someone {
    waiter: Waiter,
    wakes: StdArc<Wakes>,
    waker: Waker,
    expected_wakes: usize,
    place: Option<Place>,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    InLine(Class),
    Granted(Class),
}

fn class(burst: bool) -> Class {
    if burst {
        Class::Burst
    } else {
        Class::Packet
    }
}

fn len_of(class: Class) -> usize {
    match class {
        Class::Packet => PACKET,
        Class::Burst => BURST,
    }
}

impl Model {
    fn new() -> Self {
        let pool = pool(DATA, RESERVE);
        let mut trimmer = pool.trimmer();
        let keeper = Wakes::new();
        assert_eq!(trimmer.poll(&keeper.1, at_tick(START)), None);
        Self {
            pool,
            memory: Memory::new(DATA + RESERVE),
            trimmer,
            keeper,
            now: START,
            held: Vec::new(),
            descriptors: BTreeMap::new(),
            someone: std::array::from_fn(|_| {
                let (wakes, waker) = Wakes::new();
                Someone {
                    waiter: Waiter::default(),
                    wakes,
                    waker,
                    expected_wakes: 0,
                    place: None,
                }
            }),
            line: VecDeque::new(),
            exhausted: 0,
            next_id: 0,
            stamp: 0,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Alloc { burst, control } => self.alloc(class(burst), control),
            Op::Wait { who, burst } => self.wait(who as usize % WAITERS, class(burst)),
            Op::Cancel { who } => {
                let who = who as usize % WAITERS;
                self.someone[who].waiter.cancel();
                self.leave(who);
            }
            Op::Trim { early } => self.trim(early),
            Op::Ceiling { packets } => self.set_ceiling(RESERVE + packets as usize * PACKET),
            Op::Fill { which, .. }
            | Op::Clone { which }
            | Op::Drop { which }
            | Op::Reuse { which }
            | Op::Cut { which, .. }
            | Op::Take { which }
            | Op::Split { which, .. }
            | Op::Skip { which, .. }
            | Op::Write { which } => {
                if !self.held.is_empty() {
                    let held = self.held.swap_remove(which as usize % self.held.len());
                    let id = held.id;
                    self.apply_to(held, op);
                    if !self.is_held(id) {
                        let (class, _) = self.descriptors[&id];
                        self.memory.release(class);
                    }
                    self.serve();
                }
            }
        }
    }

    fn trim(&mut self, early: bool) {
        // on time, or one microsecond before
        if let Some(due) = self.memory.due {
            self.now = if early { due - 1 } else { due };
        }
        self.memory.trim(self.now);
        let now = at_tick(self.now);
        let mut next = self.trimmer.poll(&self.keeper.1, now);
        while next == Some(now) {
            next = self.trimmer.poll(&self.keeper.1, now);
        }
        assert_eq!(next, self.memory.due.map(at_tick));
    }

    fn set_ceiling(&mut self, max_bytes: usize) {
        let expected = max_bytes >= RESERVE + BURST;
        assert_eq!(self.pool.set_max_bytes(max_bytes).is_ok(), expected);
        if expected {
            self.memory.set_max(max_bytes);
            self.serve();
        }
    }

    fn alloc(&mut self, class: Class, control: bool) {
        let purpose = if control {
            Purpose::Control
        } else {
            Purpose::Data
        };
        let expected = self.fits(class, purpose) && (control || self.line.is_empty());
        match self.pool.alloc(class, purpose) {
            Some(unfilled) => {
                assert!(expected);
                self.hold_new(unfilled, class, purpose);
            }
            None => {
                assert!(!expected);
                self.exhausted += 1;
            }
        }
    }

    fn wait(&mut self, who: usize, class: Class) {
        match self.someone[who].place {
            Some(Place::InLine(wanted) | Place::Granted(wanted)) if wanted != class => {
                self.leave(who)
            }
            _ => {}
        }
        let expected = match self.someone[who].place {
            Some(place) => place == Place::Granted(class),
            None => self.line.is_empty() && self.fits(class, Purpose::Data),
        };
        let someone = &mut self.someone[who];
        let mut cx = Context::from_waker(&someone.waker);
        match self.pool.poll_alloc(class, &mut someone.waiter, &mut cx) {
            Poll::Ready(unfilled) => {
                assert!(expected);
                someone.place = None;
                self.hold_new(unfilled, class, Purpose::Data);
            }
            Poll::Pending => {
                assert!(!expected);
                if someone.place.is_none() {
                    someone.place = Some(Place::InLine(class));
                    self.line.push_back(who);
                    self.exhausted += 1;
                }
            }
        }
    }

    fn leave(&mut self, who: usize) {
        self.someone[who].place = None;
        self.line.retain(|other| *other != who);
        self.serve();
    }

    fn hold_new(&mut self, mut unfilled: Unfilled, class: Class, purpose: Purpose) {
        assert_eq!(unfilled.capacity(), len_of(class));
        self.memory.supply(class);
        let mut expected = self.stamp();
        write(unfilled.as_mut_slice(), &mut expected);
        let id = self.next_id;
        self.next_id += 1;
        self.descriptors.insert(id, (class, purpose));
        self.held.push(Held {
            id,
            handle: Handle::Unfilled(unfilled),
            expected,
        });
    }

    fn is_held(&self, id: u64) -> bool {
        self.held.iter().any(|held| held.id == id)
    }

    /// Bytes in use, and of those the bytes for data.
    fn used(&self) -> (usize, usize) {
        let (mut total, mut data) = (0, 0);
        for (id, (class, purpose)) in &self.descriptors {
            if self.is_held(*id) {
                total += len_of(*class);
                data += if *purpose == Purpose::Data {
                    len_of(*class)
                } else {
                    0
                };
            }
        }
        for someone in &self.someone {
            if let Some(Place::Granted(class)) = someone.place {
                total += len_of(class);
                data += len_of(class);
            }
        }
        (total, data)
    }

    fn fits(&self, class: Class, purpose: Purpose) -> bool {
        let (total, data) = self.used();
        let len = len_of(class);
        let fits_total = total + len <= self.memory.max;
        match purpose {
            Purpose::Control => fits_total || total - data + len <= RESERVE,
            Purpose::Data => fits_total && data + len <= self.memory.max - RESERVE,
        }
    }

    fn serve(&mut self) {
        while let Some(who) = self.line.front().copied() {
            let Some(Place::InLine(class)) = self.someone[who].place else {
                panic!("only those in line are in the line");
            };
            if !self.fits(class, Purpose::Data) {
                break;
            }
            self.line.pop_front();
            self.someone[who].place = Some(Place::Granted(class));
            self.someone[who].expected_wakes += 1;
        }
    }

    fn check(&self) {
        let (total, data) = self.used();
        let stats = self.pool.stats();
        assert_eq!((stats.in_use_bytes, stats.data_bytes), (total, data));
        assert_eq!(stats.waiters, self.line.len());
        assert_eq!(stats.exhausted, self.exhausted);
        self.memory.check(&stats);
        assert!(stats.peak_in_use_bytes >= total);
        assert!(stats.allocated_bytes <= self.memory.max.max(total));
        assert_eq!(self.keeper.0.count(), self.memory.expected_wakes);
        for someone in &self.someone {
            assert_eq!(someone.wakes.count(), someone.expected_wakes);
            assert_eq!(someone.waiter.is_waiting(), someone.place.is_some());
        }
        for held in &self.held {
            match &held.handle {
                Handle::Unfilled(unfilled) => assert_eq!(unfilled.capacity(), held.expected.len()),
                Handle::Filled(filled) => assert_eq!(**filled, *held.expected),
                Handle::Segment(segment) => assert_eq!(**segment, *held.expected),
                Handle::Segments(segments, len) => {
                    assert_eq!(segments.len(), held.expected.len().div_ceil(*len))
                }
            }
        }
    }
}
