//! A bounded channel of typed messages: one or many senders, one or many receivers.
//!
//! Each message goes to one receiver. Each sender has a lane of its own, so that none can hold
//! another up, and the receiver takes from the lanes in turn; messages of one sender arrive in the
//! order in which they were sent. One order for all senders ([`Order::Total`]), several receivers,
//! or overwriting ([`Full::Overwrite`]) takes one ring that all share.
//!
//! ```
//! use tautline_bus::{Local, channel::{Channel, Config}};
//!
//! let orders = Channel::<u64, Local>::new(Config { senders: 2, ..Config::default() })?;
//! let mut receiver = orders.receiver()?;
//! let threads: Vec<_> = (0..2)
//!     .map(|id| {
//!         let orders = orders.clone();
//!         std::thread::spawn(move || orders.sender().unwrap().send(id).unwrap())
//!     })
//!     .collect();
//! drop(orders);
//! let mut sum = 0;
//! while let Ok(order) = receiver.receive() {
//!     sum += order;
//! }
//! assert_eq!(sum, 1);
//! # threads.into_iter().for_each(|thread| thread.join().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod lanes;
mod receiver;
mod ringed;
mod sender;
#[cfg(not(loom))]
mod shared;
mod ways;

pub use self::receiver::{Drain, Loan, Receiver};
pub use self::sender::{Draft, Sender};

use std::fmt;
use std::time::Duration;

use self::lanes::Lanes;
use self::ringed::Ringed;
use crate::bells::Rings;
use crate::error::{AttachError, CreateError};
use crate::object::{Handle, Role};
use crate::policy::{Full, Wait};
use crate::ring::MAX_CAPACITY;
use crate::scope::{Carries, Heap, InProcess};

/// What a channel is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Messages that there is room for, for each sender, or for all together where they share a
    /// ring. Rounded up to a power of two.
    pub capacity: usize,
    /// How many senders there may be at once.
    pub senders: usize,
    /// How many receivers there may be at once.
    pub receivers: usize,
    /// In which order messages of different senders arrive.
    pub order: Order,
    /// What a send does that finds no room.
    pub full: Full,
    /// How long a receive waits that finds nothing: `None`, for as long as it takes.
    pub patience: Option<Duration>,
    /// How the users wait.
    pub wait: Wait,
    /// What becomes of messages on loan to a receiver that dies.
    pub orphans: Orphans,
}

impl Default for Config {
    /// One sender, one receiver, 1,024 messages; who finds no room or no message waits.
    fn default() -> Self {
        Self {
            capacity: 1024,
            senders: 1,
            receivers: 1,
            order: Order::default(),
            full: Full::Block(None),
            patience: None,
            wait: Wait::default(),
            orphans: Orphans::default(),
        }
    }
}

impl Config {
    /// Whether all users share one ring, rather than each sender having a lane.
    fn is_ringed(&self) -> bool {
        self.receivers > 1
            || self.full == Full::Overwrite
            || (self.order == Order::Total && self.senders > 1)
    }
}

/// What becomes of a message that a receiver had on loan ([`Receiver::take`]) when its process died.
/// It may have acted upon it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// The next receiver gets it, marked ([`Receiver::is_redelivered`]).
    #[default]
    Redeliver,
    /// It is given up and counted ([`Receiver::lost`]).
    Lose,
}

/// In which order messages of different senders arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those of each sender in their own; those of different senders in any.
    #[default]
    PerSender,
    /// In the one in which they were sent. All senders share a ring.
    Total,
}

enum Flavour<T: 'static, S: Carries<T>> {
    Lanes(Handle<Lanes<T>, S>),
    Ringed(Handle<Ringed<T>, S>),
}

/// The name of a channel: clone it, give it to others of its scope, and attach by
/// [`Channel::sender`] and [`Channel::receiver`].
///
/// A channel is there for as long as anybody has a handle or is attached. When nobody can send any
/// more, receivers get what is left and then [`ReceiveError::Closed`](crate::ReceiveError).
pub struct Channel<T: 'static, S: Carries<T>> {
    flavour: Flavour<T, S>,
}

