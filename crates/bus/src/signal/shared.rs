//! Signals between processes.

use super::{Config, Signal};
use crate::error::CreateError;
use crate::shared::{
    self, Description, Kind, Namespace, OpenError, Opened, SegmentStore, Shared, word_of_wait,
};

impl Signal<Shared> {
    /// Opens the signal of that name, or makes it if nobody has it. What a raiser has raised stays
    /// when it dies, and what a waiter has taken stays taken.
    ///
    /// Both sides must agree about `config`, but for [`Config::patience`], which is each side's
    /// own.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// use tautline_bus::{Shared, signal::{Config, Signal}};
    /// # let namespace = &format!("signal{}", std::process::id());
    /// let ready = Signal::<Shared>::open(namespace, "ready", Config::default())?;
    /// ready.raiser()?.raise(1);
    /// // ... and in the same process or any other of this user:
    /// let ready = Signal::<Shared>::open(namespace, "ready", Config::default())?;
    /// ready.waiter()?.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        namespace: impl Into<Namespace>,
        name: &str,
        config: Config,
    ) -> Result<Self, OpenError> {
        shared::open(namespace.into(), name, &Wanted(config))
    }
}

/// What somebody who opens a signal wants.
struct Wanted(Config);

impl Opened for Wanted {
    type Object = Signal<Shared>;

    fn in_store(&self, store: &mut SegmentStore) -> Result<Signal<Shared>, CreateError> {
        Signal::create_in(self.0, store)
    }

    fn description(&self) -> Description {
        let Config { raisers, waiters, patience: _, wait } = self.0;
        let limits = [raisers as u64, waiters as u64, word_of_wait(wait)];
        let text = format!("signal, raisers {raisers}, waiters {waiters}, {wait:?}");
        Description::new(Kind::Signal, 0, &limits, text)
    }
}
