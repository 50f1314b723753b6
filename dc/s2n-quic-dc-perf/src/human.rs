// SPDX-License-Identifier: Apache-2.0

//! Figures as people read them: three digits and a unit.
//!
//! The one rule: a figure that is not zero never reads as zero.

use std::time::Duration;

/// A time: `12.3 µs`, `4.00 s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    micros(time.as_nanos() as f64 / 1e3)
}

/// A time that is given in microseconds.
#[must_use]
pub fn micros(micros: f64) -> String {
    if micros == 0.0 {
        return "0 s".to_owned();
    }
    scaled(micros * 1e3, &["ns", "µs", "ms", "s"])
}

/// Bytes, decimal: `12.3 MB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Calls per second and the like: `12.3`, `12345`, and from ten million on `12.3 M`.
#[must_use]
pub fn rate(rate: f64) -> String {
    if rate < 1e7 {
        digits(rate)
    } else {
        scaled(rate / 1e6, &["M", "G", "T"])
    }
}

/// A share as a percentage, without the sign: `0.25` is `25.0`.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0".to_owned()
    } else {
        digits(percent)
    }
}

/// Three digits at least, none of them after the third: `1.23`, `12.3`, `123`, `1234`. Below 0.005 it is `<0.01`.
#[must_use]
pub fn digits(value: f64) -> String {
    // the limits are where rounding would give one more digit
    if value > 0.0 && value < 0.005 {
        "<0.01".to_owned()
    } else if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A figure with a unit, without zeros behind its point: `20.0 ms` is `20 ms`. For round figures, such as those on an axis.
#[must_use]
pub fn round(text: &str) -> String {
    let (figure, unit) = text.split_once(' ').unwrap_or((text, ""));
    let figure = if figure.contains('.') {
        figure.trim_end_matches('0').trim_end_matches('.')
    } else {
        figure
    };
    format!("{figure} {unit}")
}

/// A number of things: `1 stream`, `10 streams`.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// `text` on one line, without what a terminal or a file would take for a command, and with at most `width` characters.
#[must_use]
pub fn line(text: &str, width: usize) -> String {
    let is_cut = text.chars().count() > width;
    let kept = if is_cut {
        width.saturating_sub(1)
    } else {
        width
    };
    let mut line: String = text.chars().take(kept).map(plain).collect();
    if is_cut && width > 0 {
        line.push('…');
    }
    line
}

fn plain(character: char) -> char {
    if character.is_control() {
        ' '
    } else {
        character
    }
}

/// `value` in the largest of `units`, each a thousand of the one before it, that leaves a whole digit.
fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut place = 0;
    // what would be rounded up to 1000
    while value >= 999.5 && place + 1 < units.len() {
        value /= 1e3;
        place += 1;
    }
    format!("{} {}", digits(value), units.get(place).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_no_fourth_by_rounding() {
        for (value, expected) in [
            (0.0, "0.00"),
            (0.004, "<0.01"),
            (0.006, "0.01"),
            (1.234, "1.23"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (99.94, "99.9"),
            (99.96, "100"),
            (12_345.6, "12346"),
        ] {
            assert_eq!(digits(value), expected, "{value}");
        }
    }

    #[test]
    fn units_follow_the_size() {
        for (nanos, expected) in [
            (0, "0 s"),
            (999, "999 ns"),
            (1_500, "1.50 µs"),
            (999_400, "999 µs"),
            (999_600, "1.00 ms"),
            (1_000_000_000, "1.00 s"),
            (7_200_000_000_000, "7200 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), expected, "{nanos}");
        }
        for (size, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(size), expected, "{size}");
        }
        assert_eq!(rate(25.0), "25.0");
        assert_eq!(rate(123_456.0), "123456");
        assert_eq!(rate(12_345_678.0), "12.3 M");
    }

    #[test]
    fn round_figures_have_no_digits_that_say_nothing() {
        for (text, expected) in [
            ("500 ns", "500 ns"),
            ("1.00 µs", "1 µs"),
            ("20.0 µs", "20 µs"),
            ("1.50 ms", "1.5 ms"),
            ("0 B", "0 B"),
        ] {
            assert_eq!(round(text), expected);
        }
        assert_eq!(count(1, "call"), "1 call");
        assert_eq!(count(0, "call"), "0 calls");
    }

    #[test]
    fn a_share_that_is_not_zero_does_not_read_as_zero() {
        for (share, expected) in [
            (0.0, "0"),
            (0.000_001, "<0.01"),
            (0.25, "25.0"),
            (1.0, "100"),
        ] {
            assert_eq!(percent(share), expected, "{share}");
        }
    }

    #[test]
    fn a_line_is_cut_by_characters_and_holds_no_commands() {
        assert_eq!(line("µµµ", 3), "µµµ");
        assert_eq!(line("µµµµ", 3), "µµ…");
        assert_eq!(line("a\n\u{1b}[31mb", 20), "a  [31mb");
        assert_eq!(line("abc", 0), "");
    }
}
