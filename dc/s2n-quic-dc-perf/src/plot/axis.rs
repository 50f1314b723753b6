// SPDX-License-Identifier: Apache-2.0

//! Axes: from a figure to a place between 0 and 1, and the figures that are written beside them.
//!
//! The one rule: every place is within 0 and 1, whatever the figure is.

/// An axis with its ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What is measured, with its unit.
    pub(super) name: String,
    /// Places and texts, rising.
    pub(super) ticks: Vec<(f64, String)>,
    scale: Scale,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// Between these logarithms to the base of 10.
    Log(f64, f64),
    /// Shares of a whole by their nines, 0.9 at 1 and 0.99 at 2, up to this many.
    Nines(f64),
}

impl Axis {
    /// From 0 to `max` or a little more.
    pub(super) fn linear(name: &str, max: f64, label: impl Fn(f64) -> String) -> Self {
        let max = if max.is_finite() && max > 0.0 {
            max
        } else {
            1.0
        };
        let step = step(max / LINEAR_STEPS);
        // a little less than a step more is not worth another one
        let steps = (max / step - 1e-9).ceil().max(1.0);
        Self::with_ticks(
            name,
            Scale::Linear(step * steps),
            (0..=steps as u32).map(|n| f64::from(n) * step),
            label,
        )
    }

    /// From 0 to exactly `max`.
    pub(super) fn span(name: &str, max: f64, label: impl Fn(f64) -> String) -> Self {
        let mut axis = Self::linear(name, max, label);
        if max.is_finite() && max > 0.0 {
            let scale = Scale::Linear(max);
            let whole = axis.scale.whole();
            for (place, _) in &mut axis.ticks {
                *place *= whole / max;
            }
            axis.ticks.retain(|(place, _)| *place <= 1.0 + 1e-9);
            axis.scale = scale;
        }
        axis
    }

    /// From `min` to `max`, both above 0, and a little more on both sides: so much that there are two figures to write.
    pub(super) fn log(name: &str, min: f64, max: f64, label: impl Fn(f64) -> String) -> Self {
        let logarithm = |value: f64| value.clamp(1e-12, 1e30).log10();
        let (low, high) = (logarithm(min), logarithm(max.max(min)));
        // half a decade at least, so that figures that are the same stand in the middle
        let lack = (0.5 - (high - low)).max(0.0) / 2.0;
        let (low, high) = (low - lack - LOG_ROOM, high + lack + LOG_ROOM);
        let factors: &[f64] = if high - low > 2.5 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let decades = (low.floor() as i32)..=(high.ceil() as i32);
        let every = ((high - low) / 8.0).ceil().max(1.0) as i32;
        let ticks = decades
            .filter(|decade| decade % every == 0)
            .flat_map(|decade| factors.iter().map(move |f| f * 10_f64.powi(decade)))
            .filter(|value| (low..=high).contains(&value.log10()));
        Self::with_ticks(name, Scale::Log(low, high), ticks, label)
    }

    /// Percentiles up to so many nines: 50 %, 90 %, 99 %, 99.9 %.
    pub(super) fn nines(name: &str, nines: u32) -> Self {
        let nines = nines.max(1);
        // beside more than three nines there is no room for the first one
        let first = (nines <= 3).then_some(0.0);
        let halves = first.into_iter().chain([0.5]);
        let shares = halves.chain((1..=nines).map(share_of));
        Self::with_ticks(name, Scale::Nines(f64::from(nines)), shares, |share| {
            // no more digits than there are nines: 99.9, and not 99.90000000000001
            let digits = (nines_of(share).round() - 2.0).max(0.0) as usize;
            format!("{:.digits$} %", share * 100.0)
        })
    }

    fn with_ticks(
        name: &str,
        scale: Scale,
        values: impl Iterator<Item = f64>,
        label: impl Fn(f64) -> String,
    ) -> Self {
        let ticks = values
            .map(|value| (scale.place(value), label(value)))
            .collect();
        Self {
            name: name.to_owned(),
            ticks,
            scale,
        }
    }

    /// Where `value` is.
    pub(super) fn place(&self, value: f64) -> f64 {
        self.scale.place(value)
    }
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear(max) => value / max,
            Self::Log(low, high) => (value.max(f64::MIN_POSITIVE).log10() - low) / (high - low),
            Self::Nines(nines) => nines_of(value) / nines,
        };
        if place.is_nan() {
            0.0
        } else {
            place.clamp(0.0, 1.0)
        }
    }

    fn whole(self) -> f64 {
        match self {
            Self::Linear(whole) | Self::Nines(whole) => whole,
            Self::Log(low, high) => high - low,
        }
    }
}

