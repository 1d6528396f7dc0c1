//! `tautline bus`: its arguments.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Request;
use super::values::{count, seconds};

#[derive(Debug, Subcommand)]
pub(super) enum BusCommand {
    /// All objects, with their sizes, the processes that take part, and what they carry.
    List {
        /// Those of another user, by its number: what they carry is told to its guests alone.
        #[arg(long, value_name = "UID", value_parser = user)]
        user: Option<u32>,
        /// One JSON array instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Who is attached, how much lies in each lane or ring, how fast it goes through, and what was
    /// dropped or lost. Nobody is disturbed.
    Stat(StatArgs),
    /// Print messages as they pass, from the next on, without taking them from anybody.
    #[command(after_help = TAP)]
    Tap(TapArgs),
    /// Clear the seats of users whose processes have ended, as whoever attaches, sends or waits does
    /// too. An object vanishes with its last user, so that there is nothing else to be removed; the
    /// living are not touched.
    Clean {
        /// Which object; `*` stands for any characters [default: all].
        #[arg(value_name = "NAMESPACE/NAME", value_parser = pattern)]
        name: Option<String>,
        /// One JSON array instead of lines.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct StatArgs {
    /// Which object; `*` stands for any characters [default: all].
    #[arg(value_name = "NAMESPACE/NAME", value_parser = pattern)]
    pub(crate) name: Option<String>,
    /// Report again and again, so far apart; a number without a unit is of seconds [default: once].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) every: Option<Duration>,
    /// End after so many reports.
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<u64>,
    /// One JSON array a report.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct TapArgs {
    /// Which object.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = name)]
    pub(crate) name: String,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<u64>,
    /// Print the bytes, whatever they mean.
    #[arg(long)]
    pub(crate) hex: bool,
    /// One JSON object a message.
    #[arg(long)]
    pub(crate) json: bool,
}

const TAP: &str = "\
Each line begins with the lane (the sender's seat; 0 where all share a ring) and the position of the
message. Channels, byte channels, broadcasts of both kinds and requests have messages to tap. What
is overwritten before it can be copied is counted as missed. From a lane whose sender hands over
more than half its capacity at once a message may come out that is not yet sent.";

pub(super) fn request(command: Option<BusCommand>) -> Request {
    match command {
        None => Request::BusList { user: None, json: false },
        Some(BusCommand::List { user, json }) => Request::BusList { user, json },
        Some(BusCommand::Stat(args)) => Request::BusStat(args),
        Some(BusCommand::Tap(args)) => Request::BusTap(args),
        Some(BusCommand::Clean { name, json }) => Request::BusClean { name, json },
    }
}

/// A user, by its number.
fn user(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "write the number of a user, as id -u tells it".to_owned())
}

/// The name of an object of the bus.
fn name(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("only one object can be tapped: write NAMESPACE/NAME without a star".to_owned());
    }
    pattern(text)
}

/// The same, in which stars may stand. In front of another user's stands its number and a colon.
fn pattern(text: &str) -> Result<String, String> {
    let (user, path) = text.split_once(':').map_or((None, text), |(user, path)| (Some(user), path));
    let is_user = user.is_none_or(|user| user.parse::<u32>().is_ok());
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-*/".contains(c);
    // A star stands for the slash too.
    let slashes = path.matches('/').count();
    let is_path = slashes == 1 || slashes == 0 && path.contains('*');
    if !is_user || !is_path || !path.chars().all(allowed) {
        let why = "write NAMESPACE/NAME as tautline bus list shows it; * stands for any characters";
        return Err(why.to_owned());
    }
    Ok(text.to_owned())
}
