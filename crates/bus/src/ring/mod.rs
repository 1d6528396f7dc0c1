//! The bounded rings under the objects: positions that count up, slots that they wrap around.
//!
//! | ring | givers | takers | order |
//! | --- | --- | --- | --- |
//! | [`lane`] | one | one | of the giver |
//! | [`many`] | any number | any number | one for all |
//!
//! Several givers without a common order have a lane each: none can hold another up.

pub(crate) mod lane;
pub(crate) mod many;

/// Keeps what it holds off the cache lines of its neighbours: two lines, for processors fetch them
/// in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// The most messages that a ring has room for.
pub(crate) const MAX_CAPACITY: usize = 1 << 31;
