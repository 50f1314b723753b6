// SPDX-License-Identifier: Apache-2.0

//! Keys of what is authenticated and not encrypted: control packets, probes, and the tags of retransmissions.
//!
//! A call between new peers that loses nothing sends none of these, and the two keys are more than half of what there is to derive for a stream. So
//! they are derived when the first of them is needed, from the path's secret, which the first stream of the path finds out.
//!
//! The one rule: what the keys come from is held as long as they may be needed, so deriving them cannot fail.

use crate::{
    credentials::Credentials,
    crypto::{open, seal},
    path::secret::{
        map::{ControlPair, Map},
        schedule::{Initiator, Secret},
    },
    stream::{shared::TAG_LEN, TransportFeatures},
};
use s2n_quic_core::{dc, endpoint, varint::VarInt};
use std::sync::{Arc, OnceLock};

/// The secret of a path, if it was found out
#[derive(Default)]
pub(crate) struct PathSecret(OnceLock<Option<Arc<Secret>>>);

impl PathSecret {
    /// What the map of secrets is to think of the transport: it derives control keys for one that is not reliable
    pub(crate) fn features(&self) -> TransportFeatures {
        match self.0.get() {
            Some(Some(_)) => TransportFeatures::TCP,
            Some(None) | None => TransportFeatures::UDP,
        }
    }

    /// The control keys of a stream whose other keys the map has derived with [these features](Self::features); `None` if there are none
    pub(crate) fn control_keys(
        &self,
        credentials: &Credentials,
        pair: Option<Arc<ControlPair>>,
        initiator: Initiator,
        map: &Map,
    ) -> Option<ControlKeys> {
        if let Some(pair) = pair {
            self.0
                .get_or_init(|| find_secret(credentials, &pair, initiator, map));
            return Some(ControlKeys::Derived(pair));
        }
        let secret = self.0.get()?.clone()?;
        Some(ControlKeys::Due(Due::new(
            secret,
            credentials.key_id,
            initiator,
        )))
    }
}

/// The secret that `pair` was derived from. The map gives it away without the role that this end had in the handshake, so both are tried.
fn find_secret(
    credentials: &Credentials,
    pair: &ControlPair,
    initiator: Initiator,
    map: &Map,
) -> Option<Arc<Secret>> {
    let features = &TransportFeatures::TCP;
    let (export_secret, ciphersuite, ..) =
        map.secret_for_credentials(credentials, None, features, &mut Vec::new())?;
    let version = *dc::SUPPORTED_VERSIONS.first()?;
    let expected = signature(&pair.sealer);
    [endpoint::Type::Client, endpoint::Type::Server]
        .into_iter()
        .map(|role| Secret::new(ciphersuite, version, role, &export_secret))
        .find(|secret| {
            let (sealer, _) = secret.control_pair(credentials.key_id, initiator);
            secret.id() == &credentials.id && signature(&sealer) == expected
        })
        .map(Arc::new)
}

/// What is signed to tell keys apart
const SAMPLE: &[u8] = b"which of them is it?";

fn signature(sealer: &impl seal::Control) -> [u8; TAG_LEN] {
    let mut tag = [0; TAG_LEN];
    sealer.sign(SAMPLE, &mut tag);
    tag
}

/// The keys of one stream
pub(crate) enum ControlKeys {
    Derived(Arc<ControlPair>),
    Due(Due),
}

/// Keys that are derived when they are needed
pub(crate) struct Due {
    secret: Arc<Secret>,
    key_id: VarInt,
    initiator: Initiator,
    pair: OnceLock<Box<ControlPair>>,
}

impl Due {
    fn new(secret: Arc<Secret>, key_id: VarInt, initiator: Initiator) -> Self {
        Self {
            secret,
            key_id,
            initiator,
            pair: OnceLock::new(),
        }
    }

    fn pair(&self) -> &ControlPair {
        self.pair.get_or_init(|| {
            let (sealer, opener) = self.secret.control_pair(self.key_id, self.initiator);
            Box::new(ControlPair { sealer, opener })
        })
    }
}

impl ControlKeys {
    fn pair(&self) -> &ControlPair {
        match self {
            Self::Derived(pair) => pair,
            Self::Due(due) => due.pair(),
        }
    }

    /// The same for what outlives the stream, which hardly ever needs them and then derives them anew: they are most of its memory
    pub(crate) fn for_later(&self) -> Self {
        match self {
            Self::Derived(pair) => Self::Derived(pair.clone()),
            Self::Due(due) => Self::Due(Due::new(due.secret.clone(), due.key_id, due.initiator)),
        }
    }
}

