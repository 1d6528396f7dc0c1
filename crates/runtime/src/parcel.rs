//! A value of any type in a slot of fixed size: what an operation owns while it is
//! pending, without an allocation for values up to [`INLINE`] bytes.

use std::any::TypeId;
use std::mem::{self, MaybeUninit};

/// Values up to this many bytes (and 16-byte alignment) lie in the parcel itself.
pub(crate) const INLINE: usize = 64;

#[repr(C, align(16))]
struct Room(MaybeUninit<[u8; INLINE]>);

/// One value of any `'static` type, or nothing.
///
/// Address: a value stays where it is while the parcel itself is not moved.
pub(crate) struct Parcel {
    room: Room,
    /// Describes what `room` holds; `None`: nothing.
    content: Option<&'static Content>,
}

/// How to treat what a parcel holds.
struct Content {
    type_id: fn() -> TypeId,
    /// Drops the value (and its box, if it lies in one) in the room.
    drop: unsafe fn(*mut u8),
}

/// The content descriptions of `T`, one for each place it may lie in.
struct Of<T>(std::marker::PhantomData<T>);

impl<T: 'static> Of<T> {
    const FITS: bool = size_of::<T>() <= INLINE && align_of::<T>() <= align_of::<Room>();

    const CONTENT: &'static Content = &Content {
        type_id: TypeId::of::<T>,
        drop: if Self::FITS { drop_inline::<T> } else { drop_boxed::<T> },
    };
}

unsafe fn drop_inline<T>(room: *mut u8) {
    // SAFETY: the caller holds a room with a live inline `T` and forgets it.
    unsafe { room.cast::<T>().drop_in_place() }
}

unsafe fn drop_boxed<T>(room: *mut u8) {
    // SAFETY: the caller holds a room with a live `Box<T>` and forgets it.
    unsafe { room.cast::<Box<T>>().drop_in_place() }
}

impl Parcel {
    /// Nothing.
    pub(crate) const fn empty() -> Self {
        Self { room: Room(MaybeUninit::uninit()), content: None }
    }

    fn room(&mut self) -> *mut u8 {
        (&raw mut self.room).cast()
    }

    /// Puts `value` in and returns its address, stable until the parcel is moved.
    pub(crate) fn put<T: 'static>(&mut self, value: T) -> &mut T {
        self.clear();
        let room = self.room();
        // SAFETY: the room is empty, large and aligned enough for a `T` (or for a
        // box); the content is set at once, so that it is dropped exactly once.
        unsafe {
            if Of::<T>::FITS {
                room.cast::<T>().write(value);
                self.content = Some(Of::<T>::CONTENT);
                &mut *room.cast::<T>()
            } else {
                room.cast::<Box<T>>().write(Box::new(value));
                self.content = Some(Of::<T>::CONTENT);
                &mut *room.cast::<Box<T>>()
            }
        }
    }

    /// The value in place.
    ///
    /// # Panics
    /// If the parcel does not hold a `T`.
    pub(crate) fn get_mut<T: 'static>(&mut self) -> &mut T {
        self.expect::<T>();
        let room = self.room();
        // SAFETY: it holds a live `T`, as its type id says, in the place that `FITS` says.
        unsafe { if Of::<T>::FITS { &mut *room.cast::<T>() } else { &mut *room.cast::<Box<T>>() } }
    }

    /// Whether it holds a `T`.
    pub(crate) fn holds<T: 'static>(&self) -> bool {
        self.content.is_some_and(|content| (content.type_id)() == TypeId::of::<T>())
    }

    fn expect<T: 'static>(&self) {
        assert!(self.holds::<T>(), "the parcel holds another type, or nothing");
    }

    /// Takes the value out.
    ///
    /// # Panics
    /// If the parcel does not hold a `T`.
    pub(crate) fn take<T: 'static>(mut self) -> T {
        self.expect::<T>();
        self.content = None;
        let room = self.room();
        // SAFETY: it holds a live `T`, as its type id says, in the place that `FITS`
        // says; `content` is gone, so nobody else drops it.
        unsafe {
            if Of::<T>::FITS { room.cast::<T>().read() } else { *room.cast::<Box<T>>().read() }
        }
    }

    /// Drops what it holds.
    fn clear(&mut self) {
        if let Some(content) = self.content.take() {
            // SAFETY: the room holds what `content` describes; `content` is gone.
            unsafe { (content.drop)(self.room()) }
        }
    }

    /// Moves the value out into a parcel of its own.
    pub(crate) fn move_out(&mut self) -> Self {
        mem::replace(self, Self::empty())
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// A value comes back as it was, inline or boxed.
    #[test]
    fn values_come_back() {
        let mut small = Parcel::empty();
        small.put(vec![1u8, 2]);
        assert_eq!(small.take::<Vec<u8>>(), [1, 2]);
        let mut large = Parcel::empty();
        large.put([7u64; 40]);
        assert_eq!(large.take::<[u64; 40]>(), [7; 40]);
    }

    /// A value that is never taken is dropped once, wherever it lies.
    #[test]
    fn values_are_dropped_once() {
        let counter = Rc::new(());
        let mut parcel = Parcel::empty();
        parcel.put(counter.clone());
        parcel.put((counter.clone(), [0u8; 200]));
        assert_eq!(Rc::strong_count(&counter), 2);
        drop(parcel.move_out());
        assert_eq!(Rc::strong_count(&counter), 1);
    }

    /// Taking the wrong type is caught before any byte is read as it.
    #[test]
    #[should_panic(expected = "another type")]
    fn the_type_is_checked() {
        let mut parcel = Parcel::empty();
        parcel.put(1u32);
        parcel.take::<u64>();
    }
}
