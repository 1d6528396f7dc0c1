//! What buffers hold, and which scopes can keep a pool of them.

use std::ops::Deref;
use std::ptr;

use super::shape::Buffers;
use crate::object::{Attachment, Kept};
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
/// for [`Local`](crate::Local), plain data with a layout, and bytes, for `Shared`.
pub trait Keeps<T: Pooled + ?Sized>: Carries<u32> {
    /// What a borrower has of its seat.
    #[doc(hidden)]
    type Seat: Deref<Target = Attachment<Buffers<T>, Self>>;
    /// What a buffer has of it that is out.
    #[doc(hidden)]
    type Tie;

    #[doc(hidden)]
    fn seat(attachment: Attachment<Buffers<T>, Self>) -> Self::Seat;
    #[doc(hidden)]
    fn tie(seat: &Self::Seat) -> Self::Tie;
    /// The pool.
    #[doc(hidden)]
    fn kept(tie: &Self::Tie) -> &Kept<Buffers<T>, Self>;
    /// The seat of whoever took the buffer out, where that matters.
    #[doc(hidden)]
    fn seat_of(tie: &Self::Tie) -> usize;

    /// Puts something in a cell of a buffer that nobody knows of yet.
    ///
    /// # Safety
    /// The cell is empty, and nobody else touches it.
    #[doc(hidden)]
    unsafe fn put_cell(cell: &Place<T::Cell>, content: T::Cell);

    /// Drops what is in a cell.
    ///
    /// # Safety
    /// There is something, and it is not used again.
    #[doc(hidden)]
    unsafe fn discard_cell(cell: &Place<T::Cell>);
}

/// Something that is had for oneself.
#[doc(hidden)]
#[derive(Debug)]
pub struct Alone<V>(V);

impl<V> Deref for Alone<V> {
    type Target = V;

    #[inline(always)]
    fn deref(&self) -> &V {
        &self.0
    }
}

/// A buffer keeps the pool; its borrower may go.
impl<T, S> Keeps<T> for S
where
    T: Pooled + ?Sized,
    S: InProcess + Carries<T::Cell> + Carries<u32>,
{
    type Seat = Alone<Attachment<Buffers<T>, S>>;
    type Tie = S::Shared<Kept<Buffers<T>, S>>;

    fn seat(attachment: Attachment<Buffers<T>, S>) -> Self::Seat {
        Alone(attachment)
    }

    #[inline(always)]
    fn tie(seat: &Self::Seat) -> Self::Tie {
        seat.0.kept().clone()
    }

    #[inline(always)]
    fn kept(tie: &Self::Tie) -> &Kept<Buffers<T>, S> {
        tie
    }

    fn seat_of(_: &Self::Tie) -> usize {
        0
    }

    unsafe fn put_cell(cell: &Place<T::Cell>, content: T::Cell) {
        // SAFETY: as promised.
        unsafe { <S as Carries<T::Cell>>::put(cell, content) };
    }

    unsafe fn discard_cell(cell: &Place<T::Cell>) {
        // SAFETY: as promised.
        unsafe { <S as Carries<T::Cell>>::discard(cell) };
    }
}
