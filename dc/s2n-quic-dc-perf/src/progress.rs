// SPDX-License-Identifier: Apache-2.0

//! How far a workload is, while it runs: a bar on a terminal, a line now and then in a log.
//!
//! The one rule: progress goes to standard error alone, and nothing that goes wrong with it is an error.

use crate::{human, table::Colors};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use std::{
    env,
    io::{stderr, IsTerminal as _, Write as _},
    time::Duration,
};

/// When a workload is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// When so many bytes have moved.
    Bytes(u64),
    /// After this time.
    Time(Duration),
}

/// Shows one workload after the other.
#[derive(Debug)]
pub struct Progress {
    manner: Manner,
    run: Option<Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Bar(Colors),
    Lines,
    Nothing,
}

/// The workload that runs.
#[derive(Debug)]
struct Run {
    name: String,
    goal: Goal,
    speed: Speed,
    out: Out,
}

#[derive(Debug)]
enum Out {
    Bar(ProgressBar),
    /// The next line is due at this time since the start.
    Lines {
        next: Duration,
    },
}

impl Progress {
    /// A bar if standard error is a terminal that can move its cursor, else lines; with `quiet`, nothing. The bar has a colour
    /// unless `NO_COLOR` is set.
    #[must_use]
    pub fn detect(quiet: bool) -> Self {
        let no_color = env::var_os("NO_COLOR");
        Self::new(manner(
            quiet,
            stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb"),
            Colors::choose(true, no_color.as_deref()),
        ))
    }

    const fn new(manner: Manner) -> Self {
        Self { manner, run: None }
    }

    /// Shows that the workload `name` starts. One that was not finished is.
    pub fn start(&mut self, name: &str, goal: Goal) {
        self.finish();
        let out = match self.manner {
            Manner::Bar(colors) => Out::Bar(bar(name, colors)),
            Manner::Lines => Out::Lines {
                next: LINE_INTERVAL,
            },
            Manner::Nothing => return,
        };
        let run = Run {
            name: human::line(name, MAX_NAME),
            goal,
            speed: Speed::default(),
            out,
        };
        if let Out::Lines { .. } = run.out {
            print(&format!("{}: starts", run.name));
        }
        self.run = Some(run);
    }

    /// Shows how far the workload is: `elapsed` since its start, bytes and calls so far. May be called as often as one likes.
    pub fn update(&mut self, elapsed: Duration, moved_bytes: u64, calls: u64) {
        if let Some(line) = self
            .run
            .as_mut()
            .and_then(|run| run.update(elapsed, moved_bytes, calls))
        {
            print(&line);
        }
    }

    /// Takes the bar away, so that a result can be printed.
    pub fn finish(&mut self) {
        if let Some(Run {
            out: Out::Bar(bar), ..
        }) = self.run.take()
        {
            bar.finish_and_clear();
        }
    }
}

impl Run {
    /// Moves the bar, or returns the line to print if one is due.
    fn update(&mut self, elapsed: Duration, moved: u64, calls: u64) -> Option<String> {
        self.speed.update(elapsed, moved, calls);
        let share = share(self.goal, elapsed, moved);
        let text = status(self.speed, time_left(self.goal, elapsed, moved));
        match &mut self.out {
            Out::Bar(bar) => {
                bar.set_message(text);
                bar.set_position((share * BAR_LENGTH as f64) as u64);
                None
            }
            Out::Lines { next } => {
                if elapsed < *next {
                    return None;
                }
                // from now on: after a long pause there is one line, not one for each that was missed
                *next = elapsed.saturating_add(LINE_INTERVAL);
                Some(format!("{}: {:.0} %, {text}", self.name, share * 100.0))
            }
        }
    }
}

/// Bytes and calls per second, of about the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Speed {
    /// Where the span that is being measured starts: time, bytes, calls.
    mark: (Duration, u64, u64),
    is_settled: bool,
    bytes: f64,
    calls: f64,
}

