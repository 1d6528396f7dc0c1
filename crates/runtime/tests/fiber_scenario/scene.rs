//! What all parts of a run share: chance, fibers and those who wait for them, and what did not
//! hold.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use futures::future::{self, Either};
use tautline_runtime::fiber::{
    self, Band, Builder, JoinHandle, Refused, Scope, ScopedJoinHandle, Stack,
};
use tautline_runtime::time::Instant;
use tautline_runtime::{Config, Error, Runtime, timer};

use super::ledger::{Id, Ledger, Me, Value, count};
use super::together::Meeting;
use super::{Plan, now, task};

/// More than these would only repeat themselves.
const MOST_COMPLAINTS: usize = 5;
/// Stacks of a class that is not scarce.
const PLENTY: usize = 256;

const CLASSES: [Stack; 3] = [Stack::Small, Stack::Medium, Stack::Large];

pub(super) struct Scene {
    pub(super) plan: Plan,
    random: RefCell<Rng>,
    pub(super) ledger: Ledger,
    /// Where fibers meet.
    pub(super) meeting: Meeting,
    pub(super) clients: usize,
    /// The class of which there are few stacks. Whoever waits for fibers has a stack of another
    /// class than they have.
    scarce: Stack,
    /// When the runtime is dropped, if that is in the middle.
    stop_at: Option<Instant>,
    stop_early: Cell<bool>,
    /// Clients that have had enough.
    pub(super) finished: Cell<usize>,
    /// Sessions that were cut short.
    failed: Cell<u32>,
    /// The fiber that accepts.
    pub(super) accepting: Cell<Option<Id>>,
    /// A connection has lost one of its fibers.
    pub(super) cut: Cell<bool>,
    /// Fibers for which there was no room, and that were refused a stack at once.
    refused: Cell<u32>,
    /// The most that waited for a stack at a time.
    queued: Cell<usize>,
    pub(super) overtime: Cell<bool>,
    /// Nothing new begins.
    pub(super) stopping: Cell<bool>,
    pub(super) complaints: RefCell<Vec<String>>,
}

/// What became of the fibers of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// How many there were.
    pub(crate) fibers: u64,
    /// Joins that say that they were cancelled.
    pub(crate) cancelled: u64,
    /// Joins that say that they panicked.
    pub(crate) panicked: u64,
    /// Spawns that were refused.
    pub(crate) refused: u64,
    /// The most that waited for a stack.
    pub(crate) queued: u64,
    /// Sessions of clients that were cut short.
    pub(crate) failed: u64,
    /// Runtimes that were dropped in the middle.
    pub(crate) dropped: u64,
}

/// How a fiber is to be made.
pub(super) struct Wish {
    what: &'static str,
    stack: Stack,
    band: Band,
    by_error: bool,
    kept: bool,
    parent: Option<Id>,
}

impl Wish {
    /// Chance does not cancel it, and it is unwound if it is cancelled.
    pub(super) fn kept(self) -> Self {
        Self { kept: true, by_error: false, ..self }
    }

    fn open(&self, scene: &Rc<Scene>) -> Me {
        let id = scene.ledger.open(self.what, self.parent, self.by_error, self.kept);
        Me::new(scene, id)
    }

    pub(super) fn builder(&self) -> Builder {
        let builder = Builder::new(self.stack).band(self.band).name(self.what);
        if self.by_error { builder.cancel_by_error() } else { builder }
    }
}

/// A fiber that is to be joined.
pub(super) struct Handle {
    pub(super) id: Id,
    pub(super) handle: JoinHandle<Value>,
}

/// The same for one that borrows.
pub(super) struct Child<'s> {
    id: Id,
    handle: ScopedJoinHandle<'s, Value>,
}

/// What the fiber does.
fn body<F: FnOnce(&Me) -> io::Result<()>>(me: Me, work: F) -> impl FnOnce() -> Value {
    move || {
        me.begin();
        let result = work(&me);
        me.end(result)
    }
}

impl Scene {
    pub(super) fn new(plan: Plan) -> Self {
        let mut random = Rng::with_seed(plan.seed ^ 0xF1BE5);
        let calm = plan.calm.saturating_since(Instant::default()).as_nanos() as u64;
        let begin = 1_000_000_000;
        let stop_at =
            (random.u8(..4) == 0).then(|| Instant::from_nanos(begin + random.u64(..calm - begin)));
        Self {
            clients: random.usize(6..15),
            scarce: CLASSES[random.usize(..3)],
            random: RefCell::new(random),
            ledger: Ledger::default(),
            meeting: Meeting::default(),
            stop_at,
            stop_early: Cell::new(false),
            finished: Cell::new(0),
            failed: Cell::new(0),
            accepting: Cell::new(None),
            cut: Cell::new(false),
            refused: Cell::new(0),
            queued: Cell::new(0),
            overtime: Cell::new(false),
            stopping: Cell::new(false),
            complaints: RefCell::default(),
            plan,
        }
    }

