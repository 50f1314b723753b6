// SPDX-License-Identifier: Apache-2.0

//! Pacing: how late transmissions left against the time that the pacer had given them.
//!
//! The one rule: a bar's height is the share of transmissions within it, so that pictures of long and short runs compare.

use super::{
    axis::Axis,
    panel::{Panel, Plot, Shape},
    throughput::short,
};
use crate::human;
use s2n_quic_dc::stream::metrics::Lateness;
use std::time::Duration;

/// The panel of what a system counted, if it did.
pub(super) fn panel(lateness: Option<Lateness>) -> Panel {
    let Some(lateness) = lateness else {
        return Panel::empty(HEADING, super::theme::NOT_MEASURED);
    };
    let ranges = lateness.ranges();
    let buckets: Vec<_> = ranges
        .map(|range| (range.from, range.to, range.count))
        .collect();
    let marks = [("p50", 0.5), ("p99", 0.99)]
        .map(|(name, share)| lateness.quantile(share).map(|late| (name, late)));
    histogram(&buckets, marks.into_iter().flatten())
}

/// The panel of ranges of lateness, each with the number of transmissions in it, and of marks.
pub(super) fn histogram(
    buckets: &[(Duration, Duration, u64)],
    marks: impl Iterator<Item = (&'static str, Duration)>,
) -> Panel {
    let filled: Vec<_> = buckets.iter().filter(|(_, _, count)| *count > 0).collect();
    let (Some((first, first_end, _)), Some((last, last_end, _))) = (filled.first(), filled.last())
    else {
        return Panel::empty(HEADING, "nothing was sent");
    };
    let total: f64 = filled.iter().map(|(_, _, count)| *count as f64).sum();
    let percent = |count: u64| count as f64 / total * 100.0;
    let most = filled.iter().map(|(_, _, count)| *count).max().unwrap_or(0);
    // a range from zero on has no left end on such an axis: it is drawn as wide as a doubling; one without an end likewise
    let left = |from: Duration, to: Duration| {
        if from.is_zero() {
            micros(to) / 2.0
        } else {
            micros(from)
        }
    };
    let least = left(*first, *first_end);
    let greatest = micros(*last_end).min(micros(*last).max(least) * 4.0);
    let x = Axis::log(
        "microseconds after the departure time",
        least,
        greatest,
        short,
    );
    // room for labels above the bars
    let mut y = Axis::linear("% of transmissions", percent(most) * 1.25, short);
    let whole = y.place(100.0);
    y.ticks.retain(|(place, _)| *place <= whole);
    let bars = filled
        .iter()
        .map(|(from, to, count)| {
            (
                x.place(left(*from, *to)),
                x.place(micros(*to)),
                y.place(percent(*count)),
            )
        })
        .collect();
    let marks = marks.zip(0..).map(|((name, late), row)| {
        let label = format!("{name} {}", human::duration(late));
        Shape::Mark(x.place(micros(late)), label, row)
    });
    let shapes = [Shape::Bars(bars)].into_iter().chain(marks).collect();
    Panel::plot(
        HEADING,
        Plot {
            x,
            y,
            right: None,
            keys: Vec::new(),
            shapes,
        },
    )
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

const HEADING: &str = "Pacing: how late transmissions left";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::panel::Body;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn plot(panel: Panel) -> Plot {
        match panel.body {
            Body::Plot(plot) => *plot,
            Body::Empty(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn bars_are_shares_side_by_side() {
        let buckets = [
            (micros(0), micros(1), 10),
            (micros(1), micros(2), 30),
            (micros(2), micros(4), 0),
            (micros(4), micros(8), 0),
        ];
        let plot = plot(histogram(&buckets, [("p50", micros(2))].into_iter()));
        let [Shape::Bars(bars), Shape::Mark(mark, label, 0)] = plot.shapes.as_slice() else {
            panic!("{:?}", plot.shapes);
        };
        let [(start, middle, low), (also_middle, end, high)] = bars.as_slice() else {
            panic!("{bars:?}");
        };
        assert_eq!((middle, end), (also_middle, mark));
        // the one from zero on is as wide as a doubling
        assert!(((middle - start) - (end - middle)).abs() < 1e-9);
        assert_eq!((*low, *high), (plot.y.place(25.0), plot.y.place(75.0)));
        assert!(*high <= 0.8, "no room for labels: {high}");
        assert_eq!(label, "p50 2.00 µs");
    }

    #[test]
    fn no_range_is_too_wide_to_draw() {
        for (from, to) in [
            (Duration::ZERO, Duration::from_nanos(1)),
            (Duration::ZERO, Duration::MAX),
            (micros(1 << 40), Duration::MAX),
        ] {
            let plot = plot(histogram(&[(from, to, 1)], [("p99", to)].into_iter()));
            let [Shape::Bars(bars), Shape::Mark(..)] = plot.shapes.as_slice() else {
                panic!("{:?}", plot.shapes);
            };
            let (left, right, _) = bars[0];
            assert!(left < right, "{from:?} {to:?}: {left} {right}");
        }
    }

    #[test]
    fn without_transmissions_there_is_a_reason() {
        let buckets = [(micros(0), micros(1), 0)];
        let empty = histogram(&buckets, [].into_iter());
        assert!(matches!(empty.body, Body::Empty("nothing was sent")));
        let Body::Empty(reason) = panel(None).body else {
            panic!("a plot of nothing");
        };
        assert_eq!(reason, "not measured by this system");
    }
}
