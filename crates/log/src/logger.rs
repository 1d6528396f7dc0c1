//! Setting the log up, and putting it away.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Once;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use tautline_bus::record::{self, Clock};
use thiserror::Error;

use crate::Level;
use crate::agent::Agent;
use crate::core::{self, Core, DirectoryError, Parts, Unflushed};
use crate::directory::Directory;
use crate::filter::Filter;
use crate::output;
use crate::pen;
use crate::sink::{Console, Sink};
use crate::site::{open_gate, shut_gate};
use crate::sync::{Arc, Mutex, lock};
use crate::tally::Tally;
use crate::timeline::Timeline;

/// What a thread does whose ring is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// It waits for room: no line is lost.
    #[default]
    Block,
    /// It gives the line up. How many were is told in the log, for each thread.
    Drop,
}

/// What a logger is made of.
pub struct Config {
    /// Which lines are wanted.
    pub filter: Filter,
    /// Bytes of the ring of each thread: rounded up to a power of two, and to whole pages. A line
    /// takes 24 bytes, 8 for each argument and each 16 arguments, and its texts.
    pub ring_bytes: usize,
    /// Bytes of the longest line in a ring, at least [`SHORTEST_LIMIT`]: what is longer is cut, and
    /// marked. At most half the ring, less 8 bytes.
    pub longest: usize,
    /// What a thread does whose ring is full.
    pub full: Full,
    /// The most threads that have rings at a time. Lines of more are dropped, which the log tells.
    pub threads: usize,
    /// A folder for files under the rings. What was written is then found by [`recover`] after the
    /// process was killed. Several processes may have the same.
    ///
    /// A run has a folder in there for itself, and removes it when the guard is dropped and all
    /// lines were written. Writing to a mapped file costs more than to memory when the system writes
    /// it to a disk meanwhile: on `tmpfs`, as `/dev/shm` is, it does not.
    ///
    /// [`recover`]: crate::recover()
    pub directory: Option<PathBuf>,
    /// Of runs that were killed, so many of the youngest are kept in the directory.
    pub keep: usize,
    /// Where lines go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// The core on which the log's own thread runs.
    pub core: Option<usize>,
    /// How long the log's own thread sleeps when there is nothing to do; up to eight times as long
    /// when nothing has come for a long time.
    pub poll: Duration,
}

/// The least that [`Config::longest`] may be: room for all arguments that are not texts.
pub const SHORTEST_LIMIT: usize = 1024;

impl Default for Config {
    /// Lines of `info` and above are written to standard error. Each of at most 1024 threads has a
    /// ring of 256 KiB, for lines of up to 4 KiB; a thread whose ring is full waits for room. There is
    /// no directory. The log's own thread looks for lines every 2 ms.
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            ring_bytes: 256 << 10,
            longest: 4096,
            full: Full::Block,
            threads: 1024,
            directory: None,
            keep: 8,
            sinks: vec![Box::new(Console::stderr())],
            core: None,
            poll: Duration::from_millis(2),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("filter", &self.filter)
            .field("ring_bytes", &self.ring_bytes)
            .field("longest", &self.longest)
            .field("full", &self.full)
            .field("directory", &self.directory)
            .field("sinks", &self.sinks.len())
            .finish_non_exhaustive()
    }
}

/// Why the log did not start. The text has the cause in it; [`source`](std::error::Error::source) does
/// not repeat it.
#[derive(Debug, Error)]
pub enum StartError {
    /// One runs in this process.
    #[error("a log runs in this process already: drop its guard first")]
    Running,
    /// The longest line is too short for a line without texts.
    #[error("lines of {0} bytes have no room for their arguments: allow at least {SHORTEST_LIMIT}")]
    Longest(usize),
    /// The rings cannot be made: there is no room for one, or the file system of the directory
    /// cannot give it ahead of time.
    #[error(
        "no ring can be made: {0}; take a smaller `ring_bytes`, make room, or name a directory on \
         another file system"
    )]
    Ring(record::MakeError),
    /// The rings are too small for the longest line.
    #[error(
        "rings of {ring_bytes} bytes are too small for lines of {longest}: take `ring_bytes` of more \
         than twice that, or a smaller `longest`"
    )]
    RingBytes {
        /// What [`Config::ring_bytes`] says.
        ring_bytes: usize,
        /// What [`Config::longest`] says.
        longest: usize,
    },
    /// The directory cannot be used.
    #[error("cannot use the directory {path} for the rings: {cause}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The thread cannot be made.
    #[error("cannot make the log's own thread: {0}")]
    Thread(io::Error),
    /// The thread cannot run on the core.
    #[error("cannot run on core {core} ({cause}): name one that this process may use")]
    Core {
        /// The core.
        core: usize,
        /// What the system says.
        cause: io::Error,
    },
}

