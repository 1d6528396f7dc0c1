//! What is known of every fiber: who may end it, how it ended, and who was told.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::RangeInclusive;
use std::panic::{panic_any, resume_unwind};
use std::rc::Rc;
use std::thread::panicking;

use tautline_runtime::Error;
use tautline_runtime::fiber::{Fiber, JoinError};

use super::scene::Scene;

pub(super) type Id = usize;

/// What fibers of the scenario panic with.
pub(super) struct Chaos(pub(super) Id);

/// How the scope of a child that panicked panics itself.
const LOST_CHILD: &str = "a fiber of the scope panicked";

/// How a fiber ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Returned,
    Panicked,
}

/// One fiber.
#[derive(Default)]
pub(super) struct Record {
    what: &'static str,
    /// The one whose scope it is in, or whose work it is.
    parent: Option<Id>,
    by_error: bool,
    /// Chance does not cancel it.
    kept: bool,
    /// As long as it is alive.
    fiber: Option<Fiber>,
    /// It was asked to end.
    asked: bool,
    /// Its scope was asked to end its children.
    scope_over: bool,
    /// One of its children has panicked.
    lost_child: bool,
    /// There was no room for it.
    refused: bool,
    begun: bool,
    /// It never began, because it was asked to end before.
    excused: bool,
    ending: Option<Ending>,
    /// How often what it owns was dropped.
    ended: u32,
    /// Somebody waits for its answer who is not cancelled.
    awaited: bool,
    answers: u32,
}

/// All fibers.
#[derive(Default)]
pub(super) struct Ledger {
    records: RefCell<Vec<Record>>,
    /// Those that have not ended, in no order.
    alive: RefCell<Vec<Id>>,
    /// Results that exist.
    values: Cell<i64>,
    /// The runtime is being dropped.
    pub(super) going: Cell<bool>,
    /// Of all beginnings and ends.
    pub(super) hash: Cell<u64>,
    pub(super) cancelled: Cell<u32>,
    pub(super) panicked: Cell<u32>,
}

impl Ledger {
    /// Notes another fiber.
    pub(super) fn open(
        &self,
        what: &'static str,
        parent: Option<Id>,
        by_error: bool,
        kept: bool,
    ) -> Id {
        let mut records = self.records.borrow_mut();
        records.push(Record { what, parent, by_error, kept, ..Record::default() });
        records.len() - 1
    }

    pub(super) fn with<R>(&self, id: Id, look: impl FnOnce(&mut Record) -> R) -> R {
        look(&mut self.records.borrow_mut()[id])
    }

    /// It was spawned.
    pub(super) fn spawned(&self, id: Id, fiber: &Fiber) {
        let ended = self.with(id, |record| {
            record.fiber = (record.ended == 0).then(|| fiber.clone());
            record.ended > 0
        });
        if !ended {
            self.alive.borrow_mut().push(id);
        }
    }

    /// It was not.
    pub(super) fn refused(&self, id: Id) {
        self.with(id, |record| record.refused = true);
    }

    /// There was room for it after all.
    pub(super) fn is_on_its_own(&self, id: Id) {
        self.with(id, |record| {
            record.refused = false;
            record.parent = None;
        });
    }

    /// Somebody waits for its end who is not cancelled.
    pub(super) fn is_awaited(&self, id: Id) {
        self.with(id, |record| record.awaited = true);
    }

    /// A fiber that is alive, by number.
    pub(super) fn living(&self, draw: impl FnOnce(usize) -> usize) -> Option<(Id, Fiber)> {
        let alive = self.alive.borrow();
        if alive.is_empty() {
            return None;
        }
        let id = alive[draw(alive.len())];
        self.with(id, |record| Some((id, record.fiber.clone()?)))
    }

    /// Whether chance may cancel it.
    pub(super) fn is_kept(&self, id: Id) -> bool {
        self.with(id, |record| record.kept)
    }

    /// Asks it to end.
    pub(super) fn cancel(&self, id: Id) {
        let fiber = self.with(id, |record| {
            record.asked |= record.ended == 0;
            record.fiber.clone()
        });
        if let Some(fiber) = fiber {
            self.note(id, 3);
            fiber.cancel();
        }
    }

    /// The children of its scope are about to be asked to end.
    pub(super) fn ends_scope(&self, id: Id) {
        self.with(id, |record| record.scope_over = true);
    }

    /// Whether it, or a scope that it is in, was asked to end.
    pub(super) fn may_be_cancelled(&self, id: Id) -> bool {
        let records = self.records.borrow();
        let mut at = Some(id);
        let mut own = true;
        while let Some(record) = at.map(|id| &records[id]) {
            let panicked = record.ending == Some(Ending::Panicked);
            if record.asked || !own && (record.scope_over || panicked) {
                return true;
            }
            own = false;
            at = record.parent;
        }
        self.going.get()
    }

