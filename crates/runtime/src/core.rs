//! What a runtime is made of, and how the parts reach each other: the engine behind one
//! cell that is never borrowed while user code runs, and everything that user code may
//! touch beside it.

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use crate::config::{Config, Panics};
use crate::driver::{self, Driver, Op};
use crate::engine::ops::{Continuation, Ending, Finished, OpSlot, Phase};
use crate::engine::outcome::Failure;
use crate::engine::{Alarm, Engine, OtherAlarm, Trash};
use crate::error::Error;
use crate::fiber::{self, Fibers, Refusal};
use crate::files::Files;
use crate::inline_fn::{Job, OnceFn};
use crate::mailbox::{Mailbox, Poster, Sleeper};
use crate::porter::{self, Porter};
use crate::report::{Counters, Report};
use crate::slab::Key;
use crate::sync::Arc;
use crate::task::{Executor, discard, panic_message};
use crate::time::{Clock, Instant};
use crate::watch::{StallWatch, Watch};

thread_local! {
    /// This thread's runtime. The cell owns a count of it.
    static CURRENT: Cell<Option<NonNull<Core>>> = const { Cell::new(None) };
    /// How many timers the runtimes before have armed: the keys of the next one are distinct
    /// from theirs.
    static TIMERS_ARMED: Cell<u32> = const { Cell::new(0) };
    /// Gone when this thread's own values are being destroyed.
    static STAYS: Stays = const { Stays };
}

/// The standard library says of values with a destructor alone that they are gone.
struct Stays;

impl Drop for Stays {
    fn drop(&mut self) {}
}

/// The parts of a runtime. Handles keep it alive; without its [`Runtime`](crate::Runtime)
/// it refuses all work.
pub(crate) struct Core {
    /// Different for every runtime of the process.
    pub(crate) id: u64,
    pub(crate) config: Config,
    engine: RefCell<Engine>,
    /// Swapped with the engine's list when that is to be emptied.
    spare: RefCell<Vec<Trash>>,
    pub(crate) tasks: Executor,
    pub(crate) fibers: Fibers,
    /// A fiber was switched to, and has no dispatch budget of its own yet.
    pub(crate) unfilled: Cell<bool>,
    /// One-shot callbacks of operations that were refused at once.
    later: RefCell<VecDeque<(OnceFn<Finished>, Finished)>>,
    pub(crate) mailbox: RefCell<Mailbox<Job>>,
    pub(crate) poster: Poster<Job>,
    pub(crate) sleeper: Arc<Sleeper>,
    pub(crate) files: Files,
    pub(crate) porter: Porter,
    pub(crate) clock: RefCell<Clock>,
    pub(crate) now: Cell<Instant>,
    /// The last turn in which anything happened.
    pub(crate) active: Cell<Instant>,
    /// Time is the simulation's.
    pub(crate) simulated: bool,
    /// When the clock was last checked against the system's.
    pub(crate) checked: Cell<Instant>,
    /// User code may be on the stack: inside `run*`.
    pub(crate) running: Cell<bool>,
    pub(crate) stop: Cell<bool>,
    /// What the latest write of the handler that is being called has taken, and of how many
    /// bytes, if it fell short.
    pub(crate) fell_short: Cell<Option<(usize, usize)>>,
    /// The runtime is being dropped, or was.
    gone: Cell<bool>,
    pub(crate) watch: RefCell<Watch>,
    pub(crate) stall: Option<StallWatch>,
    /// A panic that is to be raised from `run*`.
    pub(crate) raised: RefCell<Option<Error>>,
    pub(crate) counters: Counters,
    pub(crate) report: RefCell<Report>,
}

/// Since when a runtime that goes has seen none of its fibers end.
struct Headway {
    fewest: usize,
    rounds: u32,
    since: std::time::Instant,
    /// Each round is a millisecond: the same run takes as many.
    simulated: bool,
}

impl Headway {
    fn new(simulated: bool) -> Self {
        Self { fewest: usize::MAX, rounds: 0, since: std::time::Instant::now(), simulated }
    }

    /// Another round is over, after which so many are alive. Returns for how long none ended:
    /// nothing in the first rounds, as the thread may not have had its core.
    fn waited(&mut self, alive: usize) -> Duration {
        const ROUNDS: u32 = 16;
        if alive < self.fewest {
            (self.fewest, self.rounds, self.since) = (alive, 0, std::time::Instant::now());
        }
        self.rounds += 1;
        match self.simulated {
            true => Duration::from_millis(self.rounds.into()),
            false if self.rounds <= ROUNDS => Duration::ZERO,
            false => self.since.elapsed(),
        }
    }
}

