// SPDX-License-Identifier: Apache-2.0

//! A sweep as a picture: medians over limits, a line for each delay and number of streams, written as SVG.
//!
//! The one rule: no line is told from another by its colour alone: the number of streams has a mark too, and a delay makes dashes.

use super::table::{Row, Table, STREAMS};
use plotters::{coord::types::RangedCoordf64, element::DashedPathElement, prelude::*};
use std::{io, time::Duration};

/// The text of the picture of `table`.
///
/// # Errors
///
/// What cannot be drawn.
pub fn svg(table: &Table) -> io::Result<String> {
    let mut svg = String::new();
    draw(&mut svg, table).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(svg)
}

type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;
type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw(svg: &mut String, table: &Table) -> Drawn {
    let page = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    page.fill(&WHITE)?;
    let medians = table.rows().iter().filter_map(Row::median);
    let most = medians.fold(0.1, f64::max) * HEADROOM;
    let limits = table.rows().iter().map(|row| row.setup.limit);
    let last = place(limits.max().unwrap_or(1));
    // powers of two at the same distance; a little room for the marks at both ends
    let mut chart = ChartBuilder::on(&page)
        .caption(TITLE, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(-0.2..last + 0.2, 0.0..most)?;
    chart
        .configure_mesh()
        .x_desc("transmissions that a stream may have in flight (max_in_flight_transmissions)")
        .y_desc("Gbit/s, median")
        .x_labels(table.series().next().map_or(0, <[Row]>::len) + 1)
        .x_label_formatter(&|place| format!("{}", place.exp2().round()))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (number, series) in table.series().enumerate() {
        draw_series(&mut chart, number, series)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    page.present()
}

fn draw_series<'a: 'b, 'b>(chart: &mut Chart<'a, 'b>, number: usize, series: &[Row]) -> Drawn {
    let Some(first) = series.first().map(|row| row.setup) else {
        return Ok(());
    };
    let points = series
        .iter()
        .filter_map(|row| Some((place(row.setup.limit), row.median()?)));
    let points: Vec<(f64, f64)> = points.collect();
    let look = Look {
        // the numbers of streams are the same for each delay
        kind: number % STREAMS.len(),
        is_dashed: !first.delay.is_zero(),
    };
    let marks = points.iter().map(|&point| look.mark(point));
    chart.draw_series(marks)?;
    let drawn = if look.is_dashed {
        chart.draw_series([DashedPathElement::new(points, DASH, GAP, look.line())])?
    } else {
        chart.draw_series([PathElement::new(points, look.line())])?
    };
    let label = label(first.delay, first.streams);
    drawn.label(label).legend(move |(x, y)| {
        let middle = EmptyElement::at((x + KEY / 2, y)) + look.mark((0, 0));
        let line = [(-KEY / 2, 0), (KEY / 2, 0)];
        // a dash of the whole length is a line
        let dash = if look.is_dashed { DASH } else { KEY };
        middle + DashedPathElement::new(line, dash, GAP, look.line())
    });
    Ok(())
}

/// How a line looks.
#[derive(Clone, Copy)]
struct Look {
    kind: usize,
    is_dashed: bool,
}

impl Look {
    fn line(self) -> ShapeStyle {
        let (color, ..) = LOOKS[self.kind % LOOKS.len()];
        color.stroke_width(2)
    }

    fn mark<P>(self, at: P) -> Circle<P, i32> {
        let (_, radius, is_filled) = LOOKS[self.kind % LOOKS.len()];
        let style = self.line();
        Circle::new(at, radius, if is_filled { style.filled() } else { style })
    }
}

/// A limit's place on the axis.
fn place(limit: usize) -> f64 {
    (limit as f64).log2()
}

fn label(delay: Duration, streams: u32) -> String {
    let plural = if streams == 1 { "" } else { "s" };
    if delay.is_zero() {
        return format!("{streams} stream{plural}, loopback");
    }
    let millis = delay.as_secs_f64() * 1e3;
    format!("{streams} stream{plural}, {millis} ms added each way")
}

const TITLE: &str = "Upload over loopback by transmissions in flight per stream";
/// Pixels.
const SIZE: (u32, u32) = (960, 600);
/// Between the highest line and the frame.
const HEADROOM: f64 = 1.1;
/// Pixels of a line in front of its name, of its dashes, and between them.
const KEY: i32 = 40;
const DASH: i32 = 7;
const GAP: i32 = 5;
/// By number of streams: the colour, one of those of Okabe and Ito, which people with any of the common kinds of colour blindness can
/// tell apart; the radius of marks in pixels, and whether they are filled.
const LOOKS: [(RGBColor, i32, bool); 3] = [
    (RGBColor(0x00, 0x72, 0xB2), 4, true),
    (RGBColor(0xD5, 0x5E, 0x00), 6, false),
    (RGBColor(0x00, 0x9E, 0x73), 7, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        for row in table.rows_mut() {
            row.gbps = vec![Some(row.setup.limit as f64)];
        }
        table
    }

    #[test]
    fn limits_are_at_the_same_distance() {
        assert_eq!([1, 2, 4, 64].map(place), [0.0, 1.0, 2.0, 6.0]);
    }

    #[test]
    fn the_picture_has_six_lines_with_names_and_a_mark_for_each_median() {
        let svg = svg(&table()).unwrap();
        for name in [
            "1 stream, loopback",
            "10 streams, loopback",
            "1000 streams, loopback",
            "1 stream, 1 ms added each way",
            "10 streams, 1 ms added each way",
            "1000 streams, 1 ms added each way",
        ] {
            assert_eq!(
                svg.lines().filter(|line| *line == name).count(),
                1,
                "{name}"
            );
        }
        // those of 42 medians, and of 6 names
        assert_eq!(svg.matches("<circle").count(), 48);
        for limit in ["1", "2", "4", "8", "16", "32", "64"] {
            assert!(svg.lines().any(|line| line == limit), "{limit}");
        }
    }

    #[test]
    fn what_failed_leaves_a_gap_and_nothing_at_all_can_be_drawn() {
        let mut table = table();
        table.rows_mut()[3].gbps = vec![None];
        assert_eq!(svg(&table).unwrap().matches("<circle").count(), 47);
        assert!(svg(&Table::default()).is_ok());
    }
}
