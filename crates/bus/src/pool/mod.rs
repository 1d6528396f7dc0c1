//! A pool of message buffers of one size: lent, filled, sent as messages, and back in the pool when
//! they were read.
//!
//! A buffer is lent as a [`Draft`], which can be written. Frozen, it is a [`Buffer`]: a message that
//! goes through any channel, is read where it was written, and returns to the pool when it is
//! dropped, wherever that is. A draft that is dropped returns as well. All memory is there from the
//! start; neither lending nor returning allocates or copies.
//!
//! ```
//! use tautline_bus::{Local, channel, channel::Channel, pool::{Buffer, Config, Pool}};
//!
//! let pool = Pool::<[u8], Local>::of_bytes(1500, Config { buffers: 4, ..Config::default() })?;
//! let packets = Channel::<Buffer<[u8], Local>, Local>::new(channel::Config::default())?;
//! let mut receiver = packets.receiver()?;
//! let thread = std::thread::spawn(move || {
//!     let mut borrower = pool.borrower().unwrap();
//!     let mut sender = packets.sender().unwrap();
//!     for n in 0..100 {
//!         let mut draft = borrower.loan().unwrap(); // waits for one that comes back
//!         draft[..3].copy_from_slice(&[n; 3]); // a socket would write here
//!         sender.send(draft.freeze_to(3)).unwrap();
//!     }
//! });
//! for n in 0..100 {
//!     assert_eq!(*receiver.receive()?, [n; 3]);
//! }
//! # thread.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod borrower;
mod buffer;
mod error;
mod pooled;
mod shape;
#[cfg(not(loom))]
mod shared;
#[cfg(all(test, not(loom)))]
mod tests;

pub use self::borrower::Borrower;
pub use self::buffer::{Buffer, Draft};
pub use self::error::LoanError;
pub use self::pooled::{Block, Keeps, Pooled};
#[cfg(not(loom))]
pub(crate) use self::shape::RETURNED_AT;
#[cfg(not(loom))]
pub use self::shared::{RedeemError, Ticket};

use std::fmt;

use self::shape::Buffers;
use crate::error::{AttachError, CreateError};
use crate::object::{Handle, Role};
use crate::policy::{Full, Wait};
use crate::scope::InProcess;

/// What a pool is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many buffers there are.
    pub buffers: usize,
    /// How many borrowers there may be at once.
    pub borrowers: usize,
    /// What a loan does when all buffers are out: [`Full::Block`] or [`Full::Refuse`].
    pub exhausted: Full,
    /// How borrowers wait.
    pub wait: Wait,
}

impl Default for Config {
    /// 1,024 buffers, eight borrowers, which wait when all are out.
    fn default() -> Self {
        Self { buffers: 1024, borrowers: 8, exhausted: Full::Block(None), wait: Wait::default() }
    }
}

/// The name of a pool of buffers that hold a `T` each, or that many bytes (`[u8]`): clone it, give
/// it to others of its scope, and attach by [`Pool::borrower`].
///
/// The memory is there until the last buffer has returned.
pub struct Pool<T: Pooled + ?Sized, S: Keeps<T>> {
    handle: Handle<Buffers<T>, S>,
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Clone for Pool<T, S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> fmt::Debug for Pool<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl<S: InProcess + Keeps<[u8]>> Pool<[u8], S> {
    /// A pool of buffers of that many bytes, which begin as zeros, on cache lines of their own.
    ///
    /// # Errors
    /// [`CreateError`]: no buffers, a size of zero, a limit of zero, no memory, or
    /// [`Full::Overwrite`].
    pub fn of_bytes(size: usize, config: Config) -> Result<Self, CreateError> {
        Self::make(Buffers::of_bytes(config, size)?, |_| Block::ZERO)
    }
}

impl<T: 'static, S: InProcess + Keeps<T>> Pool<T, S> {
    /// A pool of buffers that hold a `T` each, as `make` has it of their numbers from 0. One that
    /// comes back is as it was left.
    ///
    /// # Errors
    /// [`CreateError`]: no buffers, a limit of zero, no memory, or [`Full::Overwrite`].
    ///
    /// ```
    /// use tautline_bus::{Private, pool::{Config, Pool}};
    /// let config = Config { buffers: 1, ..Config::default() };
    /// let pool = Pool::<[f32; 512], Private>::new(config, |_| [0.0; 512])?;
    /// let mut borrower = pool.borrower()?;
    /// let mut block = borrower.loan()?;
    /// block[7] = 0.5;
    /// assert!(borrower.loan().is_err()); // the only one is out
    /// drop(block);
    /// assert_eq!(borrower.loan()?[7], 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(config: Config, make: impl FnMut(usize) -> T) -> Result<Self, CreateError> {
        Self::make(Buffers::new(config, 1)?, make)
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Pool<T, S> {
    fn make(shape: Buffers<T>, make: impl FnMut(usize) -> T::Cell) -> Result<Self, CreateError>
    where
        S: InProcess,
    {
        let handle = Handle::create(shape)?;
        handle.shape().fill::<S>(handle.parts(), make);
        Ok(Self { handle })
    }

    /// Attaches a borrower.
    ///
    /// # Errors
    /// [`AttachError`], when [`Config::borrowers`] are attached.
    pub fn borrower(&self) -> Result<Borrower<T, S>, AttachError> {
        Borrower::attach(&self.handle, None)
    }

    /// The same under a name, which errors tell to those who find no seat.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn borrower_as(&self, name: &str) -> Result<Borrower<T, S>, AttachError> {
        Borrower::attach(&self.handle, Some(name))
    }

    /// What was decided when it was made.
    pub fn config(&self) -> Config {
        self.handle.shape().config()
    }

    /// Buffers that could be lent at this moment: a hint.
    pub fn available(&self) -> usize {
        self.handle.shape().available(self.handle.parts())
    }

    /// Borrowers at this moment.
    pub fn users(&self) -> usize {
        self.handle.parts().users(Role::Taker)
    }
}