/// The parts that are made before the core.
pub(crate) struct Parts {
    pub(crate) id: u64,
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) sleeper: Arc<Sleeper>,
    pub(crate) mailbox: (Poster<Job>, Mailbox<Job>),
    pub(crate) clock: Clock,
    pub(crate) now: Instant,
    pub(crate) watch: Watch,
    pub(crate) stall: Option<StallWatch>,
    pub(crate) report: Report,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Result<Rc<Self>, Error> {
        let Parts { id, config, mut engine, sleeper, mailbox, clock, now, watch, stall, report } =
            parts;
        let (poster, mailbox) = mailbox;
        engine.wheel.count_from(TIMERS_ARMED.get());
        let simulated = engine.driver.virtual_now().is_some();
        Ok(Rc::new(Self {
            id,
            fibers: Fibers::new(id, &config, sleeper.clone())?,
            unfilled: Cell::new(false),
            tasks: Executor::new(id, config.tasks, sleeper.clone()),
            later: RefCell::new(VecDeque::new()),
            files: Files::new(&config, &sleeper)?,
            porter: Porter::default(),
            engine: RefCell::new(engine),
            spare: RefCell::new(Vec::with_capacity(64)),
            mailbox: RefCell::new(mailbox),
            poster,
            sleeper,
            clock: RefCell::new(clock),
            now: Cell::new(now),
            active: Cell::new(now),
            simulated,
            checked: Cell::new(now),
            running: Cell::new(false),
            stop: Cell::new(false),
            fell_short: Cell::new(None),
            gone: Cell::new(false),
            watch: RefCell::new(watch),
            stall,
            raised: RefCell::new(None),
            counters: Counters::default(),
            report: RefCell::new(report),
            config,
        }))
    }

    /// The runtime of this thread, unless it is going.
    pub(crate) fn current() -> Result<Rc<Self>, Error> {
        match Self::try_current(Rc::clone) {
            Some(core) if core.gone.get() => Err(Error::Closed),
            current => current.ok_or(Error::NoRuntime),
        }
    }

    /// The runtime of this thread, also while it is going.
    pub(crate) fn current_or_going() -> Result<Rc<Self>, Error> {
        Self::try_current(Rc::clone).ok_or(Error::NoRuntime)
    }

    /// Looks at the runtime of this thread, if there is one. No code of the user's may run
    /// in there, as it could make another one; a fiber may wait in there, as its runtime goes
    /// only after it has ended.
    #[inline(always)]
    pub(crate) fn try_current<R>(look: impl FnOnce(&Rc<Self>) -> R) -> Option<R> {
        // SAFETY: no `look` comes where the thread's runtime is changed.
        let core = unsafe { Self::borrow_current() }?;
        Some(look(&core))
    }

    /// The runtime of this thread, without a count of it.
    ///
    /// # Safety
    /// It is not looked at any more once `set_current` was called. (A fiber that waits need not
    /// fear that: its runtime goes only after it has ended.)
    #[inline(always)]
    pub(crate) unsafe fn borrow_current() -> Option<ManuallyDrop<Rc<Self>>> {
        let core = CURRENT.get()?;
        // SAFETY: the cell owns a count, which `set_current` alone gives up; this one is not.
        Some(ManuallyDrop::new(unsafe { Rc::from_raw(core.as_ptr()) }))
    }

    /// Makes this the thread's runtime, or none.
    pub(crate) fn set_current(core: Option<Rc<Self>>) {
        match core {
            Some(_) => porter::hang(),
            None => porter::take_down(),
        }
        let core = core.and_then(|core| NonNull::new(Rc::into_raw(core).cast_mut()));
        if let Some(before) = CURRENT.replace(core) {
            // SAFETY: the cell owned a count of it until now.
            drop(unsafe { Rc::from_raw(before.as_ptr()) });
        }
    }

    /// Works on the engine; what that leaves to be dropped is dropped afterwards.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Engine) -> R) -> R {
        let mut engine = self.engine.borrow_mut();
        let result = work(&mut engine);
        if !engine.trash.is_empty() {
            self.empty_trash(engine);
        }
        result
    }

    /// Works on the engine; what that leaves to be dropped waits for the next call of
    /// [`with`](Self::with).
    #[inline]
    pub(crate) fn hold<R>(&self, work: impl FnOnce(&mut Engine) -> R) -> R {
        work(&mut self.engine.borrow_mut())
    }

    /// Drops what belongs to users. What one of them panics with ends here: whoever has called
    /// the engine may be in the way of others, or of a pending call.
    #[cold]
    fn empty_trash(&self, mut engine: std::cell::RefMut<'_, Engine>) {
        let mut trash = self.spare.take();
        std::mem::swap(&mut trash, &mut engine.trash);
        drop(engine);
        for one in trash.drain(..) {
            self.guard("the drop of what an operation owned", || drop(one));
        }
        self.spare.replace(trash);
    }

    /// The time: of this turn while the loop runs, else of this moment.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        if self.running.get() { self.now.get() } else { self.clock.borrow().now() }
    }

    /// Keeps a callback for the next turn, if there will be one.
    pub(crate) fn later(&self, callback: OnceFn<Finished>, finished: Finished) {
        if !self.gone.get() {
            self.later.borrow_mut().push_back((callback, finished));
        }
    }

    /// Whether callbacks wait for the next turn.
    pub(crate) fn has_later(&self) -> bool {
        !self.later.borrow().is_empty()
    }

    /// Calls what was kept for this turn.
    pub(crate) fn run_later(&self) -> usize {
        let waiting = self.later.borrow().len();
        for _ in 0..waiting {
            let next = self.later.borrow_mut().pop_front();
            let Some((callback, finished)) = next else { break };
            self.user_code(callback.name(), || callback.call(finished));
        }
        waiting
    }

    /// Calls user code: a panic in it is caught, named and counted, and gives `None`.
    #[inline]
    pub(crate) fn user_code<R>(&self, name: &'static str, code: impl FnOnce() -> R) -> Option<R> {
        self.watch_enters(name);
        self.fell_short.set(None);
        let result = self.guard(name, code);
        self.watch_leaves();
        result
    }

    /// The watch names what is called next.
    #[inline]
    pub(crate) fn watch_enters(&self, name: &'static str) {
        if !self.config.watch {
            return;
        }
        self.watch.borrow_mut().dispatch_begin(name);
        if let Some(stall) = &self.stall {
            stall.dispatch(name);
        }
    }

    /// The watch puts the time since it was asked last down to what it has named. Returns
    /// the time.
    #[inline]
    pub(crate) fn watch_leaves(&self) -> Instant {
        if !self.config.watch {
            return self.now.get();
        }
        let now = self.clock.borrow().now();
        self.watch.borrow_mut().dispatch_end(now);
        now
    }

    /// Calls user code that the watch has named.
    #[inline]
    pub(crate) fn guard<R>(&self, name: &'static str, code: impl FnOnce() -> R) -> Option<R> {
        self.guard_as(|| name.into(), code)
    }

    /// The same for what may have a name of its own, which is asked for after a panic alone.
    #[inline]
    pub(crate) fn guard_as<R>(
        &self,
        name: impl FnOnce() -> Cow<'static, str>,
        code: impl FnOnce() -> R,
    ) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(code)) {
            Ok(result) => Some(result),
            Err(payload) => {
                if !fiber::put_off(self, payload.as_ref()) {
                    self.note_panic(name(), payload.as_ref());
                }
                discard(payload);
                None
            }
        }
    }

    #[cold]
    fn note_panic(&self, name: Cow<'static, str>, payload: &(dyn Any + Send)) {
        let message = panic_message(payload).to_owned();
        log::error!("`{name}` panicked: {message}; it is not called any more");
        self.counters.panics.set(self.counters.panics.get() + 1);
        if self.config.panics == Panics::Raise {
            self.raised.borrow_mut().get_or_insert(Error::Panicked { name, message });
        }
    }

    /// Whether no other thread has anything for the loop.
    pub(crate) fn nothing_posted(&self) -> bool {
        let idle = self.tasks.is_idle() && self.fibers.is_idle() && self.files.is_idle();
        self.mailbox.borrow().is_empty() && idle
    }

    /// Ends everything and waits until the kernel has let go of every buffer. Futures of
    /// operations that outlive this hear that it is over.
    pub(crate) fn shut_down(self: &Rc<Self>) {
        // Fibers may have frames, and others write to memory of ours: if code of the user's
        // unwinds from here, rather lose all of it than free it.
        let kept = ManuallyDrop::new(self.clone());
        self.gone.set(true);
        let ended = if Self::thread_stays() { self.end_fibers() } else { self.leave_fibers() };
        self.fibers.detach();
        self.with(|engine| engine.shut = true);
        self.close_mailbox();
        self.tasks.clear();
        self.clear_timers();
        let armed = self.with(|engine| engine.wheel.count());
        TIMERS_ARMED.set(armed);
        let later = self.later.take();
        drop(later);
        self.with(Engine::shut_down);
        let released = self.await_kernel();
        if !released {
            log::error!(
                "the kernel holds on to buffers of a runtime that is dropped: leaking them"
            );
        }
        if released && ended {
            self.drop_operations();
            drop(ManuallyDrop::into_inner(kept));
        }
    }

    /// Cancels all fibers, and runs them until they have ended, within a bound: what they have
    /// lent comes back first. False: one is left, and with it what it has lent.
    fn end_fibers(self: &Rc<Self>) -> bool {
        // So long none need end, if none waits for the kernel or for a time, and if some do.
        const PATIENCE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
        self.fibers.cancel_all(self);
        self.clear_timers();
        let (mut headway, mut tasks_are_there) = (Headway::new(self.simulated), true);
        while self.fibers.alive() > 0 && self.fibers.current().is_none() {
            let Ok(did) = self.serve_fibers() else { break };
            let waited = headway.waited(self.fibers.alive());
            let awaits = self.fibers.await_others();
            let rests = did == 0 && !awaits;
            if tasks_are_there && (rests || waited > PATIENCE[0]) {
                // One may wait for what a task holds. Otherwise tasks go after fibers.
                tasks_are_there = false;
                self.tasks.clear();
                drop(self.later.take());
                headway = Headway::new(self.simulated);
            } else if rests || waited > PATIENCE[usize::from(awaits)] {
                break;
            }
        }
        if self.fibers.alive() == 0 {
            return true;
        }
        let names = self.fibers.names();
        log::error!("fibers that do not end with their runtime are left as they are: {names:?}");
        false
    }

    /// Whether this thread's own values are still there. They go in the reverse order in which
    /// they were first looked at, and this one is whenever a loop is run: so it goes before a
    /// runtime that is among them.
    pub(crate) fn thread_stays() -> bool {
        STAYS.try_with(|_| ()).is_ok()
    }

    /// Resumes no fiber: each may hold what it has borrowed from a value of the thread that is
    /// gone. Their operations are cancelled with all others, and waited for. False: there are
    /// some.
    fn leave_fibers(&self) -> bool {
        if self.fibers.alive() == 0 {
            return true;
        }
        let names = self.fibers.names();
        log::error!(
            "fibers of a runtime that goes with its thread's own values are left as they are: {names:?}; drop the runtime before its thread ends"
        );
        false
    }

    /// Gives cancelled fibers what they wait for, and lets them run. Returns how much was done.
    fn serve_fibers(self: &Rc<Self>) -> std::io::Result<usize> {
        const SWITCHES: usize = 1024;
        self.refresh();
        let mut did = self.fibers.run(self, SWITCHES) + self.collect_files() + self.own_alarms();
        let rests = did == 0 && self.fibers.await_others();
        let (mut wakers, mut fibers) = (Vec::new(), Vec::new());
        let polled = self.with(|engine| {
            engine.refill();
            let wait = driver::Wait::AtMost(Duration::from_millis(1));
            let wait = if rests { wait } else { driver::Wait::No };
            engine.run_deferred();
            let polled = engine.poll_driver(wait, 1024);
            did += engine.events.len();
            engine.discard_events(&mut wakers, &mut fibers);
            polled
        });
        self.wake_all(wakers);
        fibers.into_iter().for_each(|fiber| self.fibers.wake(fiber));
        polled.map(|_| did)
    }

    /// Alarms of fibers and of operations that are due; the program's own have gone.
    fn own_alarms(&self) -> usize {
        let precise = self.clock.borrow().precise();
        let mut rung = 0;
        loop {
            let mut alarm = Alarm::default();
            let expired = self.with(|engine| engine.next_expired(precise, &mut alarm));
            if expired.is_none() {
                return rung;
            }
            rung += 1;
            match alarm {
                Alarm::Other(OtherAlarm::Fiber(fiber)) => self.fibers.wake(fiber),
                Alarm::Other(own) => self.with(|engine| engine.alarm(own)),
                Alarm::Call(_) => {}
            }
        }
    }

    /// What was posted is dropped, and what comes from now on goes back.
    fn close_mailbox(&self) {
        // Dropped while the mailbox is not borrowed: what it would have done may hold anything.
        let next = || self.mailbox.borrow_mut().take_the_rest();
        while let Some(job) = next() {
            drop(job);
        }
    }

    /// Polls until no operation is with the driver, within a bound. False: one still is.
    fn await_kernel(self: &Rc<Self>) -> bool {
        const ROUNDS: u32 = 500;
        for _ in 0..ROUNDS {
            self.collect_files();
            let (mut wakers, mut fibers) = (Vec::new(), Vec::new());
            let (left, polled) = self.with(|engine| {
                engine.refill();
                let wait = driver::Wait::AtMost(Duration::from_millis(10));
                let wait = if engine.ios.len() == 0 { driver::Wait::No } else { wait };
                let polled = engine.poll_driver(wait, 1024);
                engine.discard_events(&mut wakers, &mut fibers);
                (engine.ios.len(), polled)
            });
            self.wake_all(wakers);
            if left == 0 {
                return true;
            }
            if polled.is_err() {
                return false;
            }
        }
        false
    }

    /// Wakes tasks while the runtime goes. They may be those of another executor.
    fn wake_all(&self, wakers: Vec<Waker>) {
        for waker in wakers {
            self.guard("a waker", || waker.wake());
        }
    }

    /// Drops what finished operations own, outside the engine. The results of those whose
    /// future is still there wait for it.
    fn drop_operations(&self) {
        let keys: Vec<Key> = self.with(|engine| engine.ops.keys().collect());
        for key in keys {
            let slot = self.with(|engine| engine.take_unawaited(key));
            drop(slot);
        }
    }
}

