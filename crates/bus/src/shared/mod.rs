//! The scope of processes: objects in memory that any process of the same user opens by a name, and
//! those of others whom the owner lets in.
//!
//! An object has a namespace and a name. Whoever comes first makes it, whoever comes later finds
//! it with any of those who have it, and when the last has gone, however it ended, nothing is left.
//! There is no daemon and no file, and no thread of its own, unless there are guests.
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
//! A segment belongs to its user and is open to nobody else, unless that user says so; who opens one
//! checks its owner and that it is sealed. What another process writes is not trusted all the same:
//! messages are copied out and then checked ([`Plain`](crate::Plain)), positions are held against the
//! capacity, and sizes are never read from the segment after it was opened. What makes no sense is an
//! error ([`Corrupt`](crate::Corrupt)).
//!
//! # Guests
//!
//! A [`Namespace`] says who else may come: [`Guests::Users`], or a [`Guests::Group`]. Processes of the
//! owner are *hosts*: they make objects, and agree about the guests, or it is a
//! [`Mismatch`](OpenError::Mismatch). Processes of others come by [`Namespace::of_user`] and make
//! nothing. Once they have an object all use it alike.
//!
//! Both sides ask the kernel who the other is before they believe anything: who hands the segment
//! out, for the caller's user and groups, and who comes, for the user of the one that answers. Who is
//! refused is told by whom ([`NotAGuest`](OpenError::NotAGuest)); sockets that others have bound
//! under a name count for nothing, and `names.rs` says why there is one segment all the same. Each
//! process that has opened an object with guests has a thread for it, which sleeps until somebody
//! comes, and is not needed for anything else.
//!
//! A guest may do with an object what a host may, and can harm it as a host can: fill it, take what is
//! meant for others, write anything over it, which is [`Corrupt`](crate::Corrupt) for them, give back
//! memory that was reserved, keep it for as long as it likes, hand it to others, and hold up those who
//! come while nobody else has it. It can reach nothing else of theirs.
//!
//! A user that the user namespace of a process does not know appears in it as `nobody` (65534): who
//! lets that one in lets in all of those, and a process that is that user itself takes all of those for
//! its own: open nothing as 65534 in a user namespace.
//!
//! # Death
//!
//! Users are known by process number and start time, whoever runs them. One that dies without detaching is noticed by
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
mod reservation;
mod scope;
mod segment;
mod store;

pub use self::access::{Guests, Namespace};
pub use self::error::OpenError;
pub use self::list::{Listed, list, list_of};
pub use self::look::{Cleaned, Look, Passed, Queue, Tap, Tapped, User, Value, clean, look};
pub use self::names::check as check_name;
pub(crate) use self::open::{Opened, open};
pub use self::reservation::Reservation;
pub use self::scope::Shared;
pub use self::store::{Mapped, MappedOne};
pub(crate) use self::{
    header::{Carried, Description, Kind, word_of_full, word_of_wait},
    store::{SegmentStore, mirror_size},
};
