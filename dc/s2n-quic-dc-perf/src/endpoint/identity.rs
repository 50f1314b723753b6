// SPDX-License-Identifier: Apache-2.0

//! Who a server is: its certificate and the key that goes with it.
//!
//! The one rule: an identity that was built can be served; certificate and key were parsed and belong together.

use super::{
    fingerprint::Fingerprint,
    tls::{self, ServerTls},
};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem;
use s2n_quic::provider::tls::Provider as _;
use std::{fmt, fs, io, net::IpAddr, path::Path};

/// A server's certificate, with those that vouch for it, and its key.
#[derive(Clone)]
pub struct Identity {
    tls: ServerTls,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a key and a certificate that nobody else vouches for, for `localhost` and `addresses`.
    ///
    /// It is never written anywhere: with the process it is gone.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Generate`].
    pub fn self_signed(addresses: &[IpAddr]) -> Result<Self, IdentityError> {
        let names = addresses.iter().map(IpAddr::to_string);
        let names: Vec<String> = names.chain(["localhost".to_owned()]).collect();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "dc-perf");
        let certificate = params.self_signed(&key)?;
        Self::from_pem(certificate.pem(), key.serialize_pem())
    }

    /// Reads a certificate, followed by those that vouch for it, and its key (RSA or ECDSA) from PEM files.
    ///
    /// # Errors
    ///
    /// Each variant of [`IdentityError`] but the one of [`self_signed`](Self::self_signed).
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        Self::from_pem(read(certificate)?, read(key)?)
    }

    /// As [`from_files`](Self::from_files), with what is in them.
    ///
    /// # Errors
    ///
    /// As `from_files`, but for [`IdentityError::Read`].
    pub fn from_pem(certificate: String, key: String) -> Result<Self, IdentityError> {
        let certificates =
            tls::certificates(certificate.as_bytes()).map_err(IdentityError::Certificate)?;
        // never empty
        let Some(first) = certificates.first() else {
            return Err(IdentityError::Certificate(pem::Error::NoItemsFound));
        };
        let fingerprint = Fingerprint::of(first);
        let tls = ServerTls::new(certificate, key);
        // checks the key, and that they belong together
        let served = tls.clone().start_server();
        served.map_err(|error| IdentityError::Pair(error.to_string()))?;
        Ok(Self { tls, fingerprint })
    }

    /// What a client needs to know to trust this server and no other.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn tls(&self) -> ServerTls {
        self.tls.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // never the key
        f.debug_tuple("Identity").field(&self.fingerprint).finish()
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No key or certificate could be made.
    #[error("a certificate could not be made: {0}")]
    Generate(#[from] rcgen::Error),
    /// A file could not be read.
    #[error("{file} could not be read: {error}")]
    Read {
        /// The file's name.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// There is no certificate where one was looked for.
    #[error("the certificate is not a PEM file with a certificate: {0}")]
    Certificate(#[source] pem::Error),
    /// The key is none, or one of a kind that is not supported, or the two do not belong together.
    #[error("certificate and key cannot be used: {0}")]
    Pair(String),
}

/// A file, with its name in the error.
fn read(file: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(file).map_err(|error| IdentityError::Read {
        file: file.display().to_string(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{pem::PemObject as _, CertificateDer};

    struct Pem {
        certificate: String,
        key: String,
    }

    fn pem() -> Pem {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Pem {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn error(certificate: &str, key: &str) -> IdentityError {
        Identity::from_pem(certificate.to_owned(), key.to_owned()).unwrap_err()
    }

    #[test]
    fn two_that_are_made_differ_and_neither_shows_its_key() {
        let (a, b) = (
            Identity::self_signed(&[]).unwrap(),
            Identity::self_signed(&["::1".parse().unwrap()]).unwrap(),
        );
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(format!("{a:?}"), format!("Identity({})", a.fingerprint()));
    }

    #[test]
    fn the_fingerprint_is_that_of_the_first_certificate_of_the_file() {
        let (server, issuer) = (pem(), pem());
        let chain = format!("{}{}", server.certificate, issuer.certificate);
        let identity = Identity::from_pem(chain, server.key).unwrap();
        let der = CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap();
        assert_eq!(identity.fingerprint(), Fingerprint::of(&der));
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_the_reason() {
        let (a, b) = (pem(), pem());
        assert!(matches!(
            error(&a.certificate, &b.key),
            IdentityError::Pair(_)
        ));
        assert!(matches!(
            error(&a.key, &a.key),
            IdentityError::Certificate(_)
        ));
        assert!(matches!(error("", &a.key), IdentityError::Certificate(_)));
        assert!(matches!(
            error(&a.certificate, &a.certificate),
            IdentityError::Pair(_)
        ));
        assert!(matches!(error(&a.certificate, "?"), IdentityError::Pair(_)));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(error(garbage, &a.key), IdentityError::Pair(_)));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let missing = Path::new("/nonexistent/server.pem");
        let error = Identity::from_files(missing, missing).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("/nonexistent/server.pem could not be read: "),
            "{text}"
        );
    }
}