    /// Something happened to a fiber.
    fn note(&self, id: Id, event: u64) {
        let word = (id as u64) << 8 | event;
        let hash = self.hash.get().rotate_left(5) ^ word;
        self.hash.set(hash.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }

    pub(super) fn len(&self) -> usize {
        self.records.borrow().len()
    }

    /// How many were spawned.
    pub(super) fn spawns(&self) -> usize {
        self.records.borrow().iter().filter(|record| !record.refused).count()
    }

    /// Fibers that panicked and whose end nobody was told, at least and at most: one that has
    /// lost a child may have been cancelled first.
    pub(super) fn untold_panics(&self) -> RangeInclusive<u64> {
        let records = self.records.borrow();
        let untold = |record: &&Record| record.begun && record.answers == 0;
        let panicked = |record: &&Record| record.ending == Some(Ending::Panicked);
        let lost_child = |record: &&Record| record.ending.is_none() && record.lost_child;
        let least = records.iter().filter(untold).filter(panicked).count() as u64;
        let doubtful = records.iter().filter(untold).filter(lost_child).count() as u64;
        least..=least + doubtful
    }

    /// What did not hold, once all is over. `whole`: the runtime was not dropped before.
    pub(super) fn complaints(&self, whole: bool) -> Vec<String> {
        let records = self.records.borrow();
        let wrong = records.iter().enumerate().filter_map(|(id, record)| {
            let complaint = record.complaint(whole)?;
            Some(format!("fiber {id} ({}) {complaint}", record.what))
        });
        let mut complaints: Vec<String> = wrong.collect();
        if self.values.get() != 0 {
            complaints.push(format!("{} results were not dropped", self.values.get()));
        }
        complaints
    }
}

impl Record {
    fn complaint(&self, whole: bool) -> Option<String> {
        if self.ended != 1 {
            return Some(format!("ended {} times", self.ended));
        }
        if !(self.begun || self.refused || self.excused) {
            return Some("never began, though nobody had asked it to end".into());
        }
        if self.answers > 1 || self.answers == 0 && whole && self.awaited && !self.refused {
            return Some(format!("had {} answers", self.answers));
        }
        None
    }
}

/// A fiber, as it sees itself. What it owns: it is dropped when the fiber has ended.
pub(super) struct Me {
    pub(super) scene: Rc<Scene>,
    pub(super) id: Id,
    /// Unwindings that it has caught.
    thrown: Cell<u32>,
}

/// What a fiber returns. Exists once.
pub(super) struct Value {
    scene: Rc<Scene>,
    id: Id,
    result: Option<io::Result<()>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        let values = &self.scene.ledger.values;
        values.set(values.get() - 1);
    }
}

impl Me {
    pub(super) fn new(scene: &Rc<Scene>, id: Id) -> Self {
        Self { scene: scene.clone(), id, thrown: Cell::new(0) }
    }

    fn ledger(&self) -> &Ledger {
        &self.scene.ledger
    }

    fn complain(&self, what: &str) {
        let name = self.ledger().with(self.id, |record| record.what);
        self.scene.complain(format!("fiber {} ({name}) {what}", self.id));
    }

    pub(super) fn begin(&self) {
        self.ledger().note(self.id, 1);
        let again =
            self.ledger().with(self.id, |record| std::mem::replace(&mut record.begun, true));
        if again {
            self.complain("began twice");
        }
        self.look();
    }

    /// It is about to return.
    pub(super) fn end(&self, result: io::Result<()>) -> Value {
        self.look();
        if let Err(error) = &result {
            self.check(Error::of(error));
        }
        self.ledger().with(self.id, |record| record.ending = Some(Ending::Returned));
        let values = &self.ledger().values;
        values.set(values.get() + 1);
        Value { scene: self.scene.clone(), id: self.id, result: Some(result) }
    }

    /// Outside destructors no fiber of the scenario panics while it runs.
    pub(super) fn look(&self) {
        if panicking() {
            self.complain("believes that it panics");
        }
    }

    /// A call has returned: with an error only if there is a reason.
    pub(super) fn did<T>(&self, result: io::Result<T>) -> io::Result<T> {
        self.look();
        result.inspect_err(|error| self.check(Error::of(error)))
    }

