// SPDX-License-Identifier: Apache-2.0

//! What was left last is taken first, and nothing that is too old.

use super::{
    super::tests::{addr, Ends},
    *,
};
use crate::stream::testing::clock::timestamp;

const PLACE: u16 = 10;

fn at(millis: u64) -> Timestamp {
    timestamp(1_000_000 + millis * 1000)
}

fn id(ends: &Ends) -> credentials::Id {
    ends.kept(addr(PLACE)).credentials.id
}

/// Leaves keys at this time; returns what tells them apart
fn put(idle: &IdleKeys, ends: &Ends, port: u16, millis: u64) -> u64 {
    let kept = ends.kept(addr(port));
    let key_id = kept.credentials.key_id.as_u64();
    idle.put(kept, at(millis));
    key_id
}

fn take(idle: &IdleKeys, id: credentials::Id, port: u16, millis: u64) -> Option<u64> {
    let kept = idle.take(id, addr(port), at(millis))?;
    Some(kept.credentials.key_id.as_u64())
}

#[test]
fn the_last_come_first() {
    let (ends, idle) = (Ends::default(), IdleKeys::default());
    let id = id(&ends);
    assert_eq!(take(&idle, id, PLACE, 0), None);
    let left = [0, 1, 2].map(|n| put(&idle, &ends, PLACE, n));
    assert_eq!(idle.len(), 3);
    let taken = [0, 1, 2].map(|_| take(&idle, id, PLACE, 3).unwrap());
    assert_eq!(taken, [left[2], left[1], left[0]]);
    assert_eq!(take(&idle, id, PLACE, 3), None);
    assert_eq!(idle.len(), 0);
}

#[test]
fn each_place_has_its_own() {
    let (ends, idle) = (Ends::default(), IdleKeys::default());
    let (here, there) = (id(&ends), credentials::Id::from([1; 16]));
    put(&idle, &ends, PLACE, 0);
    assert_eq!(take(&idle, here, PLACE + 1, 0), None);
    assert_eq!(take(&idle, there, PLACE, 0), None);
    idle.forget(there, addr(PLACE));
    idle.forget(here, addr(PLACE + 1));
    assert_eq!(idle.len(), 1);
    idle.forget(here, addr(PLACE));
    assert_eq!(idle.len(), 0);
    assert_eq!(take(&idle, here, PLACE, 0), None);
}

#[test]
fn what_is_too_old_is_not_given_away() {
    let (ends, idle) = (Ends::default(), IdleKeys::default());
    let id = id(&ends);
    put(&idle, &ends, PLACE, 0);
    assert_eq!(take(&idle, id, PLACE, 1000), None);
    assert_eq!(idle.len(), 0);
    let kept = put(&idle, &ends, PLACE, 0);
    assert_eq!(take(&idle, id, PLACE, 999), Some(kept));
}

#[test]
fn what_nobody_takes_goes_when_something_else_comes() {
    let (ends, idle) = (Ends::default(), IdleKeys::default());
    let id = id(&ends);
    put(&idle, &ends, PLACE, 0);
    put(&idle, &ends, PLACE + 1, 0);
    put(&idle, &ends, PLACE, 600);
    assert_eq!(idle.len(), 3);
    let last = put(&idle, &ends, PLACE, 1000);
    assert_eq!(idle.len(), 2);
    assert_eq!(take(&idle, id, PLACE, 1000), Some(last));
    assert_eq!(take(&idle, id, PLACE + 1, 1000), None);
}

#[test]
fn there_is_a_limit_to_what_is_kept() {
    let (ends, idle) = (Ends::default(), IdleKeys::default());
    for _ in 0..MAX_KEPT + 10 {
        put(&idle, &ends, PLACE, 0);
    }
    assert_eq!(idle.len(), MAX_KEPT);
    put(&idle, &ends, PLACE, 1000);
    assert_eq!(idle.len(), 1);
}
