// SPDX-License-Identifier: Apache-2.0

//! Throughput over time: how evenly data moved, or calls were answered.
//!
//! The one rule: each step is an average over its window, so that the area under the steps is what moved.

use super::{
    axis::Axis,
    panel::{Panel, Pen, Plot, Shape},
};
use crate::{human, outcome::Outcome, outcome::Point, workload::Kind};
use std::time::Duration;

/// The panel: Gbit/s, or calls per second where there is nothing but calls.
pub(super) fn panel(outcome: &Outcome) -> Panel {
    let is_rpc = outcome.workload.kind == Kind::Rpc;
    let (heading, unit, factor) = if is_rpc {
        ("Calls answered over time", "calls/s", 1.0)
    } else {
        ("Throughput over time", "Gbit/s", 8.0 / 1e9)
    };
    let count = |point: &Point| if is_rpc { point.calls } else { point.moved };
    let series: Vec<_> = outcome.series.iter().map(|p| (p.at, count(p))).collect();
    let width = window(series.last().map_or(Duration::ZERO, |(at, _)| *at));
    let steps = steps(&series, width);
    let Some(Step { end, .. }) = steps.last().copied() else {
        return Panel::empty(heading, super::theme::NOT_MEASURED);
    };
    let moved: f64 = steps.iter().map(|step| step.rate * step.seconds()).sum();
    let start = steps.first().map_or(Duration::ZERO, |step| step.start);
    let mean = moved / end.saturating_sub(start).as_secs_f64();
    let most = steps.iter().map(|step| step.rate).fold(mean, f64::max);
    let x = Axis::span("seconds since the start", end.as_secs_f64(), short);
    let y = Axis::linear(unit, most * factor, short);
    let place = |at: Duration, rate: f64| (x.place(at.as_secs_f64()), y.place(rate * factor));
    let line = steps
        .iter()
        .flat_map(|step| [place(step.start, step.rate), place(step.end, step.rate)])
        .collect();
    let mean_line = vec![place(start, mean), place(end, mean)];
    let figure = if is_rpc {
        human::rate(mean)
    } else {
        human::digits(mean * factor)
    };
    let keys = vec![
        (
            Pen::Filled,
            format!("average of each {}", human::round(&human::duration(width))),
        ),
        (Pen::Dashed, format!("mean {figure} {unit}")),
    ];
    let shapes = vec![
        Shape::Line(Pen::Filled, line),
        Shape::Line(Pen::Dashed, mean_line),
    ];
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

/// The average of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    start: Duration,
    end: Duration,
    /// Per second.
    rate: f64,
}

impl Step {
    fn seconds(&self) -> f64 {
        self.end.saturating_sub(self.start).as_secs_f64()
    }
}

/// The width of windows of a workload that took so long: the least, or what makes as many of them as can be told apart.
fn window(elapsed: Duration) -> Duration {
    (elapsed / MAX_STEPS).max(MIN_WINDOW)
}

/// The averages of `series`, counts since the start at rising times, over windows of at least `width`. What is left at the end is
/// a step of its own if it is half as wide, or if there is no other.
fn steps(series: &[(Duration, u64)], width: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut since = (Duration::ZERO, 0);
    let last = series.len().saturating_sub(1);
    for (number, &(at, count)) in series.iter().enumerate() {
        let span = at.saturating_sub(since.0);
        let is_rest = number == last && (steps.is_empty() || span >= width / 2);
        if span.is_zero() || (span < width && !is_rest) {
            continue;
        }
        steps.push(Step {
            start: since.0,
            end: at,
            rate: count.saturating_sub(since.1) as f64 / span.as_secs_f64(),
        });
        since = (at, count);
    }
    steps
}

/// A figure on an axis, without digits that say nothing.
pub(super) fn short(value: f64) -> String {
    // sums of tenths are not exact
    format!("{}", (value * 1e6).round() / 1e6)
}

/// Shorter ones would show the scheduler rather than the network.
const MIN_WINDOW: Duration = Duration::from_millis(50);
/// About as many as the panel has pixels.
const MAX_STEPS: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn step(start: u64, end: u64, rate: f64) -> Step {
        Step {
            start: millis(start),
            end: millis(end),
            rate,
        }
    }

    #[test]
    fn a_step_is_what_moved_over_the_time_it_took() {
        let series = [(0, 0), (20, 5), (40, 10), (60, 30), (100, 30), (130, 90)];
        let series = series.map(|(at, count)| (millis(at), count));
        let expected = [step(0, 60, 500.0), step(60, 130, 60.0 / 0.07)];
        assert_eq!(steps(&series, millis(50)), expected);
    }

    #[test]
    fn a_rest_counts_if_it_is_half_a_window_or_all_there_is() {
        let series = |end| [(millis(50), 10), (millis(end), 20)];
        assert_eq!(steps(&series(74), millis(50)).len(), 1);
        let expected = [step(0, 50, 200.0), step(50, 75, 400.0)];
        assert_eq!(steps(&series(75), millis(50)), expected);
        assert_eq!(steps(&[(millis(1), 7)], millis(50)), [step(0, 1, 7000.0)]);
    }

    #[test]
    fn neither_no_time_nor_a_count_that_falls_does_harm() {
        assert_eq!(steps(&[], millis(50)), []);
        assert_eq!(steps(&[(Duration::ZERO, 9)], millis(50)), []);
        let falls = [
            (millis(50), 9),
            (millis(50), 9),
            (millis(20), 9),
            (millis(100), 1),
        ];
        let expected = [step(0, 50, 180.0), step(50, 100, 0.0)];
        assert_eq!(steps(&falls, millis(50)), expected);
    }

    #[test]
    fn windows_grow_with_the_workload() {
        assert_eq!(window(Duration::ZERO), millis(50));
        assert_eq!(window(Duration::from_secs(20)), millis(50));
        assert_eq!(window(Duration::from_secs(400)), millis(1000));
    }
}