    fn check(&self, error: Option<&Error>) {
        let going = self.ledger().going.get();
        match error {
            Some(Error::Cancelled) if !self.ledger().may_be_cancelled(self.id) => {
                self.complain("was told that it is cancelled, and is not");
            }
            Some(error @ (Error::NotInFiber | Error::NoRuntime)) => {
                self.complain(&format!("was told: {error}"));
            }
            Some(Error::Closed) if !going && self.scene.is_calm() => {
                self.complain("was told that its descriptor is closed");
            }
            _ => {}
        }
    }

    /// Panics, with the hook's knowledge or without.
    pub(super) fn panic(&self) -> ! {
        let parent = self.ledger().with(self.id, |record| {
            record.ending = Some(Ending::Panicked);
            record.parent
        });
        if let Some(parent) = parent {
            self.ledger().with(parent, |record| record.lost_child = true);
        }
        match self.scene.one_in(2) {
            true => panic_any(Chaos(self.id)),
            false => resume_unwind(Box::new(Chaos(self.id))),
        }
    }

    /// It has caught what unwound it, and goes on. True: that was its cancellation.
    pub(super) fn caught(&self, payload: &(dyn Any + Send)) -> bool {
        self.look();
        self.ledger().with(self.id, |record| record.ending = None);
        if is_on_purpose(payload) {
            return false;
        }
        let by_error = self.ledger().with(self.id, |record| record.by_error);
        if by_error || !self.ledger().may_be_cancelled(self.id) {
            self.complain("was unwound, and nobody had asked for it");
        }
        self.thrown.set(self.thrown.get() + 1);
        if self.thrown.get() > 1 {
            self.complain("was thrown at twice");
        }
        true
    }
}

impl Drop for Me {
    fn drop(&mut self) {
        let ledger = self.ledger();
        ledger.note(self.id, 2);
        let may_be_cancelled = ledger.may_be_cancelled(self.id);
        let (unexplained, fiber) = ledger.with(self.id, |record| {
            record.ended += 1;
            record.excused = !record.begun && may_be_cancelled;
            let unwound = record.begun && record.ending.is_none();
            let asked = may_be_cancelled && !(record.by_error && panicking());
            (unwound && !asked && !record.lost_child, record.fiber.take())
        });
        drop(fiber);
        ledger.alive.borrow_mut().retain(|&id| id != self.id);
        if unexplained {
            self.complain("was unwound without a reason");
        }
    }
}

impl Scene {
    /// Somebody was told how a fiber has ended. Gives its result, if it returned one.
    pub(super) fn answer(&self, id: Id, end: Result<Value, JoinError>) -> Option<io::Result<()>> {
        let (end, result) = match end {
            Ok(mut value) => {
                if value.id != id {
                    self.complain(format!("fiber {id} was joined, and {} answered", value.id));
                }
                (Ok(()), value.result.take())
            }
            Err(error) => (Err(error), None),
        };
        self.judge_end(id, end);
        result
    }

    /// Whether the answer is how the fiber ended.
    pub(super) fn judge_end(&self, id: Id, end: Result<(), JoinError>) {
        match end {
            Err(JoinError::Panicked(_)) => count(&self.ledger.panicked),
            Err(_) => count(&self.ledger.cancelled),
            Ok(()) => {}
        }
        let may_be_cancelled = self.ledger.may_be_cancelled(id);
        let complaint = self.ledger.with(id, |record| {
            record.answers += 1;
            if record.ended != 1 {
                return Some(format!("was joined when it had ended {} times", record.ended));
            }
            match (end, record.ending) {
                (Ok(()), Some(Ending::Returned)) => None,
                (Err(JoinError::Panicked(panic)), ending) => {
                    let payload = panic.into_payload();
                    let own = payload.downcast_ref::<Chaos>().is_some_and(|chaos| chaos.0 == id);
                    let own = own && ending == Some(Ending::Panicked);
                    let childs = record.lost_child && is_on_purpose(payload.as_ref());
                    let text = text_of(payload.as_ref());
                    (!own && !childs).then(|| format!("panicked by itself: {text}"))
                }
                (Err(JoinError::Cancelled), None) if may_be_cancelled => {
                    (record.by_error && record.begun).then(|| "was unwound, not told".into())
                }
                (end, ending) => Some(format!("ended as {ending:?}, and its join says {end:?}")),
            }
        });
        if let Some(complaint) = complaint {
            let name = self.ledger.with(id, |record| record.what);
            self.complain(format!("fiber {id} ({name}) {complaint}"));
        }
    }
}

pub(super) fn count(counter: &Cell<u32>) {
    counter.set(counter.get() + 1);
}

/// Whether that is what the scenario panics with, or a scope for its child.
fn is_on_purpose(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Chaos>() || text_of(payload) == LOST_CHILD
}

/// The text of a panic.
pub(super) fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
