// SPDX-License-Identifier: Apache-2.0

//! A panel: a heading, axes, and shapes between them.
//!
//! The one rule: shapes are given by places between 0 and 1 on both axes; what they mean is known by the axes alone.

use super::{
    axis::Axis,
    theme::{self, FAINT, INK},
};
use plotters::{
    coord::{
        ranged1d::{DefaultFormatting, KeyPointHint},
        Shift,
    },
    element::DashedPathElement,
    prelude::*,
    style::text_anchor::{HPos, VPos},
};
use std::io;

/// A part of the page.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing returns.
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// What a panel shows.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// What it is about.
    pub(super) heading: &'static str,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Why there is nothing to see.
    Empty(&'static str),
    Plot(Box<Plot>),
}

#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// A second vertical axis.
    pub(super) right: Option<Axis>,
    /// What lines mean: each is drawn in front of its name, under the heading.
    pub(super) keys: Vec<(Pen, String)>,
    /// In the order in which they are drawn.
    pub(super) shapes: Vec<Shape>,
}

/// How a line looks: each look differs from the others without its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pen {
    /// A line over a shaded area.
    Filled,
    /// A line.
    Plain,
    /// A line on the right axis, or of what would be there.
    Other,
    /// A line of dashes, for what was computed.
    Dashed,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A line from left to right; a single place is a dot.
    Line(Pen, Vec<(f64, f64)>),
    /// Bars from the bottom: left, right, height.
    Bars(Vec<(f64, f64, f64)>),
    /// A dashed line from bottom to top with a label at its head, in the row of that number from the top.
    Mark(f64, String, u32),
    /// A dot with a label.
    Dot((f64, f64), String),
}

impl Panel {
    pub(super) fn plot(heading: &'static str, plot: Plot) -> Self {
        Self {
            heading,
            body: Body::Plot(Box::new(plot)),
        }
    }

    pub(super) const fn empty(heading: &'static str, reason: &'static str) -> Self {
        Self {
            heading,
            body: Body::Empty(reason),
        }
    }

    /// Draws the panel into its part of the page.
    pub(super) fn draw(&self, area: &Area<'_>) -> Drawn {
        let heading = theme::text(theme::HEADING, INK);
        area.draw_text(self.heading, &heading, (SIDE, 6))?;
        match &self.body {
            Body::Empty(reason) => {
                let (width, height) = area.dim_in_pixel();
                let style = theme::anchored(theme::LABEL, FAINT, HPos::Center, VPos::Center);
                area.draw_text(reason, &style, (width as i32 / 2, height as i32 / 2))?;
                let frame = Rectangle::new(
                    [(SIDE, HEAD), (width as i32 - SIDE, height as i32 - SIDE)],
                    theme::GRID,
                );
                area.draw(&frame)
            }
            Body::Plot(plot) => plot.draw(area),
        }
    }
}

type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Places, Places>>;

/// Places from 0 to 1, some of which have ticks.
#[derive(Clone)]
struct Places(Vec<f64>);

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        start + (f64::from(end - start) * value).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // the bold points have labels; light ones would be lines without
        let is_bold = !hint.weight().allow_light_points();
        if is_bold {
            self.0.clone()
        } else {
            Vec::new()
        }
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..1.0
    }
}

impl Plot {
    fn draw(&self, area: &Area<'_>) -> Drawn {
        self.draw_keys(area)?;
        let mut builder = ChartBuilder::on(area);
        builder
            .margin_top(HEAD)
            .margin_left(SIDE)
            .margin_right(if self.right.is_some() {
                SIDE + LABELS
            } else {
                2 * SIDE
            })
            .margin_bottom(BOTTOM)
            .x_label_area_size(X_LABELS)
            .y_label_area_size(LABELS);
        let mut chart = builder.build_cartesian_2d(ticks(&self.x), ticks(&self.y))?;
        let (x_label, y_label) = (label(&self.x), label(&self.y));
        chart
            .configure_mesh()
            .x_desc(&self.x.name)
            .y_desc(&self.y.name)
            .x_labels(MANY)
            .y_labels(MANY)
            .x_label_formatter(&x_label)
            .y_label_formatter(&y_label)
            .axis_style(theme::AXIS)
            .bold_line_style(theme::GRID)
            .light_line_style(TRANSPARENT)
            .label_style(theme::text(theme::TICK, INK))
            .axis_desc_style(theme::text(theme::LABEL, INK))
            .draw()?;
        if let Some(right) = &self.right {
            self.draw_right(area, right)?;
        }
        self.draw_shapes(&mut chart)
    }

    /// The right axis is that of a chart of its own, which has nothing else, in the same place: with a second axis in the same
    /// chart, the library writes the figures of the left one there too.
    fn draw_right(&self, area: &Area<'_>, right: &Axis) -> Drawn {
        ChartBuilder::on(area)
            .margin_top(HEAD)
            .margin_left(SIDE + LABELS)
            .margin_right(SIDE)
            .margin_bottom(BOTTOM + X_LABELS)
            .right_y_label_area_size(LABELS)
            .build_cartesian_2d(ticks(&self.x), ticks(right))?
            .configure_mesh()
            .disable_mesh()
            .disable_x_axis()
            .y_desc(&right.name)
            .y_labels(MANY)
            .y_label_formatter(&label(right))
            .axis_style(theme::AXIS)
            .label_style(theme::text(theme::TICK, INK))
            .axis_desc_style(theme::text(theme::LABEL, INK))
            .draw()
    }

