// SPDX-License-Identifier: Apache-2.0

//! Opens wait their turn, and no place is lost.

use super::*;
use crate::sync::wakes::Wakes;
use core::task::Context;

/// Polls once with a waker that does nothing
fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_with(future, Waker::noop())
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Option<F::Output> {
    let mut cx = Context::from_waker(waker);
    match Pin::new(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The key ids of a path
#[derive(Default)]
struct Ids(core::cell::Cell<u64>);

impl Ids {
    fn next(&self) -> u64 {
        self.0.replace(self.0.get() + 1)
    }

    /// Opens a stream, if there is room
    fn open(&self, admission: &Admission) -> Option<Permit> {
        poll(&mut admission.open()).map(|place| place.fill(self.next()))
    }

    /// Opens the first stream, and has it say something
    fn speak(&self, admission: &Admission) -> Permit {
        let mut permit = self.open(admission).expect("the first");
        permit.speak();
        permit
    }
}

fn fill(admission: &Admission, ids: &Ids) -> VecDeque<Permit> {
    (0..MAX_DISTANCE)
        .map(|_| {
            ids.open(admission)
                .expect("below the distance nobody waits")
        })
        .collect()
}

#[test]
fn the_distance_is_counted_from_the_oldest_unconfirmed_id() {
    let admission = Admission::new(u64::MAX);
    let ids = Ids::default();
    let mut permits = fill(&admission, &ids);
    let mut waiting = admission.open();
    assert!(poll(&mut waiting).is_none());
    // a confirmation in the middle does not help: the oldest holds the window
    drop(permits.remove(100));
    assert!(poll(&mut waiting).is_none());
    drop(permits.pop_front());
    assert!(poll(&mut waiting).is_some());
}

/// It goes on with the keys of another, so it holds back nobody's key, and counts as any other does
#[test]
fn a_stream_without_a_key_of_its_own_is_not_counted_from() {
    let admission = Admission::new(3);
    let ids = Ids::default();
    let mut keyless = poll(&mut admission.open())
        .expect("the first")
        .fill_without_key();
    for _ in 0..2 * MAX_DISTANCE {
        drop(ids.open(&admission).expect("no distance"));
    }
    assert_eq!(admission.depth(), (1, 0));
    keyless.speak();
    let mut others = [(); 2].map(|()| ids.open(&admission).expect("below the limit"));
    others.iter_mut().for_each(Permit::speak);
    assert_eq!(admission.depth(), (3, 0));
    let mut waiting = admission.open();
    assert!(
        poll(&mut waiting).is_none(),
        "all three have something to say"
    );
    keyless.confirm().expect("somebody waits").wake();
    assert!(poll(&mut waiting).is_some());
    drop(others);
    assert_eq!(admission.depth(), (0, 0));
}

#[test]
fn opens_go_on_in_the_order_in_which_they_came() {
    let admission = Admission::new(u64::MAX);
    let ids = Ids::default();
    let permits = fill(&admission, &ids);
    let mut first = admission.open();
    let mut second = admission.open();
    assert!(poll(&mut first).is_none());
    assert!(poll(&mut second).is_none());
    let mut late = admission.open();
    let mut permits = permits;
    drop(permits.pop_front());
    assert!(poll(&mut late).is_none(), "the place is the first one's");
    assert!(poll(&mut second).is_none(), "the second may not overtake");
    assert!(poll(&mut first).is_some());
    drop(permits);
    assert!(poll(&mut second).is_some());
    assert!(poll(&mut late).is_some());
    assert_eq!(admission.depth(), (0, 0));
}

#[test]
fn each_confirmation_wakes_another_who_waits_and_they_go_on_in_any_order() {
    let admission = Admission::new(3);
    let ids = Ids::default();
    let open = || ids.open(&admission).expect("room");
    let mut permits = [open(), open(), open()];
    permits.iter_mut().for_each(Permit::speak);
    let counts = [(); 4].map(|()| Wakes::new());
    let mut waiting = [(); 4].map(|()| admission.open());
    let woken = || counts.each_ref().map(|(wakes, _)| wakes.count());
    for (opening, (_, waker)) in waiting.iter_mut().zip(&counts) {
        assert!(poll_with(opening, waker).is_none());
    }
    for permit in permits {
        permit.confirm().expect("somebody waits").wake();
    }
    assert_eq!(woken(), [1, 1, 1, 0]);
    let mut permits = VecDeque::new();
    for index in [1, 2, 0] {
        let place = poll(&mut waiting[index]).expect("was given a place");
        let mut permit = place.fill(ids.next());
        permit.speak();
        permits.push_back(permit);
    }
    assert_eq!(woken(), [1, 1, 1, 0], "no more than there is room for");
    assert!(poll(&mut waiting[3]).is_none());
}

#[test]
fn who_goes_away_with_a_place_that_it_was_given_leaves_it_to_the_next() {
    let admission = Admission::new(1);
    let ids = Ids::default();
    let permit = ids.speak(&admission);
    let mut first = admission.open();
    let mut second = admission.open();
    let (wakes, waker) = Wakes::new();
    assert!(poll(&mut first).is_none());
    assert!(poll_with(&mut second, &waker).is_none());
    drop(permit.confirm());
    assert_eq!(wakes.count(), 0);
    drop(first);
    assert_eq!(wakes.count(), 1);
    assert!(poll(&mut second).is_some());
    assert_eq!(admission.depth(), (0, 0));
}

#[test]
fn those_who_stay_silent_do_not_keep_others_from_opening() {
    let admission = Admission::new(1);
    let ids = Ids::default();
    let speaking = ids.speak(&admission);
    let mut waiting: Vec<_> = (0..3).map(|_| admission.open()).collect();
    assert!(waiting.iter_mut().all(|opening| poll(opening).is_none()));
    drop(speaking.confirm());
    let silent = waiting
        .iter_mut()
        .map(|opening| poll(opening).expect("nobody speaks"))
        .map(|place| place.fill(ids.next()));
    assert_eq!(silent.collect::<Vec<_>>().len(), 3);
}

#[test]
fn a_dropped_waiter_passes_its_turn_on() {
    let admission = Admission::new(u64::MAX);
    let ids = Ids::default();
    let permits = fill(&admission, &ids);
    let mut first = admission.open();
    let mut second = admission.open();
    assert!(poll(&mut first).is_none());
    assert!(poll(&mut second).is_none());
    drop(first);
    drop(permits);
    assert!(poll(&mut second).is_some());
}

#[test]
fn a_place_that_is_not_filled_is_given_back() {
    let admission = Admission::new(u64::MAX);
    let ids = Ids::default();
    let permits = fill(&admission, &ids);
    drop(permits);
    let mut places: Vec<_> = (0..MAX_DISTANCE)
        .map(|_| poll(&mut admission.open()).expect("nothing is open"))
        .collect();
    let mut waiting = admission.open();
    assert!(poll(&mut waiting).is_none(), "places count");
    drop(places.pop());
    assert!(poll(&mut waiting).is_some());
    drop(places);
    assert_eq!(admission.depth(), (0, 0));
}

#[test]
fn the_key_id_that_is_taken_last_counts_from_its_place() {
    let admission = Admission::new(u64::MAX);
    let ids = Ids::default();
    let slow = poll(&mut admission.open()).expect("the first");
    let of_slow = ids.next();
    // one less: its key id may as well be the next
    let permits: Vec<_> = (2..MAX_DISTANCE).map(|_| ids.open(&admission)).collect();
    assert!(permits.iter().all(Option::is_some));
    assert!(ids.open(&admission).is_none());
    drop(permits);
    assert!(
        ids.open(&admission).is_none(),
        "as far from the slow one as before"
    );
    drop(slow.fill(of_slow));
    assert!(ids.open(&admission).is_some());
}

#[test]
fn only_streams_that_have_something_to_say_count() {
    let admission = Admission::new(2);
    let ids = Ids::default();
    let open = || ids.open(&admission);
    let mut permits: Vec<_> = (0..4).map(|_| open().expect("silent")).collect();
    permits[0].speak();
    permits[0].speak();
    assert!(open().is_some(), "counted once");
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
    let ids = Ids::default();
    let _permit = ids.speak(&admission);
    let mut second = admission.open();
    let mut third = admission.open();
    assert!(poll(&mut second).is_none());
    assert!(poll(&mut third).is_none());
    assert!(admission.set_max_speaking(1).is_none(), "no change");
    assert!(
        admission.set_max_speaking(2).is_some(),
        "the second is woken"
    );
    let place = poll(&mut second).expect("room");
    let mut permit = place.fill(ids.next());
    permit.speak();
    assert!(poll(&mut third).is_none());
}

#[test]
fn five_thousand_opens_never_leave_the_window() {
    let admission = Admission::new(u64::MAX);
    let ids = Ids::default();
    let mut permits = VecDeque::new();
    let mut opened = 0;
    while opened < 5000 {
        match ids.open(&admission) {
            Some(permit) => {
                opened += 1;
                permits.push_back(permit);
                let oldest = permits.front().and_then(|p: &Permit| p.key_id).unwrap_or(0);
                assert!(ids.0.get() - oldest <= MAX_DISTANCE);
            }
            // confirmations come in any order
            None => drop(permits.remove(opened % permits.len())),
        }
    }
}
