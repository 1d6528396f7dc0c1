//! A signal: an event with a count. Raised so many times, it lets so many through.
//!
//! ```
//! use tautline_bus::{Local, signal::{Config, Signal}};
//!
//! let ready = Signal::<Local>::new(Config::default())?;
//! let mut waiter = ready.waiter()?;
//! let raiser = ready.raiser()?;
//! let thread = std::thread::spawn(move || raiser.raise(2));
//! waiter.wait()?;
//! waiter.wait()?;
//! assert!(waiter.try_take().is_err());
//! # thread.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod shape;
#[cfg(not(loom))]
mod shared;
mod waiter;

pub use self::waiter::Waiter;

use std::fmt;
use std::time::Duration;

use self::shape::Count;
use crate::error::{AttachError, CreateError};
use crate::object::{Attachment, Handle, Role};
use crate::policy::Wait;
use crate::scope::{Heap, InProcess, Scope};

/// What a signal is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many raisers there may be at once.
    pub raisers: usize,
    /// How many waiters there may be at once.
    pub waiters: usize,
    /// How long a wait lasts: `None`, for as long as it takes.
    pub patience: Option<Duration>,
    /// How waiters wait.
    pub wait: Wait,
}

impl Default for Config {
    /// Eight raisers, eight waiters, which wait for as long as it takes.
    fn default() -> Self {
        Self { raisers: 8, waiters: 8, patience: None, wait: Wait::default() }
    }
}

/// The name of a signal: clone it, give it to others of its scope, and attach by
/// [`Signal::raiser`] and [`Signal::waiter`].
pub struct Signal<S: Scope> {
    handle: Handle<Count, S>,
}

impl<S: Scope> Clone for Signal<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<S: Scope> fmt::Debug for Signal<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl<S: Scope> Signal<S> {
    /// A signal that was not raised.
    ///
    /// # Errors
    /// [`CreateError`]: a limit of zero, or no memory.
    ///
    /// ```
    /// use tautline_bus::{CreateError, Private, signal::{Config, Signal}};
    /// let error = Signal::<Private>::new(Config { waiters: 0, ..Config::default() });
    /// assert!(matches!(error, Err(CreateError::NoUsers { user: "waiter", .. })));
    /// ```
    pub fn new(config: Config) -> Result<Self, CreateError>
    where
        S: InProcess,
    {
        Self::create_in(config, &mut Heap)
    }

    fn create_in(config: Config, store: &mut S::Store) -> Result<Self, CreateError> {
        Ok(Self { handle: Handle::create_in(Count::new(config), store)? })
    }

    /// Attaches a raiser.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::raisers`] are attached.
    pub fn raiser(&self) -> Result<Raiser<S>, AttachError> {
        Ok(Raiser { seat: self.handle.attach(Role::Giver)? })
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn raiser_as(&self, name: &str) -> Result<Raiser<S>, AttachError> {
        Ok(Raiser { seat: self.handle.attach_as(Role::Giver, Some(name))? })
    }

    /// Attaches a waiter.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::waiters`] are attached.
    pub fn waiter(&self) -> Result<Waiter<S>, AttachError> {
        Waiter::attach(&self.handle, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn waiter_as(&self, name: &str) -> Result<Waiter<S>, AttachError> {
        Waiter::attach(&self.handle, Some(name))
    }

    /// How often it was raised and not yet taken, at this moment: a hint.
    pub fn count(&self) -> u64 {
        Count::now::<S>(self.handle.parts())
    }

    /// What was decided when it was made.
    pub fn config(&self) -> Config {
        self.handle.shape().config()
    }

    /// Users of both kinds at this moment: raisers, waiters.
    pub fn users(&self) -> [usize; 2] {
        [Role::Giver, Role::Taker].map(|role| self.handle.parts().users(role))
    }
}

/// Raises a signal. Dropping it detaches.
pub struct Raiser<S: Scope> {
    seat: Attachment<Count, S>,
}

impl<S: Scope> Raiser<S> {
    /// Raises the signal so many times; what was done before is seen by those who are let through.
    #[inline]
    pub fn raise(&self, times: u32) {
        Count::raise::<S>(self.seat.parts(), times);
        self.seat.attend();
    }

    /// Another handle to the signal.
    pub fn signal(&self) -> Signal<S> {
        Signal { handle: self.seat.handle() }
    }
}

impl<S: Scope> fmt::Debug for Raiser<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raiser").field("scope", &S::NAME).finish_non_exhaustive()
    }
}
