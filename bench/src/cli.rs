//! The command line: one benchmark name and three options.

use std::path::PathBuf;

use clap::{Parser, error::ErrorKind};

use crate::{BENCHES, Bench, harness::Group};

/// Side-by-side benchmarks of Tautline against named peers and the physical limit.
#[derive(Parser, Default)]
#[command(name = "bench")]
struct Arguments {
    /// Which benchmark to run.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print one JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// Draw the rows as an SVG file.
    #[arg(long, value_name = "F.svg")]
    plot: Option<PathBuf>,
    /// Fewer and shorter rounds: the run ends within 40 seconds.
    #[arg(long)]
    quick: bool,
    /// Only this row's group (named by one of its rows), to profile it.
    #[arg(long, value_name = "ROW")]
    row: Option<String>,
    /// Only these contenders, separated by commas, to profile them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
}

/// What the user asked for.
pub(crate) struct Options {
    /// The benchmark to run.
    pub(crate) bench: &'static Bench,
    /// Whether one JSON object follows the table.
    pub(crate) json: bool,
    /// Where the plot goes.
    pub(crate) plot: Option<PathBuf>,
    /// Whether the run must end within 40 seconds.
    pub(crate) quick: bool,
    /// Only the group with this row.
    pub(crate) row: Option<String>,
    /// Only these contenders; empty: all.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// Leaves out what was not asked for.
    ///
    /// # Errors
    /// Nothing is left.
    pub(crate) fn select(&self, groups: &mut Vec<Group>) -> Result<(), String> {
        if let Some(row) = &self.row {
            groups.retain(|group| group.metrics.iter().any(|metric| &metric.name == row));
        }
        if !self.only.is_empty() {
            for group in &mut *groups {
                group.contenders.retain(|contender| self.only.iter().any(|n| n == contender.name));
            }
            groups.retain(|group| !group.contenders.is_empty());
        }
        match groups.is_empty() {
            true => Err("nothing is left to measure: see the rows and names of a full run".into()),
            false => Ok(()),
        }
    }
}

/// Reads the process arguments. `Ok(None)`: help was asked for and printed.
///
/// # Errors
/// One line that names the wrong argument and lists the known benchmarks.
pub(crate) fn parse() -> Result<Option<Options>, String> {
    match Arguments::try_parse() {
        Ok(arguments) => resolve(arguments).map(Some),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            print!("{error}\nBenchmarks: {}\n", names());
            Ok(None)
        }
        Err(error) => Err(one_line(&error)),
    }
}

fn resolve(arguments: Arguments) -> Result<Options, String> {
    let Some(name) = arguments.name else {
        return Err(format!("name a benchmark: {}", names()));
    };
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        return Err(format!("no benchmark is called '{name}'; choose one of: {}", names()));
    };
    let Arguments { json, plot, quick, row, only, .. } = arguments;
    Ok(Options { bench, json, plot, quick, row, only })
}

fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let cause = first.strip_prefix("error: ").unwrap_or(first);
    format!(
        "{cause}; usage: bench NAME [--json] [--plot F.svg] [--quick], NAME is one of: {}",
        names()
    )
}

fn names() -> String {
    BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An unknown name is answered in one line that names it and lists every benchmark.
    #[test]
    fn unknown_names_are_answered_with_the_known_ones() {
        let arguments = Arguments { name: Some("nope".into()), ..Arguments::default() };
        let message = resolve(arguments).err().unwrap_or_default();
        assert!(message.contains("'nope'"), "{message}");
        assert!(BENCHES.iter().all(|bench| message.contains(bench.name)), "{message}");
        assert_eq!(message.lines().count(), 1);
    }

    /// A wrong option becomes one line too.
    #[test]
    fn unknown_options_are_answered_in_one_line() {
        let error = Arguments::try_parse_from(["bench", "echo-rtt", "--fast"]).err();
        let message = error.map(|error| one_line(&error)).unwrap_or_default();
        assert!(message.contains("--fast") && message.contains("echo-rtt"), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
}
