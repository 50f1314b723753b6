// SPDX-License-Identifier: Apache-2.0

//! The fingerprint of a certificate: how a client names the one server that it trusts.
//!
//! The one rule: a fingerprint is of the certificate as it is sent (DER), so what `openssl x509 -fingerprint -sha256` shows is the same.

use aws_lc_rs::digest::{digest, SHA256};
use std::{fmt, str::FromStr};

/// SHA-256 of a certificate's DER.
///
/// Shown as 64 hex digits; parsed from upper or lower case, with or without colons between the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    /// Bytes of a fingerprint.
    pub const LEN: usize = 32;

    /// The fingerprint of the certificate whose DER is `der`.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(digest(&SHA256, der).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::LEN];
        let mut digits = 0;
        let mut after_colon = false;
        for (at, found) in text.chars().enumerate() {
            if found == ':' && digits % 2 == 0 && digits > 0 && !after_colon {
                after_colon = true;
                continue;
            }
            let digit = found
                .to_digit(16)
                .ok_or(FingerprintError::Digit { at, found })?;
            // past the end only the number of digits matters
            if let Some(byte) = bytes.get_mut(digits / 2) {
                *byte = *byte << 4 | digit as u8;
            }
            digits += 1;
            after_colon = false;
        }
        if digits != 2 * Self::LEN || after_colon {
            return Err(FingerprintError::Length { digits });
        }
        Ok(Self(bytes))
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// A character is neither a hex digit nor a colon between two bytes.
    #[error("character {at} of the fingerprint is {found:?}; hex digits are allowed, and colons between bytes")]
    Digit {
        /// Its place, counted from 0.
        at: usize,
        /// The character.
        found: char,
    },
    /// There are too few digits, or too many, or the end is missing.
    #[error("the fingerprint has {digits} hex digits; the SHA-256 of a certificate has 64")]
    Length {
        /// How many there are.
        digits: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc", from FIPS 180-2, B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn with_colons(text: &str) -> String {
        let pairs: Vec<&str> = (0..text.len())
            .step_by(2)
            .map(|i| &text[i..i + 2])
            .collect();
        pairs.join(":")
    }

    #[test]
    fn is_the_sha_256_of_the_certificate_in_hex() {
        assert_eq!(Fingerprint::of(b"abc").to_string(), ABC);
    }

    #[test]
    fn is_parsed_in_every_spelling() {
        let expected = Fingerprint::of(b"abc");
        for text in [
            ABC.to_owned(),
            ABC.to_uppercase(),
            with_colons(ABC),
            with_colons(&ABC.to_uppercase()),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let length = |digits| FingerprintError::Length { digits };
        let digit = |at, found| FingerprintError::Digit { at, found };
        let colons = with_colons(ABC);
        for (text, error) in [
            (String::new(), length(0)),
            (ABC[..63].to_owned(), length(63)),
            (format!("{ABC}00"), length(66)),
            (format!("{colons}:"), length(64)),
            (format!(":{ABC}"), digit(0, ':')),
            (colons.replacen(':', "::", 1), digit(3, ':')),
            (ABC.replacen("78", "7:8", 1), digit(3, ':')),
            (ABC.replacen('8', "g", 1), digit(3, 'g')),
            (ABC.replacen('8', "é", 1), digit(3, 'é')),
            (format!(" {ABC}"), digit(0, ' ')),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(error), "{text}");
        }
    }
}
