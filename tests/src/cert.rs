// SPDX-License-Identifier: Apache-2.0

//! The certificate of this process, and TLS that trusts it.
//!
//! The rule: made anew in each process and never written to disk, so that there is no key to leak and no date to expire.

use s2n_quic::provider::tls::{default, Provider};
use std::sync::OnceLock;

/// The name that the certificate is for.
pub const NAME: &str = "localhost";

/// TLS for both ends of the handshake: the server shows the certificate of this process and the client trusts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tls;

impl Provider for Tls {
    type Server = default::Server;
    type Client = default::Client;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn start_server(self) -> Result<Self::Server, Self::Error> {
        let pem = pem();
        Ok(default::Server::builder()
            .with_application_protocols([PROTOCOL])?
            .with_certificate(pem.certificate.as_str(), pem.key.as_str())?
            .build()?)
    }

    fn start_client(self) -> Result<Self::Client, Self::Error> {
        Ok(default::Client::builder()
            .with_application_protocols([PROTOCOL])?
            .with_certificate(pem().certificate.as_str())?
            .build()?)
    }
}

struct Pem {
    certificate: String,
    key: String,
}

fn pem() -> &'static Pem {
    static PEM: OnceLock<Pem> = OnceLock::new();
    PEM.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])
            .expect("a self-signed certificate needs nothing but entropy");
        Pem {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    })
}

/// Any protocol name does, as long as both ends say the same.
const PROTOCOL: &str = "dc-test";
