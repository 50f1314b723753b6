// SPDX-License-Identifier: Apache-2.0

//! Opens wait their turn, and no place is lost.

use super::*;
use core::task::Context;

/// Polls once with a waker that does nothing
fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn counter(next: &core::cell::Cell<u64>) -> impl FnMut() -> Result<((), u64), ()> + Unpin + '_ {
    move || {
        let id = next.get();
        next.set(id + 1);
        Ok(((), id))
    }
}

fn fill(admission: &Admission, next: &core::cell::Cell<u64>) -> VecDeque<Permit> {
    (0..MAX_DISTANCE)
        .map(|_| {
            let (_, permit) = poll(&mut admission.open(counter(next)))
                .expect("below the distance nobody waits")
                .expect("the counter has no end");
            permit
        })
        .collect()
}

#[test]
fn the_distance_is_counted_from_the_oldest_unconfirmed_id() {
    let admission = Admission::new(u64::MAX);
    let next = core::cell::Cell::new(0);
    let mut permits = fill(&admission, &next);
    let mut waiting = admission.open(counter(&next));
    assert!(poll(&mut waiting).is_none());
    // a confirmation in the middle does not help: the oldest holds the window
    drop(permits.remove(100));
    assert!(poll(&mut waiting).is_none());
    drop(permits.pop_front());
    assert!(poll(&mut waiting).is_some());
}

#[test]
fn opens_go_on_in_the_order_in_which_they_came() {
    let admission = Admission::new(u64::MAX);
    let next = core::cell::Cell::new(0);
    let permits = fill(&admission, &next);
    let mut first = admission.open(counter(&next));
    let mut second = admission.open(counter(&next));
    assert!(poll(&mut first).is_none());
    assert!(poll(&mut second).is_none());
    drop(permits);
    assert!(poll(&mut second).is_none(), "the second may not overtake");
    assert!(poll(&mut first).is_some());
    assert!(poll(&mut second).is_some());
    assert_eq!(admission.depth(), (0, 0));
}

#[test]
fn a_dropped_waiter_passes_its_turn_on() {
    let admission = Admission::new(u64::MAX);
    let next = core::cell::Cell::new(0);
    let permits = fill(&admission, &next);
    let mut first = admission.open(counter(&next));
    let mut second = admission.open(counter(&next));
    assert!(poll(&mut first).is_none());
    assert!(poll(&mut second).is_none());
    drop(first);
    drop(permits);
    assert!(poll(&mut second).is_some());
}

#[test]
fn a_failed_take_frees_its_place() {
    let admission = Admission::new(u64::MAX);
    let outcome = poll(&mut admission.open(|| Err::<((), u64), _>("exhausted")));
    assert_eq!(outcome.map(|r| r.err()), Some(Some("exhausted")));
    assert_eq!(admission.depth(), (0, 0));
}

#[test]
fn only_streams_that_have_something_to_say_count() {
    let admission = Admission::new(2);
    let next = core::cell::Cell::new(0);
    let open = || poll(&mut admission.open(counter(&next)));
    let mut permits: Vec<_> = (0..4)
        .map(|_| {
            let (_, permit) = open().expect("silent").expect("the counter has no end");
            permit
        })
        .collect();
    permits[0].speak();
    permits[0].speak();
    assert!(matches!(open(), Some(Ok(_))), "counted once");
    permits[3].speak();
    assert!(open().is_none());
    // one that is silent makes no room
    drop(permits.remove(1));
    assert!(open().is_none());
    let _ = permits.remove(0).confirm();
    assert!(open().is_some());
}

#[test]
fn a_higher_limit_lets_those_go_on_who_wait() {
    let admission = Admission::new(1);
    let next = core::cell::Cell::new(0);
    let mut first = admission.open(counter(&next));
    let (_, mut permit) = poll(&mut first).expect("the first").expect("no end");
    permit.speak();
    let mut second = admission.open(counter(&next));
    let mut third = admission.open(counter(&next));
    assert!(poll(&mut second).is_none());
    assert!(poll(&mut third).is_none());
    assert!(admission.set_max_speaking(1).is_none(), "no change");
    assert!(
        admission.set_max_speaking(2).is_some(),
        "the second is woken"
    );
    let (_, mut permit) = poll(&mut second).expect("room").expect("no end");
    permit.speak();
    assert!(poll(&mut third).is_none());
}

#[test]
fn five_thousand_opens_never_leave_the_window() {
    let admission = Admission::new(u64::MAX);
    let next = core::cell::Cell::new(0);
    let mut permits = VecDeque::new();
    let mut opened = 0;
    while opened < 5000 {
        let mut open = admission.open(counter(&next));
        match poll(&mut open) {
            Some(Ok((_, permit))) => {
                opened += 1;
                permits.push_back(permit);
                let oldest = permits.front().map_or(0, |p: &Permit| p.key_id);
                assert!(next.get() - oldest <= MAX_DISTANCE);
            }
            // confirmations come in any order
            _ => drop(permits.remove(opened % permits.len())),
        }
    }
}
