//! A broadcast that never waits: a subscriber that is too slow is overtaken, and told how many
//! messages it missed.
//!
//! Messages are plain data ([`Plain`]): each subscriber copies them, and looks afterwards whether
//! the publisher has written over what it copied.
//!
//! ```
//! use tautline_bus::{Local, broadcast::lossy::{Config, Lossy, LossyError}};
//!
//! let quotes = Lossy::<[u64; 2], Local>::new(Config { capacity: 4, ..Config::default() })?;
//! let (mut publisher, mut subscriber) = (quotes.publisher()?, quotes.subscriber()?);
//! for n in 0..10 {
//!     publisher.send([n, n])?;
//! }
//! assert_eq!(subscriber.receive(), Err(LossyError::Missed(6)));
//! assert_eq!(subscriber.receive(), Ok([6, 6]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod publisher;
mod shape;
#[cfg(not(loom))]
mod shared;
mod subscriber;

pub use self::error::LossyError;
pub use self::publisher::Publisher;
pub use self::subscriber::{Drain, Subscriber};

use std::fmt;
use std::time::Duration;

use self::shape::Tape;
use crate::bells::Rings;
use crate::broadcast::Start;
use crate::broadcast::names::names_a_broadcast;
use crate::error::{AttachError, CreateError};
use crate::object::{Handle, Role};
use crate::plain::Plain;
use crate::policy::Wait;
use crate::ring::MAX_CAPACITY;
use crate::scope::{Carries, Heap, InProcess};

/// What a lossy broadcast is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many messages are kept: so far may a subscriber fall behind before it misses some.
    /// Rounded up to a power of two.
    pub capacity: usize,
    /// How many subscribers there may be at once.
    pub subscribers: usize,
    /// How long a receive waits that finds nothing: `None`, for as long as it takes.
    pub patience: Option<Duration>,
    /// How subscribers wait.
    pub wait: Wait,
}

impl Default for Config {
    /// Eight subscribers, 1,024 messages; who finds no message waits.
    fn default() -> Self {
        Self { capacity: 1024, subscribers: 8, patience: None, wait: Wait::default() }
    }
}

/// The name of a lossy broadcast: clone it, give it to others of its scope, and attach by
/// [`Lossy::publisher`] and [`Lossy::subscriber`].
pub struct Lossy<T: Plain, S: Carries<T>> {
    handle: Handle<Tape<T>, S>,
}

names_a_broadcast!(Lossy of Tape, [T: Plain, S: Carries<T>]);

impl<T: Plain, S: Carries<T>> Lossy<T, S> {
    /// A lossy broadcast.
    ///
    /// # Errors
    /// [`CreateError`]: a capacity or a limit of zero, or no memory.
    ///
    /// ```
    /// use tautline_bus::{CreateError, Private, broadcast::lossy::{Config, Lossy}};
    /// let error = Lossy::<u8, Private>::new(Config { capacity: 0, ..Config::default() });
    /// assert!(matches!(error, Err(CreateError::Capacity { asked: 0, .. })));
    /// ```
    pub fn new(config: Config) -> Result<Self, CreateError>
    where
        S: InProcess,
    {
        Self::create_in(config, &mut Heap)
    }

    fn create_in(config: Config, store: &mut S::Store) -> Result<Self, CreateError> {
        let asked = config.capacity;
        if asked == 0 || asked > MAX_CAPACITY {
            return Err(CreateError::Capacity { kind: "broadcast", asked, limit: MAX_CAPACITY });
        }
        Ok(Self { handle: Handle::create_in(Tape::new(config), store)? })
    }

    /// Attaches a subscriber that begins there.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn subscriber_from(
        &self,
        start: Start,
        name: Option<&str>,
    ) -> Result<Subscriber<T, S>, AttachError> {
        Subscriber::attach(&self.handle, start, name)
    }
}
