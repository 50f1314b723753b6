// SPDX-License-Identifier: Apache-2.0

//! What waited: transmissions in the wheels and bytes of descriptors in use, over time.
//!
//! The one rule: a peak is never thinned away; of the figures that share a pixel the greatest is drawn.

use super::{
    axis::Axis,
    panel::{Panel, Pen, Plot, Shape},
    throughput::short,
};
use crate::{human, outcome::Outcome};
use std::time::Duration;

/// The panel: wheel on the left axis, pool on the right one; alone on the left if the other is not measured.
pub(super) fn panel(outcome: &Outcome) -> Panel {
    let series = &outcome.series;
    let end = series.last().map_or(0.0, |point| point.at.as_secs_f64());
    let wheel = thinned(series.iter().map(|p| (p.at, p.wheel_entries)), end);
    let pool = thinned(series.iter().map(|p| (p.at, p.pool_bytes)), end);
    let x = Axis::span("seconds since the start", end, short);
    let wheel_axis = || Axis::linear("transmissions in the wheel", most(&wheel), thousands);
    let pool_axis = || {
        Axis::linear("pool in use", most(&pool), |bytes| {
            human::round(&human::bytes(bytes as u64))
        })
    };
    let line = |pen, series: &[(f64, u64)], y: &Axis| {
        let places = series
            .iter()
            .map(|(at, value)| (x.place(*at), y.place(*value as f64)));
        Shape::Line(pen, places.collect())
    };
    let key = |pen, text: &str| (pen, text.to_owned());
    let (y, right, keys, shapes) = match (wheel.is_empty(), pool.is_empty()) {
        (true, true) => return Panel::empty(HEADING, super::theme::NOT_MEASURED),
        (false, true) => {
            let y = wheel_axis();
            let shapes = vec![line(Pen::Filled, &wheel, &y)];
            (y, None, vec![key(Pen::Filled, "wheel")], shapes)
        }
        (true, false) => {
            let y = pool_axis();
            let shapes = vec![line(Pen::Other, &pool, &y)];
            (y, None, vec![key(Pen::Other, "pool")], shapes)
        }
        (false, false) => {
            let (y, right) = (wheel_axis(), pool_axis());
            // the line over the area, so that both are seen where they meet
            let shapes = vec![
                line(Pen::Filled, &wheel, &y),
                line(Pen::Other, &pool, &right),
            ];
            let keys = vec![
                key(Pen::Filled, "wheel (left)"),
                key(Pen::Other, "pool (right)"),
            ];
            (y, Some(right), keys, shapes)
        }
    };
    Panel::plot(
        HEADING,
        Plot {
            x,
            y,
            right,
            keys,
            shapes,
        },
    )
}

/// The greatest figure of each of [`MAX_POINTS`] parts of the time up to `end` seconds, where it was.
fn thinned(series: impl Iterator<Item = (Duration, Option<u64>)>, end: f64) -> Vec<(f64, u64)> {
    let mut kept: Vec<(f64, u64)> = Vec::new();
    let mut part = None;
    for (at, value) in series {
        let Some(value) = value else { continue };
        let at = at.as_secs_f64();
        // no time at all is not a number, which is part 0
        let this = (at / end * MAX_POINTS) as u64;
        match kept.last_mut() {
            Some(last) if part == Some(this) => {
                if value > last.1 {
                    *last = (at, value);
                }
            }
            _ => kept.push((at, value)),
        }
        part = Some(this);
    }
    kept
}

fn most(series: &[(f64, u64)]) -> f64 {
    series.iter().map(|(_, value)| *value).max().unwrap_or(0) as f64
}

/// A count on an axis: `1500`, `20 k`, `3 M`.
fn thousands(count: f64) -> String {
    if count >= 1e6 {
        format!("{} M", short(count / 1e6))
    } else if count >= 1e4 {
        format!("{} k", short(count / 1e3))
    } else {
        short(count)
    }
}

const HEADING: &str = "What waited: wheel and pool";
/// Parts of the time axis: about two pixels each.
const MAX_POINTS: f64 = 250.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_kept_where_it_was() {
        let at = |millis| Duration::from_millis(millis);
        let series = (0..=10_000).map(|n| (at(n), Some(if n == 4321 { 99 } else { 1 })));
        let kept = thinned(series, 10.0);
        assert_eq!(kept.len(), 251);
        assert!(kept.contains(&(4.321, 99)));
        assert_eq!(kept.last(), Some(&(10.0, 1)));
    }

    #[test]
    fn gaps_and_points_without_time_are_no_trouble() {
        let at = Duration::from_secs;
        let series = [(at(0), None), (at(1), Some(3)), (at(2), None)];
        assert_eq!(thinned(series.into_iter(), 2.0), [(1.0, 3)]);
        let series = [(at(0), Some(3)), (at(0), Some(5))];
        assert_eq!(thinned(series.into_iter(), 0.0), [(0.0, 5)]);
    }

    #[test]
    fn counts_are_short() {
        for (count, expected) in [
            (0.0, "0"),
            (2500.0, "2500"),
            (12_500.0, "12.5 k"),
            (3e6, "3 M"),
        ] {
            assert_eq!(thousands(count), expected);
        }
    }
}
