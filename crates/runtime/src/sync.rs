//! The single door to atomics: the standard ones, or loom's
//! when a model is checked (`--cfg loom`).
//!
//! Every lock-free structure of this crate takes what it needs from here and from
//! nowhere else, so that its model runs the very code that ships.

#[cfg(loom)]
pub(crate) use self::model::*;
#[cfg(not(loom))]
pub(crate) use self::native::*;

#[cfg(not(loom))]
mod native {
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
}