    fn draw_shapes(&self, chart: &mut Chart<'_, '_>) -> Drawn {
        for shape in &self.shapes {
            match shape {
                Shape::Line(pen, places) => draw_line(chart, *pen, places)?,
                Shape::Bars(bars) => {
                    chart.draw_series(bars.iter().map(|(left, right, height)| {
                        Rectangle::new(
                            [(*left, 0.0), (*right, *height)],
                            theme::FIRST.mix(0.8).filled(),
                        )
                    }))?;
                }
                Shape::Mark(x, label, row) => draw_mark(chart, *x, label, *row)?,
                Shape::Dot(place, label) => draw_dot(chart, *place, label)?,
            }
        }
        Ok(())
    }

    /// Each key is a piece of its line, then what it means.
    fn draw_keys(&self, area: &Area<'_>) -> Drawn {
        let mut x = SIDE;
        let style = theme::anchored(theme::LABEL, INK, HPos::Left, VPos::Center);
        for (pen, name) in &self.keys {
            let line = [(x, KEYS), (x + KEY_LINE, KEYS)];
            match pen {
                Pen::Dashed => area.draw(&DashedPathElement::new(line, 6, 4, pen.style()))?,
                Pen::Filled => {
                    let below = [(x, KEYS), (x + KEY_LINE, KEYS + 7)];
                    area.draw(&Rectangle::new(below, shade().filled()))?;
                    area.draw(&PathElement::new(line, pen.style()))?;
                }
                Pen::Plain | Pen::Other => area.draw(&PathElement::new(line, pen.style()))?,
            }
            area.draw_text(name, &style, (x + KEY_LINE + 6, KEYS))?;
            x += KEY_LINE + 30 + (name.chars().count() as f64 * LETTER) as i32;
        }
        Ok(())
    }
}

impl Pen {
    fn style(self) -> ShapeStyle {
        match self {
            Self::Filled | Self::Plain => theme::FIRST.stroke_width(2),
            Self::Other => theme::SECOND.stroke_width(2),
            Self::Dashed => INK.stroke_width(1),
        }
    }
}

/// The colour of an area.
fn shade() -> RGBAColor {
    theme::FIRST.mix(0.2)
}

fn draw_line(chart: &mut Chart<'_, '_>, pen: Pen, places: &[(f64, f64)]) -> Drawn {
    if let [place] = places {
        chart.draw_series([Circle::new(*place, 3, pen.style().filled())])?;
        return Ok(());
    }
    if pen == Pen::Filled {
        if let (Some((left, _)), Some((right, _))) = (places.first(), places.last()) {
            let corners = [(*left, 0.0)]
                .into_iter()
                .chain(places.iter().copied())
                .chain([(*right, 0.0)]);
            let area = Polygon::new(corners.collect::<Vec<_>>(), shade());
            chart.draw_series([area])?;
        }
    }
    if pen == Pen::Dashed {
        let line = DashedPathElement::new(places.iter().copied(), 6, 4, pen.style());
        chart.draw_series([line])?;
    } else {
        chart.draw_series([PathElement::new(places.to_vec(), pen.style())])?;
    }
    Ok(())
}

/// The label is on the side of the line where there is more room.
fn draw_mark(chart: &mut Chart<'_, '_>, x: f64, label: &str, row: u32) -> Drawn {
    draw_line(chart, Pen::Dashed, &[(x, 0.0), (x, 1.0)])?;
    let (side, shift) = if x > 0.5 {
        (HPos::Right, -6)
    } else {
        (HPos::Left, 6)
    };
    let style = theme::anchored(theme::LABEL, INK, side, VPos::Top);
    let text = EmptyElement::at((x, 1.0))
        + Text::new(label.to_owned(), (shift, 4 + 17 * row as i32), style);
    chart.draw_series([text])?;
    Ok(())
}

/// The label is above to the left, or below to the right: a line that rises leaves room there.
fn draw_dot(chart: &mut Chart<'_, '_>, place: (f64, f64), label: &str) -> Drawn {
    let (side, end, shift) = if place.0 > 0.35 {
        (HPos::Right, VPos::Bottom, (-7, -4))
    } else if place.1 < 0.07 {
        // below it are the figures of the axis
        (HPos::Left, VPos::Bottom, (7, -4))
    } else {
        (HPos::Left, VPos::Top, (7, 5))
    };
    let style = theme::anchored(theme::LABEL, INK, side, end);
    let dot = EmptyElement::at(place)
        + Circle::new((0, 0), 4, theme::SECOND.filled())
        + Text::new(label.to_owned(), shift, style);
    chart.draw_series([dot])?;
    Ok(())
}

fn ticks(axis: &Axis) -> Places {
    Places(axis.ticks.iter().map(|(place, _)| *place).collect())
}

/// The text of the tick that is nearest; the library asks for those that it was given only.
fn label(axis: &Axis) -> impl Fn(&f64) -> String + '_ {
    |asked| {
        let distance = |(place, _): &&(f64, String)| (place - asked).abs();
        axis.ticks
            .iter()
            .min_by(|one, other| distance(one).total_cmp(&distance(other)))
            .map(|(_, text)| text.clone())
            .unwrap_or_default()
    }
}

/// Pixels at the side of a panel.
const SIDE: i32 = 24;
/// Pixels for heading and keys.
const HEAD: i32 = 56;
/// Pixels from the top of a panel to the middle of its keys.
const KEYS: i32 = 38;
/// Pixels of the piece of line before a key.
const KEY_LINE: i32 = 24;
/// Pixels of a letter of a label; an estimate, as the font is the viewer's.
const LETTER: f64 = 7.2;
/// Pixels for the figures and the name of a horizontal axis.
const X_LABELS: i32 = 44;
/// Pixels below that.
const BOTTOM: i32 = 4;
/// Pixels for the figures and the name of a vertical axis.
const LABELS: i32 = 78;
/// More than there are ticks, so that all of them are drawn.
const MANY: usize = 20;
