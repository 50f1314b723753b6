// SPDX-License-Identifier: Apache-2.0

//! Two maps that share a secret, without a handshake over a network.
//!
//! The one rule: the secret is always the same, so that a simulation repeats byte for byte.

use crate::{
    event::disabled::Subscriber,
    path::secret::{stateless_reset::Signer, Map},
};
use s2n_quic_core::{
    connection::Limits,
    crypto::tls::{ChainError, CipherSuite, TlsExportError, TlsSession},
    dc::{self, ApplicationParams, ConnectionInfo, Endpoint as _, Path as _},
    endpoint,
    event::IntoEvent as _,
    time::StdClock,
    transport::parameters::InitialFlowControlLimits,
    varint::VarInt,
};
use std::net::SocketAddr;

/// What the two ends of a path agree on
#[derive(Clone, Copy, Debug)]
pub struct Agreement {
    /// The longest datagram, in bytes of UDP payload
    pub datagram_len: u16,
    /// Bytes that a writer may send before it is told more
    pub initial_window: u32,
    /// Bytes that a reader wants to be ahead
    pub recv_window: u32,
    /// Bytes that a writer keeps unacknowledged
    pub send_window: u32,
    /// After this many milliseconds of silence, a stream ends
    pub idle_timeout_ms: u32,
}

impl Default for Agreement {
    /// Datagrams for Ethernet, the windows and timeout that the handshake agrees on by default
    fn default() -> Self {
        Self {
            datagram_len: 1450,
            initial_window: 89_400,
            recv_window: 1 << 20,
            send_window: 1 << 25,
            idle_timeout_ms: 30_000,
        }
    }
}

impl Agreement {
    fn params(&self) -> ApplicationParams {
        let limits = InitialFlowControlLimits::default();
        let mut params = ApplicationParams::new(self.datagram_len, &limits, &Limits::default());
        params.remote_max_data = VarInt::from_u32(self.initial_window);
        params.local_recv_max_data = VarInt::from_u32(self.recv_window);
        params.local_send_max_data = VarInt::from_u32(self.send_window);
        params.max_idle_timeout = self.idle_timeout_ms.try_into().ok();
        params
    }
}

/// A map without secrets, whose answers to unknown ones are signed with a key that everybody knows
pub fn map() -> Map {
    let signer = Signer::new(b"a simulation has no secrets");
    Map::new(
        signer,
        64,
        false,
        StdClock::default(),
        Subscriber::default(),
    )
}

/// Puts one secret into both maps, each under the address of the other end
///
/// Addresses are those that the ends would have made the handshake with. `secret` tells the secrets of a simulation apart.
///
/// # Panics
///
/// If the published crate supports another version of the protocol.
pub fn share(
    secret: u8,
    client: (&Map, SocketAddr),
    server: (&Map, SocketAddr),
    agreed: &Agreement,
) {
    let open = |map: &Map, peer: SocketAddr, role: endpoint::Type| {
        let peer = peer.into();
        let version = dc::SUPPORTED_VERSIONS[0];
        let info = ConnectionInfo::new(&peer, version, agreed.params(), role.into_event());
        let mut path = map.clone().new_path(&info).expect("version 0 is supported");
        let tokens = path
            .on_path_secrets_ready(&Session { secret })
            .expect("a session");
        (path, tokens)
    };
    let (mut at_client, client_tokens) = open(client.0, server.1, endpoint::Type::Client);
    let (mut at_server, server_tokens) = open(server.0, client.1, endpoint::Type::Server);
    at_client.on_peer_stateless_reset_tokens(server_tokens.iter());
    at_server.on_peer_stateless_reset_tokens(client_tokens.iter());
    at_client.on_dc_handshake_complete();
    at_server.on_dc_handshake_complete();
}

/// A TLS session that exports the same bytes at both ends
struct Session {
    secret: u8,
}

impl TlsSession for Session {
    fn tls_exporter(
        &self,
        _label: &[u8],
        _context: &[u8],
        output: &mut [u8],
    ) -> Result<(), TlsExportError> {
        output.fill(self.secret);
        Ok(())
    }

    fn cipher_suite(&self) -> CipherSuite {
        CipherSuite::TLS_AES_128_GCM_SHA256
    }

    fn peer_cert_chain_der(&self) -> Result<Vec<Vec<u8>>, ChainError> {
        Err(ChainError::failure())
    }

    fn client_cert_chain_der(&self) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(None)
    }

    fn selected_cert_der(&self) -> Result<Option<Vec<Vec<u8>>>, ChainError> {
        Ok(None)
    }
}
