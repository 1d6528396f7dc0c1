//! What the relay tells about itself.
//!
//! Counting is a few additions on the loop; once a second the loop turns its counters into a
//! [`Snapshot`], and at the end into a [`Summary`]. Both are plain data: the program renders them as
//! a table or, through serde, as one JSON object a line. Field names are the JSON names and carry
//! their unit.

mod latency;
mod meter;
mod snapshot;

pub use latency::{Latencies, Latency, LatencySnapshot};
pub use meter::{Meter, Rates};
pub use snapshot::{Drops, EndpointSnapshot, EndpointState, LoopSnapshot, Role, Snapshot, Summary};
