//! One turn of the loop: messages, timers, input and output, tasks, each within its
//! budget; then what was written leaves.
//!
//! Input comes late in the turn on purpose: what it brings is answered, and the answer
//! leaves, with nothing in between but the tasks that it woke.

use std::io;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use crate::config::WaitMode;
use crate::core::Core;
use crate::driver::{Driver, Wait};
use crate::engine::{Alarm, Engine, Event, OtherAlarm};
use crate::error::Error;
use crate::report::count;
use crate::time::Instant;
use crate::timer::next_beat;
use crate::watch::StallWatch;

/// Whether a turn may wait when it has nothing to do, and until when.
#[derive(Clone, Copy)]
pub(crate) enum MayWait {
    No,
    Until(Instant),
    Forever,
}

/// How often the clock is checked against the system's.
const RECHECK: Duration = Duration::from_millis(50);

/// Turns between two looks at whether the clock is to be checked.
const RECHECK_TURNS: u64 = 4096;

/// Posts or timers of one name in a row that share a reading of the clock and count as
/// one with the watch. After those that took longer than [`SHORT_RUN`] each is on its own.
const RUN: u32 = 8;

/// So long a run may take: what it is measured for is a thousand times longer.
const SHORT_RUN: Duration = Duration::from_micros(2);

/// A run of fibers may be so many times as long as one of posts or timers: their way between
/// two calls that wait is shorter.
const FIBERS_FOR_ONE: u32 = 8;

/// What a run of several fibers goes by.
const SEVERAL_FIBERS: &str = "(several fibers)";

/// Posts or timers of one name in a row.
pub(crate) struct Run {
    /// Empty before the first.
    name: &'static str,
    /// How many more may join it.
    left: u32,
    /// There were several names in it.
    mixed: bool,
    /// What [`StallWatch::seen_again`](crate::watch::StallWatch::seen_again) said when it began:
    /// if that changes, whoever is the latest in it has held the loop up.
    seen: u64,
    began: Instant,
}

impl Run {
    /// None yet, at the time `now`.
    pub(crate) fn none(now: Instant) -> Self {
        Self { name: "", left: 0, mixed: false, seen: 0, began: now }
    }
}

impl Core {
    /// One turn. Returns how many things were done in it.
    pub(crate) fn turn(self: &Rc<Self>, may_wait: MayWait) -> Result<usize, Error> {
        self.turn_with(may_wait, || 0)
    }

    /// One turn, with `main` for the last of its tasks.
    pub(crate) fn turn_with(
        self: &Rc<Self>,
        may_wait: MayWait,
        main: impl FnOnce() -> usize,
    ) -> Result<usize, Error> {
        count(&self.counters.turns, 1);
        let now = self.tick();
        self.watch_begin(now);
        let mut did = self.posts() + self.run_later();
        did += self.alarms() + self.collect_files();
        // What was just done may be all that the loop was run for: its caller is asked
        // before it sleeps.
        self.input(if did > 0 { MayWait::No } else { may_wait })?;
        did += self.dispatch();
        did += self.fibers.run(self, self.config.budgets.fibers);
        let polls = self.tasks.run(self, self.config.budgets.tasks);
        count(&self.counters.polls, polls);
        did += polls;
        did += main();
        did += self.output();
        self.watch_end(did);
        if self.counters.turns.get().is_multiple_of(RECHECK_TURNS) {
            self.recheck_clock(now);
        }
        Ok(did)
    }

    /// Reads the clock.
    fn tick(&self) -> Instant {
        if self.simulated {
            let virtual_now = self.with(|engine| engine.driver.virtual_now());
            self.clock.borrow_mut().advance_to(virtual_now.unwrap_or(self.now.get()));
        }
        let now = self.clock.borrow().now().max(self.now.get());
        self.now.set(now);
        now
    }

    /// Reads the clock before anything is run or closed from outside a turn.
    pub(crate) fn refresh(&self) {
        let now = self.tick();
        self.with(|engine| engine.now = now);
    }

    /// The same, unless a turn is under way and has its time.
    pub(crate) fn refresh_if_idle(&self) {
        if !self.running.get() {
            self.refresh();
        }
    }

    fn watch_begin(&self, now: Instant) {
        if !self.config.watch {
            return;
        }
        self.watch.borrow_mut().turn_begin(now);
        if let Some(stall) = &self.stall {
            stall.turn_begin(now);
        }
    }

