//! A channel of messages that are bytes, of any length up to a limit, each in one piece.
//!
//! A sender reserves room, writes the message where it will be read, and commits it; the receiver
//! reads it there. Nothing is copied on the way. Each sender has a lane of its own, so that none
//! can hold another up, and messages of one sender arrive in the order in which they were sent.
//!
//! Between processes both write and read through a [`View`](crate::View), which copies, for the other
//! side could write at any time; or borrow by a promise that it does not
//! ([`View::trust`](crate::View::trust)).
//!
//! ```
//! use tautline_bus::{Local, bytes::{Bytes, Config}};
//!
//! let frames = Bytes::<Local>::new(Config::default())?;
//! let mut sender = frames.sender()?;
//! let thread = std::thread::spawn(move || {
//!     let mut claim = sender.reserve(1500).unwrap(); // a socket would write here
//!     claim[..5].copy_from_slice(b"hello");
//!     claim.commit(5);
//! });
//! let mut receiver = frames.receiver()?;
//! receiver.wait(None)?;
//! assert_eq!(&*receiver.take()?, b"hello");
//! # thread.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod receiver;
mod sender;
mod shape;
#[cfg(not(loom))]
mod shared;

pub use self::error::ReserveError;
pub use self::receiver::{Drain, Iter, Message, Receiver, Views};
pub use self::sender::{Claim, Sender};

use std::fmt;
use std::time::Duration;

use tautline_buffer::MapOptions;

use self::shape::Streams;
use crate::bells::Rings;
pub use crate::channel::Orphans;
use crate::error::{AttachError, CreateError};
use crate::object::{Handle, Role};
use crate::policy::{Full, Wait};
use crate::ring::stream;
use crate::scope::{Heap, InProcess, Scope};

/// What a byte channel is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes that there is room for, for each sender: each message takes 8 more than it has,
    /// rounded up to a multiple of 8. Rounded up to a power of two, and to whole pages.
    ///
    /// The longest message is half of that, less 8 bytes ([`Bytes::limit`]), so that one can be
    /// written while another is read.
    pub capacity: usize,
    /// How many senders there may be at once.
    pub senders: usize,
    /// What a sender does that finds no room: [`Full::Block`] or [`Full::Refuse`].
    pub full: Full,
    /// How long a receive waits that finds nothing: `None`, for as long as it takes.
    pub patience: Option<Duration>,
    /// How the users wait.
    pub wait: Wait,
    /// Which pages the memory stands on, and whether they are there from the start.
    pub memory: MapOptions,
    /// What becomes of messages that a receiver had borrowed when its process died.
    pub orphans: Orphans,
}

impl Default for Config {
    /// One sender, 256 KiB, prefaulted; who finds no room or no message waits.
    fn default() -> Self {
        Self {
            capacity: 256 * 1024,
            senders: 1,
            full: Full::Block(None),
            patience: None,
            wait: Wait::default(),
            memory: MapOptions::new().prefault(true),
            orphans: Orphans::default(),
        }
    }
}

/// The name of a byte channel: clone it, give it to others of its scope, and attach by
/// [`Bytes::sender`] and [`Bytes::receiver`].
pub struct Bytes<S: Scope> {
    handle: Handle<Streams, S>,
}

impl<S: Scope> Clone for Bytes<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<S: Scope> fmt::Debug for Bytes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl<S: Scope> Bytes<S> {
    /// A byte channel.
    ///
    /// # Errors
    /// [`CreateError`]: a capacity or a limit of zero, no memory, or [`Full::Overwrite`].
    ///
    /// ```
    /// use tautline_bus::{Private, bytes::{Bytes, Config}};
    /// let channel = Bytes::<Private>::new(Config { capacity: 4096, ..Config::default() })?;
    /// assert!(channel.limit() >= 2040);
    /// # Ok::<(), tautline_bus::CreateError>(())
    /// ```
    pub fn new(config: Config) -> Result<Self, CreateError>
    where
        S: InProcess,
    {
        Self::create_in(config, &mut Heap)
    }

    fn create_in(config: Config, store: &mut S::Store) -> Result<Self, CreateError> {
        let shape = Streams::new::<S>(config, store)?;
        Ok(Self { handle: Handle::create_in(shape, store)? })
    }

    /// Attaches a sender.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::senders`] are attached.
    pub fn sender(&self) -> Result<Sender<S>, AttachError> {
        Sender::attach(&self.handle, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn sender_as(&self, name: &str) -> Result<Sender<S>, AttachError> {
        Sender::attach(&self.handle, Some(name))
    }

    /// Attaches the receiver.
    ///
    /// # Errors
    /// [`AttachError`], when there is one.
    pub fn receiver(&self) -> Result<Receiver<S>, AttachError> {
        Receiver::attach(&self.handle, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn receiver_as(&self, name: &str) -> Result<Receiver<S>, AttachError> {
        Receiver::attach(&self.handle, Some(name))
    }

    /// The longest message, in bytes.
    pub fn limit(&self) -> usize {
        stream::limit(self.config().capacity)
    }

    /// Lets nothing be sent any more: sends fail with [`ReserveError::Closed`], and the receiver
    /// gets what is left.
    pub fn close(&self) {
        Streams::close(self.handle.parts());
    }

    /// What was decided when it was made.
    pub fn config(&self) -> Config {
        self.handle.shape().config()
    }

    /// Bytes in it at this moment, with those that each message takes besides: a hint.
    pub fn used(&self) -> usize {
        self.handle.parts().rows.iter().map(|stream| stream.len(self.config().capacity)).sum()
    }

    /// Users of both kinds at this moment: senders, receivers.
    pub fn users(&self) -> [usize; 2] {
        [Role::Giver, Role::Taker].map(|role| self.handle.parts().users(role))
    }
}
