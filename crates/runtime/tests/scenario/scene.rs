//! What all parts of a run share: chance, what is still open, and what did not hold.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tautline_runtime::time::Instant;
use tautline_runtime::{Error, Metrics, timer};

use super::datagrams::SENDERS;
use super::writes::WRITERS;
use super::{Plan, now};

/// More than these would only repeat themselves.
const MOST_COMPLAINTS: usize = 5;

pub(super) struct Scene {
    pub(super) plan: Plan,
    random: RefCell<Rng>,
    /// Clients that have had a whole session.
    pub(super) finished: Cell<usize>,
    /// Sessions that faults cut short.
    pub(super) failed: Cell<u32>,
    /// One-shot callbacks that are still to be called, each once.
    pub(super) awaited: Cell<i64>,
    pub(super) overtime: Cell<bool>,
    /// When the last client was done.
    pub(super) converged: Cell<Instant>,
    pub(super) complaints: RefCell<Vec<String>>,
}

impl Scene {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            random: RefCell::new(Rng::with_seed(plan.seed ^ 0x5CE7E)),
            finished: Cell::new(0),
            failed: Cell::new(0),
            awaited: Cell::new(0),
            overtime: Cell::new(false),
            converged: Cell::new(plan.calm),
            complaints: RefCell::default(),
            plan,
        }
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

    /// Nothing new goes wrong, and clients do nothing that breaks their own streams.
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
            self.complain(format!("{when} the loop broke: {error}"));
        }
    }

    /// Whether a client's session was a whole one. If not: whether faults explain that;
    /// then a pause.
    pub(super) async fn judge(&self, id: usize, begun: Instant, result: io::Result<()>) -> bool {
        let Err(error) = result else {
            self.finished.set(self.finished.get() + 1);
            return true;
        };
        self.failed.set(self.failed.get() + 1);
        let starved = error.raw_os_error() == Some(libc::EMFILE);
        if !starved && (begun >= self.plan.safe || !is_explained(&error)) {
            self.complain(format!("client {id}, whose session began at {begun:?}, got: {error:?}"));
        }
        let _ = timer::sleep(self.moment()).await;
        self.is_lost()
    }

    pub(super) fn check_converged(&self) {
        if self.overtime.get() {
            let (got, all) = (
                self.finished.get(),
                self.plan.clients + self.plan.subscribers + SENDERS + WRITERS,
            );
            self.complain(format!("{got} of {all} clients were served by {:?}", self.plan.bound));
        }
    }

    pub(super) fn check_counts(&self, metrics: &Metrics) {
        let (stray, panics) = (metrics.engine.stray, metrics.panics);
        if stray > 0 || panics > 0 {
            self.complain(format!("{stray} completions found no operation; {panics} panics"));
        }
        let awaited = self.awaited.get();
        if !self.is_lost() && awaited != 0 {
            self.complain(format!("{awaited} one-shot callbacks were not called"));
        }
    }

    /// After the runtime has gone.
    pub(super) fn check_all_freed(self: &Rc<Self>) {
        let held = Rc::strong_count(self) - 1;
        if held > 0 {
            self.complain(format!("{held} tasks, handlers or callbacks outlive their runtime"));
        }
    }
}

/// Whether it is what resets, refusals, torn writes and timeouts look like.
fn is_explained(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::NotConnected,
        io::ErrorKind::TimedOut,
    ];
    kinds.contains(&error.kind())
}
