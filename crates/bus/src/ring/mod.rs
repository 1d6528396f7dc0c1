//! The bounded rings under the objects: positions that count up, slots that they wrap around.
//!
//! | ring | givers | takers | order |
//! | --- | --- | --- | --- |
//! | [`lane`] | one | one | of the giver |
//! | [`stream`] | one, of pieces of bytes | one | of the giver |
//! | [`many`] | any number | any number | one for all |
//! | [`funnel`] | any number | one | one for all |
//! | [`fan`] | one | any number, each takes all | of the giver |
//! | [`tape`] | one | any number, each takes what it can | of the giver |
//!
//! [`lot`] is none: its slots are lent in any order, where those who have them may die.
//!
//! Several givers without a common order have a lane each: none can hold another up.

pub(crate) mod fan;
pub(crate) mod funnel;
pub(crate) mod indices;
pub(crate) mod lane;
pub(crate) mod lot;
pub(crate) mod many;
pub(crate) mod mortal;
#[cfg(all(test, loom))]
pub(crate) mod mortal_models;
pub(crate) mod stream;
pub(crate) mod tape;

/// Keeps what it holds off the cache lines of its neighbours: two lines, for processors fetch them
/// in pairs.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// The most messages that a ring has room for.
pub(crate) const MAX_CAPACITY: usize = 1 << 31;
