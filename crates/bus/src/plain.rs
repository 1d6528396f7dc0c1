//! Plain data: values that can be copied byte by byte, and checked when they are copied from where
//! others may write.

use std::mem::MaybeUninit;

use zerocopy::{Immutable, IntoBytes, TryFromBytes};

use crate::error::Corrupt;
use crate::layout::Layout;
use crate::sync;

/// Values that are their bytes: no padding, no pointers, and whether bytes are one can be checked.
///
/// All types have it that derive `TryFromBytes`, `IntoBytes` and `Immutable` of the crate
/// `zerocopy` and are `Copy`: structures of numbers, also with `bool`s and enums without data.
pub trait Plain: TryFromBytes + IntoBytes + Immutable + Copy + 'static {}

impl<T: TryFromBytes + IntoBytes + Immutable + Copy + 'static> Plain for T {}

/// Writes a value where others may read, or write, at the same time.
///
/// # Safety
/// `place` is valid for atomic writes, and aligned for `T`.
#[inline(always)]
pub(crate) unsafe fn store<T: Plain>(place: *mut T, value: &T) {
    // SAFETY: as promised.
    unsafe { sync::store_bytes(place.cast(), value.as_bytes().as_ptr(), size_of::<T>()) };
}

/// Reads a value from where others may write at the same time into memory of its own, and then looks
/// whether it is one.
///
/// # Errors
/// [`Corrupt`]: the bytes are no value of `T`.
///
/// # Safety
/// `place` is valid for atomic reads, and aligned for `T`.
#[inline(always)]
pub(crate) unsafe fn load<T: Plain, E: From<Corrupt>>(place: *const T) -> Result<T, E> {
    // SAFETY: as promised.
    let copy = unsafe { copy(place) };
    // SAFETY: all bytes were written, and nobody else sees them.
    let bytes = unsafe { std::slice::from_raw_parts(copy.as_ptr().cast::<u8>(), size_of::<T>()) };
    T::try_read_from_bytes(bytes).map_err(|_| Corrupt.into())
}

/// The same for a type that tells whether any bytes are a value: then they are copied once.
///
/// # Errors
/// As [`load`].
///
/// # Safety
/// As [`load`].
#[cfg_attr(loom, allow(dead_code, reason = "segments are not modelled"))]
#[inline(always)]
pub(crate) unsafe fn load_told<T: Plain + Layout, E: From<Corrupt>>(
    place: *const T,
) -> Result<T, E> {
    if T::ANY_BYTES {
        // SAFETY: as promised; any bytes are a value.
        return Ok(unsafe { copy(place).assume_init() });
    }
    // SAFETY: as promised.
    unsafe { load(place) }
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn copy<T>(place: *const T) -> MaybeUninit<T> {
    let mut copy = MaybeUninit::<T>::uninit();
    // SAFETY: as promised; the copy is the caller's own.
    unsafe { sync::load_bytes(copy.as_mut_ptr().cast(), place.cast(), size_of::<T>()) };
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of all sizes come back whole, at every alignment that they can have.
    #[test]
    fn values_come_back() {
        fn check<T: Plain + PartialEq + std::fmt::Debug>(value: T) {
            let mut place = [MaybeUninit::<T>::uninit(); 3];
            for place in &mut place {
                // SAFETY: the place is valid, and nobody else uses it.
                unsafe { store(place.as_mut_ptr(), &value) };
                // SAFETY: as above.
                assert_eq!(unsafe { load::<T, Corrupt>(place.as_ptr()) }, Ok(value));
            }
        }
        check(7u8);
        check([1u8, 2, 3]);
        check([0x1234u16; 5]);
        check(std::array::from_fn::<u8, 61, _>(|n| n as u8));
        check(std::array::from_fn::<u64, 9, _>(|n| n as u64));
        // Those that are copied by larger pieces, with and without a rest.
        check(std::array::from_fn::<u8, 511, _>(|n| n as u8));
        check(std::array::from_fn::<u64, 64, _>(|n| n as u64));
        check(std::array::from_fn::<u8, 895, _>(|n| n as u8));
        check(std::array::from_fn::<u64, 1024, _>(|n| n as u64));
        check(true);
    }

    /// Bytes that are no value are refused.
    #[test]
    fn what_is_no_value_is_refused() {
        let byte = 2u8;
        // SAFETY: a byte is valid and aligned for reading a `bool`'s.
        assert_eq!(unsafe { load::<bool, Corrupt>((&raw const byte).cast()) }, Err(Corrupt));
    }
}
