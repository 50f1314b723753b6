// SPDX-License-Identifier: Apache-2.0

//! Sizes as people write them: `100MB`, `64KiB`, `1M`.
//!
//! The one rule: a letter alone is decimal (`1M` is `1MB`, 1 000 000 bytes); only `i` makes it binary.

use std::{fmt, str::FromStr};

/// A number of bytes between 1 and 1 TB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

impl Size {
    /// The largest size, in bytes: 1 TB, past which one stream would run for hours.
    pub const MAX: u64 = 1_000_000_000_000;

    /// Checks that `bytes` is within `1..=`[`Size::MAX`].
    ///
    /// # Errors
    ///
    /// [`SizeError::OutOfRange`] if it is not.
    pub const fn new(bytes: u64) -> Result<Self, SizeError> {
        if bytes == 0 || bytes > Self::MAX {
            return Err(SizeError::OutOfRange);
        }
        Ok(Self(bytes))
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// Why a text is not a [`Size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It does not start with a whole number, or its unit is unknown.
    #[error("expected a whole number and a unit, such as 64KiB, 100MB or 1M")]
    Syntax,
    /// It is a size, but not one that can be asked for.
    #[error("a size must be within 1 byte and 1TB")]
    OutOfRange,
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(SizeError::Syntax);
        }
        let unit = unit.trim_start().to_ascii_lowercase();
        let factor = UNITS
            .iter()
            .find(|(names, _)| names.contains(&unit.as_str()))
            .map(|(_, factor)| *factor)
            .ok_or(SizeError::Syntax)?;
        // the text is all digits, so what does not parse is too large
        let number: u64 = number.parse().map_err(|_| SizeError::OutOfRange)?;
        Self::new(number.checked_mul(factor).ok_or(SizeError::OutOfRange)?)
    }
}

impl fmt::Display for Size {
    /// Writes the largest unit that needs no fraction, decimal before binary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (factor, name) = PRINTED
            .into_iter()
            .find(|(factor, _)| self.0.is_multiple_of(*factor))
            .unwrap_or((1, "B"));
        write!(f, "{} {name}", self.0 / factor)
    }
}

const UNITS: [(&[&str], u64); 9] = [
    (&["", "b"], 1),
    (&["k", "kb"], 1_000),
    (&["m", "mb"], 1_000_000),
    (&["g", "gb"], 1_000_000_000),
    (&["t", "tb"], 1_000_000_000_000),
    (&["ki", "kib"], 1 << 10),
    (&["mi", "mib"], 1 << 20),
    (&["gi", "gib"], 1 << 30),
    (&["ti", "tib"], 1 << 40),
];

const PRINTED: [(u64, &str); 7] = [
    (1_000_000_000_000, "TB"),
    (1_000_000_000, "GB"),
    (1 << 30, "GiB"),
    (1_000_000, "MB"),
    (1 << 20, "MiB"),
    (1_000, "kB"),
    (1 << 10, "KiB"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u64, SizeError> {
        text.parse().map(Size::bytes)
    }

    #[test]
    fn units_are_decimal_unless_they_have_an_i() {
        assert_eq!(parse("100MB"), Ok(100_000_000));
        assert_eq!(parse("1M"), Ok(1_000_000));
        assert_eq!(parse("64KiB"), Ok(65_536));
        assert_eq!(parse("2 gib"), Ok(2 << 30));
        assert_eq!(parse("7"), Ok(7));
        assert_eq!(parse("7B"), Ok(7));
    }

    #[test]
    fn both_ends_of_the_range_are_allowed_and_what_is_past_them_is_not() {
        assert_eq!(parse("1"), Ok(1));
        assert_eq!(parse("1TB"), Ok(Size::MAX));
        assert_eq!(parse("1000000000001"), Err(SizeError::OutOfRange));
        assert_eq!(parse("1TiB"), Err(SizeError::OutOfRange));
        assert_eq!(parse("0"), Err(SizeError::OutOfRange));
        assert_eq!(parse("0MB"), Err(SizeError::OutOfRange));
    }

    #[test]
    fn numbers_too_large_for_the_arithmetic_are_out_of_range() {
        assert_eq!(parse("99999999999999999999999"), Err(SizeError::OutOfRange));
        assert_eq!(parse("18446744073709551615TB"), Err(SizeError::OutOfRange));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "MB", "-1", "1.5MB", "1 parsec", "1MB2", "0x10"] {
            assert_eq!(parse(text), Err(SizeError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn a_printed_size_reads_back_as_itself() {
        for bytes in [
            1,
            999,
            1_000,
            1_024,
            65_536,
            1_000_000,
            1 << 20,
            1 << 30,
            Size::MAX,
        ] {
            let printed = Size::new(bytes).unwrap().to_string();
            assert_eq!(parse(&printed), Ok(bytes), "{printed}");
        }
        assert_eq!(Size::new(100_000_000).unwrap().to_string(), "100 MB");
    }
}