impl Speed {
    fn update(&mut self, elapsed: Duration, moved: u64, calls: u64) {
        let (since, old_moved, old_calls) = self.mark;
        let span = elapsed.saturating_sub(since);
        let is_over = span >= SPEED_SPAN;
        // until the first span is over, what there is of it is better than nothing
        if span.is_zero() || (self.is_settled && !is_over) {
            return;
        }
        self.bytes = moved.saturating_sub(old_moved) as f64 / span.as_secs_f64();
        self.calls = calls.saturating_sub(old_calls) as f64 / span.as_secs_f64();
        if is_over {
            self.mark = (elapsed, moved, calls);
            self.is_settled = true;
        }
    }
}

fn manner(quiet: bool, is_terminal: bool, colors: Colors) -> Manner {
    match (quiet, is_terminal) {
        (true, _) => Manner::Nothing,
        (false, true) => Manner::Bar(colors),
        (false, false) => Manner::Lines,
    }
}

fn bar(name: &str, colors: Colors) -> ProgressBar {
    // the templates are right, which a test sees; a bar of another look would be no reason to stop
    let style = ProgressStyle::with_template(template(colors))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(BAR_LENGTH), ProgressDrawTarget::stderr())
        .with_style(style)
        .with_prefix(human::line(name, MAX_NAME))
        .with_finish(ProgressFinish::AndClear)
}

const fn template(colors: Colors) -> &'static str {
    match colors {
        Colors::On => "{prefix} [{bar:28.cyan}] {percent:>3} %  {msg}",
        Colors::Off => "{prefix} [{bar:28}] {percent:>3} %  {msg}",
    }
}

/// How much of the goal is reached, 0 to 1.
fn share(goal: Goal, elapsed: Duration, moved: u64) -> f64 {
    let share = match goal {
        Goal::Bytes(total) => moved as f64 / total as f64,
        Goal::Time(total) => elapsed.as_secs_f64() / total.as_secs_f64(),
    };
    // a goal of nothing is reached
    if share.is_nan() {
        1.0
    } else {
        share.clamp(0.0, 1.0)
    }
}

/// The time until the goal is reached if it goes on as it went from the start; `None` before anything moved.
fn time_left(goal: Goal, elapsed: Duration, moved: u64) -> Option<Duration> {
    match goal {
        Goal::Time(total) => Some(total.saturating_sub(elapsed)),
        Goal::Bytes(total) => {
            let left = total.saturating_sub(moved) as f64 / moved as f64;
            Duration::try_from_secs_f64(elapsed.as_secs_f64() * left).ok()
        }
    }
}

/// What moves, and the time left: bytes, calls or both.
fn status(speed: Speed, left: Option<Duration>) -> String {
    let mut parts = Vec::new();
    if speed.bytes > 0.0 || speed.calls == 0.0 {
        parts.push(format!("{} Gbit/s", human::digits(speed.bytes * 8.0 / 1e9)));
    }
    if speed.calls > 0.0 {
        parts.push(format!("{} calls/s", human::rate(speed.calls)));
    }
    if let Some(left) = left {
        parts.push(format!("{} left", clock(left)));
    }
    parts.join(", ")
}

/// Whole seconds, rounded up: `7 s`, `2 min 05 s`, `3 h 00 min`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn print(line: &str) {
    // a standard error that is closed needs no progress
    let _ = writeln!(stderr().lock(), "{line}");
}

