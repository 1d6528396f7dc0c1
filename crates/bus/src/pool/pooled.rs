//! What buffers hold, and which scopes can keep a pool of them.

use std::ptr;

use crate::scope::{Carries, InProcess, Place};

/// What the buffers of a pool can hold: a value of a type, or bytes (`[u8]`).
///
/// # Safety
/// For the crate alone: both methods give the content that lies in the cells.
pub unsafe trait Pooled: 'static {
    /// Of which a buffer has one or more, one behind the other.
    #[doc(hidden)]
    type Cell: 'static;

    /// How many cells hold `size` of its units.
    #[doc(hidden)]
    fn cells(size: usize) -> usize;

    /// The first `size` units of what lies in the cells, for those who look.
    #[doc(hidden)]
    fn to_read(cells: &[Place<Self::Cell>], size: usize) -> *const Self;

    /// The same for the one who writes; nobody else may touch it meanwhile.
    #[doc(hidden)]
    fn to_write(cells: &[Place<Self::Cell>], size: usize) -> *mut Self;
}

// SAFETY: the one cell is the content.
unsafe impl<T: 'static> Pooled for T {
    type Cell = T;

    fn cells(_: usize) -> usize {
        1
    }

    #[inline(always)]
    fn to_read(cells: &[Place<T>], _: usize) -> *const T {
        cells[0].to_read()
    }

    #[inline(always)]
    fn to_write(cells: &[Place<T>], _: usize) -> *mut T {
        cells[0].to_write()
    }
}

/// A cache line of bytes; two, for processors fetch them in pairs.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[repr(C, align(128))]
pub struct Block([u8; Block::SIZE]);

impl Block {
    const SIZE: usize = 128;
    pub(super) const ZERO: Self = Self([0; Self::SIZE]);
}

// SAFETY: the blocks lie one behind the other without gaps, and are bytes alone.
unsafe impl Pooled for [u8] {
    type Cell = Block;

    fn cells(size: usize) -> usize {
        size.div_ceil(Block::SIZE)
    }

    #[inline(always)]
    fn to_read(cells: &[Place<Block>], size: usize) -> *const [u8] {
        Self::to_write(cells, size)
    }

    #[inline(always)]
    fn to_write(cells: &[Place<Block>], size: usize) -> *mut [u8] {
        assert!(size <= size_of_val(cells));
        // A place is laid out as what it holds, and may be written through a shared reference.
        ptr::slice_from_raw_parts_mut(cells.as_ptr().cast_mut().cast(), size)
    }
}

/// A scope that can keep a pool of `T`: any for [`Private`](crate::Private), those that are `Send`
/// for [`Local`](crate::Local).
pub trait Keeps<T: Pooled + ?Sized>: InProcess + Carries<T::Cell> + Carries<u32> {}

impl<T: Pooled + ?Sized, S: InProcess + Carries<T::Cell> + Carries<u32>> Keeps<T> for S {}
