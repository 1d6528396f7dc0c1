//! The scope of processes: objects in memory that any process of the same user opens by a name.
//!
//! An object has a namespace and a name. Whoever comes first makes it, whoever comes later finds
//! it with any of those who have it, and when the last has gone, however it ended, nothing is left.
//! There is no daemon, no file, and no thread of its own.
//!
//! ```
//! use tautline_bus::{Shared, channel::{Channel, Config}};
//!
//! # let namespace = &format!("doc{}", std::process::id());
//! let prices = Channel::<u64, Shared>::open(namespace, "prices", Config::default())?;
//! let mut sender = prices.sender()?;
//! sender.send(7)?;
//! // ... and in the same process or any other of this user:
//! let prices = Channel::<u64, Shared>::open(namespace, "prices", Config::default())?;
//! assert_eq!(prices.receiver()?.receive()?, 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Trust
//!
//! A segment belongs to its user and is open to nobody else; who opens one checks its owner and
//! that it is sealed. What another process writes is not trusted all the same: messages are copied
//! out and then checked ([`Plain`](crate::Plain)), positions are held against the capacity, and
//! sizes are never read from the segment after it was opened. What makes no sense is an error
//! ([`Corrupt`](crate::Corrupt)).
//!
//! # Death
//!
//! Users are known by process number and start time. One that dies without detaching is noticed by
//! whoever attaches next, or within 10 ms of a call by who sends or waits; its seat is free then,
//! what it had not published is gone, and everything else stays readable. Who has just sent fast,
//! many messages in a few microseconds, does not read the clock each time: it notices by the eighth
//! call at the latest.
//!
//! # Namespaces
//!
//! Names belong to the network namespace, for they are abstract sockets: two containers with
//! networks of their own do not meet. A segment belongs to the PID namespace of its maker: opening
//! it from another is an error that says so. A child made by a bare `fork` must not use what its
//! parent had.

mod access;
mod around;
mod credentials;
mod door;
pub mod doorbell;
mod error;
mod event;
mod header;
mod identity;
mod list;
mod look;
mod names;
mod open;
mod presence;
mod scope;
mod segment;
mod store;

pub use self::access::{Guests, Namespace};
pub use self::error::OpenError;
pub use self::list::{Listed, list, list_of};
pub use self::look::{Cleaned, Look, Passed, Queue, Tap, Tapped, User, Value, clean, look};
pub use self::names::check as check_name;
pub(crate) use self::open::{Opened, open};
pub use self::scope::Shared;
pub use self::store::{Mapped, MappedOne};
pub(crate) use self::{
    header::{Carried, Description, Kind, word_of_full, word_of_wait},
    store::{SegmentStore, mirror_size},
};