/// Between two lines in a log. Arbitrary: seldom enough to be skipped over, often enough to show that it goes on.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// The span that the speed is of. Arbitrary: long enough to be read.
const SPEED_SPAN: Duration = Duration::from_secs(1);
/// Steps of the bar: it has fewer characters, and the percentage is whole.
const BAR_LENGTH: u64 = 1000;
/// Characters of a name, so that bar and figures fit beside it.
const MAX_NAME: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal::Bytes(1_000_000_000);

    fn run(out: Out) -> Run {
        Run {
            name: "upload".into(),
            goal: GOAL,
            speed: Speed::default(),
            out,
        }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn quiet_wins_and_only_a_terminal_has_a_bar() {
        let bar = Manner::Bar(Colors::Off);
        assert_eq!(manner(true, true, Colors::On), Manner::Nothing);
        assert_eq!(manner(true, false, Colors::On), Manner::Nothing);
        assert_eq!(manner(false, true, Colors::Off), bar);
        assert_eq!(manner(false, false, Colors::On), Manner::Lines);
        let mut quiet = Progress::new(Manner::Nothing);
        quiet.start("upload", GOAL);
        quiet.update(seconds(9.0), 1, 1);
        assert!(quiet.run.is_none());
        quiet.finish();
    }

    #[test]
    fn a_log_has_a_line_each_five_seconds() {
        let mut run = run(Out::Lines {
            next: LINE_INTERVAL,
        });
        assert_eq!(run.update(seconds(4.0), 0, 0), None);
        assert_eq!(run.update(seconds(4.999), 0, 0), None);
        assert_eq!(
            run.update(seconds(5.0), 250_000_000, 0).as_deref(),
            Some("upload: 25 %, 2.00 Gbit/s, 15 s left")
        );
        assert_eq!(run.update(seconds(9.9), 250_000_000, 0), None);
        // a pause is one line, and the next is five seconds after it
        assert!(run.update(seconds(60.0), 300_000_000, 0).is_some());
        assert_eq!(run.update(seconds(64.9), 300_000_000, 0), None);
        assert!(run.update(seconds(65.0), 300_000_000, 0).is_some());
    }

    #[test]
    fn a_bar_moves_and_says_the_same() {
        for colors in [Colors::On, Colors::Off] {
            assert!(ProgressStyle::with_template(template(colors)).is_ok());
            let bar = bar("upload\n", colors);
            bar.set_draw_target(ProgressDrawTarget::hidden());
            assert_eq!(bar.prefix(), "upload ");
            let mut run = run(Out::Bar(bar.clone()));
            assert_eq!(run.update(seconds(2.0), 500_000_000, 0), None);
            assert_eq!(bar.position(), 500);
            assert_eq!(bar.message(), "2.00 Gbit/s, 2 s left");
        }
    }

    #[test]
    fn a_finished_bar_is_gone() {
        let mut progress = Progress::new(Manner::Bar(Colors::Off));
        let bar = ProgressBar::hidden();
        progress.run = Some(run(Out::Bar(bar.clone())));
        progress.finish();
        assert!(bar.is_finished() && progress.run.is_none());
        progress.update(seconds(1.0), 1, 1);
        progress.finish();
    }

    #[test]
    fn speed_is_of_the_last_second() {
        let mut speed = Speed::default();
        speed.update(Duration::ZERO, 0, 0);
        assert_eq!(speed, Speed::default());
        speed.update(seconds(0.5), 100, 10);
        assert_eq!((speed.bytes, speed.calls), (200.0, 20.0));
        speed.update(seconds(1.0), 100, 10);
        assert_eq!((speed.bytes, speed.calls), (100.0, 10.0));
        speed.update(seconds(1.5), 900, 90);
        assert_eq!((speed.bytes, speed.calls), (100.0, 10.0));
        speed.update(seconds(2.0), 900, 90);
        assert_eq!((speed.bytes, speed.calls), (800.0, 80.0));
    }

    #[test]
    fn the_status_tells_what_moves() {
        let of = |bytes, calls| Speed {
            bytes,
            calls,
            ..Speed::default()
        };
        assert_eq!(status(of(0.0, 0.0), None), "0.00 Gbit/s");
        assert_eq!(status(of(0.0, 5.0), None), "5.00 calls/s");
        assert_eq!(
            status(of(125e6, 2000.0), Some(seconds(59.5))),
            "1.00 Gbit/s, 2000 calls/s, 1 min 00 s left"
        );
        assert_eq!(clock(seconds(3661.0)), "1 h 01 min");
    }

    #[test]
    fn no_goal_is_out_of_reach() {
        let half = Goal::Time(seconds(4.0));
        assert_eq!(share(half, seconds(2.0), 0), 0.5);
        assert_eq!(time_left(half, seconds(3.0), 0), Some(seconds(1.0)));
        assert_eq!(time_left(half, seconds(5.0), 0), Some(Duration::ZERO));
        for goal in [Goal::Bytes(0), Goal::Time(Duration::ZERO)] {
            assert_eq!(share(goal, Duration::ZERO, 0), 1.0, "{goal:?}");
        }
        assert_eq!(share(Goal::Bytes(1), seconds(1.0), u64::MAX), 1.0);
        assert_eq!(time_left(GOAL, seconds(1.0), 0), None);
        assert_eq!(time_left(Goal::Bytes(u64::MAX), Duration::MAX, 1), None);
    }
}