impl<T, S: Carries<T>> Clone for Channel<T, S> {
    fn clone(&self) -> Self {
        let flavour = match &self.flavour {
            Flavour::Lanes(handle) => Flavour::Lanes(handle.clone()),
            Flavour::Ringed(handle) => Flavour::Ringed(handle.clone()),
        };
        Self { flavour }
    }
}

impl<T, S: Carries<T>> fmt::Debug for Channel<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.flavour {
            Flavour::Lanes(handle) => handle.fmt(f),
            Flavour::Ringed(handle) => handle.fmt(f),
        }
    }
}

impl<T, S: Carries<T>> Channel<T, S> {
    /// A channel.
    ///
    /// # Errors
    /// [`CreateError`]: a capacity or a limit of zero, or no memory.
    ///
    /// ```
    /// use tautline_bus::{CreateError, Private, channel::{Channel, Config}};
    /// let error = Channel::<u8, Private>::new(Config { capacity: 0, ..Config::default() });
    /// assert!(matches!(error, Err(CreateError::Capacity { asked: 0, .. })));
    /// ```
    pub fn new(config: Config) -> Result<Self, CreateError>
    where
        S: InProcess,
    {
        Self::create_in(config, &mut Heap)
    }

    pub(crate) fn create_in(config: Config, store: &mut S::Store) -> Result<Self, CreateError> {
        let asked = config.capacity;
        if asked == 0 || asked > MAX_CAPACITY {
            return Err(CreateError::Capacity { kind: "channel", asked, limit: MAX_CAPACITY });
        }
        let flavour = if config.is_ringed() {
            Flavour::Ringed(Handle::create_in(Ringed::new(config), store)?)
        } else {
            Flavour::Lanes(Handle::create_in(Lanes::new(config), store)?)
        };
        Ok(Self { flavour })
    }

    /// Attaches a sender.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::senders`] are attached.
    pub fn sender(&self) -> Result<Sender<T, S>, AttachError> {
        Sender::attach(self, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn sender_as(&self, name: &str) -> Result<Sender<T, S>, AttachError> {
        Sender::attach(self, Some(name))
    }

    /// Attaches a receiver.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::receivers`] are attached.
    pub fn receiver(&self) -> Result<Receiver<T, S>, AttachError> {
        Receiver::attach(self, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn receiver_as(&self, name: &str) -> Result<Receiver<T, S>, AttachError> {
        Receiver::attach(self, Some(name))
    }

    /// Lets nothing be sent any more: sends fail with [`SendError::Closed`](crate::SendError), and
    /// receivers get what is left.
    pub fn close(&self) {
        match &self.flavour {
            Flavour::Lanes(handle) => Lanes::close(handle.parts()),
            Flavour::Ringed(handle) => Ringed::close(handle.parts()),
        }
    }

    /// What was decided when it was made.
    pub fn config(&self) -> Config {
        match &self.flavour {
            Flavour::Lanes(handle) => handle.shape().config(),
            Flavour::Ringed(handle) => handle.shape().config(),
        }
    }

    /// Messages in it at this moment: a hint.
    pub fn len(&self) -> usize {
        match &self.flavour {
            Flavour::Lanes(handle) => {
                let capacity = handle.shape().config().capacity;
                handle.parts().rows.iter().map(|lane| lane.len(capacity)).sum()
            }
            Flavour::Ringed(handle) => handle.parts().rows[0].len(handle.shape().config().capacity),
        }
    }

    /// Whether there is none at this moment: a hint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Users of both kinds at this moment: senders, receivers.
    pub fn users(&self) -> [usize; 2] {
        let of = |role| match &self.flavour {
            Flavour::Lanes(handle) => handle.parts().users(role),
            Flavour::Ringed(handle) => handle.parts().users(role),
        };
        [of(Role::Giver), of(Role::Taker)]
    }
}
