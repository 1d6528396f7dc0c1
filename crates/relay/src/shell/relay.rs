//! A relay from start to end: opens everything, runs the loop, reports, ends in order.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tautline_runtime::timer::{self, Timer};
use tautline_runtime::{Config, DriverChoice, Runtime, WaitMode, Wish, defer};

use super::destination::{self, Destination};
use super::ending::{Ending, Phase};
use super::fanout::{Fanout, Shape};
use super::report::{Tally, Turns};
use super::signals;
use super::source::{self, Source};
use crate::config::{self, HostConfig, RelayConfig, WaitChoice};
use crate::queue::Policy;
use crate::run::RunError;
use crate::stats::{EndpointSnapshot, Role, Snapshot, Summary};
use crate::units::Nanos;

/// Between two reports.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at a loop in which nothing moves: at a drain, or whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// What a write that is under way at the very end is given: the drain has been patient enough.
const LINGER: Duration = Duration::from_millis(100);
/// How long a loop that may sleep spins after the last event.
const WARM: Duration = Duration::from_micros(50);

/// Runs a relay on a loop of its own.
pub(crate) fn run(
    config: &RelayConfig,
    report: &mut dyn FnMut(&Snapshot),
    done: Option<&mut dyn FnMut() -> bool>,
) -> Result<Summary, RunError> {
    super::conflict::check(config)?;
    let runtime = config.host.start(peers(config))?;
    let relay = Relay::open(&runtime, config)?;
    relay.start()?;
    relay.run(config.run_for, report, done)
}

/// A relay whose endpoints are open.
pub(super) struct Relay<'r> {
    runtime: &'r Runtime,
    ending: Rc<Ending>,
    fanout: Rc<Fanout>,
    source: Rc<dyn Source>,
    start: Nanos,
    /// Which destinations are to lose nothing.
    lossless: Vec<bool>,
    turns: RefCell<Turns>,
    /// Wakes the loop to look at a drain in which nothing moves.
    look: RefCell<Option<Timer>>,
}

impl<'r> Relay<'r> {
    /// Opens all endpoints; those that connect go on trying while the loop runs.
    pub(super) fn open(runtime: &'r Runtime, config: &RelayConfig) -> Result<Self, RunError> {
        let start = super::clock();
        let ending = Rc::new(Ending::new());
        let tally =
            Rc::new(Tally::new(&config.from.url, Role::Source, (&config.from.place).into(), start));
        let fanout = Rc::new(Fanout::new(&Shape::of(config), tally, ending.clone())?);
        let source = runtime.block_on(source::open(&config.from, &fanout))?;
        let source = source.map_err(|error| RunError::endpoint(&config.from.url, &error))?;
        let mut destinations = Vec::with_capacity(config.to.len());
        for to in &config.to {
            let tally = Rc::new(Tally::new(&to.url, Role::Destination, (&to.place).into(), start));
            let opened = runtime.block_on(destination::open(to, &fanout, &tally))?;
            destinations.push(opened.map_err(|error| RunError::endpoint(&to.url, &error))?);
        }
        fanout.connect(destinations);
        if config.host.signals {
            signals::listen(&ending).map_err(|error| RunError::endpoint("signals", &error))?;
        }
        let (turns, look) = (RefCell::default(), RefCell::default());
        let lossless = config.to.iter().map(|to| to.policy == Policy::Wait).collect();
        Ok(Self { runtime, ending, fanout, source, start, lossless, turns, look })
    }

    /// The destinations in the order given.
    pub(super) fn destinations(&self) -> &[Rc<dyn Destination>] {
        self.fanout.destinations()
    }

    /// Starts to receive. Nothing that was there before has been touched until now.
    pub(super) fn start(&self) -> Result<(), RunError> {
        for to in self.destinations() {
            to.begin().map_err(|error| RunError::endpoint(to.tally().url(), &error))?;
        }
        self.source.start();
        Ok(())
    }

    /// Packets that the built-in feed has made up.
    pub(super) fn written(&self) -> u64 {
        self.source.written().unwrap_or(0)
    }

    /// Runs the loop until `done`, without reports. What another thread does may make it so: it is
    /// asked at least every [`LOOK`].
    pub(super) fn run_until(&self, mut done: impl FnMut() -> bool) -> Result<(), RunError> {
        let look = timer::every(LOOK, || {})?;
        let result = self.runtime.run_until(|| done() || !self.ending.is_running());
        look.cancel();
        Ok(result?)
    }

