// SPDX-License-Identifier: Apache-2.0

//! Latency: the time that each share of calls or streams took at most.
//!
//! The one rule: the axis goes no further into the nines than there are samples to tell one from the next.

use super::{
    axis::Axis,
    panel::{Panel, Pen, Plot, Shape},
};
use crate::{human, outcome::Outcome, workload::Kind};
use hdrhistogram::Histogram;

/// The panel: of calls, or of whole streams where there are none.
pub(super) fn panel(outcome: &Outcome) -> Panel {
    let (heading, what) = match outcome.workload.kind {
        Kind::Rpc | Kind::Mixed => ("Latency of calls", "call"),
        Kind::Upload | Kind::Download | Kind::Fanin => {
            ("Time of streams, from open to verdict", "stream")
        }
    };
    curve(heading, what, &outcome.latency)
}

/// The panel of `latency`, which is in nanoseconds.
fn curve(heading: &'static str, what: &str, latency: &Histogram<u64>) -> Panel {
    if latency.is_empty() {
        return Panel::empty(heading, "nothing was recorded");
    }
    let nines = nines(latency.len());
    let micros = |share| latency.value_at_quantile(share) as f64 / 1e3;
    // a time of zero nanoseconds has no place on such an axis
    let least = (latency.min() as f64 / 1e3).max(1e-3);
    let x = Axis::nines(&format!("share of {what}s"), nines);
    let y = Axis::log("time", least, latency.max() as f64 / 1e3, |micros| {
        human::round(&human::micros(micros))
    });
    let place = |share| (x.place(share), y.place(micros(share)));
    let line = (0..=POINTS)
        .map(|n| 1.0 - 10_f64.powf(-f64::from(n) / f64::from(POINTS) * f64::from(nines)))
        .map(place)
        .collect();
    let dots = [("p50", 0.5, 0), ("p99", 0.99, 2), ("p99.9", 0.999, 3)]
        .into_iter()
        .filter(|(_, _, needed)| *needed <= nines)
        .map(|(name, share, _)| {
            let label = format!("{name} {}", human::micros(micros(share)));
            Shape::Dot(place(share), label)
        });
    let slowest = human::micros(latency.max() as f64 / 1e3);
    let count = human::count(latency.len(), what);
    let keys = vec![(Pen::Plain, format!("{count}, the slowest {slowest}"))];
    let shapes = [Shape::Line(Pen::Plain, line)]
        .into_iter()
        .chain(dots)
        .collect();
    Panel::plot(
        heading,
        Plot {
            x,
            y,
            right: None,
            keys,
            shapes,
        },
    )
}

/// The nines that `count` samples reach: 1000 of them have one beyond 99.9 %. Two at least, so that p99 has a place.
fn nines(count: u64) -> u32 {
    count
        .checked_ilog10()
        .unwrap_or(0)
        .clamp(LEAST_NINES, MOST_NINES)
}

/// Points of the curve: about one each three pixels.
const POINTS: u32 = 150;
/// So that p99 has a place.
const LEAST_NINES: u32 = 2;
/// More labels would not fit below the panel.
const MOST_NINES: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::panel::Body;

    fn recorded(nanos: impl Iterator<Item = u64>) -> Plot {
        let mut latency = Histogram::new(3).unwrap();
        for nanos in nanos {
            latency.record(nanos).unwrap();
        }
        match curve("heading", "call", &latency).body {
            Body::Plot(plot) => *plot,
            Body::Empty(reason) => panic!("{reason}"),
        }
    }

    fn dots(plot: &Plot) -> Vec<&str> {
        let labels = plot.shapes.iter().map(|shape| match shape {
            Shape::Dot(_, label) => Some(label.as_str()),
            _ => None,
        });
        labels.flatten().collect()
    }

    #[test]
    fn percentiles_are_marked_on_the_curve() {
        let plot = recorded((1..=2000).map(|n| n * 1000));
        let expected = ["p50 1.00 ms", "p99 1.98 ms", "p99.9 2.00 ms"];
        assert_eq!(dots(&plot), expected);
        let Some(Shape::Line(Pen::Plain, line)) = plot.shapes.first() else {
            panic!("{:?}", plot.shapes);
        };
        assert!(line.windows(2).all(|pair| pair[0] <= pair[1]), "{line:?}");
        assert_eq!(line.first(), Some(&(0.0, plot.y.place(1.0))));
        let (x, y) = line.last().copied().unwrap();
        assert!((x - 1.0).abs() < 1e-9 && y <= plot.y.place(2001.0));
        assert_eq!(plot.keys[0].1, "2000 calls, the slowest 2.00 ms");
    }

    #[test]
    fn few_samples_have_few_nines() {
        for (count, expected) in [(0, 2), (1, 2), (999, 2), (1000, 3), (u64::MAX, 6)] {
            assert_eq!(nines(count), expected, "{count}");
        }
        assert_eq!(dots(&recorded([0].into_iter())).len(), 2);
        assert_eq!(dots(&recorded(0..999)).len(), 2);
        assert_eq!(dots(&recorded(0..1000)).len(), 3);
    }

    #[test]
    fn nothing_recorded_is_said() {
        let latency = Histogram::new(3).unwrap();
        let panel = curve("heading", "call", &latency);
        assert!(matches!(panel.body, Body::Empty("nothing was recorded")));
    }
}
