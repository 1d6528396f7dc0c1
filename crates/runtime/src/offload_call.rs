//! Blocking work beside the loop, and its result back on it.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Error;
use crate::compat::defer;
use crate::core::Core;
use crate::inline_fn::Job;
use crate::task::{self, panic_message};

/// Runs `work`, which may block, on a thread of the runtime's small pool
/// (`Config::offload_threads`). It starts at once, whether the result is awaited,
/// [given a callback](Offloaded::then) or dropped; a result always finds its way back,
/// for it needs no place in any queue.
///
/// The result is an error when `work` panicked ([`Error::Panicked`]), when the pool's
/// queue was full ([`Error::Exhausted`]), when the runtime was dropped before a thread
/// was free ([`Error::Cancelled`]), or on a thread without a runtime
/// ([`Error::NoRuntime`]).
///
/// ```
/// # use tautline_runtime::{Config, Runtime, offload};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::new(Config::default())?;
/// let sum = runtime.block_on(offload(|| (1..=10).sum::<u32>()))??;
/// assert_eq!(sum, 55);
/// # Ok(())
/// # }
/// ```
pub fn offload<F, T>(work: F) -> Offloaded<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(None)) });
    let offloaded = Offloaded { slot: slot.clone() };
    let core = match Core::current() {
        Ok(core) => core,
        Err(error) => {
            slot.settle(Err(error));
            return offloaded;
        }
    };
    let reply = Reply(slot);
    let job = Job::new(move || {
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Error::Panicked {
            name: type_name::<F>().into(),
            message: panic_message(&*payload).to_owned(),
        });
        reply.0.settle(result);
    });
    if let Err(refused) = core.files.submit(job) {
        offloaded.slot.settle(Err(Error::Exhausted {
            what: "piece of blocking work",
            limit: core.config.offload_queue,
            knob: "offload_queue",
        }));
        drop(refused);
    }
    offloaded
}

/// The result of [`offload`], to be awaited or given a callback.
#[must_use = "without it nobody hears of the result"]
pub struct Offloaded<T> {
    slot: Arc<Slot<T>>,
}

impl<T: 'static> Offloaded<T> {
    /// Has `done` called on the loop with the result.
    ///
    /// # Errors
    /// [`Error::NoRuntime`]; [`Error::Exhausted`] when `Config::tasks` are alive.
    pub fn then<F>(self, done: F) -> Result<(), Error>
    where
        F: FnOnce(Result<T, Error>) + 'static,
    {
        task::spawn(async move {
            // Only a runtime that is going refuses, and then nobody is to be called.
            let _ = defer(self.await, done);
        })?;
        Ok(())
    }
}

impl<T> Future for Offloaded<T> {
    type Output = Result<T, Error>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        if let State::Waiting(waker) = &mut *state {
            let old = waker.replace(cx.waker().clone());
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Settled(result) => Poll::Ready(result),
            _ => panic!("an offloaded call was polled after it had completed"),
        }
    }
}

impl<T> fmt::Debug for Offloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offloaded").finish_non_exhaustive()
    }
}

/// Where a thread of the pool leaves a result for the loop. Off every data path, so a
/// mutex does.
struct Slot<T> {
    state: Mutex<State<T>>,
}

enum State<T> {
    /// Not there yet; whom to wake.
    Waiting(Option<Waker>),
    /// There.
    Settled(Result<T, Error>),
    /// Gone to its owner.
    Taken,
}

impl<T> Slot<T> {
    /// No user code runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the result, unless there is one.
    fn settle(&self, result: Result<T, Error>) {
        let mut state = self.lock();
        let State::Waiting(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Settled(result);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The pool's end: work that is dropped instead of run says so.
struct Reply<T>(Arc<Slot<T>>);

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.0.settle(Err(Error::Cancelled));
    }
}
