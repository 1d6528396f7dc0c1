//! The runtime: made once a thread, and run.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::config::{Config, DriverChoice, OnStall, WaitMode};
use crate::core::{Core, Parts};
use crate::driver::Driver;
use crate::driver::any::AnyDriver;
use crate::driver::config::DriverConfig;
use crate::driver::readiness::ReadinessDriver;
use crate::driver::sim::{self, SimDriver};
use crate::driver::uring::UringDriver;
use crate::engine::Engine;
use crate::error::Error;
use crate::fiber::{Builder, JoinError, Stack};
use crate::inline_fn::Job;
use crate::machine;
use crate::mailbox::{PostError, Poster, Sleeper, mailbox_for};
use crate::report::{Metrics, Report};
use crate::sync::Arc;
use crate::time::{Clock, Instant, Source};
use crate::turn::MayWait;
use crate::watch::{Histogram, Offence, StallWatch, Watch};

/// The loop of this thread and everything on it.
///
/// One runtime a thread; it stays on its thread. Dropping it cancels what is pending,
/// waits until the kernel has let go of every buffer, and drops all tasks and handlers;
/// descriptors and handles that outlive it answer [`Error::Closed`]. Drop it before its thread
/// ends: one that goes with the thread's own values resumes no fiber any more, and is lost if
/// there are any.
pub struct Runtime {
    core: Rc<Core>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Runtime {
    /// A runtime for this thread, with all its memory reserved.
    ///
    /// # Errors
    /// [`Error::AlreadyOnThread`]; [`Error::Config`] for a size that makes no sense;
    /// [`Error::Driver`] when the driver asked for cannot be had; [`Error::Refused`] when
    /// the machine refuses what was required of it.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        if Core::try_current(|_| ()).is_some() {
            return Err(Error::AlreadyOnThread);
        }
        let mut report = Report::default();
        let driver = open_driver(&config, &mut report)?;
        let core = assemble(config, driver, report)?;
        // Last, so that the threads for blocking work do not inherit it.
        machine::apply(&core.config, &mut core.report.borrow_mut())?;
        Core::set_current(Some(core.clone()));
        Ok(Self { core })
    }

    /// What was chosen and refused at the start.
    pub fn report(&self) -> Report {
        self.core.report.borrow().clone()
    }

    /// What the loop has done so far.
    pub fn metrics(&self) -> Metrics {
        let stats = self.core.with(|engine| engine.stats);
        let offences = self.core.watch.borrow().offences();
        self.core.counters.metrics(stats, offences, self.core.fibers.spawned())
    }

    /// How long the turns took in which anything was dispatched, in nanoseconds.
    pub fn turn_times(&self) -> Histogram {
        self.core.watch.borrow().busy_turns().clone()
    }

    /// The longest turn so far, and the handler or task most to blame.
    pub fn longest_turn(&self) -> Option<Offence> {
        self.core.watch.borrow().longest()
    }

    /// The time: of the turn while one runs, else of this moment.
    pub fn now(&self) -> Instant {
        self.core.now()
    }

    /// A way for other threads to hand the loop work.
    pub fn remote(&self) -> Remote {
        Remote { poster: self.core.poster.clone() }
    }

    /// Runs until [`stop`].
    ///
    /// # Errors
    /// [`Error::InsideTurn`]; [`Error::Panicked`] as `Config::panics` says;
    /// [`Error::System`] when the driver broke.
    pub fn run(&self) -> Result<(), Error> {
        self.drive("run", None, || false)
    }

    /// Runs until `done` says so; it is asked after every turn.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_until(&self, done: impl FnMut() -> bool) -> Result<(), Error> {
        self.drive("run_until", None, done)
    }

    /// Runs for a time.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_for(&self, time: Duration) -> Result<(), Error> {
        let until = self.core.now() + time;
        self.drive("run_for", Some(until), || self.core.now.get() >= until)
    }

    /// Runs until nothing is left: no pending operation, timer, task or post. A
    /// persistent handler is a pending operation.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_pending(&self) -> Result<(), Error> {
        self.drive("run_pending", None, || !self.has_pending())
    }

    /// Runs turns until one has done something, waiting for it. Returns how much.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_once(&self) -> Result<usize, Error> {
        let mut did = 0;
        let _turn = self.enter("run_once")?;
        while did == 0 && !self.core.stop.take() {
            did = self.core.turn(MayWait::Forever)?;
            self.raise()?;
        }
        Ok(did)
    }

    /// Does everything that can be done without waiting. Returns how much.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn poll(&self) -> Result<usize, Error> {
        let _turn = self.enter("poll")?;
        let mut all = 0;
        loop {
            let did = self.core.turn(MayWait::No)?;
            self.raise()?;
            all += did;
            if did == 0 {
                return Ok(all);
            }
        }
    }

    /// One turn, without waiting. Returns how much was done.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn poll_once(&self) -> Result<usize, Error> {
        let _turn = self.enter("poll_once")?;
        let did = self.core.turn(MayWait::No)?;
        self.raise()?;
        Ok(did)
    }

    /// Runs `future` to its end, with everything else on the loop. A panic in it comes out
    /// of this call; the loop can be run again.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let _turn = self.enter("block_on")?;
        let mut future = pin!(future);
        let waker = self.core.tasks.main_waker();
        let mut cx = Context::from_waker(&waker);
        loop {
            let mut polled = Ok(Poll::Pending);
            self.core.turn_with(MayWait::Forever, || {
                if !self.core.tasks.take_main_woken() {
                    return 0;
                }
                self.core.with(Engine::refill);
                self.core.watch_enters(type_name::<F>());
                polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
                self.core.watch_leaves();
                1
            })?;
            match polled {
                Ok(Poll::Ready(output)) => return Ok(output),
                Ok(Poll::Pending) => self.raise()?,
                Err(payload) => resume_unwind(payload),
            }
        }
    }

    /// Runs `work` as a fiber to its end, with everything else on the loop. A panic in it comes
    /// out of this call; the loop can be run again.
    ///
    /// # Errors
    /// As [`run`](Self::run) and [`fiber::spawn`](crate::fiber::spawn);
    /// [`Error::Cancelled`] if the fiber was cancelled. If the loop fails before the fiber has
    /// ended, the fiber is cancelled, and ends when the loop is run again or dropped.
    pub fn run_fiber<F, T>(&self, stack: Stack, work: F) -> Result<T, Error>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let _turn = self.enter("run_fiber")?;
        let handle = Builder::new(stack).spawn_on(self.core.clone(), work)?;
        while !handle.is_finished() {
            let turned = self.core.turn(MayWait::Forever);
            if let Err(error) = turned.and_then(|_| self.raise()) {
                handle.cancel();
                return Err(error);
            }
        }
        match handle.join() {
            Ok(result) => Ok(result),
            Err(JoinError::Panicked(panic)) => resume_unwind(panic.into_payload()),
            Err(JoinError::Cancelled | JoinError::NotInFiber) => Err(Error::Cancelled),
        }
    }

    fn drive(
        &self,
        call: &'static str,
        until: Option<Instant>,
        mut done: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let _turn = self.enter(call)?;
        let may_wait = until.map_or(MayWait::Forever, MayWait::Until);
        self.core.stop.set(false);
        while !done() && !self.core.stop.take() {
            self.core.turn(may_wait)?;
            self.raise()?;
        }
        Ok(())
    }

    fn has_pending(&self) -> bool {
        let core = &self.core;
        core.with(|engine| engine.has_pending() || !engine.wheel.is_empty())
            || core.tasks.len() > 0
            || core.fibers.alive() > 0
            || core.has_later()
            || !core.nothing_posted()
    }

    fn enter(&self, call: &'static str) -> Result<Running<'_>, Error> {
        if self.core.running.replace(true) {
            return Err(Error::InsideTurn { call });
        }
        // So that it goes before a runtime that is one of the thread's own values.
        Core::thread_stays();
        self.core.refresh();
        Ok(Running { core: &self.core })
    }

    fn raise(&self) -> Result<(), Error> {
        self.core.raised.take().map_or(Ok(()), Err)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.core.running.get() {
            log::error!(
                "{}: the loop ends with this turn",
                Error::InsideTurn { call: "Runtime::drop" }
            );
            self.core.stop.set(true);
        }
        let _leaves = LeavesThread;
        self.core.shut_down();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("report", &self.core.report).finish_non_exhaustive()
    }
}