/// The share that has so many nines: 0.9 for 1, 0.99 for 2.
pub(super) fn share_of(nines: u32) -> f64 {
    1.0 - 10_f64.powi(-(nines.min(15) as i32))
}

fn nines_of(share: f64) -> f64 {
    -(1.0 - share.clamp(0.0, 1.0)).log10()
}

/// The next of 1, 2, 5, 10, ... that is not below `least`.
fn step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * decade)
        .into_iter()
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * decade)
}

/// Steps of a linear axis at most. Arbitrary: figures that can be read without a ruler.
const LINEAR_STEPS: f64 = 5.0;
/// Decades beyond the least and the greatest figure, so that no mark is on the frame.
const LOG_ROOM: f64 = 0.08;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    fn plain(value: f64) -> String {
        format!("{value}")
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_figure() {
        for (max, expected) in [
            (1.0, "0 0.2 0.4 0.6000000000000001 0.8 1"),
            (5.0, "0 1 2 3 4 5"),
            (6.1, "0 2 4 6 8"),
            (43.0, "0 10 20 30 40 50"),
            (1e6, "0 200000 400000 600000 800000 1000000"),
            (0.0, "0 0.2 0.4 0.6000000000000001 0.8 1"),
            (f64::NAN, "0 0.2 0.4 0.6000000000000001 0.8 1"),
        ] {
            let axis = Axis::linear("x", max, plain);
            assert_eq!(labels(&axis).join(" "), expected, "{max}");
            assert_eq!(axis.ticks.last().unwrap().0, 1.0, "{max}");
        }
    }

    #[test]
    fn a_span_ends_where_the_data_does() {
        let axis = Axis::span("s", 4.5, plain);
        assert_eq!(labels(&axis), ["0", "1", "2", "3", "4"]);
        assert_eq!((axis.place(4.5), axis.place(2.25)), (1.0, 0.5));
        assert!((axis.ticks[4].0 - 4.0 / 4.5).abs() < 1e-9);
    }

    #[test]
    fn a_log_axis_has_figures_for_one_value_and_for_many_decades() {
        for (min, max, expected) in [
            (100.0, 100.0, "50 100 200"),
            (1.0, 9.0, "1 2 5 10"),
            (3.0, 4000.0, "10 100 1000"),
            (1e-3, 1e9, "0.01 1 100 10000 1000000 100000000"),
        ] {
            let axis = Axis::log("x", min, max, plain);
            assert_eq!(labels(&axis).join(" "), expected, "{min} {max}");
            assert!(axis.place(min) > 0.0 && axis.place(max) < 1.0);
        }
        let one = Axis::log("x", 7.0, 7.0, plain);
        assert!((one.place(7.0) - 0.5).abs() < 1e-9);
        assert!(!one.ticks.is_empty());
    }

    #[test]
    fn each_nine_is_as_wide_as_the_one_before() {
        let axis = Axis::nines("share", 4);
        assert_eq!(labels(&axis), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(labels(&Axis::nines("share", 1)), ["0 %", "50 %", "90 %"]);
        for (nines, place) in [(0, 0.0), (1, 0.25), (2, 0.5), (4, 1.0)] {
            assert!((axis.place(share_of(nines)) - place).abs() < 1e-9);
        }
        assert_eq!(axis.place(1.0), 1.0);
    }

    #[test]
    fn no_figure_is_off_the_axis() {
        let axes = [
            Axis::linear("x", 5.0, plain),
            Axis::log("x", 0.0, f64::INFINITY, plain),
            Axis::log("x", 9.0, 1.0, plain),
            Axis::nines("x", 0),
        ];
        for axis in axes {
            for value in [
                f64::NAN,
                f64::NEG_INFINITY,
                -1.0,
                0.0,
                1.0,
                1e300,
                f64::INFINITY,
            ] {
                let place = axis.place(value);
                assert!((0.0..=1.0).contains(&place), "{axis:?} {value} {place}");
            }
            assert!(axis.ticks.iter().all(|(p, _)| (0.0..=1.0).contains(p)));
        }
    }
}
