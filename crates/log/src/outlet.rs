//! The sinks, as the agent sees them: each fails, or panics, for itself.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Line;
use crate::output::say;
use crate::sink::Sink;
use crate::sync::Arc;
use crate::tally::Tally;

/// All sinks.
pub(crate) struct Outlets {
    all: Vec<Outlet>,
    tally: Arc<Tally>,
    /// Whether sinks may hold something back.
    unflushed: bool,
}

/// A sink, and how it stands.
struct Outlet {
    sink: Box<dyn Sink>,
    /// Lines that it was given since its last flush that succeeded.
    given: u64,
    /// Its last flush has failed.
    refused: bool,
    /// A failure was told, and it has not succeeded since.
    failing: bool,
    /// It has panicked, and gets no more lines: all that it was given since count as lost, and so
    /// many before.
    broken: Option<u64>,
}

impl Outlets {
    pub(crate) fn new(sinks: Vec<Box<dyn Sink>>, tally: Arc<Tally>) -> Self {
        Self { all: sinks.into_iter().map(Outlet::new).collect(), tally, unflushed: false }
    }

    /// Gives all sinks a line.
    pub(crate) fn line(&mut self, line: &Line<'_>) {
        self.unflushed = true;
        self.tally.give();
        for outlet in &mut self.all {
            outlet.line(&self.tally, line);
        }
    }

    /// Lets the sinks hand on what they hold back, and says whether they could.
    pub(crate) fn flush(&mut self) -> bool {
        if self.unflushed {
            let (mut held, mut lost) = (0, 0);
            for outlet in &mut self.all {
                outlet.flush(&self.tally);
                held += outlet.held();
                lost += outlet.lost();
            }
            self.tally.set(held, lost);
            self.unflushed = held > 0;
        }
        !self.unflushed
    }

    /// Whether there were sinks, and all have panicked.
    pub(crate) fn are_all_broken(&self) -> bool {
        !self.all.is_empty() && self.all.iter().all(|outlet| outlet.broken.is_some())
    }

    /// Whether a sink has panicked.
    pub(crate) fn is_one_broken(&self) -> bool {
        self.all.iter().any(|outlet| outlet.broken.is_some())
    }
}

impl Outlet {
    fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, given: 0, refused: false, failing: false, broken: None }
    }

    fn line(&mut self, tally: &Tally, line: &Line<'_>) {
        self.given += 1;
        if let Some(result) = self.call(tally, |sink| sink.line(line)) {
            self.complain(result);
        }
    }

    fn flush(&mut self, tally: &Tally) {
        let Some(result) = self.call(tally, |sink| sink.flush()) else { return };
        self.refused = result.is_err();
        self.complain(result);
        if self.held() == 0 {
            (self.given, self.failing) = (0, false);
        }
    }

    /// How many lines it could not hand on yet. One that does not count them has written none since
    /// its last flush that succeeded.
    fn held(&self) -> u64 {
        let uncounted = if self.refused { self.given.max(1) } else { 0 };
        match self.broken {
            Some(_) => 0,
            None => match self.sink.held() {
                0 => uncounted,
                held => held,
            },
        }
    }

    /// How many lines it has given up.
    fn lost(&self) -> u64 {
        self.broken.map_or_else(|| self.sink.lost(), |before| before + self.given)
    }

    /// Has the sink do something, unless it is broken, or breaks. Nobody looks at it after that.
    fn call<R>(&mut self, tally: &Tally, act: impl FnOnce(&mut dyn Sink) -> R) -> Option<R> {
        if self.broken.is_some() {
            return None;
        }
        let sink = &mut *self.sink;
        let done = tally.during(|| catch_unwind(AssertUnwindSafe(|| act(sink))));
        if done.is_err() {
            self.break_down();
        }
        done.ok()
    }

    #[cold]
    fn break_down(&mut self) {
        let before = catch_unwind(AssertUnwindSafe(|| self.sink.lost())).unwrap_or_default();
        self.broken = Some(before);
        say(format_args!(
            "a sink has panicked, and gets no more lines: what it has not written is lost"
        ));
    }

    /// A sink that fails is told of once, until it has succeeded in between.
    fn complain(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.failing, true)
        {
            say(format_args!("cannot write the log: {error}"));
        }
    }
}
