//! A broadcast: one publisher, many subscribers, each of which gets every message at its own pace.
//!
//! | kind | a subscriber that is slow | messages |
//! | --- | --- | --- |
//! | [`Broadcast`] | holds the publisher up ([`Config::full`]) | of any type that can be shared, borrowed in place |
//! | [`lossy::Lossy`] | is overtaken, and told how many messages it missed | plain data, copied |
//!
//! ```
//! use tautline_bus::{Local, broadcast::{Broadcast, Config}};
//!
//! let ticks = Broadcast::<u64, Local>::new(Config { subscribers: 2, ..Config::default() })?;
//! let readers: Vec<_> = (0..2)
//!     .map(|_| {
//!         let mut reader = ticks.subscriber().unwrap();
//!         std::thread::spawn(move || {
//!             let mut sum = 0;
//!             while reader.wait(None).is_ok() {
//!                 let Ok(tick) = reader.take() else { break };
//!                 sum += *tick; // read where the publisher wrote it
//!             }
//!             sum
//!         })
//!     })
//!     .collect();
//! let mut publisher = ticks.publisher()?;
//! drop(ticks);
//! for tick in 0..10 {
//!     publisher.send(tick)?;
//! }
//! drop(publisher);
//! for reader in readers {
//!     assert_eq!(reader.join().unwrap(), 45);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod lossy;
mod names;
mod publisher;
mod shape;
#[cfg(not(loom))]
mod shared;
mod shows;
mod subscriber;

pub use self::publisher::{Draft, Publisher};
pub use self::shows::Shows;
pub use self::subscriber::{Drain, Iter, Loan, Subscriber};
pub use crate::ring::fan::Start;

use std::fmt;
use std::time::Duration;

use self::names::names_a_broadcast;
use self::shape::Fan;
use crate::bells::Rings;
use crate::error::{AttachError, CreateError};
use crate::object::{Handle, Role};
use crate::policy::{Full, Wait};
use crate::ring::{MAX_CAPACITY, fan};
use crate::scope::{Heap, InProcess};

/// What a broadcast is made of that loses nothing.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Messages that there is room for: so far may the slowest subscriber fall behind. Rounded up
    /// to a power of two.
    pub capacity: usize,
    /// How many subscribers there may be at once.
    pub subscribers: usize,
    /// What a send does that the slowest subscriber leaves no room: [`Full::Block`] or
    /// [`Full::Refuse`].
    pub full: Full,
    /// How long a receive waits that finds nothing: `None`, for as long as it takes.
    pub patience: Option<Duration>,
    /// How the users wait.
    pub wait: Wait,
}

impl Default for Config {
    /// Eight subscribers, 1,024 messages; who finds no room or no message waits.
    fn default() -> Self {
        Self {
            capacity: 1024,
            subscribers: 8,
            full: Full::Block(None),
            patience: None,
            wait: Wait::default(),
        }
    }
}

/// The name of a broadcast: clone it, give it to others of its scope, and attach by
/// [`Broadcast::publisher`] and [`Broadcast::subscriber`].
///
/// Messages are sent whether anybody subscribes or not. One that all have taken stays until the
/// ring comes round to its place, so that a subscriber may begin with it ([`Start::Oldest`]), and
/// is dropped then.
pub struct Broadcast<T: 'static, S: Shows<T>> {
    handle: Handle<Fan<T>, S>,
}

names_a_broadcast!(Broadcast of Fan, [T: 'static, S: Shows<T>]);

impl<T, S: Shows<T>> Broadcast<T, S> {
    /// A broadcast.
    ///
    /// # Errors
    /// [`CreateError`]: a capacity or a limit of zero, no memory, or [`Full::Overwrite`].
    ///
    /// ```
    /// use tautline_bus::{CreateError, Full, Private, broadcast::{Broadcast, Config}};
    /// let config = Config { full: Full::Overwrite, ..Config::default() };
    /// let error = Broadcast::<u8, Private>::new(config).unwrap_err();
    /// assert!(matches!(error, CreateError::Conflict { .. })); // `lossy::Lossy` does that
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
        if config.full == Full::Overwrite {
            return Err(CreateError::Conflict {
                what: "a broadcast of shared messages cannot overwrite what is being read: make \
                       it lossy, or let the publisher wait",
            });
        }
        Ok(Self { handle: Handle::create_in(Fan::new(config), store)? })
    }

    /// Attaches a subscriber that begins there: [`Start::Oldest`] gives it the last messages, at
    /// least three quarters of the capacity if so many were sent.
    ///
    /// # Errors
    /// [`AttachError`].
    ///
    /// ```
    /// use tautline_bus::{Private, broadcast::{Broadcast, Config, Start}};
    /// let news = Broadcast::<&str, Private>::new(Config::default())?;
    /// news.publisher()?.send("before")?;
    /// let mut late = news.subscriber_from(Start::Oldest, None)?;
    /// assert_eq!(late.receive()?, "before");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscriber_from(
        &self,
        start: Start,
        name: Option<&str>,
    ) -> Result<Subscriber<T, S>, AttachError> {
        Subscriber::attach(&self.handle, start, name)
    }

    /// Messages that the slowest subscriber has before it, at this moment: a hint.
    pub fn len(&self) -> usize {
        fan::len::<S>(&self.handle.parts().rows, self.config().capacity)
    }

    /// Whether there are none at this moment: a hint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
