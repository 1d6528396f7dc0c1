//! What the threads that write, the thread that reads and the logger's owner have in common.

use std::io;
use std::path::PathBuf;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::param::page_size;
use tautline_bus::record::{self, Clock, MakeError, Reader, Writer};

use crate::directory::Directory;
use crate::filter::Filter;
use crate::logger::Full;
use crate::output;
use crate::pen::Pen;
use crate::record::{self as layout, THREAD};
use crate::site::{self, Pass, Site};
use crate::sync::{Arc, ArcSwap, AtomicBool, AtomicU32, AtomicU64, Condvar, Mutex, Ordering, lock};
use crate::tally::Tally;

/// The logger that runs, or ran last.
static CORE: Mutex<Option<Arc<Core>>> = Mutex::new(None);

/// The process that it is of. Looked at before the lock: in a child made by `fork`, whoever held that
/// may not be there to let go of it.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// A wait without end is made of such.
const LONG: Duration = Duration::from_secs(3600);

/// Idle rings that are kept for threads to come.
const IDLE: usize = 64;

/// A logger.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) generation: u64,
    /// The process that it was made in: in a child made by `fork`, nobody reads.
    process: u32,
    /// Threads that write look at it, whether or not it is just being changed.
    filter: ArcSwap<Filter>,
    full: Full,
    rings: record::Config,
    /// The most rings.
    threads: usize,
    clock: Clock,
    pub(crate) directory: Option<Directory>,
    pub(crate) tally: Arc<Tally>,
    inbox: Mutex<Inbox>,
    /// Lines that no ring took.
    lost: AtomicU64,
    /// Whether making a ring has failed, which is told once.
    refused: AtomicBool,
    /// The thread that reads.
    agent: Mutex<Option<Thread>>,
    /// Whether that thread reads.
    alive: AtomicBool,
    stopping: AtomicBool,
    flush: Mutex<Flush>,
    flushed: Condvar,
}

/// What the agent has not seen yet, and what it gave back.
#[derive(Debug, Default)]
struct Inbox {
    new: Vec<Ring>,
    idle: Vec<Unused>,
    /// Rings that there are.
    count: usize,
    /// The number of the next.
    next: usize,
}

/// A ring that no thread writes to: its writer, its number, and where it goes on.
type Unused = (Writer, usize, u64);

/// The reading end of a ring, and its number.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) reader: Reader,
    pub(crate) number: usize,
}

/// Flushes are counted: how many were asked for, how many are done.
#[derive(Debug, Default)]
struct Flush {
    asked: u64,
    done: u64,
    /// The last one that was not done in its time.
    missed: u64,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) filter: Filter,
    pub(crate) full: Full,
    pub(crate) rings: record::Config,
    pub(crate) threads: usize,
    pub(crate) clock: Clock,
    pub(crate) directory: Option<Directory>,
}

/// Makes a core the one that runs, unless one runs.
///
/// # Errors
/// What `parts` fails with; `None` if one runs.
pub(crate) fn install<E>(parts: impl FnOnce() -> Result<Parts, E>) -> Result<Arc<Core>, Option<E>> {
    let mut current = lock(&CORE);
    if current.as_ref().is_some_and(|core| !core.is_stopping() && !core.is_forked()) {
        return Err(None);
    }
    let core = Arc::new(Core::new(site::generation() + 1, parts()?));
    site::meet_again(
        |site| core.wants(site),
        |number, site| {
            if let Some(directory) = &core.directory {
                directory.site(number, site);
            }
        },
    );
    *current = Some(core.clone());
    // Relaxed, here and below: what it says of is behind the lock.
    PROCESS.store(core.process, Ordering::Relaxed);
    Ok(core)
}

/// The logger that runs, or ran last, if it is of this process.
fn latest() -> Option<Arc<Core>> {
    let is_here = PROCESS.load(Ordering::Relaxed) == std::process::id();
    is_here.then(|| lock(&CORE).clone())?
}

/// The core that a line goes to which has passed, if it is still there.
fn current(pass: Pass) -> Option<Arc<Core>> {
    latest().filter(|core| core.generation == pass.0 && core.is_alive())
}

/// What lets a line through, if a logger runs.
pub(crate) fn running() -> Option<Pass> {
    let core = latest()?;
    core.is_alive().then_some(Pass(core.generation))
}