/// When this is dropped, the thread has no runtime any more.
struct LeavesThread;

impl Drop for LeavesThread {
    fn drop(&mut self) {
        Core::set_current(None);
    }
}

/// The loop is being run.
struct Running<'r> {
    core: &'r Rc<Core>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.core.running.set(false);
    }
}

/// Makes the function that runs this thread's loop return after this turn.
///
/// # Errors
/// [`Error::NoRuntime`].
pub fn stop() -> Result<(), Error> {
    Core::current()?.stop.set(true);
    Ok(())
}

/// The time of this thread's loop: of the turn while one runs, else of this moment.
///
/// # Errors
/// [`Error::NoRuntime`].
pub fn now() -> Result<Instant, Error> {
    Ok(Core::current_or_going()?.now())
}

/// The time of this moment, read from the system's monotonic clock (or the simulation's).
///
/// # Errors
/// [`Error::NoRuntime`].
pub fn now_precise() -> Result<Instant, Error> {
    Ok(Core::current_or_going()?.clock.borrow().precise())
}

/// A way to hand this thread's loop work from other threads.
///
/// # Errors
/// [`Error::NoRuntime`].
pub fn remote() -> Result<Remote, Error> {
    Ok(Remote { poster: Core::current()?.poster.clone() })
}

/// Hands a loop work, from any thread.
#[derive(Clone)]
pub struct Remote {
    poster: Poster<Job>,
}

