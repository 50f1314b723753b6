// SPDX-License-Identifier: Apache-2.0

//! Where results go besides the terminal: JSON and plots.
//!
//! The one rule: two workloads never write to the same file.

use clap::Args;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The options for results.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Writes the results as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<JsonTo>,
    /// Plots each workload; several get a number and their name before .svg
    #[arg(long, value_name = "FILE.svg", value_parser = svg_path)]
    plot: Option<PathBuf>,
    /// Prints more about each workload
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,
    /// Prints nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// Where the results of a run go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// Where records go as JSON.
    pub json: Option<JsonTo>,
    /// The file of a plot, which ends in `.svg`. See [`plot_path`].
    pub plot: Option<PathBuf>,
    /// How much is printed.
    pub detail: Detail,
}

impl From<OutputArgs> for Outputs {
    fn from(args: OutputArgs) -> Self {
        Self {
            json: args.json,
            plot: args.plot,
            detail: match (args.verbose, args.quiet) {
                (true, _) => Detail::Verbose,
                (_, true) => Detail::Quiet,
                _ => Detail::Normal,
            },
        }
    }
}

/// An empty text in place of a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a file name, or - for standard output")]
pub struct NoFileName;

/// Where JSON goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonTo {
    /// Standard output, on which nothing else may be written then.
    Stdout,
    /// A file, which is replaced.
    File(PathBuf),
}

impl FromStr for JsonTo {
    type Err = NoFileName;

    fn from_str(text: &str) -> Result<Self, NoFileName> {
        match text {
            "" => Err(NoFileName),
            "-" => Ok(Self::Stdout),
            path => Ok(Self::File(path.into())),
        }
    }
}

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Errors only.
    Quiet,
    /// The table.
    Normal,
    /// The table, and more about each workload.
    Verbose,
}

/// The file for the plot of one of `count` workloads: `path` itself if it is the only one, otherwise with the workload's number
/// and name before the extension. `index` counts from 0, the number from 1.
///
/// `out.svg` becomes `out-2-upload-10-x-100-mb.svg`. Numbers have the same width, so that files sort in the order of
/// the workloads.
#[must_use]
pub fn plot_path(path: &Path, index: usize, count: usize, name: &str) -> PathBuf {
    if count <= 1 {
        return path.to_owned();
    }
    let width = count.to_string().len();
    let mut file = OsString::from(path.file_stem().unwrap_or_default());
    file.push(format!("-{:0width$}", index + 1));
    let words = words(name);
    if !words.is_empty() {
        file.push(format!("-{words}"));
    }
    if let Some(extension) = path.extension() {
        file.push(".");
        file.push(extension);
    }
    path.with_file_name(file)
}

/// The letters and digits of a name in lower case, with one `-` for whatever is between them, so that any name makes a file name.
fn words(name: &str) -> String {
    let words = name
        .split(|char: char| !char.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase);
    words.collect::<Vec<_>>().join("-")
}

fn svg_path(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("svg") => Ok(path),
        _ => Err("expected a file name that ends in .svg"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(path: &str, index: usize, count: usize, name: &str) -> String {
        let path = plot_path(Path::new(path), index, count, name);
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_only_plot_has_the_name_that_was_asked_for() {
        assert_eq!(path_of("a/b.svg", 0, 1, "upload"), "a/b.svg");
    }

    #[test]
    fn several_plots_have_number_and_name_before_the_extension() {
        let name = "upload 10 x 100 MB";
        assert_eq!(
            path_of("a/b.svg", 1, 3, name),
            "a/b-2-upload-10-x-100-mb.svg"
        );
        assert_eq!(path_of("b.c.SVG", 0, 12, "rpc"), "b.c-01-rpc.SVG");
        assert_eq!(path_of("b.svg", 11, 12, "rpc"), "b-12-rpc.svg");
    }

    #[test]
    fn no_name_leaves_the_folder_or_the_alphabet() {
        for (name, expected) in [
            ("../../etc/passwd", "a/b-1-etc-passwd.svg"),
            ("rpc x 1, 1 KiB / 1 KiB", "a/b-1-rpc-x-1-1-kib-1-kib.svg"),
            ("größe\0", "a/b-1-gr-e.svg"),
            ("***", "a/b-1.svg"),
            ("", "a/b-1.svg"),
        ] {
            assert_eq!(path_of("a/b.svg", 0, 2, name), expected);
        }
    }

    #[test]
    fn names_that_are_written_alike_still_differ() {
        let [one, two] =
            [(0, "a b"), (1, "a-b")].map(|(index, name)| path_of("p.svg", index, 2, name));
        assert_ne!(one, two);
    }

    #[test]
    fn a_plot_is_an_svg_file() {
        assert_eq!(svg_path("a.svg"), Ok("a.svg".into()));
        for path in ["a.png", "svg", ".svg", "a", "a/.svg", "a.svg/b", ""] {
            svg_path(path).unwrap_err();
        }
    }

    #[test]
    fn a_dash_is_standard_output() {
        assert_eq!("-".parse(), Ok(JsonTo::Stdout));
        assert_eq!("./-".parse(), Ok(JsonTo::File("./-".into())));
        assert_eq!("".parse::<JsonTo>(), Err(NoFileName));
    }
}
