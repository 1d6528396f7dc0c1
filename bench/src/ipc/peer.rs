//! The second process: this program once more, told by its environment what to do.

use std::{
    env, io,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal, set_parent_process_death_signal},
};

use super::way::Pass;
use crate::harness::{
    Failure,
    sys::{UNDER_TEST, pin},
};

/// What it plays: the row and the contender, as `row/name`.
const PART: &str = "TAUTLINE_BENCH_PART";
/// What the first process has passed to it.
const PASS: &str = "TAUTLINE_BENCH_PASS";
/// How long the first process waits for a word of it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The second process, which ends with this at the latest.
pub(super) struct Peer {
    child: Child,
    words: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it, and waits until it is there.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(part: &str, pass: &Pass) -> Result<Self, Failure> {
        let mut child = Command::new(env::current_exe()?)
            .env(PART, part)
            .env(PASS, &pass.text)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let words = child.stdout.take().ok_or_else(|| io::Error::other("no pipe to it"))?;
        let mut peer = Self { child, words: BufReader::new(words) };
        peer.words::<0>()?;
        Ok(peer)
    }

    /// The next line that it says: so many numbers.
    ///
    /// # Errors
    /// It has ended, or says nothing, or something else.
    pub(super) fn words<const N: usize>(&mut self) -> Result<[u64; N], Failure> {
        let Some(line) = self.line()? else {
            return Err(io::Error::other("the second process has ended").into());
        };
        let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>();
        let numbers = numbers.map_err(|_| io::Error::other(format!("it says: {line}")))?;
        numbers.try_into().map_err(|_| io::Error::other(format!("it says: {line}")).into())
    }

    /// Waits until it has ended by itself, with all that it must put away.
    ///
    /// # Errors
    /// It does not, or says something instead.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        match self.line()? {
            None => Ok(()),
            Some(line) => Err(io::Error::other(format!("it says: {line}")).into()),
        }
    }

    /// The next line that it says; `None`: it has ended.
    fn line(&mut self) -> Result<Option<String>, Failure> {
        let limit = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        // A line comes as a whole, so that none is left in the buffer.
        let ready = poll(&mut [PollFd::new(self.words.get_ref(), PollFlags::IN)], Some(&limit));
        if ready.map_err(io::Error::from)? == 0 {
            return Err(Failure::Stalled(PATIENCE));
        }
        let mut line = String::new();
        let count = self.words.read_line(&mut line)?;
        Ok((count > 0).then_some(line))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Plays a part, if this is a second process.
pub(super) fn play(play: impl FnOnce(&str, &Pass) -> Result<(), Failure>) -> Option<ExitCode> {
    let (part, text) = (env::var(PART).ok()?, env::var(PASS).ok()?);
    let played = || -> Result<(), Failure> {
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)?;
        pin(UNDER_TEST)?;
        play(&part, &Pass::told(text))
    };
    Some(match played() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // In one line, which the first process shows.
            say(&format!("{part}: {failure}"));
            ExitCode::FAILURE
        }
    })
}

/// Says a line to the first process.
pub(super) fn say(line: &str) {
    // If that is gone there is nobody to be told.
    _ = writeln!(io::stdout(), "{line}");
}
