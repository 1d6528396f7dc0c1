//! What `hyper` asks of a runtime, answered by the loop: for those who use `hyper` itself.
//!
//! Futures are spawned as tasks of the loop and need not be `Send`; timers are those of the
//! loop, so that simulated time holds; [`Io`] makes any stream one of `hyper`'s.

mod clock;
mod executor;
mod io;
mod queue;
mod wire;

pub use self::{
    clock::{Clock, Sleep},
    executor::Executor,
    io::Io,
    wire::Wire,
};
pub(crate) use self::{
    io::{Ledger, with_piece},
    queue::Queue,
};
