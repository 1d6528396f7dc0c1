//! The scope of processes: objects in memory that any process of the same user may open by a name.

mod error;
mod identity;
mod names;
mod segment;

pub use self::error::OpenError;
