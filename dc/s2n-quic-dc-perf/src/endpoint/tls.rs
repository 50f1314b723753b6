// SPDX-License-Identifier: Apache-2.0

//! TLS of the handshake: TLS 1.3 in which the client checks the server, and the server takes any client.
//!
//! The one rule: whoever a client talks to has proven to hold the key of a certificate that the client was told to trust. That a client
//! needs no certificate is meant: a server for measurements has nothing to hide from who can reach it.
//!
//! The server uses the library's own TLS (s2n-tls): it must answer the client's list of path secret versions while it shakes hands,
//! which the library does not do with rustls. The client uses rustls, which lets it check a certificate by its own rule. The crypto of
//! both is aws-lc; rustls is handed it explicitly, and the provider of the process is neither used nor set.

use super::fingerprint::Fingerprint;
use rustls::{
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        WebPkiServerVerifier,
    },
    crypto::{aws_lc_rs, verify_tls12_signature, verify_tls13_signature, CryptoProvider},
    pki_types::{
        pem::{self, PemObject as _},
        CertificateDer, ServerName, UnixTime,
    },
    version::TLS13,
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use s2n_quic::provider::tls::{default, rustls as quic, Provider};
use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

/// Which servers a client trusts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those with one of these certificates. Names and dates do not matter.
    Pinned(Vec<Fingerprint>),
    /// Those whose certificate is in this PEM file, where again names and dates do not matter, and those whose certificate one in the
    /// file vouches for. The latter must be valid now and for the address that the client connects to.
    Certificate(String),
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate where one was looked for.
    #[error("the file of trusted certificates is not a PEM file with a certificate: {0}")]
    Certificate(#[source] pem::Error),
    /// A certificate cannot be used.
    #[error("certificate {number} of those to be trusted cannot be used: {error}")]
    Unusable {
        /// Its place in the file, counted from 1.
        number: usize,
        /// Why.
        error: rustls::Error,
    },
    /// The library refused the configuration.
    #[error("TLS could not be set up: {0}")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// A server's configuration was asked to be a client, or a client's to be a server.
    #[error("TLS was set up for the other side")]
    OtherSide,
}

/// Why a client did not trust a server. The library passes on no more than "invalid certificate".
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Distrust {
    /// It is another server than the one that was named, or the server has got a new certificate.
    #[error(
        "the server's certificate has the fingerprint {found}, trusted is {}",
        listed(trusted)
    )]
    Fingerprint {
        /// That of the certificate that the server sent.
        found: Fingerprint,
        /// Those of the certificates that the client was told to trust.
        trusted: Vec<Fingerprint>,
    },
    /// Nothing that is trusted vouches for it.
    #[error("the server's certificate, with the fingerprint {found}, is not trusted: {error}")]
    Certificate {
        /// That of the certificate that the server sent.
        found: Fingerprint,
        /// What is wrong with it.
        error: rustls::Error,
    },
}

fn listed(fingerprints: &[Fingerprint]) -> String {
    let texts: Vec<String> = fingerprints.iter().map(Fingerprint::to_string).collect();
    texts.join(" or ")
}

/// TLS of a server: a certificate with its key, both PEM.
#[derive(Clone)]
pub(super) struct ServerTls {
    certificate: String,
    key: String,
}

impl ServerTls {
    pub(super) const fn new(certificate: String, key: String) -> Self {
        Self { certificate, key }
    }
}

impl Provider for ServerTls {
    type Server = default::Server;
    type Client = default::Client;
    type Error = TlsError;

    fn start_server(self) -> Result<Self::Server, TlsError> {
        let build = || {
            default::Server::builder()
                .with_application_protocols([PROTOCOL])?
                .with_certificate(self.certificate, self.key)?
                .build()
        };
        build().map_err(|error| TlsError::Setup(error.into()))
    }

    fn start_client(self) -> Result<Self::Client, TlsError> {
        Err(TlsError::OtherSide)
    }
}

/// TLS of a client. Clones tell the same reason for distrust.
#[derive(Clone)]
pub(super) struct ClientTls(Arc<Verifier>);

impl ClientTls {
    pub(super) fn new(trust: &Trust) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Verifier {
            check: Check::new(trust)?,
            crypto: crypto(),
            distrust: Mutex::new(None),
        })))
    }

    /// Why the last server was not trusted, if that was the reason that a handshake failed.
    pub(super) fn take_distrust(&self) -> Option<Distrust> {
        self.0.distrust().take()
    }
}

impl Provider for ClientTls {
    type Server = quic::Server;
    type Client = quic::Client;
    type Error = TlsError;

    fn start_server(self) -> Result<Self::Server, TlsError> {
        Err(TlsError::OtherSide)
    }