/// The logger that runs, if one does.
pub(crate) fn current_core() -> Option<Arc<Core>> {
    running().and_then(current)
}

/// Counts a line that no ring takes, if the logger wants it.
pub(crate) fn lose_one(pass: Pass, wanted: impl FnOnce(&Core) -> bool) {
    if let Some(core) = current(pass)
        && wanted(&core)
    {
        core.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gets a pen for this thread, or for all that bear that name, if there is a ring for it.
pub(crate) fn attach(pass: Pass, name: Option<&str>) -> Option<Pen> {
    current(pass)?.pen(name.map_or_else(thread_name, str::to_owned))
}

impl Core {
    fn new(generation: u64, parts: Parts) -> Self {
        let Parts { filter, full, rings, threads, clock, directory } = parts;
        Self {
            generation,
            process: std::process::id(),
            filter: ArcSwap::from_pointee(filter),
            full,
            rings,
            threads,
            clock,
            directory,
            tally: Arc::default(),
            inbox: Mutex::default(),
            lost: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            agent: Mutex::new(None),
            alive: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            flush: Mutex::default(),
            flushed: Condvar::new(),
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    #[cfg(any(feature = "log", feature = "tracing"))]
    pub(crate) fn lowest(&self) -> Option<crate::Level> {
        self.filter.load().lowest()
    }

    /// Whether lines of that target and level are wanted.
    #[cfg(any(feature = "log", feature = "tracing"))]
    pub(crate) fn passes(&self, target: &str, level: crate::Level) -> bool {
        self.filter.load().passes(target, level)
    }

    /// From now on other lines are wanted.
    pub(crate) fn set_filter(&self, filter: Filter) {
        self.filter.store(Arc::new(filter));
        site::meet_again(|site| self.wants(site), |_, _| ());
    }

    pub(crate) fn wants(&self, site: &Site) -> bool {
        self.filter.load().passes(site.target(), site.level())
    }

    /// Gives a site its number, unless this log has ended: a late line of it must not decide for
    /// the next one.
    pub(crate) fn meet(&self, site: &'static Site) {
        site::meet(
            site,
            |site| (!self.is_stopping()).then(|| self.wants(site)),
            |number, site| {
                if let Some(directory) = &self.directory {
                    directory.site(number, site);
                }
            },
        );
    }

    // -------------------------------------------------------------------------------- rings

    fn pen(self: Arc<Self>, thread: String) -> Option<Pen> {
        let (writer, number, position) = self.ring()?;
        if let Some(directory) = &self.directory {
            // As it is rounded up.
            let capacity = self.rings.capacity.next_power_of_two().max(page_size());
            directory.thread(number, capacity as u64, position, &thread);
        }
        let mut pen = Pen::new(self.generation, writer, self.clock, self);
        pen.put(layout::HEAD + thread.len(), |record, ticks| {
            layout::put_head(record, ticks, THREAD, 0, 0);
            let name = &mut record[layout::HEAD..];
            let len = thread.floor_char_boundary(name.len());
            name[..len].copy_from_slice(&thread.as_bytes()[..len]);
            layout::HEAD + len
        });
        Some(pen)
    }

    /// An idle ring, or a new one.
    fn ring(&self) -> Option<Unused> {
        let mut inbox = lock(&self.inbox);
        if let Some(idle) = inbox.idle.pop() {
            return Some(idle);
        }
        if inbox.count >= self.threads {
            return None;
        }
        let made = self.make_ring(&mut inbox);
        drop(inbox);
        made.inspect_err(|error| self.tell_refusal(error)).ok()
    }

    /// Once: the lines of such threads are counted from then on.
    #[cold]
    fn tell_refusal(&self, error: &MakeError) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            output::say(format_args!(
                "there is no ring for thread {}, whose lines are lost, nor for others: {error}",
                thread_name()
            ));
        }
    }

    /// Makes a ring ahead of time, for the first thread.
    ///
    /// # Errors
    /// Those of making it: other rings could not be made either.
    pub(crate) fn prepare(&self) -> Result<(), MakeError> {
        let mut inbox = lock(&self.inbox);
        if self.threads == 0 {
            return Ok(());
        }
        let ring = self.make_ring(&mut inbox)?;
        inbox.idle.push(ring);
        Ok(())
    }

    fn make_ring(&self, inbox: &mut Inbox) -> Result<Unused, MakeError> {
        let number = inbox.next;
        let (writer, reader) = match &self.directory {
            Some(directory) => record::in_file(&directory.ring(number), self.rings)?,
            None => record::in_memory(self.rings)?,
        };
        inbox.count += 1;
        inbox.next += 1;
        inbox.new.push(Ring { reader, number });
        Ok((writer, number, 0))
    }

    /// Moves the rings that are new to `rings`.
    pub(crate) fn take_new(&self, rings: &mut Vec<Ring>) {
        rings.append(&mut lock(&self.inbox).new);
    }

    /// Takes back a ring that was read to the end after its thread had ended: for another thread,
    /// or it ends here.
    pub(crate) fn give_back(&self, ring: &mut Ring) -> Back {
        let mut inbox = lock(&self.inbox);
        if inbox.idle.len() < IDLE
            && let Some(writer) = ring.reader.reopen()
        {
            inbox.idle.push((writer, ring.number, ring.reader.position()));
            return Back::Idle;
        }
        inbox.count -= 1;
        if let Some(directory) = &self.directory {
            directory.remove_ring(ring.number);
        }
        Back::Gone
    }

    /// Lines that no ring took since this was asked last.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    // -------------------------------------------------------------------------------- agent

    pub(crate) fn set_agent(&self, agent: Thread) {
        *lock(&self.agent) = Some(agent);
    }

    /// Lets the agent look now.
    pub(crate) fn wake(&self) {
        if let Some(agent) = &*lock(&self.agent) {
            agent.unpark();
        }
    }

    /// Whether a thread that finds its ring full is to wait.
    pub(crate) fn blocks(&self) -> bool {
        self.full == Full::Block && self.is_alive()
    }

    pub(crate) fn is_alive(&self) -> bool {
        // Acquire pairs with the Release in `end`.
        self.alive.load(Ordering::Acquire) && !self.is_forked()
    }

    /// Whether this process is a child of the one whose log it is.
    pub(crate) fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        // Acquire pairs with the Release in `stop`: the agent's last look comes after it.
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells the agent to read to the end, and end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }

    /// Nobody reads any more.
    pub(crate) fn end(&self) {
        self.alive.store(false, Ordering::Release);
        let flush = lock(&self.flush);
        self.flushed.notify_all();
        drop(flush);
    }

    /// Tells what has not got out. `all_read`: nothing is left in the rings.
    #[cold]
    pub(crate) fn tell_rest(&self, all_read: bool) {
        let kept = self.directory.as_ref().map(|directory| directory.path().display());
        let kept = kept.map(|path| format!("; see what is left in {path}")).unwrap_or_default();
        self.tally.tell(all_read, &kept);
    }

    // -------------------------------------------------------------------------------- flush

    /// Waits until all lines that this thread has written are out of the hands of the sinks.
    pub(crate) fn flush(&self, limit: Duration) -> Result<(), Unflushed> {
        // None: longer than anybody waits.
        let until = Instant::now().checked_add(limit);
        let mut flush = lock(&self.flush);
        flush.asked += 1;
        let mine = flush.asked;
        self.wake();
        while flush.done < mine {
            if !self.is_alive() {
                return Err(Unflushed::Ended);
            }
            let left = until.map_or(LONG, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                flush.missed = flush.missed.max(mine);
                return Err(Unflushed::TimedOut);
            }
            let waited = self.flushed.wait_timeout(flush, left);
            flush = waited.unwrap_or_else(crate::sync::PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Whether a flush was not done in its time, and is not done yet.
    pub(crate) fn hangs(&self) -> bool {
        let flush = lock(&self.flush);
        flush.missed > flush.done
    }

    /// How many flushes were asked for, for the agent before it looks at the rings.
    pub(crate) fn asked(&self) -> u64 {
        lock(&self.flush).asked
    }

    /// So many are done.
    pub(crate) fn flushed(&self, asked: u64) {
        lock(&self.flush).done = asked;
        self.flushed.notify_all();
    }
}

/// What becomes of a ring.
pub(crate) enum Back {
    Idle,
    Gone,
}

/// Why lines may not be out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unflushed {
    TimedOut,
    Ended,
}

fn thread_name() -> String {
    let thread = thread::current();
    match thread.name() {
        Some(name) => name.to_owned(),
        None => format!("{:?}", thread.id()),
    }
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub(crate) struct DirectoryError {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}