impl Core {
    /// Why there is no fiber that could wait.
    #[cold]
    pub(crate) fn no_fiber(&self) -> Refusal {
        if self.gone.get() { Refusal::Closed } else { Refusal::NotInFiber }
    }

    /// Asks an operation of a fiber to end. No code of the user's runs in here: whoever calls may
    /// be in the way of a pending call.
    pub(crate) fn cancel_operation(&self, key: Key) {
        self.hold(|engine| engine.cancel(key, Ending::Cancelled));
    }
}

impl Engine {
    /// Keeps the waker of a pending operation's future.
    pub(crate) fn set_waker(&mut self, key: Key, waker: &Waker) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        if let Continuation::Future(held) = &mut slot.continuation
            && !held.will_wake(waker)
        {
            self.trash.push(Trash::Waker(std::mem::replace(held, waker.clone())));
        }
    }

    /// A fiber waits for an operation that a future was polled for.
    pub(crate) fn tell_fiber(&mut self, key: Key, fiber: Key) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        let before = std::mem::replace(&mut slot.continuation, Continuation::Fiber(fiber));
        if let Continuation::Future(waker) = before {
            self.trash.push(Trash::Waker(waker));
        }
    }

    /// Takes an operation out if nobody waits for its result.
    fn take_unawaited(&mut self, key: Key) -> Option<OpSlot> {
        let slot = self.ops.get_mut(key)?;
        let brings = matches!(slot.op, Op::Accept { .. } | Op::Open { .. });
        if let Phase::Finished(Ok(fd)) = slot.phase
            && brings
        {
            // A descriptor that it brought has nowhere to go.
            slot.phase = Phase::Finished(Err(Failure::Closed));
            self.driver.close(fd as RawFd);
        }
        let awaited = matches!(slot.continuation, Continuation::Future(_));
        if awaited { None } else { self.ops.remove(key) }
    }

    /// Drops events that nobody will dispatch, and gives back what they hold. Wakers come
    /// out, to be called, and fibers.
    fn discard_events(&mut self, wakers: &mut Vec<Waker>, fibers: &mut Vec<Key>) {
        while let Some(event) = self.events.pop_front() {
            match event {
                crate::engine::Event::Accepted(_, fd) => self.driver.close(fd),
                crate::engine::Event::Data(_, received) => self.recycle(received.at),
                crate::engine::Event::Offload(key) => self.offloaded(key, -libc::ECANCELED),
                crate::engine::Event::Wake(waker) => wakers.push(waker),
                crate::engine::Event::Fiber(key) => fibers.push(key),
                _ => {}
            }
        }
    }
}
