//! Who runs next, and how the loop and its fibers hand the thread to each other.
//!
//! ```text
//! loop's stack                            a fiber's stack
//!   turn ─▶ run ─▶ step ── resume ──────▶ root: the work
//!                    ▲                      │ a call that waits
//!                    └───── suspend ◀───────┘
//!   (others run; what it waits for wakes it: back into the queue of its band)
//! ```
//!
//! Nothing of this module is borrowed while a fiber runs: whatever the fiber does may come
//! back here.

use std::cell::{Cell, RefCell, RefMut};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use corosensei::CoroutineResult;

use crate::config::Config;
use crate::core::Core;
use crate::error::Error;
use crate::fiber::join;
use crate::fiber::panics;
use crate::fiber::queue::{Line, Queue};
use crate::fiber::scope;
use crate::fiber::slot::{BANDS, Band, Cancel, End, Routine, Slot, Slots, State};
use crate::fiber::stack::{FiberStack, Stack, Stacks, overflow};
use crate::fiber::wait::FiberWaker;
use crate::mailbox::Sleeper;
use crate::report::count;
use crate::slab::Key;
use crate::sync::Arc;
use crate::turn::Run;
use crate::wake_list::{WakeList, WakeSender, wake_list};

/// How many classes of stacks there are.
pub(super) const CLASSES: usize = 3;

/// All fibers of a loop.
pub(crate) struct Fibers {
    pub(super) core: u64,
    pub(super) slots: Slots,
    /// Ready ones of each band.
    ready: [Queue; BANDS],
    /// How many are not over.
    alive: Cell<usize>,
    /// The one that runs. While the loop goes from one to the next this may still name the one
    /// that has parked: whoever calls the user's code on the loop's stack clears it before.
    current: Cell<Option<NonNull<Slot>>>,
    stacks: RefCell<Stacks>,
    classes: [Class; CLASSES],
    /// Spawns of a class that may wait for a stack.
    queue_limit: usize,
    /// Stacks are measured and cleaned between tenants.
    measure: bool,
    /// While it is there, an overflow of a stack is told in words.
    overflow: Cell<Option<overflow::Attached>>,
    woken: RefCell<WakeList<FiberWaker>>,
    pub(super) remote: WakeSender<FiberWaker>,
    pub(super) boxed: Cell<u64>,
    spawned: Cell<u64>,
    /// Times that fibers wait for.
    pub(super) alarms: Cell<usize>,
    /// Where the next select begins to look.
    pub(super) turn: Cell<usize>,
}

/// Fibers of one class of stacks.
#[derive(Default)]
struct Class {
    /// Those whose turn came when no stack was left.
    waiting: Line,
    /// Spawned, and not begun.
    unstarted: Cell<usize>,
    /// The most that any fiber has used of its stack, where that is measured.
    mark: Cell<usize>,
    /// It was said that one waits.
    warned: Cell<bool>,
}

impl Fibers {
    /// None yet.
    pub(crate) fn new(core: u64, config: &Config, sleeper: Arc<Sleeper>) -> Result<Self, Error> {
        panics::prepare_or_warn();
        let (remote, woken) = wake_list(sleeper);
        let stacks = Stacks::new(&config.stacks)?;
        let overflow = overflow::attach(&stacks, tell_name);
        let overflow = overflow.map_err(Error::system("a handler for stack overflows"))?;
        Ok(Self {
            core,
            slots: Slots::new(core, config.fibers, config.fiber_room)?,
            ready: Default::default(),
            alive: Cell::new(0),
            current: Cell::new(None),
            stacks: RefCell::new(stacks),
            classes: Default::default(),
            queue_limit: config.stack_queue,
            measure: config.measure_stacks,
            overflow: Cell::new(Some(overflow)),
            woken: RefCell::new(woken),
            remote,
            boxed: Cell::new(0),
            spawned: Cell::new(0),
            alarms: Cell::new(0),
            turn: Cell::new(0),
        })
    }

    /// The fiber that runs; none in callbacks and tasks.
    #[inline]
    pub(crate) fn current(&self) -> Option<&Slot> {
        // SAFETY: slots live as long as the table, which lives as long as `self`.
        self.current.get().map(|slot| unsafe { slot.as_ref() })
    }

