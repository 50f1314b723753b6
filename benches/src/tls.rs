// SPDX-License-Identifier: Apache-2.0

//! The certificate of this process, and TLS of every kind that trusts it.
//!
//! The one rule: TLS 1.3 and AES-128-GCM wherever a library lets one choose, so that no system gains by its cipher.

use rcgen::{generate_simple_self_signed, CertifiedKey};
use s2n_quic::provider::tls::{default as s2n, Provider};
use std::sync::{Arc, OnceLock};
use tokio_rustls::rustls::{
    self,
    crypto::{aws_lc_rs, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    ClientConfig, RootCertStore, ServerConfig,
};

/// The name that the certificate is for.
pub const NAME: &str = "localhost";

/// The protocol that both ends of the QUIC systems speak. Any name does.
pub const PROTOCOL: &str = "compare";

/// TLS for the ends that s2n-quic makes: the server shows the certificate of this process and the client trusts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tls;

impl Provider for Tls {
    type Server = s2n::Server;
    type Client = s2n::Client;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn start_server(self) -> Result<Self::Server, Self::Error> {
        let made = identity()?;
        Ok(s2n::Server::builder()
            .with_application_protocols([PROTOCOL])?
            .with_certificate(made.cert.pem(), made.signing_key.serialize_pem())?
            .build()?)
    }

    fn start_client(self) -> Result<Self::Client, Self::Error> {
        Ok(s2n::Client::builder()
            .with_application_protocols([PROTOCOL])?
            .with_certificate(identity()?.cert.pem())?
            .build()?)
    }
}

/// A rustls server that shows the certificate of this process; `protocols` are offered by ALPN.
///
/// # Errors
///
/// What rustls or the making of the certificate says.
pub fn server(protocols: &[&str]) -> Result<ServerConfig, Error> {
    let made = identity()?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate(made)], key)?;
    config.alpn_protocols = alpn(protocols);
    Ok(config)
}

/// A rustls client that trusts the certificate of this process.
///
/// # Errors
///
/// As [`server`].
pub fn client(protocols: &[&str]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(identity()?))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn(protocols);
    Ok(config)
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate could be made.
    #[error("certificate: {0}")]
    Certificate(&'static rcgen::Error),
    /// rustls refuses the configuration.
    #[error("rustls: {0}")]
    Rustls(#[from] rustls::Error),
}

/// aws-lc-rs with one cipher suite.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..aws_lc_rs::default_provider()
    })
}

fn alpn(protocols: &[&str]) -> Vec<Vec<u8>> {
    let bytes = |protocol: &&str| protocol.as_bytes().to_vec();
    protocols.iter().map(bytes).collect()
}

fn certificate(made: &Identity) -> CertificateDer<'static> {
    made.cert.der().clone()
}

type Identity = CertifiedKey<rcgen::KeyPair>;

/// Made once in each process and never written to disk, so that there is no key to leak and no date to expire.
fn identity() -> Result<&'static Identity, Error> {
    static IDENTITY: OnceLock<Result<Identity, rcgen::Error>> = OnceLock::new();
    IDENTITY
        .get_or_init(|| generate_simple_self_signed([NAME.to_owned()]))
        .as_ref()
        .map_err(Error::Certificate)
}