    /// Runs until the end, then closes everything.
    pub(super) fn run(
        &self,
        run_for: Option<Duration>,
        report: &mut dyn FnMut(&Snapshot),
        mut done: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<Summary, RunError> {
        let ask = done.is_some().then(|| timer::every(LOOK, || {})).transpose()?;
        let due = Rc::new(Cell::new(true));
        let tick = due.clone();
        let ticker = timer::every(INTERVAL, move || tick.set(true))?;
        if let Some(time) = run_for {
            let ending = self.ending.clone();
            timer::after(time, move || ending.end_of_time())?;
        }
        self.runtime.run_until(|| {
            if due.take() {
                report(&self.snapshot());
            }
            if self.ending.is_running() && done.as_mut().is_some_and(|done| done()) {
                self.ending.end_of_time();
            }
            self.go_on()
        })?;
        ticker.cancel();
        if let Some(ask) = ask {
            ask.cancel();
        }
        self.close()?;
        let summary = self.summary();
        let failure = self.ending.take_failure().or_else(|| self.shortfall(&summary));
        failure.map_or(Ok(summary.clone()), |error| Err(error.after(summary)))
    }

    /// What was asked for and did not come about in a run that ended in order.
    fn shortfall(&self, summary: &Summary) -> Option<RunError> {
        if let Some(error) = self.destinations().iter().find_map(|to| to.tally().unreached()) {
            return Some(error);
        }
        // The source stands still for all of them.
        let source = self.lossless.contains(&true);
        let lossless = std::iter::once(source).chain(self.lossless.iter().copied());
        let lost = |(end, lossless): &(&EndpointSnapshot, bool)| *lossless && end.drops.total() > 0;
        let (end, _) = summary.endpoints.iter().zip(lossless).find(lost)?;
        Some(RunError::Lost { url: end.url.clone(), packets: end.drops.total() })
    }

    /// Between two turns: resumes a source that has waited, and sees to the end. True once it
    /// has come.
    fn go_on(&self) -> bool {
        if self.ending.phase() == Phase::Running {
            if self.fanout.source_can_resume() {
                self.source.resume();
                self.come_again();
            }
            return false;
        }
        self.look_again();
        let idle = self.destinations().iter().all(|to| to.is_idle());
        self.ending.watch(self.runtime.now(), self.fanout.moved(), idle);
        self.ending.phase() == Phase::Over
    }

    /// A source that has to wait again, for room that its own flush has made, waits for nothing that
    /// would wake the loop: the next turn must not sleep.
    fn come_again(&self) {
        if self.fanout.source_could_resume() {
            // It fails only without a loop.
            let _ = defer((), drop);
        }
    }

    /// At the beginning of a drain: receives no more, and sees to it that the loop wakes up.
    fn look_again(&self) {
        let mut look = self.look.borrow_mut();
        if look.is_none() {
            self.source.stop();
            // Without a timer to be had the drain is looked at whenever anything moves.
            *look = timer::every(LOOK, || {}).ok();
        }
    }

    /// Closes all endpoints, and gives the loop one turn to see to it.
    fn close(&self) -> Result<(), RunError> {
        self.source.stop();
        self.destinations().iter().for_each(|to| to.close());
        self.runtime.poll_once()?;
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        let now = super::clock();
        let sample = |to: &Rc<dyn Destination>| to.tally().sample(now, to.queued());
        let source = self.fanout.source().sample(now, 0);
        Snapshot {
            elapsed_s: now.since(self.start).as_secs_f64(),
            endpoints: std::iter::once(source)
                .chain(self.destinations().iter().map(sample))
                .collect(),
            latency_buckets: self.fanout.latency_buckets(),
            latency: self.fanout.sample_latency(),
            turns: self.turns.borrow_mut().sample(self.runtime),
        }
    }

    fn summary(&self) -> Summary {
        let now = super::clock();
        let total = |to: &Rc<dyn Destination>| to.tally().total(now, to.queued());
        let source = self.fanout.source().total(now, 0);
        Summary {
            elapsed_s: now.since(self.start).as_secs_f64(),
            endpoints: std::iter::once(source)
                .chain(self.destinations().iter().map(total))
                .collect(),
            latency: self.fanout.total_latency(),
            turns: Turns::total(self.runtime),
            check: None,
        }
    }
}

/// Peers that may be there at a time.
pub(super) fn peers(config: &RelayConfig) -> usize {
    let listening = config.to.iter().filter(|to| to.listens());
    let subscribers: usize = listening.map(|to| to.subscribers as usize).sum();
    let publishers = if config.from.listens() { config.from.publishers as usize } else { 0 };
    publishers + subscribers
}

/// The loop allocates its tables at once, and cannot go on without: asks first whether there is
/// so much memory.
fn make_sure_of_memory(peers: usize) -> Result<(), RunError> {
    let room = Vec::<u8>::new().try_reserve_exact(peers * PEER);
    room.map_err(|_| RunError::Peers(peers))
}

/// Bytes of the loop's tables for a peer, generously.
const PEER: usize = 1536;

impl HostConfig {
    /// Makes a loop that runs like that, on this thread: with room for so many peers at a time, of whom
    /// each has a socket, and for thousands of sockets, timers and tasks besides. The process may have as
    /// many files open then as the system grants it.
    ///
    /// # Errors
    /// [`RunError::Peers`], [`RunError::Loop`].
    pub fn start(&self, peers: usize) -> Result<Runtime, RunError> {
        raise_descriptor_limit();
        make_sure_of_memory(peers)?;
        Ok(Runtime::new(self.runtime(peers))?)
    }

    fn runtime(&self, peers: usize) -> Config {
        Config {
            driver: match self.driver {
                config::DriverChoice::Auto => DriverChoice::Auto,
                config::DriverChoice::Uring => DriverChoice::Uring,
                config::DriverChoice::Readiness => DriverChoice::Readiness,
            },
            wait: match self.wait {
                WaitChoice::Spin => WaitMode::Spin,
                WaitChoice::Warm => WaitMode::Warm { spin_for: WARM },
                WaitChoice::Sleep => WaitMode::Sleep,
            },
            pin: self.core.map_or(Wish::Off, Wish::Require),
            // Each peer is watched, and may be waited for; sources and newcomers have the rest.
            descriptors: peers + SPARE,
            operations: 2 * peers + SPARE,
            // Each WebSocket has a timer for its pings, and may have a task.
            timers: peers + SPARE,
            tasks: peers + SPARE,
            drain_time: LINGER,
            ..Config::default()
        }
    }
}

/// Places in the loop's tables for everything but subscribers.
const SPARE: usize = 16 << 10;

/// Takes as many descriptors as the machine grants; thousands of subscribers need them.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            log::debug!("the limit on open files stays: {}", io::Error::from(error));
        }
    }
}
