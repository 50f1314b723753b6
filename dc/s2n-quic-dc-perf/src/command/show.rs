// SPDX-License-Identifier: Apache-2.0

//! Where outcomes go: the table, the records, the plots.
//!
//! The one rule: standard output carries either the table or the JSON, whichever was asked for, and nothing else.

use super::{CommandError, Verdict};
use crate::{
    cli::output::{plot_path, Detail, JsonTo, Outputs},
    outcome::{Outcome, Point},
    plot,
    progress::{Goal, Progress},
    record::{self, Record},
    table::{self, Colors},
    workload::Workload,
};
use std::{
    io::{self, stderr, stdout, Write},
    path::Path,
};

/// Shows workloads as they run and end.
pub(super) struct Show {
    outputs: Outputs,
    workloads: usize,
    progress: Progress,
    colors: Colors,
    records: Vec<Record>,
    verdict: Verdict,
}

/// The system that runs here, by its name among those that it is compared with.
const SYSTEM: &str = "wheel";

impl Show {
    /// For so many workloads.
    pub(super) fn new(outputs: Outputs, workloads: usize) -> Self {
        let is_quiet = outputs.detail == Detail::Quiet;
        let colors = match outputs.json {
            Some(JsonTo::Stdout) => Colors::Off,
            _ => Colors::detect(),
        };
        Self {
            outputs,
            workloads,
            progress: Progress::detect(is_quiet),
            colors,
            records: Vec::new(),
            verdict: Verdict::Verified,
        }
    }

    /// A workload begins.
    pub(super) fn start(&mut self, workload: &Workload) -> io::Result<()> {
        if self.records.is_empty() {
            self.print(&table::heading())?;
        }
        let goal = match workload.duration {
            Some(duration) => Goal::Time(duration),
            None => Goal::Bytes(workload.bulk_bytes()),
        };
        self.progress.start(&workload.name, goal);
        Ok(())
    }

    pub(super) fn progress(&mut self, point: &Point) {
        self.progress.update(point.at, point.moved, point.calls);
    }

    /// A workload has ended.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> Result<(), CommandError> {
        self.progress.finish();
        let record = Record::new(SYSTEM, outcome);
        self.print(&table::row(&record, self.colors))?;
        let failures = table::failures(outcome, self.colors);
        if !failures.is_empty() {
            self.print(failures.trim_end())?;
        }
        if self.outputs.detail == Detail::Verbose {
            self.print(table::details(&record, outcome).trim_end())?;
        }
        if let Some(path) = &self.outputs.plot {
            let name = &outcome.workload.name;
            let path = plot_path(path, self.records.len(), self.workloads, name);
            plot::write_svg(&path, SYSTEM, outcome)?;
        }
        if outcome.failures.streams() > 0 {
            self.verdict = Verdict::Failed;
        }
        self.records.push(record);
        Ok(())
    }

    /// All workloads have ended.
    pub(super) fn finish(self) -> Result<Verdict, CommandError> {
        if !self.records.is_empty() {
            self.print(table::LEGEND)?;
        }
        match &self.outputs.json {
            Some(JsonTo::Stdout) => record::write_json(Path::new("-"), &self.records)?,
            Some(JsonTo::File(path)) => record::write_json(path, &self.records)?,
            None => {}
        }
        Ok(self.verdict)
    }

    /// Prints lines of the table: on standard error if standard output is for JSON.
    fn print(&self, text: &str) -> io::Result<()> {
        match (&self.outputs.json, self.outputs.detail) {
            (_, Detail::Quiet) => Ok(()),
            (Some(JsonTo::Stdout), _) => print_to(stderr().lock(), text),
            _ => print_to(stdout().lock(), text),
        }
    }
}

fn print_to(mut out: impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}")?;
    out.flush()
}