    fn start_client(self) -> Result<Self::Client, TlsError> {
        Ok(self.config()?.into())
    }
}

impl ClientTls {
    fn config(self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = ClientConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::Setup(error.into()))?
            .dangerous()
            .with_custom_certificate_verifier(self.0)
            .with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }
}

/// Compares certificates, and leaves signatures to the crypto provider.
#[derive(Debug)]
struct Verifier {
    check: Check,
    crypto: Arc<CryptoProvider>,
    distrust: Mutex<Option<Distrust>>,
}

#[derive(Debug)]
enum Check {
    Pinned(Vec<Fingerprint>),
    Listed {
        certificates: Vec<CertificateDer<'static>>,
        issuers: Arc<WebPkiServerVerifier>,
    },
}

impl Check {
    fn new(trust: &Trust) -> Result<Self, TlsError> {
        let pem = match trust {
            Trust::Pinned(fingerprints) => return Ok(Self::Pinned(fingerprints.clone())),
            Trust::Certificate(pem) => pem,
        };
        let certificates = certificates(pem.as_bytes()).map_err(TlsError::Certificate)?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let number = index + 1;
            roots
                .add(certificate.clone())
                .map_err(|error| TlsError::Unusable { number, error })?;
        }
        let issuers = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto())
            .build()
            .map_err(|error| TlsError::Setup(error.into()))?;
        Ok(Self::Listed {
            certificates,
            issuers,
        })
    }
}

impl Verifier {
    fn distrust(&self) -> std::sync::MutexGuard<'_, Option<Distrust>> {
        // nothing panics under the lock, and the value is whole at all times
        self.distrust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, distrust: Distrust, error: rustls::Error) -> rustls::Error {
        *self.distrust() = Some(distrust);
        error
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of(end_entity);
        match &self.check {
            Check::Pinned(trusted) if trusted.contains(&found) => {
                Ok(ServerCertVerified::assertion())
            }
            Check::Pinned(trusted) => {
                let trusted = trusted.clone();
                Err(self.refuse(
                    Distrust::Fingerprint { found, trusted },
                    CertificateError::ApplicationVerificationFailure.into(),
                ))
            }
            Check::Listed { certificates, .. } if certificates.contains(end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            Check::Listed { issuers, .. } => issuers
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| {
                    let distrust = Distrust::Certificate {
                        found,
                        error: error.clone(),
                    };
                    self.refuse(distrust, error)
                }),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // never called: no configuration here speaks TLS 1.2
        let algorithms = &self.crypto.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(found),
    }
}

/// The algorithms of the client.
///
/// Streams are encrypted with what the handshake agrees on: AES-128 first, as with the library's own TLS, so that figures compare. Path
/// secrets are not defined for ChaCha20.
fn crypto() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// The name of what is spoken after the handshake: two that do not both speak it fail while they shake hands.
const PROTOCOL: &[u8] = b"dc-perf/1";

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::CertifiedKey as Made;
    use rustls::{
        pki_types::PrivateKeyDer,
        sign::{CertifiedKey, SingleCertAndKey},
        ClientConnection, ServerConfig, ServerConnection,
    };

    fn made() -> Made<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    /// A handshake in memory with a server that shows the certificate of one and signs with the key of another; the client's verdict.
    fn handshake(
        shown: &Made<rcgen::KeyPair>,
        signing: &Made<rcgen::KeyPair>,
    ) -> Result<(), rustls::Error> {
        let trust = Trust::Pinned(vec![Fingerprint::of(shown.cert.der())]);
        let config = ClientTls::new(&trust).unwrap().config().unwrap();
        let mut client = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();

        let key = PrivateKeyDer::Pkcs8(signing.signing_key.serialize_der().into());
        let key = crypto().key_provider.load_private_key(key).unwrap();
        let key = CertifiedKey::new(vec![shown.cert.der().clone()], key);
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();

        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_pinned_certificate_is_worth_nothing_without_its_key() {
        let (server, impostor) = (made(), made());
        assert_eq!(handshake(&server, &server), Ok(()));
        assert_eq!(
            handshake(&server, &impostor),
            Err(CertificateError::BadSignature.into())
        );
    }

    #[test]
    fn the_crypto_provider_of_the_process_is_not_set() {
        handshake(&made(), &made()).unwrap_err();
        assert!(CryptoProvider::get_default().is_none());
    }

    #[test]
    fn each_side_is_only_that_side() {
        let made = made();
        let server = ServerTls::new(made.cert.pem(), made.signing_key.serialize_pem());
        assert!(matches!(server.start_client(), Err(TlsError::OtherSide)));
        let client = ClientTls::new(&Trust::Certificate(made.cert.pem())).unwrap();
        assert!(matches!(client.start_server(), Err(TlsError::OtherSide)));
    }
}
