//! The single door to atomics, shared cells and threads: the standard ones, or loom's
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
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
    use std::time::Duration;

    /// A cell whose content is reached through raw pointers, in the shape that loom
    /// can watch.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Hands out the content for reading; nobody may write meanwhile.
        #[inline(always)]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Hands out the content for writing; nobody else may touch it meanwhile.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// Lets another thread get on: spins at first, then sleeps, so that a thread of
    /// lower priority on the same core is not shut out.
    pub(crate) fn back_off(attempt: u32) {
        if attempt < 64 {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

    /// Lets another thread get on.
    pub(crate) fn back_off(_attempt: u32) {
        loom::thread::yield_now();
    }
}