/// Why it is not sure that all lines are out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FlushError {
    /// It took too long: a sink hangs, is slow, or cannot write.
    #[error("not all lines are out in time: a sink hangs, is slow, or cannot write")]
    TimedOut,
    /// No log runs, or its thread has ended, for all its sinks have panicked.
    #[error("no log runs that could be flushed")]
    NotRunning,
    /// This is the thread that would do it.
    #[error("a sink cannot wait for itself")]
    WithinSink,
}

/// The log of a process. See [`start`](Self::start).
#[derive(Debug)]
pub struct Logger;

impl Logger {
    /// Starts the log: from now on the macros write lines, until the guard is dropped. There is one
    /// in a process at a time. Takes some milliseconds, in which the clocks are compared.
    ///
    /// A child that is made by a bare `fork` has no log: lines that it writes go nowhere, until it
    /// starts one of its own.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// ```
    /// use tautline_log::{Config, Logger, info};
    /// let guard = Logger::start(Config::default())?;
    /// info!("{} of {}", 1, 2);
    /// drop(guard); // all lines are out
    /// # Ok::<(), tautline_log::StartError>(())
    /// ```
    pub fn start(config: Config) -> Result<Guard, StartError> {
        let rings = record::Config {
            capacity: config.ring_bytes,
            longest: config.longest,
            ..record::Config::default()
        };
        if config.longest < SHORTEST_LIMIT {
            return Err(StartError::Longest(config.longest));
        }
        let clock = Clock::new();
        let timeline = Timeline::begin(clock);
        let Config { filter, full, threads, directory, keep, sinks, core: cpu, poll, .. } = config;
        let lowest = filter.lowest();
        let core = core::install(|| {
            let create = |parent: PathBuf| Directory::create(&parent, keep, timeline);
            let directory = directory.map(create).transpose()?;
            Ok(Parts { filter, full, rings, threads, clock, directory })
        })
        .map_err(|error: Option<DirectoryError>| error.map_or(StartError::Running, Into::into))?;
        let agent = Agent::new(core.clone(), timeline, poll, sinks);
        // From here on the guard puts everything away.
        let mut guard = Guard { core: core.clone(), thread: None, changing: Mutex::new(()) };
        // What could not be made for the first line is told now.
        core.prepare().map_err(|error| match error {
            record::MakeError::TooLong { .. } => {
                StartError::RingBytes { ring_bytes: rings.capacity, longest: rings.longest }
            }
            error => StartError::Ring(error),
        })?;
        let thread = run(agent, cpu)?;
        core.set_agent(thread.thread().clone());
        guard.thread = Some(thread);
        flush_on_panic();
        flush_at_exit();
        open_gate(core.generation, lowest);
        tell_others(lowest);
        Ok(guard)
    }
}

impl From<DirectoryError> for StartError {
    fn from(DirectoryError { path, source }: DirectoryError) -> Self {
        Self::Directory { path, cause: source }
    }
}

/// Tells the crates whose lines come here too which level is the lowest that is wanted.
fn tell_others(#[allow(unused_variables, reason = "there may be none")] lowest: Option<Level>) {
    #[cfg(feature = "log")]
    crate::facade::follow(lowest);
    #[cfg(feature = "tracing")]
    crate::tracing::follow(lowest);
}

/// Starts the thread, on that core if one is named.
fn run(agent: Agent, cpu: Option<usize>) -> Result<JoinHandle<bool>, StartError> {
    let (tell, told) = mpsc::channel();
    let body = move || {
        let placed = cpu.map_or(Ok(()), run_on);
        let begun = placed.is_ok();
        // Whoever asked is still there.
        drop(tell.send(placed));
        !begun || agent.run()
    };
    let name = crate::output::OWN_THREAD.to_owned();
    let thread = thread::Builder::new().name(name).spawn(body).map_err(StartError::Thread)?;
    match told.recv() {
        Ok(Err(cause)) => Err(StartError::Core { core: cpu.unwrap_or_default(), cause }),
        _ => Ok(thread),
    }
}

fn run_on(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// How long a panic waits for the sinks.
const PANIC_PATIENCE: Duration = Duration::from_secs(1);
/// How long [`flush`] waits for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets the lines before a panic out before it goes on, whatever becomes of the process.
fn flush_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            // There is nobody to tell, and nothing to be done.
            flush_within(PANIC_PATIENCE).ok();
        }));
    });
}

/// How long an exit waits for them.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// Lets the lines before an exit out that drops no guard.
fn flush_at_exit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = record::at_exit(at_exit) {
            output::say(format_args!("an exit will not flush the log: {error}"));
        }
    });
}

