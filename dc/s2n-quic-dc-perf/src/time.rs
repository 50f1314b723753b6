// SPDX-License-Identifier: Apache-2.0

//! Times as people write them: `5s`, `250ms`, `1h 30m`.
//!
//! The one rule: a number always has a unit, so that nobody has to know whether `30` is seconds or milliseconds.

use std::{fmt, ops::RangeInclusive, time::Duration};

/// Why a text is not a time, or not one that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It is not a list of numbers with units, or a unit is unknown.
    #[error("expected a number and a unit, such as 5s, 250ms, 100us, 2m or 1h")]
    Syntax,
    /// It is a time, but not one that can be asked for.
    #[error("a time must be within {} and {}", Human(*allowed.start()), Human(*allowed.end()))]
    OutOfRange {
        /// The times that can be asked for.
        allowed: RangeInclusive<Duration>,
    },
}

/// Reads a time that must be within `allowed`.
///
/// # Errors
///
/// [`TimeError::Syntax`] if `text` is not a time, [`TimeError::OutOfRange`] if it is one that is not within `allowed`.
pub fn parse(text: &str, allowed: &RangeInclusive<Duration>) -> Result<Duration, TimeError> {
    if text.len() > MAX_LEN {
        return Err(TimeError::Syntax);
    }
    let out_of_range = || TimeError::OutOfRange {
        allowed: allowed.clone(),
    };
    let time = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => out_of_range(),
        _ => TimeError::Syntax,
    })?;
    if allowed.contains(&time) {
        Ok(time)
    } else {
        Err(out_of_range())
    }
}

/// Prints a time as one whole number with the largest unit that needs no fraction, up to hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (factor, name) = PRINTED
            .into_iter()
            .find(|(factor, _)| nanos > 0 && nanos.is_multiple_of(*factor))
            .unwrap_or((1, "ns"));
        write!(f, "{} {name}", nanos / factor)
    }
}

/// Bytes of text that are looked at. `1h 59m 59s 999ms 999us` has 22; with 27 the sum of its parts can overflow in the parser, which
/// panics then.
const MAX_LEN: usize = 24;

const PRINTED: [(u128, &str); 5] = [
    (3_600_000_000_000, "h"),
    (60_000_000_000, "m"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: RangeInclusive<Duration> =
        Duration::from_micros(100)..=Duration::from_secs(86_400);

    fn within(text: &str) -> Result<Duration, TimeError> {
        parse(text, &ALLOWED)
    }

    fn out_of_range() -> TimeError {
        TimeError::OutOfRange { allowed: ALLOWED }
    }

    #[test]
    fn a_time_has_one_or_more_numbers_with_units() {
        for (text, micros) in [
            ("100us", 100),
            ("250ms", 250_000),
            ("5s", 5_000_000),
            ("1.5s", 1_500_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("1h 30m", 5_400_000_000),
            (" 3 s ", 3_000_000),
            ("1h 59m 59s 999ms 999us", 7_199_999_999),
        ] {
            assert_eq!(within(text), Ok(Duration::from_micros(micros)), "{text:?}");
        }
    }

    #[test]
    fn a_number_without_a_unit_and_other_nonsense_are_refused() {
        for text in [
            "", "5", "s", "-1s", "5 parsec", "0x10s", "1s2", "ms5", "1,5s", "µ",
        ] {
            assert_eq!(within(text), Err(TimeError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn both_ends_of_the_range_are_allowed_and_what_is_past_them_is_not() {
        assert_eq!(within("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(within("99us"), Err(out_of_range()));
        assert_eq!(within("0s"), Err(out_of_range()));
        assert_eq!(within("86401s"), Err(out_of_range()));
        assert_eq!(within("24h 1ns"), Err(out_of_range()));
        assert_eq!(
            out_of_range().to_string(),
            "a time must be within 100 us and 24 h"
        );
    }

    #[test]
    fn numbers_too_large_for_the_arithmetic_are_refused_without_a_panic() {
        assert_eq!(within("99999999999999999999s"), Err(out_of_range()));
        assert_eq!(within("18446744073709551615h"), Err(out_of_range()));
        // the sum is one second more than a duration holds
        assert_eq!(
            within("18446744073709551615s1000ms"),
            Err(TimeError::Syntax)
        );
    }

    #[test]
    fn a_time_is_printed_with_the_largest_unit_that_needs_no_fraction() {
        for (micros, printed) in [
            (0, "0 ns"),
            (100, "100 us"),
            (1_500_000, "1500 ms"),
            (5_000_000, "5 s"),
            (90_000_000, "90 s"),
            (120_000_000, "2 m"),
            (86_400_000_000, "24 h"),
        ] {
            assert_eq!(Human(Duration::from_micros(micros)).to_string(), printed);
        }
        assert_eq!(Human(Duration::from_nanos(1)).to_string(), "1 ns");
    }

    #[test]
    fn a_printed_time_reads_back_as_itself() {
        for micros in [100, 999, 1_500_000, 90_000_000, 7_200_000_000] {
            let time = Duration::from_micros(micros);
            assert_eq!(within(&Human(time).to_string()), Ok(time));
        }
    }
}
