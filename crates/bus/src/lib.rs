//! Messages between threads and processes: one owner, bounded rings, handles with a scope.
//!
//! An object is made in a *scope*, which says who may hold handles to it: [`Private`] (one
//! thread, no atomics), [`Local`] (any thread of the process) or `Shared` (any process of the
//! user, and of those it lets in; all objects but completions and agents). The scope is a type, and the code that uses a handle reads the same in
//! each. A handle names an object; to use it one *attaches*,
//! which takes one of a bounded number of seats, and dropping what attaching gave *detaches*.
//!
//! | object | for |
//! | --- | --- |
//! | [`channel`] | typed messages, each to one receiver |
//! | [`bytes`] | messages of any length, as bytes |
//! | [`broadcast`] | messages of one publisher, each to all subscribers |
//! | [`record`] | pieces of bytes of one thread for another; in a file, they outlast the process |
//! | [`pool`] | buffers that are lent, filled, sent as messages, and come back |
//! | [`signal`] | an event with a count |
//! | [`completion`] | the result of one operation after the other, for one who waits |
//! | [`request`] | requests, and the answer to each |
//! | [`agent`] | an owner with a mailbox |
//! | [`mailbox`](mod@mailbox) | what any thread hands an owner that looks by itself, such as a loop |
//!
//! There is no runtime in here. Who waits spins, yields or sleeps ([`Wait`]), or leaves a
//! [`Waker`](std::task::Waker), or a descriptor that a loop polls
//! ([`wakeup`]): that is the seam by which loops, fibers and tasks of the crate
//! `tautline-runtime`, or of any other runtime, wait too.

mod sync;

mod aligned;

mod scope;
pub use scope::{Carries, Heap, InProcess, Local, Place, Private, Scope, Shelf, Word};

mod policy;
pub use policy::{Full, Wait};

mod error;
pub use error::{AttachError, Corrupt, CreateError, ReceiveError, SendError};

mod alarm;
mod event;
mod parker;
mod waker;

mod plain;
pub use plain::Plain;

mod layout;
pub use layout::{Field, Layout};
#[cfg(feature = "derive")]
pub use tautline_bus_derive::Layout;

mod view;
pub use view::{View, ViewMut};

mod bells;

pub mod object;

mod ring;

pub mod channel;

pub mod broadcast;

pub mod bytes;

pub mod record;

pub mod pool;

pub mod signal;

pub mod completion;

pub mod request;

pub mod agent;

pub mod mailbox;

pub mod wakeup;

#[cfg(not(loom))]
pub mod shared;
#[cfg(not(loom))]
pub use shared::{OpenError, Shared};

#[cfg(all(test, loom))]
mod loom_models;
