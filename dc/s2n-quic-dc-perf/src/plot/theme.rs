// SPDX-License-Identifier: Apache-2.0

//! Colours and letters of the picture, on white paper and on a dark screen.
//!
//! The one rule: no shape has a colour that is not listed here, as the dark colours are found by the light ones.
//!
//! The colours of data are those of Okabe and Ito, which people with any of the common kinds of colour blindness can tell apart;
//! still no line is told from another by its colour alone.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// The background.
pub(super) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Text and marks.
pub(super) const INK: RGBColor = RGBColor(0x1A, 0x1A, 0x1A);
/// Text that matters less.
pub(super) const FAINT: RGBColor = RGBColor(0x55, 0x55, 0x55);
/// Axes.
pub(super) const AXIS: RGBColor = RGBColor(0x80, 0x80, 0x80);
/// Lines behind the data.
pub(super) const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
/// The first kind of data of a panel.
pub(super) const FIRST: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// The second one.
pub(super) const SECOND: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

/// What a panel says that has no data.
pub(super) const NOT_MEASURED: &str = "not measured by this system";

/// Each light colour with the one that takes its place on a dark screen.
const DARK: [(RGBColor, RGBColor); 7] = [
    (PAPER, RGBColor(0x15, 0x19, 0x1E)),
    (INK, RGBColor(0xF0, 0xF0, 0xF0)),
    (FAINT, RGBColor(0xB4, 0xB8, 0xBE)),
    (AXIS, RGBColor(0x8A, 0x8F, 0x96)),
    (GRID, RGBColor(0x33, 0x39, 0x41)),
    (FIRST, RGBColor(0x56, 0xB4, 0xE9)),
    (SECOND, RGBColor(0xE6, 0x9F, 0x00)),
];

/// Height of letters in pixels, and whether they are bold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letters(f64, bool);

/// The title of the page.
pub(super) const TITLE: Letters = Letters(21.0, true);
/// The line under it.
pub(super) const SUMMARY: Letters = Letters(14.0, false);
/// The title of a panel.
pub(super) const HEADING: Letters = Letters(15.0, true);
/// Notes, names of axes, and labels of data.
pub(super) const LABEL: Letters = Letters(13.0, false);
/// Figures on axes.
pub(super) const TICK: Letters = Letters(12.0, false);

/// The style of text that hangs from its top left.
pub(super) fn text(letters: Letters, color: RGBColor) -> TextStyle<'static> {
    anchored(letters, color, HPos::Left, VPos::Top)
}

/// The style of text that hangs from another point of its box.
pub(super) fn anchored(
    Letters(height, is_bold): Letters,
    color: RGBColor,
    horizontal: HPos,
    vertical: VPos,
) -> TextStyle<'static> {
    let style = if is_bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    // the library divides the height by this to have that of a letter
    FontDesc::new(FontFamily::SansSerif, height * 1.24, style)
        .color(&color)
        .pos(Pos::new(horizontal, vertical))
}

/// Puts the colours for a dark screen into `svg`, and `title` for those who cannot see it. On paper it stays white.
pub(super) fn with_style(svg: &str, title: &str) -> String {
    let Some(end) = svg.find('>') else {
        return svg.to_owned();
    };
    let (start, rest) = svg.split_at(end + 1);
    let rules: String = DARK
        .iter()
        .map(|(light, dark)| {
            let (light, dark) = (hex(*light), hex(*dark));
            format!(
                "    [fill=\"{light}\"] {{ fill: {dark}; }}\n\
                 \x20   [stroke=\"{light}\"] {{ stroke: {dark}; }}\n"
            )
        })
        .collect();
    let title = title
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let query = "@media screen and (prefers-color-scheme: dark)";
    let style = format!("<style>\n  {query} {{\n{rules}  }}\n</style>");
    format!("{start}\n<title>{title}</title>\n{style}{rest}")
}

/// A colour as the backend writes it, which selectors must match letter by letter.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// Whether a colour, as the backend writes it, has a dark one.
#[cfg(test)]
pub(super) fn is_listed(text: &str) -> bool {
    DARK.iter().any(|(light, _)| hex(*light) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast of two colours as WCAG defines it, 1 to 21.
    fn contrast(one: RGBColor, other: RGBColor) -> f64 {
        let light = |RGBColor(red, green, blue): RGBColor| {
            let [red, green, blue] = [red, green, blue].map(|part| {
                let part = f64::from(part) / 255.0;
                if part <= 0.04045 {
                    part / 12.92
                } else {
                    ((part + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
        };
        let (one, other) = (light(one), light(other));
        one.max(other) / one.min(other)
    }

    #[test]
    fn text_and_data_are_legible_on_both_papers() {
        let [(_, dark_paper), inks @ ..] = DARK;
        for (light, dark) in inks {
            let least = match light {
                GRID => 1.2,
                AXIS | FIRST | SECOND => 3.0,
                _ => 7.0,
            };
            assert!(contrast(light, PAPER) >= least, "{light:?}");
            assert!(contrast(dark, dark_paper) >= least, "{dark:?}");
        }
    }

    #[test]
    fn the_style_comes_first_and_the_title_is_escaped() {
        let svg = with_style("<svg width=\"1\">\n<rect/>\n</svg>", "a < b & c");
        assert!(svg.starts_with("<svg width=\"1\">\n<title>a &lt; b &amp; c</title>\n<style>\n"));
        assert!(svg.ends_with("</style>\n<rect/>\n</svg>"), "{svg}");
        assert!(svg.contains("[fill=\"#FFFFFF\"] { fill: #15191E; }"));
        assert!(svg.contains("[stroke=\"#0072B2\"] { stroke: #56B4E9; }"));
    }
}
