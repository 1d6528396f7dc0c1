//! A buffer that is out: to be filled, and then to be read.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{Keeps, Pooled};
#[cfg(not(loom))]
use crate::ring::lot::Lot;
use crate::scope::{InProcess, Place};
use crate::view::{View, ViewMut};

/// The number of no buffer.
const NONE: u32 = u32::MAX;

/// A buffer that is out, and goes back when it is dropped.
pub(super) struct Out<T: Pooled + ?Sized, S: Keeps<T>> {
    /// Keeps the pool, and the seat of whoever took it out where users may die.
    tie: S::Tie,
    pub(super) index: u32,
    /// Units of it that are the content; at most those that it has.
    pub(super) len: usize,
    /// It may go to other threads, and be seen there, as a box of the content may.
    content: PhantomData<Box<T>>,
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Out<T, S> {
    /// The buffer of that number, of which the first `len` units are the content.
    ///
    /// # Safety
    /// It was taken out by the caller, who has the tie, and has so many units.
    pub(super) unsafe fn new(tie: S::Tie, index: u32, len: usize) -> Self {
        Self { tie, index, len, content: PhantomData }
    }

    #[inline(always)]
    pub(super) fn cells(&self) -> &[Place<T::Cell>] {
        let kept = S::kept(&self.tie);
        kept.shape.cells(&kept.parts, self.index)
    }

    #[inline(always)]
    fn content(&self) -> &T
    where
        S: InProcess,
    {
        // SAFETY: the buffer was taken out and is this value's until it is given back; its content
        // was put in when the pool was made.
        unsafe { &*T::to_read(self.cells(), self.len) }
    }

    /// It is on its way: not this value's any more.
    #[cfg(not(loom))]
    pub(super) fn let_go(&mut self) {
        self.index = NONE;
    }

    /// The buffers of which each says who has it, where users may die.
    #[cfg(not(loom))]
    pub(super) fn lot(&self) -> Lot<'_, u32, S> {
        let kept = S::kept(&self.tie);
        kept.shape.lot(&kept.parts, S::seat_of(&self.tie))
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Drop for Out<T, S> {
    fn drop(&mut self) {
        if S::MORTAL && self.index == NONE {
            return;
        }
        // A model sees from this that nobody looks any more.
        _ = T::to_write(self.cells(), self.len);
        let kept = S::kept(&self.tie);
        kept.shape.give_back(&kept.parts, S::seat_of(&self.tie), self.index);
    }
}

/// A buffer to be filled. It holds what was left in it. Dropped, it goes back to the pool.
pub struct Draft<T: Pooled + ?Sized, S: Keeps<T>> {
    pub(super) out: Out<T, S>,
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Draft<T, S> {
    /// # Safety
    /// The buffer of that number was taken out by the caller.
    #[inline(always)]
    pub(super) unsafe fn new(tie: S::Tie, index: u32) -> Self {
        let len = S::kept(&tie).shape.size();
        // SAFETY: as promised; it has as many units as the shape says.
        Self { out: unsafe { Out::new(tie, index, len) } }
    }

    /// Makes a message of it.
    #[inline(always)]
    pub fn freeze(self) -> Buffer<T, S> {
        Buffer { out: self.out }
    }
}

impl<S: Keeps<[u8]>> Draft<[u8], S> {
    /// The bytes, to be written by copies, in any scope.
    #[inline(always)]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let bytes = NonNull::new(<[u8]>::to_write(self.out.cells(), self.out.len));
        // SAFETY: the buffer was taken out and is this value's, which is borrowed; it is mapped for
        // as long as the pool is there.
        unsafe { ViewMut::new(bytes.expect("a buffer has an address")) }
    }

    /// Makes a message of its first `len` bytes.
    ///
    /// # Panics
    /// If it has not so many.
    #[inline(always)]
    pub fn freeze_to(mut self, len: usize) -> Buffer<[u8], S> {
        assert!(len <= self.out.len, "a message must be within its buffer");
        self.out.len = len;
        self.freeze()
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T> + InProcess> Deref for Draft<T, S> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.out.content()
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T> + InProcess> DerefMut for Draft<T, S> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `content`; this value is borrowed for as long as the reference is used.
        unsafe { &mut *T::to_write(self.out.cells(), self.out.len) }
    }
}

impl<T: Pooled + ?Sized + fmt::Debug, S: Keeps<T> + InProcess> fmt::Debug for Draft<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Draft").field(&&**self).finish()
    }
}

/// A buffer that is a message: sent through any channel, read where it was written. Dropped, it
/// goes back to the pool.
pub struct Buffer<T: Pooled + ?Sized, S: Keeps<T>> {
    pub(super) out: Out<T, S>,
}

impl<S: Keeps<[u8]>> Buffer<[u8], S> {
    /// The bytes, to be looked at by copies, in any scope.
    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        let bytes = NonNull::new(<[u8]>::to_read(self.out.cells(), self.out.len).cast_mut());
        // SAFETY: the buffer was taken out and is this value's, which is borrowed; it is mapped for
        // as long as the pool is there.
        unsafe { View::new(bytes.expect("a buffer has an address")) }
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T> + InProcess> Deref for Buffer<T, S> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.out.content()
    }
}

impl<T: Pooled + ?Sized + fmt::Debug, S: Keeps<T> + InProcess> fmt::Debug for Buffer<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&&**self).finish()
    }
}
