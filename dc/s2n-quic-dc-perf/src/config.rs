// SPDX-License-Identifier: Apache-2.0

//! Workloads by name from a TOML file, as `workloads.toml` beside this crate's manifest shows.
//!
//! The one rule: a file is right as a whole or refused, also those parts of it that were not asked for; the error says where.

#[cfg(test)]
mod tests;

use crate::workload::{limits::WorkloadError, settings::Settings, Workload};
use serde::Deserialize as _;
use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};
use toml::{
    de::{DeTable, DeValue, ValueDeserializer},
    Spanned,
};

/// The workloads of the file at `path`, in its order: those that `only` names, or all if it names none.
///
/// # Errors
///
/// [`ConfigError`] if the file cannot be read, is not understood, has a workload that cannot be run, or lacks a name of `only`.
pub fn read(path: &Path, only: &[String]) -> Result<Vec<Workload>, ConfigError> {
    let text = File::open(path).and_then(read_text);
    let workloads = text
        .map_err(|error| Problem::of_file(None, Fault::Read(error)))
        .and_then(|text| parse(&text))
        .and_then(|workloads| select(workloads, only));
    workloads.map_err(|problem| ConfigError {
        path: path.to_owned(),
        problem,
    })
}

/// A file that does not say what to run.
#[derive(Debug, thiserror::Error)]
#[error("{}{problem}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and where.
    pub problem: Box<Problem>,
}

/// What is wrong with a configuration, and where.
#[derive(Debug)]
pub struct Problem {
    /// The line, counted from 1; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    /// The name of the workload, or `number 2` if it has none.
    pub workload: Option<String>,
    /// The field of the workload.
    pub field: Option<String>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read, or is not text.
    #[error("{0}")]
    Read(io::Error),
    /// It is not TOML, or not what a workload is made of.
    #[error("{0}")]
    Toml(String),
    /// A field has a value that it must not have.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// An earlier workload has the same name.
    #[error("the workload in line {first_line} has the same name")]
    SameName {
        /// The line of the earlier one.
        first_line: usize,
    },
    /// There is no workload.
    #[error("there is no [[workload]] in the file")]
    Empty,
    /// A name was asked for that is not there.
    #[error("there is no workload `{name}`; there are: {}", known.join(", "))]
    UnknownName {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

impl Problem {
    /// About the file as a whole, or a line of it that is in no workload.
    fn of_file(line: Option<usize>, fault: Fault) -> Box<Self> {
        Box::new(Self {
            line,
            workload: None,
            field: None,
            fault,
        })
    }
}

impl fmt::Display for Problem {
    /// What follows the file's name: `:12: workload small: bytes: what is wrong`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if let Some(workload) = &self.workload {
            write!(f, "workload {workload}: ")?;
        }
        // the other faults name the field themselves
        if let (Some(field), Fault::Toml(_)) = (&self.field, &self.fault) {
            write!(f, "{field}: ")?;
        }
        write!(f, "{}", self.fault)
    }
}

/// The workloads of a configuration, in its order.
fn parse(text: &str) -> Result<Vec<Workload>, Box<Problem>> {
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, &span));
        Problem::of_file(line, Fault::Toml(error.message().to_owned()))
    })?;
    let mut tables = Vec::new();
    for (key, value) in root.into_inner() {
        let at_key = |message| {
            let line = line_of(text, &key.span());
            Problem::of_file(Some(line), Fault::Toml(message))
        };
        if *key.get_ref() != "workload" {
            return Err(at_key(format!(
                "unknown field `{}`, expected [[workload]]",
                key.get_ref()
            )));
        }
        match value.into_inner() {
            DeValue::Array(array) => tables.extend(array),
            _ => {
                return Err(at_key(
                    "a workload begins with [[workload]], in two brackets".to_owned(),
                ))
            }
        }
    }
    if tables.is_empty() {
        return Err(Problem::of_file(None, Fault::Empty));
    }

    let mut workloads = Vec::new();
    let mut lines: Vec<usize> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let place = Place::of(text, index, &table);
        let workload = build(table, &place)?;
        if let Some(first) = position(&workloads, &workload.name) {
            let first_line = lines[first];
            return Err(place.field("name", Fault::SameName { first_line }));
        }
        lines.push(place.line("name"));
        workloads.push(workload);
    }
    Ok(workloads)
}

