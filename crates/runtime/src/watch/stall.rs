//! Names the turn that does not end, while it is blocked.
//!
//! ```text
//! loop's thread                       watcher's thread, every half threshold
//!   turn_begin  ── turn, since ──▶      same turn as last time, and for too long?
//!   dispatch    ── name ──────────▶     │ ask for a snapshot, send a signal
//!   (blocked)   ◀── signal ────────     │
//!   handler     ── addresses ─────▶     └ resolve them, call back
//! ```
//!
//! The thread that is blocked does nothing but write down addresses. Everything that
//! allocates, takes locks or can fail happens on the watcher's thread.

mod beacon;
mod snapshot;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::alternate_stack::AlternateStack;
use crate::time::Instant;
use beacon::{Beacon, Turn};
use snapshot::{Collected, Snapshot, Target};

/// A turn that is blocked right now.
#[derive(Clone, Debug)]
pub struct Stall {
    /// The handler or task that is running; `None` if the turn is between handlers.
    pub handler: Option<&'static str>,
    /// For how long the turn has been running.
    pub blocked: Duration,
    /// The loop's thread.
    pub thread: String,
    /// Where it is, innermost first. Empty if the thread did not answer the signal, as it
    /// does not while it waits in the kernel without being interruptible.
    pub frames: Vec<Frame>,
}

/// One function on a blocked stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The instruction that is to run next in this function.
    pub address: usize,
    /// The function's name, where symbols tell it.
    pub function: Option<String>,
    /// The source file, where debug information tells it.
    pub file: Option<PathBuf>,
    /// The line in it.
    pub line: Option<u32>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handler = self.handler.unwrap_or("no handler");
        write!(f, "thread `{}` is blocked for {:?} in `{handler}`", self.thread, self.blocked)?;
        self.frames.iter().try_for_each(|frame| write!(f, "\n    {frame}"))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => f.write_str(function)?,
            None => write!(f, "{:#x}", self.address)?,
        }
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " at {}:{line}", file.display()),
            _ => Ok(()),
        }
    }
}

/// Watches the thread that made it. Dropping it stops the watcher and waits for it.
///
/// Publishing costs the loop four stores a turn and one a dispatch: 2 ns a turn with one
/// dispatch, measured at 2.6 GHz.
///
/// ```
/// use std::{sync::mpsc, thread, time::Duration};
/// use tautline_runtime::{time::Clock, watch::StallWatch};
/// let (send, reports) = mpsc::channel();
/// let watch = StallWatch::start(Duration::from_millis(10), move |stall| {
///     let _ = send.send(stall.handler);
/// })?;
/// watch.turn_begin(Clock::system().now());
/// watch.dispatch("sleepy");
/// assert_eq!(reports.recv_timeout(Duration::from_secs(10)), Ok(Some("sleepy")));
/// watch.turn_end();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct StallWatch {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
    /// Where the signal's handler runs. Dropped after the watcher has been joined.
    _stack: AlternateStack,
    /// Tied to the thread it watches.
    _not_send: PhantomData<*const ()>,
}

struct Shared {
    beacon: Beacon,
    /// How often the watcher has found a turn under way that it had seen before. Counted by the
    /// watcher, read by the loop; a count that orders nothing else.
    again: AtomicU64,
    snapshot: Snapshot,
    stop: AtomicBool,
}

impl StallWatch {
    /// Watches the calling thread: a turn that lasts longer than `threshold` is given to
    /// `report`, once, on the watcher's thread and while it lasts. It is noticed no later
    /// than half a threshold after.
    ///
    /// The first call in a process takes over `SIGURG`, whose default is to be ignored.
    ///
    /// # Errors
    /// If `SIGURG` has a handler already, if there is no memory for the alternate stack,
    /// or if no thread can be started.
    pub fn start(
        threshold: Duration,
        report: impl Fn(&Stall) + Send + 'static,
    ) -> io::Result<Self> {
        snapshot::install_handler()?;
        let stack = AlternateStack::install()?;
        let shared = Arc::new(Shared {
            beacon: Beacon::default(),
            again: AtomicU64::new(0),
            snapshot: Snapshot::default(),
            stop: AtomicBool::new(false),
        });
        let watcher = Watcher {
            shared: Arc::clone(&shared),
            threshold,
            thread: thread::current().name().unwrap_or("(unnamed)").to_owned(),
            target: Target::this_thread(),
            report: Box::new(report),
            seen: 0,
            reported: 0,
        };
        let handle =
            thread::Builder::new().name("tautline-watch".into()).spawn(move || watcher.run())?;
        snapshot::attach(&shared.snapshot);
        Ok(Self { shared, watcher: Some(handle), _stack: stack, _not_send: PhantomData })
    }