    /// Tables and stacks of fibers.
    pub(super) fn draw_fibers(&self, mut config: Config) -> Config {
        config.fibers = self.draw(80..400);
        config.fiber_room = 16 * self.draw(1..12);
        config.stack_queue = self.draw(1..20);
        config.measure_stacks = self.one_in(8);
        for class in CLASSES {
            let stacks = &mut config.stacks;
            let of = match class {
                Stack::Small => &mut stacks.small,
                Stack::Medium => &mut stacks.medium,
                Stack::Large => &mut stacks.large,
            };
            of.size = 32 << 10;
            of.count = if class == self.scarce { self.draw(2..12) } else { PLENTY };
        }
        config
    }

    /// A number by chance.
    pub(super) fn draw(&self, range: Range<usize>) -> usize {
        self.random.borrow_mut().usize(range)
    }

    /// True once in `n` times.
    pub(super) fn one_in(&self, n: usize) -> bool {
        self.draw(0..n) == 0
    }

    /// A short time by chance.
    pub(super) fn moment(&self) -> Duration {
        Duration::from_nanos(self.random.borrow_mut().u64(..1 << 20))
    }

    /// Sometimes a deadline, soon.
    pub(super) fn soon(&self) -> Option<Instant> {
        self.one_in(3).then(|| now() + self.moment())
    }

    /// Nothing new goes wrong.
    pub(super) fn is_calm(&self) -> bool {
        now() >= self.plan.calm
    }

    /// Notes what did not hold.
    pub(super) fn complain(&self, complaint: String) {
        let mut complaints = self.complaints.borrow_mut();
        if complaints.len() < MOST_COMPLAINTS {
            complaints.push(complaint);
        }
    }

    /// Whether to go on is pointless.
    pub(super) fn is_lost(&self) -> bool {
        self.overtime.get() || !self.complaints.borrow().is_empty()
    }

    pub(super) fn note_error(&self, when: &str, error: Option<Error>) {
        if let Some(error) = error {
            self.complain(format!("{when} the loop broke: {error}; {}", whereabouts()));
        }
    }
}

/// Making fibers.
impl Scene {
    /// A fiber on a stack of this class, of chance otherwise.
    pub(super) fn wish(&self, what: &'static str, stack: Stack) -> Wish {
        let band = Band::ALL[self.draw(0..3)];
        Wish { what, stack, band, by_error: self.one_in(6), kept: false, parent: None }
    }

    /// A class of which there are stacks for all.
    pub(super) fn spare(&self) -> Stack {
        let at = CLASSES.iter().position(|&class| class == self.scarce).unwrap_or(0);
        CLASSES[(at + self.draw(1..3)) % 3]
    }

    /// Any class.
    pub(super) fn any(&self) -> Stack {
        CLASSES[self.draw(0..3)]
    }

    /// `None`: there was no room.
    pub(super) fn spawn<F>(self: &Rc<Self>, wish: &Wish, work: F) -> Option<Handle>
    where
        F: FnOnce(&Me) -> io::Result<()> + 'static,
    {
        let me = wish.open(self);
        let id = me.id;
        let spawned = wish.builder().spawn(body(me, work));
        match spawned {
            Ok(handle) => {
                self.ledger.spawned(id, handle.fiber());
                self.look_at_queues();
                Some(Handle { id, handle })
            }
            Err(error) => self.was_refused(id, &error),
        }
    }

    /// Tries until there is a stack at once. The work is `parent`'s until then.
    pub(super) fn insist<F>(self: &Rc<Self>, wish: Wish, parent: Id, work: F) -> io::Result<Handle>
    where
        F: FnOnce(&Me) -> io::Result<()> + 'static,
    {
        let me = Wish { parent: Some(parent), ..wish }.open(self);
        let id = me.id;
        self.ledger.refused(id);
        let mut work = body(me, work);
        loop {
            match wish.builder().try_spawn(work) {
                Ok(handle) => {
                    self.ledger.is_on_its_own(id);
                    self.ledger.spawned(id, handle.fiber());
                    return Ok(Handle { id, handle });
                }
                Err(Refused { error, work: back }) => {
                    count(&self.refused);
                    self.expect_full(&error);
                    work = back;
                    fiber::sleep(self.moment())?;
                }
            }
        }
    }

