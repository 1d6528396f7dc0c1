//! A buffer that is out: to be filled, and then to be read.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::shape::Buffers;
use super::{Keeps, Pooled};
use crate::object::Kept;
use crate::scope::Place;

/// A buffer that is out, and goes back when it is dropped.
struct Out<T: Pooled + ?Sized, S: Keeps<T>> {
    /// Keeps the pool.
    kept: S::Shared<Kept<Buffers<T>, S>>,
    index: u32,
    /// Units of it that are the content; at most those that it has.
    len: usize,
    /// It may go to other threads, and be seen there, as a box of the content may.
    content: PhantomData<Box<T>>,
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Out<T, S> {
    #[inline(always)]
    fn cells(&self) -> &[Place<T::Cell>] {
        self.kept.shape.cells(&self.kept.parts, self.index)
    }

    #[inline(always)]
    fn content(&self) -> &T {
        // SAFETY: the buffer was taken out and is this value's until it is given back; its content
        // was put in when the pool was made.
        unsafe { &*T::to_read(self.cells(), self.len) }
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Drop for Out<T, S> {
    fn drop(&mut self) {
        // A model sees from this that nobody looks any more.
        _ = T::to_write(self.cells(), self.len);
        Buffers::give_back(&self.kept.parts, self.index);
    }
}

/// A buffer to be filled. It holds what was left in it. Dropped, it goes back to the pool.
pub struct Draft<T: Pooled + ?Sized, S: Keeps<T>> {
    out: Out<T, S>,
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Draft<T, S> {
    /// # Safety
    /// The buffer of that number was taken out by the caller.
    #[inline(always)]
    pub(super) unsafe fn new(kept: S::Shared<Kept<Buffers<T>, S>>, index: u32) -> Self {
        let len = kept.shape.size();
        Self { out: Out { kept, index, len, content: PhantomData } }
    }

    /// Makes a message of it.
    #[inline(always)]
    pub fn freeze(self) -> Buffer<T, S> {
        Buffer { out: self.out }
    }
}

impl<S: Keeps<[u8]>> Draft<[u8], S> {
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

impl<T: Pooled + ?Sized, S: Keeps<T>> Deref for Draft<T, S> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.out.content()
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> DerefMut for Draft<T, S> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `content`; this value is borrowed for as long as the reference is used.
        unsafe { &mut *T::to_write(self.out.cells(), self.out.len) }
    }
}

impl<T: Pooled + ?Sized + fmt::Debug, S: Keeps<T>> fmt::Debug for Draft<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Draft").field(&&**self).finish()
    }
}

/// A buffer that is a message: sent through any channel, read where it was written. Dropped, it
/// goes back to the pool.
pub struct Buffer<T: Pooled + ?Sized, S: Keeps<T>> {
    out: Out<T, S>,
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Deref for Buffer<T, S> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.out.content()
    }
}

impl<T: Pooled + ?Sized + fmt::Debug, S: Keeps<T>> fmt::Debug for Buffer<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&&**self).finish()
    }
}