extern "C" fn at_exit() {
    // In a child made by `fork` there is none.
    if !pen::is_silent()
        && let Some(core) = core::current_core()
    {
        let flushed =
            if core.hangs() { Err(Unflushed::TimedOut) } else { core.flush(EXIT_PATIENCE) };
        // If the log ends meanwhile, its own thread tells.
        if flushed != Err(Unflushed::Ended) {
            core.tell_rest(flushed.is_ok());
        }
    }
}

/// Waits until all lines that this thread has written so far are out of the hands of the sinks; for
/// 10 seconds at most. While a sink cannot write, as when a disk is full, it does not succeed.
///
/// It happens by itself when the guard is dropped, when a thread panics, and in
/// [`std::process::exit`], for two seconds at most.
///
/// # Errors
/// [`FlushError`].
///
/// ```
/// use tautline_log::{Config, Logger, flush, info};
/// let _guard = Logger::start(Config::default())?;
/// info!("about to do something daring");
/// flush()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn flush() -> Result<(), FlushError> {
    flush_within(PATIENCE)
}

/// The same, for `limit` at most: for programs that end whether or not somebody reads what they say.
///
/// # Errors
/// [`FlushError`].
///
/// ```
/// use std::time::{Duration, Instant};
/// use tautline_log::{Config, FlushError, Logger, flush_within, info};
/// let guard = Logger::start(Config::default())?;
/// info!("the last word");
/// if flush_within(Duration::from_secs(2)) == Err(FlushError::TimedOut) {
///     std::mem::forget(guard); // it would wait for the sinks; an exit then does not
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn flush_within(limit: Duration) -> Result<(), FlushError> {
    if pen::is_silent() {
        return Err(FlushError::WithinSink);
    }
    let core = core::current_core().ok_or(FlushError::NotRunning)?;
    core.flush(limit).map_err(|error| match error {
        Unflushed::TimedOut => FlushError::TimedOut,
        Unflushed::Ended => FlushError::NotRunning,
    })
}

/// Keeps the log running. When it is dropped, all lines that were written before go out, and the log
/// ends: what is written after that goes nowhere.
///
/// Sinks that cannot write then have two seconds more, and one of which no call returns for five
/// seconds is left behind, with the log's own thread. How many lines were not written is told on
/// standard error, and the folder of the run stays, as after a kill.
#[must_use = "the log ends when the guard is dropped"]
#[derive(Debug)]
pub struct Guard {
    core: Arc<Core>,
    /// Says whether all lines got out.
    thread: Option<JoinHandle<bool>>,
    /// Held while the filter is changed.
    changing: Mutex<()>,
}

impl Guard {
    /// Wants other lines from now on, of all threads; also those of the crates `log` and `tracing`.
    /// Who is just writing a line may still go by the filter before.
    ///
    /// ```
    /// use tautline_log::{Config, Level, Logger, debug};
    /// let guard = Logger::start(Config::default())?;
    /// debug!("is not wanted");
    /// guard.set_filter("warn,orders=debug".parse()?);
    /// debug!(target: "orders", "is");
    /// guard.set_filter(Level::Debug.into());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_filter(&self, filter: Filter) {
        let turn = lock(&self.changing);
        if self.core.is_alive() {
            let lowest = filter.lowest();
            self.core.set_filter(filter);
            open_gate(self.core.generation, lowest);
            tell_others(lowest);
        }
        drop(turn);
    }

    /// The folder of this run, if there is a directory.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.core.directory.as_ref().map(Directory::path)
    }
}

/// How long the end waits for a call of a sink.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Waits for the log's own thread to end, for as long as the sinks get on.
fn has_ended(thread: &JoinHandle<bool>, tally: &Tally) -> bool {
    let (mut calls, mut until) = (tally.calls(), Instant::now() + END_PATIENCE);
    let mut pause = Duration::from_micros(20);
    while !thread.is_finished() {
        if tally.calls() != calls {
            (calls, until) = (tally.calls(), Instant::now() + END_PATIENCE);
        }
        if Instant::now() > until {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(2));
    }
    true
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.core.is_forked() {
            // The thread and the files are the parent's.
            std::mem::forget(self.thread.take());
            return;
        }
        shut_gate();
        tell_others(None);
        pen::put_late_away();
        self.core.stop();
        let in_peace = self.thread.take().is_none_or(|thread| {
            if has_ended(&thread, &self.core.tally) {
                return thread.join().is_ok_and(|out| out);
            }
            self.core.tell_rest(false);
            false
        });
        self.core.end();
        if let Some(directory) = &self.core.directory
            && in_peace
            && let Err(error) = directory.remove()
        {
            let path = directory.path().display();
            output::say(format_args!("cannot remove the folder {path} of this run: {error}"));
        }
    }
}
