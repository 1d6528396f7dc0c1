//! A tool's run: a loop, when it ends, and what went wrong.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tautline_relay::HostConfig;
use tautline_runtime::time::Instant;
use tautline_runtime::{Runtime, task};

use super::ending::Ending;
use super::error::Error;
use crate::Failure;

/// A loop, and what is told of it.
pub(crate) struct Session {
    runtime: Runtime,
    ending: Ending,
    failure: Rc<RefCell<Option<Failure>>>,
    start: Instant,
}

impl Session {
    /// Makes the loop of this thread, which ends at a signal, or after that time.
    ///
    /// # Errors
    /// [`Error::Host`], [`Error::Room`].
    pub(crate) fn start(host: &HostConfig, time: Option<Duration>) -> Result<Self, Error> {
        let runtime = host.start(0)?;
        let ending = Ending::after(time).map_err(Error::Room)?;
        let (failure, start) = (Rc::default(), runtime.now());
        Ok(Self { runtime, ending, failure, start })
    }

    /// When it ends.
    pub(crate) fn ending(&self) -> &Ending {
        &self.ending
    }

    /// The time now, and since the start.
    pub(crate) fn clock(&self) -> impl Fn() -> Duration + use<> {
        let start = self.start;
        move || {
            tautline_runtime::now_precise()
                .map_or(Duration::ZERO, |now| now.saturating_since(start))
        }
    }

    /// Has a part of the work done on the loop; if it fails, the session ends.
    ///
    /// # Errors
    /// [`Error::Room`].
    pub(crate) fn spawn(
        &self,
        work: impl Future<Output = Result<(), Failure>> + 'static,
    ) -> Result<(), Error> {
        let (ending, failure) = (self.ending.clone(), self.failure.clone());
        let whole = async move {
            if let Err(why) = work.await {
                failure.borrow_mut().get_or_insert(why);
                ending.now();
            }
        };
        task::spawn(whole).map(drop).map_err(Error::from)
    }

    /// Runs the loop until it is time to end; returns how long that was.
    ///
    /// # Errors
    /// [`Error::Loop`].
    pub(crate) fn run(&self) -> Result<Duration, Error> {
        self.runtime.run_until(|| self.ending.has_come())?;
        Ok(self.clock()())
    }

    /// Runs the loop on, for as long as something is to be done at the end.
    ///
    /// # Errors
    /// [`Error::Loop`].
    pub(crate) fn run_while(&self, is_busy: impl Fn() -> bool) -> Result<(), Error> {
        self.runtime.run_until(|| !is_busy())?;
        Ok(())
    }

    /// Whether something has failed, as [`result`](Self::result) will say.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// How it went.
    ///
    /// # Errors
    /// What failed first.
    pub(crate) fn result(&self) -> Result<(), Failure> {
        self.failure.take().map_or(Ok(()), Err)
    }
}
