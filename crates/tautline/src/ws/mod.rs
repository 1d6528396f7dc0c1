//! `tautline ws`: WebSockets, seen and fed from a command line.
//!
//! | file | what it does |
//! | --- | --- |
//! | `echo`, `connect`, `bench` | the commands of that name |
//! | `flow` | sends no faster than the peer takes |
//! | `load` | one connection of a load: what is under way, and whether its answer is right |
//! | `tell` | what `connect` prints |
//! | `reach`, `error` | how a server is reached, and what can go wrong |

mod bench;
mod connect;
mod echo;
mod error;
mod flow;
mod load;
mod reach;
mod tell;

pub(crate) use self::bench::bench;
pub(crate) use self::connect::connect;
pub(crate) use self::echo::echo;
pub(crate) use self::error::Error;