    /// Watches the calling thread and logs stalls as warnings.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_logging(threshold: Duration) -> io::Result<Self> {
        Self::start(threshold, |stall| log::warn!("{stall}"))
    }

    /// A turn begins. `now` is real time on `CLOCK_MONOTONIC`, also where the loop's own
    /// time is virtual.
    #[inline]
    pub fn turn_begin(&self, now: Instant) {
        self.shared.beacon.turn_begin(now);
    }

    /// A handler or task is about to run.
    #[inline]
    pub fn dispatch(&self, name: &'static str) {
        self.shared.beacon.dispatch(name);
    }

    /// Changes while a turn lasts for long: what is dispatched when it does was there when the
    /// turn had taken half a threshold. Anything that takes a whole threshold is seen to change
    /// it, if the watcher has its core.
    #[inline]
    pub(crate) fn seen_again(&self) -> u64 {
        self.shared.again.load(Ordering::Relaxed)
    }

    /// The turn has ended; the loop may sleep as long as it likes.
    #[inline]
    pub fn turn_end(&self) {
        self.shared.beacon.turn_end();
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.thread().unpark();
            // It catches panics of the callback and has none of its own.
            let _ = watcher.join();
        }
        // No signal is sent any more; one that is still pending finds nothing to do.
        snapshot::detach();
    }
}

/// The watcher's thread.
struct Watcher {
    shared: Arc<Shared>,
    threshold: Duration,
    thread: String,
    target: Target,
    report: Box<dyn Fn(&Stall) + Send>,
    /// The turn that was running at the last look.
    seen: u64,
    /// The last turn reported.
    reported: u64,
}

impl Watcher {
    fn run(mut self) {
        let interval = (self.threshold / 2).max(Duration::from_micros(100));
        while !self.stopped() {
            thread::park_timeout(interval);
            self.look();
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn look(&mut self) {
        let Some(turn) = self.shared.beacon.look() else {
            return;
        };
        let same = std::mem::replace(&mut self.seen, turn.number) == turn.number;
        if same {
            self.shared.again.fetch_add(1, Ordering::Relaxed);
        }
        let blocked = now().saturating_since(turn.since);
        if same && self.reported != turn.number && blocked >= self.threshold {
            self.reported = turn.number;
            self.tell(turn, blocked);
        }
    }

    fn tell(&self, turn: Turn, blocked: Duration) {
        let collected = self.shared.snapshot.take(self.target, || self.stopped());
        if self.shared.beacon.look().is_none_or(|later| later.number != turn.number) {
            // It has just ended: the addresses would tell of another turn.
            return;
        }
        let frames = collected.map(resolve).unwrap_or_default();
        let stall = Stall { handler: turn.handler, blocked, thread: self.thread.clone(), frames };
        if catch_unwind(AssertUnwindSafe(|| (self.report)(&stall))).is_err() {
            log::error!("the callback for stalls panicked on: {stall}");
        }
    }
}

fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Names for addresses: inlined functions get a frame each.
fn resolve(collected: Collected) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (depth, &address) in collected.addresses().iter().enumerate() {
        let before = frames.len();
        // Resolving takes an address for one that a call returns to, and looks just
        // before it. The innermost is no such address.
        let sought = if depth == 0 { address + 1 } else { address };
        backtrace::resolve(sought as *mut _, |symbol| {
            frames.push(Frame {
                address,
                function: symbol.name().map(|name| format!("{name:#}")),
                file: symbol.filename().map(Into::into),
                line: symbol.lineno(),
            });
        });
        if frames.len() == before {
            frames.push(Frame { address, function: None, file: None, line: None });
        }
    }
    frames
}

#[cfg(test)]
mod tests;