impl Remote {
    /// Has `work` called on the loop, in the order of this thread's posts. Captures of
    /// up to 64 bytes are carried without an allocation. Wakes the loop at most once per
    /// sleep; never waits.
    ///
    /// # Errors
    /// Gives the work back when the mailbox is full or the runtime gone.
    ///
    /// ```
    /// # use tautline_runtime::{Config, Runtime, stop};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = Runtime::new(Config::default())?;
    /// let remote = runtime.remote();
    /// let thread = std::thread::spawn(move || remote.post(|| stop().unwrap()).is_ok());
    /// runtime.run()?;
    /// assert!(thread.join().unwrap());
    /// # Ok(())
    /// # }
    /// ```
    pub fn post<F: FnOnce() + Send + 'static>(&self, work: F) -> Result<(), PostError<Job>> {
        // SAFETY: the place is valid for a job.
        let write = |place, work| unsafe { Job::write(place, work) };
        // SAFETY: that writes a job; what it allocates for a large one ends the process rather
        // than unwind.
        let posted = unsafe { self.poster.post_with(work, write) };
        posted.map_err(|refused| PostError::of(refused, Job::new))
    }

    /// Posts work that was made before, such as work that came back.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn post_job(&self, job: Job) -> Result<(), PostError<Job>> {
        self.poster.post(job).map_err(|refused| PostError::of(refused, |job| job))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

fn assemble(config: Config, driver: AnyDriver, mut report: Report) -> Result<Rc<Core>, Error> {
    report.driver = driver.name();
    let clock = match driver.virtual_now() {
        Some(now) => Clock::virtual_at(now),
        None => {
            let (clock, found) = Clock::detect();
            if found.source == Source::System {
                log::warn!("{found}");
            }
            report.clock = found.to_string();
            clock
        }
    };
    let now = clock.now();
    let wake = driver.waker();
    let simulated = driver.virtual_now().is_some();
    let never_sleeps = config.wait == WaitMode::Spin && !simulated;
    let sleeper =
        Arc::new(if never_sleeps { Sleeper::never_sleeps(wake) } else { Sleeper::new(wake) });
    Core::new(Parts {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        engine: Engine::new(&config, driver, now)?,
        mailbox: mailbox_for("mailbox", config.mailbox, &sleeper)?,
        sleeper,
        clock,
        now,
        watch: Watch::new(config.stall),
        stall: watch_for_stalls(&config, simulated, &mut report),
        report,
        config,
    })
}

/// The watcher thread, unless it is switched off or time is not real.
fn watch_for_stalls(config: &Config, simulated: bool, report: &mut Report) -> Option<StallWatch> {
    let threshold = config.stall.filter(|_| !simulated && config.watch)?;
    let started = match config.on_stall.clone() {
        Some(OnStall(call)) => StallWatch::start(threshold, move |stall| call(stall)),
        None => StallWatch::start_logging(threshold),
    };
    match started {
        Ok(watch) => Some(watch),
        Err(error) => {
            log::warn!("turns that do not end will not be named: {error}");
            report.refused.push(format!("the watch for turns that do not end: {error}"));
            None
        }
    }
}

fn open_driver(config: &Config, report: &mut Report) -> Result<AnyDriver, Error> {
    let sizes = DriverConfig {
        entries: config.ring_entries,
        operations: config.operations as u32,
        pool_buffers: config.receive_buffers,
        pool_buffer_size: config.receive_buffer_size,
        events: config.budgets.io.min(1024),
    };
    match &config.driver {
        DriverChoice::Uring => Ok(AnyDriver::Uring(uring(&sizes)?)),
        DriverChoice::Readiness => readiness(&sizes),
        DriverChoice::Sim(world) => simulation(&sizes, world),
        DriverChoice::Auto => match uring(&sizes) {
            Ok(driver) => Ok(AnyDriver::Uring(driver)),
            Err(error) => {
                log::warn!("{error}; using the readiness driver instead");
                report.fallback = Some(error.to_string());
                readiness(&sizes)
            }
        },
    }
}

fn uring(sizes: &DriverConfig) -> Result<UringDriver, Error> {
    UringDriver::new(sizes)
        .map_err(|error| Error::Driver { driver: "uring", reason: error.to_string() })
}

fn simulation(sizes: &DriverConfig, world: &sim::Config) -> Result<AnyDriver, Error> {
    let driver = SimDriver::new(sizes, world)
        .map_err(|error| Error::Driver { driver: "sim", reason: error.to_string() })?;
    Ok(AnyDriver::Sim(driver))
}

fn readiness(sizes: &DriverConfig) -> Result<AnyDriver, Error> {
    let driver = ReadinessDriver::new(sizes);
    let driver =
        driver.map_err(|error| Error::Driver { driver: "readiness", reason: error.to_string() })?;
    Ok(AnyDriver::Readiness(driver))
}
