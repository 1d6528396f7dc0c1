//! Bytes that others may write at any time: looked at by copies, never by a reference.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

use crate::error::Corrupt;
use crate::plain::Plain;
use crate::sync;

/// Bytes that another process may write while this one looks at them.
///
/// All that comes out is a copy, made word by word, each read once: what was checked is what is
/// used. Where the others are trusted, [`View::trust`] borrows.
///
/// ```
/// use tautline_bus::{Private, bytes::{Bytes, Config}};
/// let channel = Bytes::<Private>::new(Config::default())?;
/// let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
/// sender.send(&[7, 0, 0, 0, 1, 2])?;
/// let message = receiver.take()?;
/// let view = message.view();
/// assert_eq!(view.read::<[u8; 4]>(0), Ok([7, 0, 0, 0]));
/// assert_eq!(view.part(4..6).map(|part| part.to_vec()), Some(vec![1, 2]));
/// assert!(view.read::<u64>(0).is_err()); // it is too short
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct View<'a> {
    bytes: NonNull<[u8]>,
    lives: PhantomData<&'a [u8]>,
}

impl<'a> View<'a> {
    /// # Safety
    /// The bytes are mapped for the lifetime, and whoever writes them meanwhile does so by atomic
    /// words or is another process.
    pub(crate) unsafe fn new(bytes: NonNull<[u8]>) -> Self {
        Self { bytes, lives: PhantomData }
    }

    #[inline]
    fn start(self) -> *mut u8 {
        self.bytes.as_ptr().cast()
    }

    /// How many bytes there are.
    #[inline]
    pub fn len(self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Some of the bytes; `None`: there are not so many.
    #[inline]
    pub fn part(self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        // SAFETY: within the bytes, by the look above.
        let first = unsafe { self.bytes.cast::<u8>().add(range.start) };
        let bytes = NonNull::slice_from_raw_parts(first, range.end - range.start);
        Some(Self { bytes, lives: PhantomData })
    }

    /// Copies the first bytes, as many as both have. Returns how many these are.
    #[inline]
    pub fn copy_to(self, to: &mut [u8]) -> usize {
        let len = self.len().min(to.len());
        // SAFETY: both have so many bytes; those of the view are mapped by the promise of `new`.
        unsafe { sync::load_bytes(to.as_mut_ptr(), self.start(), len) };
        len
    }

    /// A copy of all bytes.
    pub fn to_vec(self) -> Vec<u8> {
        let mut copy = vec![0; self.len()];
        self.copy_to(&mut copy);
        copy
    }

    /// A copy of the value that begins at that byte.
    ///
    /// # Errors
    /// [`Corrupt`]: the bytes are no value of the type, or there are not so many.
    #[inline]
    pub fn read<T: Plain>(self, at: usize) -> Result<T, Corrupt> {
        let end = at.checked_add(size_of::<T>()).ok_or(Corrupt)?;
        let part = self.part(at..end).ok_or(Corrupt)?;
        // SAFETY: the part has as many bytes as the value, mapped by the promise of `new`; what the
        // alignment is makes no difference to a copy.
        unsafe { crate::plain::load(part.start().cast::<T>()) }
    }

    /// Borrows the bytes, without a copy.
    ///
    /// # Safety
    /// Nobody writes them while they are borrowed: all processes that have the object open are
    /// trusted to leave alone what was published to another.
    pub unsafe fn trust(self) -> &'a [u8] {
        // SAFETY: mapped by the promise of `new`, and not written by that of the caller; mapped
        // bytes have a value always.
        unsafe { slice::from_raw_parts(self.start(), self.len()) }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("len", &self.len()).finish()
    }
}

/// The same for the one who writes them: what goes in is copied word by word.
pub struct ViewMut<'a> {
    view: View<'a>,
}

impl<'a> ViewMut<'a> {
    /// # Safety
    /// As [`View::new`]; and the bytes are the caller's to write.
    pub(crate) unsafe fn new(bytes: NonNull<[u8]>) -> Self {
        // SAFETY: as promised.
        Self { view: unsafe { View::new(bytes) } }
    }

    /// How many bytes there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.view.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.view.is_empty()
    }

    /// What is there.
    pub fn view(&self) -> View<'_> {
        self.view
    }

    /// Writes bytes, from that one on.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub fn copy_from(&mut self, at: usize, bytes: &[u8]) {
        let end = at.checked_add(bytes.len());
        let part = end.and_then(|end| self.view.part(at..end));
        let part = part.expect("what is written must be within the buffer");
        // SAFETY: both have so many bytes; the view's are mapped, and the caller's to write.
        unsafe { sync::store_bytes(part.start(), bytes.as_ptr(), bytes.len()) };
    }

    /// Writes a value, from that byte on.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub fn write<T: Plain>(&mut self, at: usize, value: &T) {
        self.copy_from(at, value.as_bytes());
    }

    /// Borrows the bytes, to be written without a copy.
    ///
    /// # Safety
    /// Nobody else touches them while they are borrowed: all processes that have the object open
    /// are trusted to leave alone what is not theirs.
    pub unsafe fn trust(self) -> &'a mut [u8] {
        // SAFETY: as in `View::trust`; they are the caller's alone.
        unsafe { slice::from_raw_parts_mut(self.view.start(), self.view.len()) }
    }
}

impl fmt::Debug for ViewMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewMut").field("len", &self.len()).finish()
    }
}
