// SPDX-License-Identifier: Apache-2.0

//! Any sequence of operations, against the obvious model: a list of what is held, and a list of who waits.
//!
//! The model knows which handles belong to one descriptor, so bytes in use are a sum over a set. That memory is never
//! shared by mistake is checked by content: each handle is written with bytes of its own, and after each operation
//! each handle must still have what was last written through it.

use super::*;
use bolero::{check, produce, TypeGenerator};
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
    Write {
        which: u8,
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
const DATA: usize = 2 * BURST + PACKET;
const RESERVE: usize = BURST + PACKET;

struct Model {
    pool: Pool,
    held: Vec<Held>,
    /// Class and purpose by descriptor.
    descriptors: BTreeMap<u64, (Class, Purpose)>,
    someone: [Someone; WAITERS],
    line: VecDeque<usize>,
    exhausted: u64,
    allocated: u64,
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
        Self {
            pool: pool(DATA, RESERVE),
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
            allocated: 0,
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
            Op::Fill { which, .. }
            | Op::Clone { which }
            | Op::Drop { which }
            | Op::Reuse { which }
            | Op::Cut { which, .. }
            | Op::Take { which }
            | Op::Write { which } => {
                if !self.held.is_empty() {
                    let held = self.held.swap_remove(which as usize % self.held.len());
                    self.apply_to(held, op);
                    self.serve();
                }
            }
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

    fn apply_to(&mut self, held: Held, op: Op) {
        let Held {
            id,
            handle,
            mut expected,
        } = held;
        let handle = match (op, handle) {
            (Op::Drop { .. }, handle) => return drop(handle),
            (Op::Fill { len, .. }, Handle::Unfilled(unfilled)) => {
                let capacity = unfilled.capacity();
                match unfilled.fill(len as usize) {
                    Ok(filled) => {
                        assert!(len as usize <= capacity);
                        expected.truncate(len as usize);
                        Handle::Filled(filled)
                    }
                    Err(error) => {
                        assert!(len as usize > capacity);
                        Handle::Unfilled(error.unfilled)
                    }
                }
            }
            (Op::Clone { .. }, Handle::Filled(filled)) => {
                let handle = Handle::Filled(filled.clone());
                self.held.push(Held {
                    id,
                    handle,
                    expected: expected.clone(),
                });
                Handle::Filled(filled)
            }
            (Op::Reuse { .. }, Handle::Filled(filled)) => match filled.try_into_unfilled() {
                Ok(mut unfilled) => {
                    assert!(!self.is_held(id));
                    expected = self.stamp();
                    write(unfilled.as_mut_slice(), &mut expected);
                    Handle::Unfilled(unfilled)
                }
                Err(filled) => {
                    assert!(self.is_held(id));
                    Handle::Filled(filled)
                }
            },
            (Op::Cut { segment_len, .. }, Handle::Filled(filled)) => {
                match filled.into_segments(segment_len as usize) {
                    Ok(segments) => {
                        assert!(!self.is_held(id));
                        let segment_len = if segment_len == 0 {
                            expected.len()
                        } else {
                            segment_len as usize
                        };
                        if expected.is_empty() {
                            assert_eq!(segments.len(), 0);
                            return;
                        }
                        Handle::Segments(segments, segment_len)
                    }
                    Err(filled) => {
                        assert!(self.is_held(id));
                        Handle::Filled(filled)
                    }
                }
            }
            (Op::Take { .. }, Handle::Segments(mut segments, segment_len)) => {
                let rest = expected.split_off(segment_len.min(expected.len()));
                let handle = Handle::Segment(segments.next().unwrap());
                self.held.push(Held {
                    id,
                    handle,
                    expected,
                });
                if rest.is_empty() {
                    assert!(segments.next().is_none());
                    return;
                }
                expected = rest;
                Handle::Segments(segments, segment_len)
            }
            (Op::Write { .. }, Handle::Unfilled(mut unfilled)) => {
                expected = self.stamp();
                write(unfilled.as_mut_slice(), &mut expected);
                Handle::Unfilled(unfilled)
            }
            (Op::Write { .. }, Handle::Segment(mut segment)) => {
                expected = self.stamp();
                write(&mut segment, &mut expected);
                Handle::Segment(segment)
            }
            (_, handle) => handle,
        };
        self.held.push(Held {
            id,
            handle,
            expected,
        });
    }

    fn hold_new(&mut self, mut unfilled: Unfilled, class: Class, purpose: Purpose) {
        assert_eq!(unfilled.capacity(), len_of(class));
        let mut expected = self.stamp();
        write(unfilled.as_mut_slice(), &mut expected);
        let id = self.next_id;
        self.next_id += 1;
        self.allocated += 1;
        self.descriptors.insert(id, (class, purpose));
        self.held.push(Held {
            id,
            handle: Handle::Unfilled(unfilled),
            expected,
        });
    }

    /// Bytes that no other write has.
    fn stamp(&mut self) -> Vec<u8> {
        self.stamp += 1;
        self.stamp
            .to_le_bytes()
            .into_iter()
            .cycle()
            .take(BURST)
            .collect()
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
        total + len <= DATA + RESERVE && (purpose == Purpose::Control || data + len <= DATA)
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
        assert_eq!(stats.hits + stats.misses, self.allocated);
        assert!(
            stats.allocated_bytes <= DATA + RESERVE && stats.peak_allocated_bytes <= DATA + RESERVE
        );
        assert!(stats.peak_in_use_bytes >= total);
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

    /// Reads what could not be read without writing, then drops all.
    fn finish(mut self) {
        for held in std::mem::take(&mut self.held) {
            match held.handle {
                Handle::Unfilled(mut unfilled) => {
                    assert_eq!(*unfilled.as_mut_slice(), *held.expected)
                }
                Handle::Segments(segments, len) => {
                    let rest: Vec<_> = segments.collect();
                    assert!(rest
                        .iter()
                        .map(|segment| &**segment)
                        .eq(held.expected.chunks(len)));
                }
                Handle::Filled(_) | Handle::Segment(_) => {}
            }
        }
        for someone in &mut self.someone {
            someone.waiter.cancel();
        }
        let stats = self.pool.stats();
        assert_eq!(
            (stats.in_use_bytes, stats.data_bytes, stats.waiters),
            (0, 0, 0)
        );
    }
}

/// Writes as much of `stamp` as fits, and cuts it to that.
fn write(bytes: &mut [u8], stamp: &mut Vec<u8>) {
    stamp.truncate(bytes.len());
    bytes.copy_from_slice(stamp);
}
