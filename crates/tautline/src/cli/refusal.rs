//! Why there is no request, in one line.

use clap::error::{ContextKind, ErrorKind};

use super::values::quoted;

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Help or version was asked for: print this on standard output and succeed.
    Told(String),
    /// Bad input: print this line on standard error and exit with code 2.
    Wrong(String),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            // As of `tautline log`, which is no command alone.
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Self::Told(error.to_string()),
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => Self::Wrong(bad_value(&error)),
            ErrorKind::MissingRequiredArgument => {
                let (missing, command) = (context(&error), command(&error));
                Self::Wrong(format!("missing {missing}; see {command} --help"))
            }
            _ => Self::Wrong(first_line(&error)),
        }
    }
}

/// The command that the error is about: what stands before the arguments where it says how the command
/// is used.
fn command(error: &clap::Error) -> String {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let words = usage.split_whitespace().skip_while(|word| *word != "tautline");
    let words: Vec<_> = words.take_while(|word| !word.starts_with(['<', '[', '-'])).collect();
    words.join(" ")
}

fn bad_value(error: &clap::Error) -> String {
    let whole = context(error);
    let (argument, value) = whole.split_once(' ').unwrap_or((&whole, "a value"));
    let Some(cause) = std::error::Error::source(error) else {
        return format!("{argument}: nothing stands behind it: write {value}");
    };
    let cause = cause.to_string();
    // An argument may be given more than once: which one is meant has to show.
    match error.get(ContextKind::InvalidValue).map(|value| value.to_string()) {
        Some(value) if !cause.contains(&format!("{value:?}")) => {
            format!("{argument}: {}: {cause}", quoted(&value))
        }
        _ => format!("{argument}: {cause}"),
    }
}

/// The arguments that the error is about.
fn context(error: &clap::Error) -> String {
    error.get(ContextKind::InvalidArg).map(|arg| arg.to_string()).unwrap_or_default()
}

/// The first line of clap's message, and where to read on.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let command = match command(error) {
        unknown if unknown.is_empty() => "tautline".to_owned(),
        command => command,
    };
    format!("{line}; see {command} --help")
}
