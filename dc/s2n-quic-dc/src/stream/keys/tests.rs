// SPDX-License-Identifier: Apache-2.0

//! Generations are told apart by their credentials, their numbers, and by what opens their packets.

use super::{kept::KeptKeys, *};
use crate::{
    path::secret::map::{Bidirectional, Map},
    stream::{testing::clock::timestamp, TransportFeatures},
    testing::secrets::{self, Agreement},
};
use bolero::check;
use crypto::{open::Application as _, seal::Application as _};
use std::net::{Ipv4Addr, SocketAddr};

pub(super) fn addr(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A client and a server with one secret
pub(super) struct Ends {
    client: Map,
    server: Map,
}

impl Default for Ends {
    fn default() -> Self {
        let (client, server) = (secrets::map(), secrets::map());
        let agreement = Agreement::default();
        secrets::share(7, (&client, addr(1)), (&server, addr(2)), &agreement);
        Self { client, server }
    }
}

impl Ends {
    /// The keys of the next stream at the client
    pub(super) fn open(&self) -> Keys {
        let peer = self.client.get_untracked(addr(2)).unwrap();
        let (pair, _) = peer.pair(&TransportFeatures::UDP).unwrap();
        keys(pair)
    }

    /// The same keys at the server
    fn accept(&self, credentials: &Credentials) -> Keys {
        let features = TransportFeatures::UDP;
        let pair = self
            .server
            .pair_for_credentials(credentials, None, &features, &mut Vec::new());
        let (pair, ..) = pair.unwrap();
        keys(pair)
    }

    /// What a stream to `acceptor` has left
    pub(super) fn kept(&self, acceptor: SocketAddr) -> KeptKeys {
        KeptKeys::of_map(self.open(), acceptor)
    }
}

/// Of the first stream with them
fn keys(pair: Bidirectional) -> Keys {
    Keys::new(
        pair.credentials,
        pair.application,
        ControlKeys::Derived(Arc::new(pair.control.unwrap())),
        Generation::FIRST,
        timestamp(1_000_000),
    )
}

fn credentials(key_id: u64) -> Credentials {
    Credentials {
        id: [7; 16].into(),
        key_id: VarInt::new(key_id).unwrap(),
    }
}

const HEADER: &[u8] = b"header";

fn sealed(sealer: &Sealer, number: u64) -> [u8; 26] {
    let mut bytes = [3; 26];
    sealer.encrypt(number, HEADER, None, &mut bytes);
    bytes
}

fn opens(opener: &Opener, number: u64, sealed: &[u8; 26]) -> bool {
    let mut sealed = *sealed;
    let (payload, tag) = sealed.split_at_mut(10);
    let opened = opener.decrypt_in_place(KeyPhase::Zero, number, HEADER, payload, tag);
    opened.is_ok() && *payload == [3; 10]
}

#[test]
fn credentials_say_the_generation() {
    let mut now = credentials(12_345);
    for generation in 0..MAX_GENERATIONS {
        assert_eq!(Generation::of(now.key_id), Generation(generation));
        assert_eq!(Generation::map_key_id(now.key_id).as_u64(), 12_345);
        assert_eq!(now.id, credentials(0).id);
        let Some(next) = Generation::successor(&now) else {
            assert_eq!(generation, MAX_GENERATIONS - 1);
            return;
        };
        now = next;
    }
    panic!("there is no end of it");
}

#[test]
fn the_largest_ids_have_no_successor() {
    assert!(Generation::successor(&credentials((1 << 40) - 1)).is_some());
    assert!(Generation::successor(&credentials(VarInt::MAX.as_u64())).is_none());
}

#[test]
fn no_two_generations_have_a_number_in_common() {
    check!()
        .with_type::<([u16; 2], [u32; 2])>()
        .for_each(|(generations, numbers)| {
            let [(a, a_number), (b, b_number)] = [0, 1].map(|n| {
                let generation = u64::from(generations[n]) % MAX_GENERATIONS;
                (Generation(generation), u64::from(numbers[n]))
            });
            let is_same = (a, a_number) == (b, b_number);
            assert_eq!(a.nonce(a_number) == b.nonce(b_number), is_same);
        });
}

#[test]
fn a_generation_opens_what_its_own_has_sealed() {
    let ends = Ends::default();
    let client = ends.open();
    let server = ends.accept(&client.credentials);
    let generations = [0, 1, MAX_GENERATIONS - 1].map(Generation);
    let of = |generation: Generation| {
        let sealer = Sealer::new(client.sealer.keys.clone(), generation);
        let opener = Opener::new(server.opener.keys.clone(), generation);
        (sealer, opener)
    };
    for a in generations {
        for b in generations {
            let ((sealer, _), (_, opener)) = (of(a), of(b));
            let sealed = sealed(&sealer, 5);
            assert_eq!(opens(&opener, 5, &sealed), a == b, "{a:?} {b:?}");
            assert!(!opens(&opener, 6, &sealed));
        }
    }
}

#[test]
fn a_generation_keeps_to_its_numbers_until_it_has_keys_of_its_own() {
    let mut sealer = Ends::default().open().sealer;
    assert!(sealer.has_numbers(1 << 32));
    assert!(!sealer.has_numbers((1 << 32) + 1));
    sealer.update(|_| {});
    assert!(sealer.has_numbers((1 << 32) + 1));
}

#[test]
fn keys_are_not_updated_while_another_may_take_them_over() {
    let mut keys = Ends::default().open();
    let kept = (keys.sealer.keys.clone(), keys.opener.keys.clone());
    keys.sealer.update(|_| panic!("the other has these"));
    keys.opener.update(|_| panic!("the other has these"));
    assert!(!keys.sealer.is_updated && !keys.opener.is_updated);
    drop(kept);
    let mut updates = 0;
    keys.sealer.update(|_| updates += 1);
    keys.opener.update(|_| updates += 1);
    assert_eq!(updates, 2);
    assert!(keys.sealer.is_updated && keys.opener.is_updated);
}