fn build(table: Spanned<DeValue<'_>>, place: &Place<'_>) -> Result<Workload, Box<Problem>> {
    let settings = Settings::deserialize(ValueDeserializer::from(table))
        .map_err(|error| place.toml(&error))?;
    if settings.name.is_none() {
        return Err(place.field("name", WorkloadError::Missing("name").into()));
    }
    settings
        .build()
        .map_err(|error| place.field(error.field(), error.into()))
}

fn select(workloads: Vec<Workload>, only: &[String]) -> Result<Vec<Workload>, Box<Problem>> {
    if let Some(name) = only
        .iter()
        .find(|name| position(&workloads, name).is_none())
    {
        return Err(Problem::of_file(
            None,
            Fault::UnknownName {
                name: name.clone(),
                known: workloads.into_iter().map(|known| known.name).collect(),
            },
        ));
    }
    let mut selected = workloads;
    selected.retain(|workload| only.is_empty() || only.contains(&workload.name));
    Ok(selected)
}

fn position(workloads: &[Workload], name: &str) -> Option<usize> {
    workloads.iter().position(|workload| workload.name == name)
}

/// Where a workload is in the text, with its fields: what is left of it for messages once it was read.
struct Place<'a> {
    text: &'a str,
    name: String,
    span: Range<usize>,
    /// Each field with where its key and its value are.
    fields: Vec<(String, Range<usize>, Range<usize>)>,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, index: usize, table: &Spanned<DeValue<'_>>) -> Self {
        let entries = table.get_ref().as_table();
        let name = entries
            .and_then(|entries| entries.get("name"))
            .and_then(|name| name.get_ref().as_str())
            .map_or_else(
                || format!("number {}", index + 1),
                // a message is one line
                |name| name.replace(char::is_control, "?"),
            );
        let fields = entries.into_iter().flatten();
        let fields = fields.map(|(key, value)| (key.to_string(), key.span(), value.span()));
        Self {
            text,
            name,
            span: table.span(),
            fields: fields.collect(),
        }
    }

    /// The line of a field, or where the workload begins if it has none of this name. `mix.weight` is where `mix` is.
    fn line(&self, field: &str) -> usize {
        let name = field.split_once('.').map_or(field, |(outer, _)| outer);
        let key = self.fields.iter().find(|(known, ..)| known == name);
        line_of(self.text, key.map_or(&self.span, |(_, key, _)| key))
    }

    /// `fault` is about the field.
    fn field(&self, field: &str, fault: Fault) -> Box<Problem> {
        Box::new(Problem {
            line: Some(self.line(field)),
            workload: Some(self.name.clone()),
            field: Some(field.to_owned()),
            fault,
        })
    }

    /// The parser's complaint, with the field that it is about.
    fn toml(&self, error: &toml::de::Error) -> Box<Problem> {
        let span = error.span().unwrap_or_else(|| self.span.clone());
        let holds = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let field = self.fields.iter().find(|(_, _, value)| holds(value));
        Box::new(Problem {
            line: Some(line_of(self.text, &span)),
            workload: Some(self.name.clone()),
            field: field.map(|(name, ..)| name.clone()),
            fault: Fault::Toml(error.message().to_owned()),
        })
    }
}

/// The number of the line, from 1, in which `span` begins.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.bytes().take(span.start);
    1 + before.filter(|byte| *byte == b'\n').count()
}

fn read_text(file: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    // one byte more than is allowed, so that too long a file is seen
    let mut file = file.take(MAX_FILE_BYTES + 1);
    if file.read_to_string(&mut text)? as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("the file is larger than 1 MiB"));
    }
    Ok(text)
}

/// Bytes of a configuration. Arbitrary: thousands of workloads fit, and a device that never ends is noticed.
const MAX_FILE_BYTES: u64 = 1 << 20;