    /// A fiber that borrows. An error: there was no room.
    pub(super) fn child<'s, F>(
        self: &Rc<Self>,
        scope: &'s Scope<'s, '_>,
        wish: Wish,
        parent: &Me,
        work: F,
    ) -> io::Result<Child<'s>>
    where
        F: FnOnce(&Me) -> io::Result<()> + 's,
    {
        let wish = Wish { parent: Some(parent.id), ..wish };
        let me = wish.open(self);
        let id = me.id;
        match scope.spawn_by(wish.builder(), body(me, work)) {
            Ok(handle) => {
                self.ledger.spawned(id, handle.fiber());
                Ok(Child { id, handle })
            }
            Err(error) => {
                self.was_refused::<()>(id, &error);
                Err(error.into())
            }
        }
    }

    fn was_refused<T>(&self, id: Id, error: &Error) -> Option<T> {
        count(&self.refused);
        self.expect_full(error);
        self.ledger.refused(id);
        None
    }

    fn expect_full(&self, error: &Error) {
        let going = self.ledger.going.get() && matches!(error, Error::Closed);
        if !going && !matches!(error, Error::Exhausted { .. }) {
            self.complain(format!("a fiber was refused: {error}"));
        }
    }

    fn look_at_queues(&self) {
        let waiting = fiber::stacks().map_or(0, |stacks| stacks.iter().map(|c| c.unstarted).sum());
        self.queued.set(self.queued.get().max(waiting));
    }
}

/// Waiting for fibers.
impl Scene {
    /// Waits for its end in a fiber. `None`: it returned nothing.
    pub(super) fn join(&self, handle: Handle) -> Option<io::Result<()>> {
        self.answer(handle.id, handle.handle.join())
    }

    /// The same for a child.
    pub(super) fn join_child(&self, child: Child<'_>) -> Option<io::Result<()>> {
        self.answer(child.id, child.handle.join())
    }

    /// Has somebody wait for it, or nobody.
    pub(super) fn follow(self: &Rc<Self>, handle: Handle) {
        let (scene, id) = (self.clone(), handle.id);
        let joining = async move {
            let joined = handle.handle.await;
            scene.answer(id, joined);
        };
        match self.draw(0..6) {
            0 => drop(joining),
            1 | 2 => {
                self.ledger.is_awaited(id);
                self.task(joining);
            }
            3 => self.follow_in_turn(id, joining),
            _ => self.follow_by_fiber(joining),
        }
    }

    /// A task waits for a while, and hands the handle on to another one.
    fn follow_in_turn(self: &Rc<Self>, id: Id, joining: impl Future<Output = ()> + 'static) {
        let (scene, patience) = (self.clone(), timer::sleep(self.moment()));
        self.ledger.is_awaited(id);
        self.task(async move {
            if let Either::Right((_, rest)) = future::select(Box::pin(joining), patience).await {
                scene.task(rest);
            }
        });
    }

    /// Has a task do it. One that is refused because the runtime goes is dropped.
    fn task(&self, work: impl Future<Output = ()> + 'static) {
        match task::spawn(work) {
            Err(Error::Closed) if self.ledger.going.get() => {}
            spawned => drop(spawned.expect("room for a task")),
        }
    }

    /// A fiber waits, which may itself be cancelled; or there is no room for it.
    fn follow_by_fiber(self: &Rc<Self>, joining: impl Future<Output = ()> + 'static) {
        let wish = self.wish("waits for another", self.spare());
        let joiner = self.spawn(&wish, move |me| me.did(fiber::wait(joining).map_err(Into::into)));
        drop(joiner);
    }

    /// A callback is told.
    pub(super) fn then(
        self: &Rc<Self>,
        handle: Handle,
        done: impl FnOnce(&Rc<Self>, Option<io::Result<()>>) + 'static,
    ) {
        let (scene, id) = (self.clone(), handle.id);
        self.ledger.is_awaited(id);
        handle.handle.then(move |joined| {
            let result = scene.answer(id, joined);
            done(&scene, result);
        });
    }

    /// Asks a fiber of chance to end, unless it is to be kept.
    pub(super) fn cancel_one(&self) {
        let Some((id, _)) = self.ledger.living(|n| self.draw(0..n)) else { return };
        if !self.is_calm() && !self.ledger.is_kept(id) {
            self.ledger.cancel(id);
        }
    }
}