    /// The turn, or its part before a sleep, is over. An idle one reads no clock.
    fn watch_end(&self, did: usize) {
        if let Some(stall) = &self.stall {
            stall.turn_end();
        }
        let mut now = self.now.get();
        if did > 0 {
            now = self.clock.borrow().now();
            self.active.set(now);
        }
        let watched = self.config.watch;
        let offence = if watched { self.watch.borrow_mut().turn_end(now) } else { None };
        if let Some(offence) = offence {
            log::warn!(
                "a turn took {:?}, the longest part of it `{}` with {:?}",
                offence.turn,
                offence.name,
                offence.took
            );
        }
    }

    fn recheck_clock(&self, now: Instant) {
        if now.saturating_since(self.checked.get()) < RECHECK {
            return;
        }
        self.checked.set(now);
        let changed = self.clock.borrow_mut().recheck();
        if let Some(report) = changed {
            log::warn!("{report}");
            self.report.borrow_mut().clock = report.to_string();
        }
    }

    /// Input and output: what was put off, what is hot, what the driver has; waiting
    /// for it if there is nothing else.
    fn input(&self, may_wait: MayWait) -> Result<(), Error> {
        let now = self.now.get();
        let limit = self.config.budgets.io;
        let spins = self.spins(now);
        let (looked, deferred) = self.with(|engine| {
            let deferred = engine.has_deferred();
            engine.begin_turn(now, spins);
            (if spins { engine.look(limit) } else { Ok(false) }, deferred)
        });
        looked.map_err(Error::system("the driver's poll"))?;
        let may_wait = if deferred { MayWait::No } else { may_wait };
        if spins {
            return Ok(());
        }
        match self.how_to_wait(may_wait, now) {
            Wait::No => {
                let polled = self.with(|engine| engine.look(limit));
                polled.map_err(Error::system("the driver's poll"))?;
                Ok(())
            }
            wait => self.sleep(wait),
        }
    }

    /// Whether the loop is to stay awake in this turn, come what may.
    fn spins(&self, now: Instant) -> bool {
        match self.config.wait {
            _ if self.simulated => false,
            WaitMode::Spin => true,
            WaitMode::Warm { spin_for } => now.saturating_since(self.active.get()) < spin_for,
            WaitMode::Sleep => false,
        }
    }

    /// Whether this turn is to wait, given everything that could be done in it.
    fn how_to_wait(&self, may_wait: MayWait, now: Instant) -> Wait {
        let until = match may_wait {
            MayWait::No => return Wait::No,
            MayWait::Until(until) => Some(until),
            MayWait::Forever => None,
        };
        let (busy, due) = self.with(|engine| (engine.is_busy(), engine.next_alarm()));
        if busy || self.has_later() || !self.nothing_posted() {
            return Wait::No;
        }
        match due.into_iter().chain(until).min() {
            None => Wait::Forever,
            Some(at) if at <= now => Wait::No,
            Some(at) => Wait::AtMost(at.saturating_since(now)),
        }
    }

    fn sleep(&self, wait: Wait) -> Result<(), Error> {
        if !self.sleeper.prepare_sleep(|| self.nothing_posted()) {
            return Ok(());
        }
        count(&self.counters.sleeps, 1);
        self.watch_end(0);
        let limit = self.config.budgets.io;
        let polled = self.with(|engine| engine.poll_driver(wait, limit));
        self.sleeper.awake();
        polled.map_err(Error::system("the driver's poll"))?;
        let now = self.tick();
        self.with(|engine| engine.now = now);
        self.watch_begin(now);
        Ok(())
    }

    /// Messages from other threads.
    fn posts(&self) -> usize {
        let mut taken = 0;
        let mut run = Run::none(self.now.get());
        while taken < self.config.budgets.posts {
            let job = self.mailbox.borrow_mut().take();
            let Some(job) = job else { break };
            self.with(Engine::refill);
            let name = job.name();
            self.join_run(&mut run, name);
            self.guard(name, || job.run());
            taken += 1;
        }
        self.end_run(&run);
        count(&self.counters.posts, taken);
        taken
    }

    /// What goes by `name` is about to be called: in this run, or in one that begins here.
    #[inline]
    pub(crate) fn join_run(&self, run: &mut Run, name: &'static str) {
        if run.left == 0 || !ptr::eq(run.name, name) {
            self.next_run(run, name);
        }
        run.left -= 1;
    }

