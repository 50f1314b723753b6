// SPDX-License-Identifier: Apache-2.0

//! Behaviour of the hand-off queue, one thread at a time, and against a plain queue.

#![allow(clippy::unwrap_used)]

use super::*;
use bolero::{check, produce, TypeGenerator};
use std::collections::VecDeque;

fn drain<T>(handoff: &Handoff<T>) -> Vec<T> {
    let mut out = Vec::new();
    handoff.drain_into(&mut out);
    out
}

#[test]
fn it_can_be_shared_when_its_items_can_be_sent() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Handoff<std::cell::Cell<u8>>>();
}

#[test]
fn only_the_first_push_after_a_drain_is_told_to_wake() {
    let handoff = Handoff::new();
    for _ in 0..3 {
        assert_eq!(handoff.push(1), Ok(Edge::WasEmpty));
        assert_eq!(handoff.push(2), Ok(Edge::NotEmpty));
        assert_eq!(handoff.extend([3, 4]), Ok(Edge::NotEmpty));
        assert_eq!(drain(&handoff), [1, 2, 3, 4]);
    }
}

#[test]
fn an_empty_batch_wakes_nobody_and_a_full_one_once() {
    let handoff = Handoff::new();
    assert_eq!(handoff.extend([]), Ok(Edge::NotEmpty));
    assert_eq!(handoff.extend([1, 2, 3]), Ok(Edge::WasEmpty));
    assert_eq!(handoff.extend([]), Ok(Edge::NotEmpty));
    assert_eq!(drain(&handoff), [1, 2, 3]);
}

#[test]
fn a_drain_appends_to_what_the_consumer_still_has() {
    let handoff = Handoff::new();
    let mut out = vec![1];
    assert_eq!(handoff.extend([2, 3]), Ok(Edge::WasEmpty));
    handoff.drain_into(&mut out);
    assert_eq!(out, [1, 2, 3]);
    assert_eq!(handoff.push(4), Ok(Edge::WasEmpty));
}

#[test]
fn two_vectors_go_back_and_forth_and_nothing_is_allocated() {
    let handoff = Handoff::new();
    let mut out = Vec::with_capacity(8);
    let mut seen = Vec::new();
    for _ in 0..6 {
        assert_eq!(handoff.extend(0..8), Ok(Edge::WasEmpty));
        handoff.drain_into(&mut out);
        assert_eq!(out.len(), 8);
        seen.push((out.as_ptr(), out.capacity()));
        out.clear();
    }
    assert_ne!(seen[0].0, seen[1].0, "they change places");
    assert_eq!((seen[0], seen[1]), (seen[2], seen[3]));
    assert_eq!((seen[0], seen[1]), (seen[4], seen[5]));
}

#[test]
fn a_closed_queue_gives_back_what_is_pushed() {
    let handoff = Handoff::new();
    assert_eq!(handoff.push(1), Ok(Edge::WasEmpty));
    assert_eq!(handoff.close(), [1]);
    assert_eq!(handoff.push(2), Err(2));
    assert_eq!(handoff.extend([3, 4]), Err(vec![3, 4]));
    assert!(drain(&handoff).is_empty());
    assert_eq!(handoff.push(5), Err(5), "a drain does not open it");
    assert!(handoff.close().is_empty());
}

#[test]
fn items_of_a_batch_that_panicked_are_announced_by_the_next_push() {
    let handoff = Handoff::new();
    let broken = (0..3).inspect(|item| assert!(*item < 2));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handoff.extend(broken)));
    assert!(result.is_err());
    assert_eq!(handoff.push(9), Ok(Edge::WasEmpty));
    assert_eq!(drain(&handoff), [0, 1, 9]);
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Op {
    Push,
    Extend { count: u8 },
    Drain { clear: bool },
    Close,
}

#[test]
fn it_agrees_with_a_plain_queue() {
    let ops = produce::<Vec<Op>>().with().len(0..=100usize);
    check!().with_generator(ops).for_each(|ops| {
        let handoff = Handoff::new();
        let mut model = VecDeque::new();
        let mut closed = false;
        let mut next = 0_u32;
        let (mut out, mut drained) = (Vec::new(), Vec::new());
        let edge = |was_empty: bool, count: u32| match was_empty && count > 0 {
            true => Edge::WasEmpty,
            false => Edge::NotEmpty,
        };
        for op in ops {
            match *op {
                Op::Push => {
                    let expected = if closed {
                        Err(next)
                    } else {
                        Ok(edge(model.is_empty(), 1))
                    };
                    assert_eq!(handoff.push(next), expected);
                    if !closed {
                        model.push_back(next);
                    }
                    next += 1;
                }
                Op::Extend { count } => {
                    let items = next..next + u32::from(count % 5);
                    next = items.end;
                    let expected = match closed {
                        true => Err(items.clone().collect()),
                        false => Ok(edge(model.is_empty(), items.len() as u32)),
                    };
                    assert_eq!(handoff.extend(items.clone()), expected);
                    if !closed {
                        model.extend(items);
                    }
                }
                Op::Drain { clear } => {
                    if clear {
                        out.clear();
                        drained.clear();
                    }
                    handoff.drain_into(&mut out);
                    drained.extend(model.drain(..));
                    assert_eq!(out, drained);
                }
                Op::Close => {
                    closed = true;
                    assert_eq!(handoff.close(), Vec::from(std::mem::take(&mut model)));
                }
            }
        }
    });
}