    /// The stacks, borrowed.
    pub(super) fn stacks(&self) -> RefMut<'_, Stacks> {
        self.stacks.borrow_mut()
    }

    fn class(&self, class: Stack) -> &Class {
        &self.classes[class as usize]
    }

    /// The most that a fiber of this class has used of its stack, where that is measured.
    pub(super) fn highest_mark(&self, class: Stack) -> Option<usize> {
        self.measure.then(|| self.class(class).mark.get())
    }

    /// The most that this fiber, which is over, has used of its stack, where that is measured.
    pub(super) fn last_mark(&self, slot: &Slot) -> Option<usize> {
        debug_assert_eq!(slot.state.get(), State::Over);
        (self.measure && slot.mark.get() > 0).then_some(slot.mark.get())
    }

    /// How many fibers of this class wait for a stack.
    pub(super) fn unstarted(&self, class: Stack) -> usize {
        self.class(class).unstarted.get()
    }

    /// Fibers that were spawned, and those of them whose work or result was boxed.
    pub(crate) fn spawned(&self) -> (u64, u64) {
        (self.spawned.get(), self.boxed.get())
    }

    /// Whether none is ready.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.iter().all(Queue::is_empty) && self.woken.borrow().is_empty()
    }

    /// Whether another fiber of this class may be spawned: there is a stack for it, or, if it
    /// `may_wait`, a place in the queue.
    pub(super) fn admits(&self, class: Stack, may_wait: bool) -> Result<(), Error> {
        let usage = self.stacks.borrow().usage(class);
        let free = usage.total - usage.in_use;
        let room = if may_wait { free + self.queue_limit } else { free };
        if self.class(class).unstarted.get() < room && usage.total > 0 {
            return Ok(());
        }
        let (what, knob) = match (may_wait, class) {
            (true, _) if usage.total > 0 => ("fiber that waits for a stack", "stack_queue"),
            (_, Stack::Small) => ("small stack", "stacks.small.count"),
            (_, Stack::Medium) => ("medium stack", "stacks.medium.count"),
            (_, Stack::Large) => ("large stack", "stacks.large.count"),
        };
        let limit = if knob == "stack_queue" { self.queue_limit } else { usage.total };
        Err(Error::Exhausted { what, limit, knob })
    }

    /// Puts a fiber that was spawned into the queue.
    #[inline]
    pub(super) fn begin(&self, slot: &Slot) {
        let class = self.class(slot.class.get());
        class.unstarted.set(class.unstarted.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        self.alive.set(self.alive.get() + 1);
        slot.state.set(State::New);
        self.enqueue(slot);
    }

    #[inline]
    fn enqueue(&self, slot: &Slot) {
        self.ready[slot.band.get() as usize].push(slot);
    }

    /// What a fiber waits for has come: it is to run again, if it waits.
    #[inline]
    pub(crate) fn wake(&self, key: Key) {
        if let Some(slot) = self.slots.get(key) {
            self.rouse(slot);
        }
    }

    /// The same. A fiber of another loop, one that could not end with its runtime, stays as it
    /// is.
    #[inline]
    pub(super) fn rouse(&self, slot: &Slot) {
        if slot.state.get() == State::Parked && slot.core == self.core {
            slot.state.set(State::Ready);
            self.enqueue(slot);
        }
    }

    /// Lets others run until it is woken. Whoever calls looks at what it waits for again
    /// afterwards: there may have been another reason.
    #[inline(always)]
    pub(super) fn suspend(&self, slot: &Slot, call: &'static str) {
        debug_assert_eq!(slot.undivided.get(), 0, "whoever waits has asked before");
        slot.call.set(call);
        slot.state.set(State::Parked);
        self.switch(slot);
    }

    /// Lets those run that are ready.
    #[inline(always)]
    pub(super) fn yield_now(&self, slot: &Slot) {
        slot.state.set(State::Ready);
        self.enqueue(slot);
        self.switch(slot);
    }

    #[inline(always)]
    fn switch(&self, slot: &Slot) {
        debug_assert_eq!(self.current.get(), Some(NonNull::from(slot)), "the one that runs");
        let panics = panics::set_aside();
        // SAFETY: this fiber runs, so its yielder is that of the routine underneath.
        unsafe { (*slot.yielder.get()).suspend(()) };
        panics::restore(panics);
    }

    /// Runs fibers that are ready, at most `budget` switches.
    pub(crate) fn run(&self, core: &Core, budget: usize) -> usize {
        self.take_woken();
        if self.ready.iter().all(Queue::is_empty) {
            return 0;
        }
        let _running = RunningFibers::begin(self);
        let mut run = Run::none(core.now.get());
        let mut left = budget;
        let reserve = (budget / 8).max(2);
        while let Some(slot) = self.next(left, reserve) {
            left -= 1;
            self.step(core, slot, &mut run);
        }
        core.end_run(&run);
        count(&core.counters.switches, budget - left);
        budget - left
    }

    fn take_woken(&self) {
        if self.woken.borrow().is_empty() {
            return;
        }
        while let Some(waker) = { self.woken.borrow_mut().pop() } {
            self.wake(waker.fiber());
        }
    }

    /// The next to run, if `left` more may. The last `reserve` of them belong to the lower
    /// bands, half to each.
    #[inline]
    fn next(&self, left: usize, reserve: usize) -> Option<&Slot> {
        if left <= reserve {
            return self.next_of_the_lower(left, reserve);
        }
        let [high, normal, low] = &self.ready;
        let first = high.pop(&self.slots).or_else(|| normal.pop(&self.slots));
        first.or_else(|| low.pop(&self.slots))
    }

    #[cold]
    fn next_of_the_lower(&self, left: usize, reserve: usize) -> Option<&Slot> {
        let [high, normal, low] = &self.ready;
        let order = match left {
            0 => return None,
            left if 2 * left <= reserve => [low, normal, high],
            _ => [normal, low, high],
        };
        order.into_iter().find_map(|queue| queue.pop(&self.slots))
    }

    #[inline]
    fn step(&self, core: &Core, slot: &Slot, run: &mut Run) {
        if slot.state.get() == State::New && !self.start(core, slot) {
            return;
        }
        core.join_run_of_fibers(run, slot.name.get());
        slot.state.set(State::Running);
        self.current.set(Some(NonNull::from(slot)));
        core.unfilled.set(true);
        // SAFETY: it has begun and is not over, so its routine is there; while it runs nobody
        // else touches that.
        let result = unsafe { (*slot.routine.get()).assume_init_mut().resume(()) };
        if let CoroutineResult::Return(()) = result {
            self.current.set(None);
            self.finish(core, slot);
        }
    }

    /// Gives a fiber its stack. False: it has none, and waits for it or was cancelled before
    /// it could begin.
    fn start(&self, core: &Core, slot: &Slot) -> bool {
        // Work that is dropped is the user's, and so is a logger.
        self.current.set(None);
        if slot.cancel.get() != Cancel::No {
            self.never_begun(core, slot);
            return false;
        }
        let class = self.class(slot.class.get());
        let stack = self.stacks.borrow_mut().take(slot.class.get());
        let Some(stack) = stack else {
            slot.state.set(State::AwaitingStack);
            class.waiting.push(slot);
            if !class.warned.replace(true) {
                let class = slot.class.get();
                log::warn!("fibers wait for a {class} stack; see `Config::stacks.{class}.count`");
            }
            return false;
        };
        self.settle_in(slot, stack);
        true
    }

    /// Makes a fiber's routine on its stack.
    fn settle_in(&self, slot: &Slot, stack: FiberStack) {
        let class = self.class(slot.class.get());
        class.unstarted.set(class.unstarted.get() - 1);
        slot.stack.set(Some(stack.id()));
        let (place, room) = (NonNull::from(slot), self.slots.room(slot));
        let root = move |yielder: &corosensei::Yielder<(), ()>, ()| {
            // SAFETY: slots live as long as the table, and a routine no longer than that.
            let slot = unsafe { place.as_ref() };
            slot.yielder.set(yielder);
            // SAFETY: the room holds the work that `entry` describes; this is called once.
            slot.end.set(unsafe { (slot.entry.get().run)(room) });
            if !slot.locals.is_empty() {
                slot.drop_locals();
            }
        };
        // SAFETY: what the work borrows outlives the fiber: it is `'static`, or its scope waits
        // for the fiber's end. The closure itself borrows nothing.
        let routine = unsafe { Routine::with_stack_unchecked(stack, root) };
        // SAFETY: nobody else looks at the place of the routine now.
        unsafe { *slot.routine.get() = MaybeUninit::new(routine) };
    }

    /// A fiber has come to its end.
    fn finish(&self, core: &Core, slot: &Slot) {
        // SAFETY: it is there, and from now on it is not.
        let routine = unsafe { (*slot.routine.get()).assume_init_read() };
        slot.stack.set(None);
        self.give_stack(slot, routine.into_stack());
        self.end(core, slot);
    }

    /// The stack goes to the first that waits for one, warm as it is, or back to its pool.
    #[inline]
    fn give_stack(&self, slot: &Slot, mut stack: FiberStack) {
        let class = self.class(slot.class.get());
        if self.measure {
            let stacks = self.stacks.borrow();
            slot.mark.set(stacks.mark(stack.id()));
            class.mark.set(class.mark.get().max(slot.mark.get()));
            stacks.clean(&mut stack);
        }
        match class.waiting.pop(&self.slots) {
            None => self.stacks.borrow_mut().give(stack),
            Some(next) => {
                self.settle_in(next, stack);
                next.state.set(State::Ready);
                self.enqueue(next);
            }
        }
    }

    /// Whether it was handed a stack, and has not run on it.
    fn is_settled_in(slot: &Slot) -> bool {
        let settled = slot.stack.get().is_some();
        // SAFETY: its routine is there as long as its stack, and does not run: this is asked of
        // those that are ready, or new.
        settled && unsafe { !(*slot.routine.get()).assume_init_ref().started() }
    }

    /// Takes its stack from a fiber that was handed one, and has not run on it.
    fn move_out(&self, slot: &Slot) {
        // SAFETY: the routine is there, and from now on it is not.
        let mut routine = unsafe { (*slot.routine.get()).assume_init_read() };
        slot.stack.set(None);
        // There is no frame on it; the work still lies in the room.
        routine.force_unwind();
        self.give_stack(slot, routine.into_stack());
    }

    /// It is over: who waits for that is told.
    fn end(&self, core: &Core, slot: &Slot) {
        slot.state.set(State::Over);
        self.alive.set(self.alive.get() - 1);
        if let Some(scope) = slot.scope() {
            scope.child_ended(self);
        }
        join::tell(self, core, slot);
    }

    /// It was cancelled before it began.
    fn never_begun(&self, core: &Core, slot: &Slot) {
        if Self::is_settled_in(slot) {
            self.move_out(slot);
        } else {
            let class = self.class(slot.class.get());
            class.unstarted.set(class.unstarted.get() - 1);
        }
        let (entry, room) = (slot.entry.get(), self.slots.room(slot));
        let name = || slot.told_name().to_owned().into();
        // SAFETY: its work lies in the room, and nobody takes it from there any more.
        core.guard_as(name, || unsafe { (entry.drop_work)(room) });
        slot.end.set(End::Cancelled);
        slot.mark.set(0);
        self.end(core, slot);
    }

    /// Asks a fiber to end: see [`JoinHandle::cancel`](super::JoinHandle::cancel).
    pub(super) fn cancel(&self, core: &Core, key: Key) {
        let Some(slot) = self.slots.get(key) else { return };
        if slot.cancel.get() != Cancel::No {
            return;
        }
        match slot.state.get() {
            State::Over => return,
            State::AwaitingStack => {
                self.class(slot.class.get()).waiting.remove(slot);
                slot.state.set(State::New);
                self.enqueue(slot);
            }
            // In the queue already: it is not to begin there.
            State::Ready if Self::is_settled_in(slot) => slot.state.set(State::New),
            State::New | State::Ready | State::Running | State::Parked => {}
        }
        slot.cancel.set(Cancel::Asked);
        if !slot.unwinds() {
            // It may join one of its children, and is not unwound out of that.
            scope::cancel_open(core, slot);
        }
        match slot.operation.get() {
            // What the kernel holds comes back first, and wakes it.
            Some(operation) => core.cancel_operation(operation),
            None => self.rouse(slot),
        }
    }

    /// Asks all fibers to end.
    pub(crate) fn cancel_all(&self, core: &Core) {
        let keys: Vec<Key> = self.slots.iter().map(Slot::key).collect();
        keys.into_iter().for_each(|key| self.cancel(core, key));
    }

    /// Whether any waits for an operation, or for a time.
    pub(crate) fn await_others(&self) -> bool {
        self.alarms.get() > 0 || self.slots.iter().any(|slot| slot.operation.get().is_some())
    }

    /// No fiber runs any more on this thread.
    pub(crate) fn detach(&self) {
        drop(self.overflow.take());
    }

    /// The names of those that are not over.
    pub(crate) fn names(&self) -> Vec<String> {
        let alive = |slot: &&Slot| slot.state.get() != State::Over;
        self.slots.iter().filter(alive).map(|slot| slot.told_name().to_owned()).collect()
    }

    /// How many are not over.
    pub(crate) fn alive(&self) -> usize {
        self.alive.get()
    }
}

/// While fibers are run: afterwards, however that ends, none runs.
struct RunningFibers<'f> {
    fibers: &'f Fibers,
    /// The loop may be run, or its runtime dropped, by a thread that panics.
    panics: usize,
}

impl<'f> RunningFibers<'f> {
    fn begin(fibers: &'f Fibers) -> Self {
        Self { fibers, panics: panics::set_aside() }
    }
}

impl Drop for RunningFibers<'_> {
    fn drop(&mut self) {
        self.fibers.current.set(None);
        panics::restore(self.panics);
    }
}

/// Tells the name of the fiber that runs on this thread. Called in a signal's handler.
fn tell_name(tell: &mut dyn FnMut(&str)) {
    Core::try_current(|core| {
        let Some(slot) = core.fibers.current() else { return };
        match slot.label.try_borrow().ok().as_deref() {
            Some(Some(label)) => tell(label),
            _ => tell(slot.name.get()),
        }
    });
}

impl Band {
    /// All, the first to run first.
    pub const ALL: [Self; BANDS] = [Self::High, Self::Normal, Self::Low];
}
