//! A source and its handler, on a loop: a task of the loop's own that has no result.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Looked, Source};
use crate::Error;
use crate::config::WaitMode;
use crate::core::Core;
use crate::slab::Key;

/// So many turns in a row does a loop that never sleeps anyhow look at a source that has gone
/// quiet, before it leaves a waker: that takes a barrier in all threads of the process, and what
/// comes next comes soon.
const LOOKS: u32 = 64;

/// A receiver that was given to a loop. Dropping this lets it listen on; its end is told by its
/// last event.
pub struct Listener {
    core: Rc<Core>,
    key: Key,
    state: Rc<Cell<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Listens,
    /// It was told to stop.
    Stopped,
    /// The receiver is detached.
    Over,
}

impl Listener {
    pub(super) fn start<S, F>(source: S, handler: F) -> Result<Self, Error>
    where
        S: Source,
        F: FnMut(S::Event<'_>) + 'static,
    {
        let core = Core::current()?;
        let state = Rc::new(Cell::new(State::Listens));
        let watched = core.config.wait == WaitMode::Spin && !core.simulated;
        let mut listening = Some(Listening {
            source,
            handler,
            state: Tells(state.clone()),
            budget: core.config.budgets.messages,
            looks: if watched { LOOKS } else { 0 },
            quiet: 0,
            damaged: 0,
        });
        let listen = poll_fn(move |context| {
            let Some(going) = &mut listening else { return Poll::Ready(()) };
            let polled = going.poll(context);
            if polled.is_ready() {
                // Here, where a panic of what the handler holds is caught.
                listening = None;
            }
            polled
        });
        let key = core.tasks.spawn(Box::pin(listen), std::any::type_name::<F>())?;
        Ok(Self { core, key, state })
    }

    /// Detaches the receiver, and drops the handler: at once, or when it returns if it runs just
    /// now. What was sent and not handed to it stays in the object. Whether it still listened.
    pub fn stop(&self) -> bool {
        let listens = self.is_listening();
        if listens {
            self.state.set(State::Stopped);
            self.core.tasks.abort(self.key);
        }
        listens
    }

    /// Whether it will hand on what comes.
    pub fn is_listening(&self) -> bool {
        self.state.get() == State::Listens
    }

    /// Whether the receiver is detached. A handler that has stopped its own listener still has it.
    pub fn is_over(&self) -> bool {
        self.state.get() == State::Over
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("key", &self.key)
            .field("listens", &self.is_listening())
            .finish_non_exhaustive()
    }
}

/// Tells the listener when the receiver has gone.
struct Tells(Rc<Cell<State>>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.set(State::Over);
    }
}

struct Listening<S, F> {
    source: S,
    handler: F,
    /// Dropped after the source.
    state: Tells,
    /// Messages in a turn.
    budget: usize,
    /// Looks in a row that may find nothing before a waker is left.
    looks: u32,
    /// Those that have.
    quiet: u32,
    /// What came last in a row and was no message.
    damaged: usize,
}

impl<S, F> Listening<S, F>
where
    S: Source,
    F: FnMut(S::Event<'_>),
{
    /// One turn; ready when it is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut left = self.budget;
        while left > 0 {
            match self.source.look(&mut self.handler) {
                Looked::Handed => (left, self.quiet, self.damaged) = (left - 1, 0, 0),
                Looked::Damaged if self.damaged + 1 < self.budget => {
                    (left, self.damaged) = (left - 1, self.damaged + 1);
                }
                Looked::Damaged => return Poll::Ready(()),
                Looked::Over => return Poll::Ready(()),
                Looked::Nothing if self.rests(context).is_pending() => return Poll::Pending,
                // Something has come meanwhile.
                Looked::Nothing => left -= 1,
            }
            if self.state.0.get() == State::Stopped {
                return Poll::Ready(());
            }
        }
        // The rest in the next turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing was there: pending until there is.
    fn rests(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.quiet < self.looks {
            self.quiet += 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.source.poll_wait(context)
    }
}
