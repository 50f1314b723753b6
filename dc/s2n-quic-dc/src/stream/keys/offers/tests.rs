// SPDX-License-Identifier: Apache-2.0

//! An offer is accepted once, and stands until then or until its time is over.

use super::{
    super::tests::{addr, Ends},
    *,
};
use crate::stream::testing::clock::timestamp;

/// How long an offer stands, in seconds, with an idle timeout of 30
const STANDS: u64 = 61;

fn at(secs: u64) -> Timestamp {
    timestamp((1 + secs) * 1_000_000)
}

/// Offers keys at this time
fn put(offers: &Offers, ends: &Ends, secs: u64) -> Credentials {
    let kept = ends.kept(addr(10));
    let credentials = kept.credentials;
    assert!(offers.put(kept, at(secs)));
    credentials
}

fn claim(offers: &Offers, credentials: &Credentials) -> KeptKeys {
    match offers.claim(credentials) {
        Claimed::Offered(keys) => keys,
        Claimed::Busy => panic!("somebody has it"),
        Claimed::Unknown => panic!("there is none"),
    }
}

fn is_unknown(offers: &Offers, credentials: &Credentials) -> bool {
    matches!(offers.claim(credentials), Claimed::Unknown)
}

#[test]
fn an_offer_is_accepted_once() {
    let (ends, offers) = (Ends::default(), Offers::default());
    let credentials = put(&offers, &ends, 0);
    let keys = claim(&offers, &credentials);
    assert_eq!(keys.credentials, credentials);
    assert!(matches!(offers.claim(&credentials), Claimed::Busy));
    offers.return_claim(keys, true);
    assert!(is_unknown(&offers, &credentials));
    assert_eq!(offers.len(), 0);
}

#[test]
fn a_packet_that_is_not_authentic_takes_nothing() {
    let (ends, offers) = (Ends::default(), Offers::default());
    let credentials = put(&offers, &ends, 0);
    for _ in 0..3 {
        let keys = claim(&offers, &credentials);
        offers.return_claim(keys, false);
    }
    let keys = claim(&offers, &credentials);
    offers.return_claim(keys, true);
    assert!(is_unknown(&offers, &credentials));
}

/// Of the same keys, there is one offer: the next generation's
#[test]
fn other_generations_are_not_offered() {
    let (ends, offers) = (Ends::default(), Offers::default());
    let credentials = put(&offers, &ends, 0);
    let next = super::super::Generation::successor(&credentials).expect("a third");
    assert!(is_unknown(&offers, &next));
    let keys = claim(&offers, &credentials);
    offers.return_claim(keys, false);
}

#[test]
fn an_offer_is_made_again_while_it_stands() {
    let (ends, offers) = (Ends::default(), Offers::default());
    let credentials = put(&offers, &ends, 0);
    assert!(offers.renew(&credentials, at(50)));
    put(&offers, &ends, STANDS);
    assert_eq!(offers.len(), 2);
    let keys = claim(&offers, &credentials);
    assert!(!offers.renew(&credentials, at(60)));
    offers.return_claim(keys, true);
    assert!(!offers.renew(&credentials, at(60)));
    assert!(is_unknown(&offers, &credentials));
}

#[test]
fn an_offer_that_was_withdrawn_is_gone_even_if_it_was_claimed() {
    let (ends, offers) = (Ends::default(), Offers::default());
    let credentials = put(&offers, &ends, 0);
    let keys = claim(&offers, &credentials);
    offers.withdraw(&credentials);
    offers.return_claim(keys, false);
    assert!(is_unknown(&offers, &credentials));
    let credentials = put(&offers, &ends, 0);
    offers.withdraw(&credentials);
    assert!(is_unknown(&offers, &credentials));
}

#[test]
fn offers_go_when_their_time_is_over() {
    let (ends, offers) = (Ends::default(), Offers::default());
    let early = put(&offers, &ends, 0);
    put(&offers, &ends, STANDS - 1);
    assert_eq!(offers.len(), 2);
    put(&offers, &ends, STANDS);
    assert_eq!(offers.len(), 2);
    assert!(is_unknown(&offers, &early));
}

#[test]
fn no_more_is_offered_than_there_is_room_for() {
    let (ends, offers) = (Ends::default(), Offers::default());
    for _ in 0..MAX_OFFERS {
        put(&offers, &ends, 0);
    }
    assert!(!offers.put(ends.kept(addr(10)), at(1)));
    assert_eq!(offers.len(), MAX_OFFERS);
    assert!(offers.put(ends.kept(addr(10)), at(STANDS)));
    assert_eq!(offers.len(), 1);
}