/// What has to hold.
impl Scene {
    /// Whether a client has had enough: one whole session at least. If this one, which began
    /// then, was not whole: whether that is explained.
    pub(super) fn judge(&self, id: usize, begun: Instant, result: Option<io::Result<()>>) -> bool {
        let early = begun < self.plan.safe;
        let explained = match &result {
            Some(Ok(())) if self.is_calm() || self.one_in(8) => {
                self.finished.set(self.finished.get() + 1);
                return true;
            }
            Some(Ok(())) => return self.is_lost(),
            Some(Err(error)) => is_starved(error) || early && is_explained(error),
            None => early,
        };
        count(&self.failed);
        if !explained {
            self.complain(format!("client {id}, whose session began at {begun:?}: {result:?}"));
        }
        self.is_lost()
    }

    /// Whether all clients were served, and nothing is wrong.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_lost() && !self.stop_early.get()
    }

    pub(super) fn check_converged(&self) {
        if self.overtime.get() {
            let (got, all) = (self.finished.get(), self.clients);
            self.complain(format!("{got} of {all} clients were served; {}", whereabouts()));
        }
    }

    /// Everything has come to its end.
    pub(super) fn check_at_rest(&self, runtime: &Runtime) {
        let left = fiber::list().map_or(0, |list| list.len());
        if left > 0 {
            self.complain(format!("{left} fibers are left: {}", whereabouts()));
        }
        self.check_stacks("when all fibers are over");
        let metrics = runtime.metrics();
        if metrics.engine.stray != 0 {
            self.complain(format!("{} completions found no operation", metrics.engine.stray));
        }
        let (panics, untold) = (metrics.panics, self.ledger.untold_panics());
        if !untold.contains(&panics) {
            self.complain(format!("{panics} panics, and {untold:?} of fibers nobody joined"));
        }
        if metrics.fibers != self.ledger.spawns() as u64 {
            let (counted, spawned) = (metrics.fibers, self.ledger.spawns());
            self.complain(format!("{spawned} fibers were spawned, and {counted} counted"));
        }
    }

    /// Every stack has come back.
    fn check_stacks(&self, when: &str) {
        for class in fiber::stacks().into_iter().flatten() {
            if (class.in_use, class.unstarted) != (0, 0) {
                self.complain(format!("{when}: {class:?}"));
            }
        }
    }

    /// Whether there is nothing more to be done, or the runtime is to be dropped now.
    pub(super) fn is_over(&self) -> bool {
        let served = self.finished.get() == self.clients && self.stop_at.is_none();
        served || self.is_lost() || self.stop_early.get()
    }

    /// Looks at the stacks when the runtime goes: tasks are dropped after all fibers have ended.
    pub(super) fn watch_the_end(self: &Rc<Self>) {
        struct AtEnd(Rc<Scene>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                if self.0.ledger.going.get() {
                    self.0.check_stacks("when the runtime went");
                }
            }
        }
        if let Some(at) = self.stop_at {
            let (watch, scene) = (AtEnd(self.clone()), self.clone());
            let stop = async move {
                let _watch = watch;
                let _ = timer::sleep_until(at).await;
                scene.stop_early.set(true);
                std::future::pending::<()>().await;
            };
            drop(task::spawn(stop).expect("room for a task"));
        }
    }

    /// After the runtime has gone.
    pub(super) fn check_all_ended(self: &Rc<Self>) {
        self.ledger.complaints(self.is_whole()).into_iter().for_each(|it| self.complain(it));
        let held = Rc::strong_count(self) - 1;
        if held > 0 {
            self.complain(format!("{held} fibers, tasks or callbacks outlive their runtime"));
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            fibers: self.ledger.len() as u64,
            cancelled: self.ledger.cancelled.get().into(),
            panicked: self.ledger.panicked.get().into(),
            refused: self.refused.get().into(),
            queued: self.queued.get() as u64,
            failed: self.failed.get().into(),
            dropped: self.stop_early.get().into(),
        }
    }
}

/// All fibers, and what they wait for.
fn whereabouts() -> String {
    let list = fiber::list().unwrap_or_default();
    let lines: Vec<String> = list.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// Whether there was no room, which may happen at any time.
pub(super) fn is_starved(error: &io::Error) -> bool {
    matches!(Error::of(error), Some(Error::Exhausted { .. }))
        || error.raw_os_error() == Some(libc::EMFILE)
}

/// Whether it is what resets, refusals, torn writes, timeouts and cancellation look like.
fn is_explained(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::NotConnected,
        io::ErrorKind::TimedOut,
    ];
    kinds.contains(&error.kind()) || matches!(Error::of(error), Some(Error::Cancelled))
}
