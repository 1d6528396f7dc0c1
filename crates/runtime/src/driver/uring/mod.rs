//! The driver on io_uring.
//!
//! It stands on a seam the size of the ring itself ([`ring::Ring`]): push, enter, reap,
//! flags, the pool of provided buffers. [`ring::KernelRing`] is the real one; a scripted
//! one replays in the tests what kernels have been seen to do (see `traps`).
//!
//! How an operation passes through:
//!
//! ```text
//! submit ─ entry ─► submission queue ─ enter ─► kernel ─► completion queue ─ reap ─► Completion
//!            │                                                               │
//!            └───────────── ledger: what is armed, how it was ended ─────────┘
//! ```
//!
//! Invariants:
//! - An operation counts as in flight from its push to the completion without
//!   `IORING_CQE_F_MORE`; nothing that the kernel may still write to is freed before.
//! - A part of the submission queue is kept for cancels and for the wake-up, so that a
//!   queue full of operations never stands in their way.
//! - The kernel is entered only when memory says there is a reason: something to
//!   submit, deferred work, overflowed completions, or a wait.

mod driver;
mod entry;
mod error;
mod ledger;
mod provided;
mod ring;
mod setup;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod live;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod traps;

pub(crate) use driver::UringDriver;
