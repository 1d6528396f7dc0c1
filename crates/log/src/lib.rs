//! Log lines leave the hot thread as binary records, and are formatted elsewhere.
//!
//! A call of [`info!`] or its like looks whether its level is wanted, reads a clock, and copies the
//! arguments as they are into a ring of its own thread. A thread of the log's own collects the
//! records of all rings, puts them in order of their times, fills the format strings in and hands
//! each [`Line`] to the [`sink`]s. Two types matter: [`Logger`], which starts that, and [`Guard`],
//! which ends it.
//!
//! ```
//! use tautline_log::{Config, Logger, info, warn};
//!
//! let guard = Logger::start(Config::default())?;
//! let (id, price) = (17, 101.25);
//! info!("order {id} filled at {price:.2}");
//! warn!(target: "orders", "{} left", 3);
//! drop(guard); // all lines are out
//! # Ok::<(), tautline_log::StartError>(())
//! ```
//!
//! The way of a line: [`info!`] → `pen` (this thread's ring) → `record` (how it lies in there) →
//! `agent` (the thread that reads) → `output` (fills in) → `outlet` (each sink for itself) → [`sink`].
//! With [`Config::directory`] the rings are files, and [`recover()`] reads what was in them after the process was killed.
//!
//! Some special cases: a line that is written by a sink, on the log's own thread, goes nowhere, for it
//! would never end. One that is written while an argument of another is formatted goes to a second
//! ring. One from the destructor of a thread's variable may go to a common ring, and is then said to be
//! of `(a thread that ends)`. Before the log has started and after its guard was dropped, lines go
//! nowhere; so they do in a child made by `fork`.

#![forbid(unsafe_code)]

mod sync;

mod line;
pub use line::{Field, Level, Line, ParseLevelError, Value};

mod filter;
pub use filter::{Filter, ParseFilterError};

mod macros;

mod encode;
mod record;

mod site;

mod pen;
pub use pen::prepare_thread;

mod core;

mod timeline;

mod directory;

pub mod format;

pub mod sink;

mod output;

mod tally;

mod outlet;

mod agent;

mod logger;
pub use logger::{
    Config, FlushError, Full, Guard, Logger, SHORTEST_LIMIT, StartError, flush, flush_within,
};

#[cfg(any(feature = "log", feature = "tracing"))]
mod foreign;

#[cfg(feature = "log")]
pub mod facade;

#[cfg(feature = "tracing")]
pub mod tracing;

mod recover;
pub use recover::{RecoverError, Recovered, Run, Was, recover};

#[doc(hidden)]
pub use tautline_log_macros::line as __line;

/// What the macros write into their callers.
#[doc(hidden)]
pub mod __private {
    pub use crate::encode::{Pick, PickBits, PickScalar, PickText, count};
    pub use crate::pen::write;
    pub use crate::site::Site;
}
