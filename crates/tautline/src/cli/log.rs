//! `tautline log`: its arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Print the lines that are left in the directory of a log, the oldest first, run after run.
    /// Nothing is changed, and the program that wrote them may still run.
    #[command(after_help = RECOVER)]
    Recover(RecoverArgs),
}

const RECOVER: &str = "\
Where the directory has several runs, a heading names each. With --json the keys run, pid and waiting
say of which run a line is, and whether the log's sinks had not written it.

Exit codes: 0 all was read (lines that were dropped are counted on standard error), 1 a part of it is
damaged, or cannot be read, which standard error names, 2 the command line cannot be understood.";

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct RecoverArgs {
    /// The directory that the log was configured with, or that of one run in it.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Only lines that the log's sinks had not written.
    #[arg(long)]
    pub(crate) waiting: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}