    /// The same for a fiber: a run may hold several, and then names none of them, but for one
    /// that was seen to hold the loop up: with that the run ends.
    #[inline]
    pub(crate) fn join_run_of_fibers(&self, run: &mut Run, name: &'static str) {
        if run.left == 0 || self.is_seen_again(run) {
            self.next_run(run, name);
            run.left *= if run.left > 1 { FIBERS_FOR_ONE } else { 1 };
        } else if !ptr::eq(run.name, name) {
            self.mix_run(run, name);
        }
        run.left -= 1;
    }

    #[inline]
    fn mix_run(&self, run: &mut Run, name: &'static str) {
        (run.name, run.mixed) = (name, true);
        if let Some(stall) = &self.stall {
            stall.dispatch(name);
        }
    }

    pub(crate) fn end_run(&self, run: &Run) {
        if !run.name.is_empty() {
            self.leave_run(run);
        }
    }

    /// The watch hears what a run has taken, and whose it was. Returns the time.
    fn leave_run(&self, run: &Run) -> Instant {
        if run.mixed && self.config.watch {
            let name = if self.is_seen_again(run) { run.name } else { SEVERAL_FIBERS };
            self.watch.borrow_mut().dispatch_begin(name);
        }
        self.watch_leaves()
    }

    /// Whether the watcher has found this turn to last, while the latest of this run ran.
    #[inline]
    fn is_seen_again(&self, run: &Run) -> bool {
        self.stall.as_ref().is_some_and(|stall| stall.seen_again() != run.seen)
    }

    /// Ends a run, if there is one, and begins the next.
    fn next_run(&self, run: &mut Run, name: &'static str) {
        let mut left = RUN;
        if !run.name.is_empty() {
            let now = self.leave_run(run);
            left = if now.saturating_since(run.began) > SHORT_RUN { 1 } else { RUN };
            run.began = now;
        }
        (run.name, run.left, run.mixed) = (name, left, false);
        run.seen = self.stall.as_ref().map_or(0, StallWatch::seen_again);
        self.watch_enters(name);
    }

    /// Timers that are due. The precise clock confirms it, so that none is early.
    fn alarms(&self) -> usize {
        let now = self.now.get();
        if !self.with(|engine| engine.is_alarm_due(now)) {
            return 0;
        }
        let precise = self.clock.borrow().precise();
        let mut run = Run::none(now);
        let mut fired = 0;
        while fired < self.config.budgets.timers {
            let mut alarm = Alarm::default();
            let expired = self.with(|engine| engine.next_expired(precise, &mut alarm));
            let Some((key, deadline)) = expired else { break };
            match alarm {
                Alarm::Call(handler) => {
                    let name = handler.name();
                    self.join_run(&mut run, name);
                    self.guard(name, || handler.call(()));
                }
                Alarm::Other(OtherAlarm::Wake(waker)) => waker.wake(),
                Alarm::Other(OtherAlarm::Fiber(key)) => self.fibers.wake(key),
                Alarm::Other(OtherAlarm::Repeat(repeat)) => {
                    let next = next_beat(deadline, repeat.period, precise);
                    self.with(|engine| engine.revive_alarm(key, next));
                    self.beat(key, repeat, &mut run);
                }
                Alarm::Other(own) => self.with(|engine| engine.alarm(own)),
            }
            fired += 1;
        }
        self.end_run(&run);
        count(&self.counters.timers, fired);
        fired
    }

    /// Sends what this turn wrote, and tells what came of it.
    fn output(self: &Rc<Self>) -> usize {
        let did = self.dispatch();
        let flushed = self.with(Engine::flush_dirty);
        if flushed == 0 { did } else { did + self.dispatch() }
    }
}

impl Engine {
    /// What the last turn left for this one.
    fn begin_turn(&mut self, now: Instant, spins: bool) {
        self.now = now;
        if !spins {
            self.cool_all();
        }
        self.spinning = spins;
        self.refill();
        self.events.extend(self.again.drain(..).map(Event::Readable));
        self.run_deferred();
    }

    /// Probes what is hot and takes what the driver has, without waiting.
    fn look(&mut self, limit: usize) -> io::Result<bool> {
        if self.spinning {
            self.probe_hot();
        }
        let rests = self.spinning && self.may_rest();
        if !rests && (self.driver.has_work() || self.has_overflow()) {
            return self.poll_driver(Wait::No, limit);
        }
        Ok(false)
    }
}
