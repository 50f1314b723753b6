// SPDX-License-Identifier: Apache-2.0

//! One workload as a picture: a page of four panels, written as SVG.
//!
//! The one rule: what a panel shows is worked out as plain data and tested as such; only `panel` and this file draw.
//!
//! ```text
//!   title, summary
//!   throughput over time     how late transmissions left
//!   wheel and pool over time time of calls or streams
//! ```

mod axis;
mod depth;
mod latency;
mod pacing;
mod panel;
mod theme;
mod throughput;

use crate::{
    human,
    outcome::{End, Outcome},
    record::Record,
    workload::Kind,
};
use panel::{Drawn, Panel};
use plotters::prelude::*;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a picture was not written.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The file cannot be created or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The path that was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A shape cannot be drawn.
    #[error("the picture cannot be drawn: {0}")]
    Draw(String),
}

/// Writes the picture of `outcome`, which `system` had, to the file `path`.
///
/// # Errors
///
/// [`PlotError::Io`] if the file cannot be written.
pub fn write_svg(path: &Path, system: &str, outcome: &Outcome) -> Result<(), PlotError> {
    let svg = svg(system, outcome)?;
    fs::write(path, svg).map_err(|source| PlotError::Io {
        path: path.to_owned(),
        source,
    })
}

/// The text of the picture.
fn svg(system: &str, outcome: &Outcome) -> Result<String, PlotError> {
    let title = title(system, outcome);
    let summary = summary(&Record::new(system, outcome), outcome);
    let panels = [
        throughput::panel(outcome),
        pacing::panel(outcome.sample.lateness),
        depth::panel(outcome),
        latency::panel(outcome),
    ];
    page(&title, &summary, &panels)
}

fn page(title: &str, summary: &str, panels: &[Panel; 4]) -> Result<String, PlotError> {
    let mut svg = String::new();
    draw(&mut svg, title, summary, panels).map_err(|error| PlotError::Draw(error.to_string()))?;
    Ok(theme::with_style(&svg, title))
}

fn draw(svg: &mut String, title: &str, summary: &str, panels: &[Panel; 4]) -> Drawn {
    let page = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    page.fill(&theme::PAPER)?;
    page.draw_text(title, &theme::text(theme::TITLE, theme::INK), (MARGIN, 16))?;
    page.draw_text(
        summary,
        &theme::text(theme::SUMMARY, theme::INK),
        (MARGIN, 46),
    )?;
    let (_, below) = page.split_vertically(HEAD);
    for (panel, area) in panels.iter().zip(below.split_evenly((2, 2))) {
        panel.draw(&area)?;
    }
    page.present()
}

fn title(system: &str, outcome: &Outcome) -> String {
    let workload = &outcome.workload;
    let name = human::line(&workload.name, MAX_NAME);
    let kind = workload.kind.name();
    // a name that was made from the workload starts with its kind
    let text = if name.starts_with(kind) {
        format!("{name} on {system}")
    } else {
        format!("{name} ({kind}) on {system}")
    };
    human::line(&text, MAX_TITLE)
}

/// What the figures are, whatever the command was called with.
fn summary(record: &Record, outcome: &Outcome) -> String {
    let workload = &outcome.workload;
    let count = |number, thing| human::count(u64::from(number), thing);
    let mut parts = Vec::new();
    if let Some(gbps) = record.gbps {
        parts.push(format!("{} Gbit/s", human::digits(gbps)));
    }
    if let Some(rps) = record.rps {
        parts.push(format!("{} calls/s", human::rate(rps)));
    }
    parts.push(match workload.kind {
        Kind::Rpc => format!("{} at once", count(workload.streams, "call")),
        Kind::Upload | Kind::Download => count(workload.streams, "stream"),
        Kind::Mixed => format!(
            "{}, {} at once",
            count(workload.streams, "stream"),
            count(workload.calls, "call")
        ),
        Kind::Fanin => format!(
            "{} with {} each",
            count(workload.clients, "client"),
            count(workload.streams, "stream")
        ),
    });
    parts.push(format!("{} failed", outcome.failures.streams()));
    parts.push(format!("{} verified", human::bytes(outcome.verified_bytes)));
    parts.push(format!("in {}", human::duration(outcome.elapsed)));
    parts.extend(record.mtu.map(|mtu| format!("{mtu} bytes a datagram")));
    match outcome.end {
        End::Completed => {}
        End::Interrupted => parts.push("interrupted".to_owned()),
        End::TimedOut => parts.push("timed out".to_owned()),
    }
    parts.join("   ·   ")
}

/// Pixels: landscape, and close to the shape of a sheet of A4.
const SIZE: (u32, u32) = (1200, 820);
/// Pixels for title and summary.
const HEAD: i32 = 76;
/// Pixels left of the title.
const MARGIN: i32 = 24;
/// Characters of a name, and of the title, so that it fits the page.
const MAX_NAME: usize = 60;
const MAX_TITLE: usize = 84;

#[cfg(test)]
mod tests;