impl seal::Control for ControlKeys {
    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn sign(&self, header: &[u8], tag: &mut [u8]) {
        self.pair().sealer.sign(header, tag);
    }
}

impl seal::control::Stream for ControlKeys {
    fn retransmission_tag(&self, original: u64, retransmission: u64, tag: &mut [u8]) {
        let sealer = &self.pair().sealer;
        sealer.retransmission_tag(original, retransmission, tag);
    }
}

impl open::Control for ControlKeys {
    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn verify(&self, header: &[u8], tag: &[u8]) -> open::Result {
        self.pair().opener.verify(header, tag)
    }
}

impl open::control::Stream for ControlKeys {
    fn retransmission_tag(
        &self,
        original: u64,
        retransmission: u64,
        tag: &mut [u8],
    ) -> open::Result {
        let opener = &self.pair().opener;
        opener.retransmission_tag(original, retransmission, tag)
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::secrets::{self, Agreement};
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    struct End {
        map: Map,
        secret: PathSecret,
    }

    const ADDRS: [SocketAddr; 2] = [
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2),
    ];

    /// Two ends with one secret; the first began the handshake
    fn ends() -> (End, End) {
        let end = || End {
            map: secrets::map(),
            secret: PathSecret::default(),
        };
        let (client, server) = (end(), end());
        let of_client = (&client.map, ADDRS[0]);
        let of_server = (&server.map, ADDRS[1]);
        secrets::share(1, of_client, of_server, &Agreement::default());
        (client, server)
    }

    impl End {
        /// The next stream that this end opens to `peer`
        fn open(&self, peer: SocketAddr) -> (Credentials, ControlKeys) {
            let peer = self.map.get_untracked(peer).unwrap();
            let (keys, _) = peer.pair(&self.secret.features()).unwrap();
            let control = self.secret.control_keys(
                &keys.credentials,
                keys.control.map(Arc::new),
                Initiator::Local,
                &self.map,
            );
            (keys.credentials, control.unwrap())
        }

        /// The same stream at its peer
        fn accept(&self, credentials: &Credentials) -> ControlKeys {
            let features = self.secret.features();
            let (keys, ..) = self
                .map
                .pair_for_credentials(credentials, None, &features, &mut Vec::new())
                .unwrap();
            let control = self.secret.control_keys(
                credentials,
                keys.control.map(Arc::new),
                Initiator::Remote,
                &self.map,
            );
            control.unwrap()
        }
    }

    fn assert_understood(from: &ControlKeys, to: &ControlKeys) {
        let tag = signature(from);
        assert!(open::Control::verify(to, SAMPLE, &tag).is_ok());
        assert!(open::Control::verify(to, b"another", &tag).is_err());
        let (mut sealed, mut opened) = ([0; TAG_LEN], [0; TAG_LEN]);
        seal::control::Stream::retransmission_tag(from, 7, 9, &mut sealed);
        open::control::Stream::retransmission_tag(to, 7, 9, &mut opened).unwrap();
        assert_eq!(sealed, opened);
    }

    fn is_derived(keys: &ControlKeys) -> bool {
        match keys {
            ControlKeys::Derived(_) => true,
            ControlKeys::Due(due) => due.pair.get().is_some(),
        }
    }

    /// Whoever began the handshake, both ends open streams
    #[test]
    fn the_first_stream_finds_out_what_the_others_derive_theirs_from() {
        let (client, server) = ends();
        for (opener, acceptor, peer) in [(&client, &server, ADDRS[1]), (&server, &client, ADDRS[0])]
        {
            for _ in 0..3 {
                let is_known = [opener, acceptor].map(|end| end.secret.0.get().is_some());
                let (credentials, here) = opener.open(peer);
                let there = acceptor.accept(&credentials);
                assert_eq!([&here, &there].map(|keys| !is_derived(keys)), is_known);
                assert_understood(&here, &there);
                assert_understood(&there, &here);
                assert!(is_derived(&here) && is_derived(&there));
            }
        }
        assert!(client.secret.0.get().unwrap().is_some());
        assert!(server.secret.0.get().unwrap().is_some());
    }

    #[test]
    fn what_outlives_the_stream_has_the_same_keys() {
        let (client, server) = ends();
        for _ in 0..2 {
            let (credentials, here) = client.open(ADDRS[1]);
            let there = server.accept(&credentials);
            assert_understood(&there, &here);
            let later = here.for_later();
            let is_first = matches!(here, ControlKeys::Derived(_));
            assert_eq!(is_derived(&later), is_first);
            assert_understood(&later, &there);
        }
    }
}
