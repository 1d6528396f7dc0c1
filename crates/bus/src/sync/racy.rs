//! Copies of bytes that others may write, or read, at the same time: by atomic words.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Copies bytes to where others may read or write them at the same time.
///
/// # Safety
/// `to` is valid for atomic writes of `len` bytes, and `from` for reads.
#[inline(always)]
pub(crate) unsafe fn store_bytes(to: *mut u8, from: *const u8, len: usize) {
    let words = if to.addr().is_multiple_of(8) { len / 8 } else { 0 };
    for at in 0..words {
        // SAFETY: within the bytes that the caller promises; `to` is aligned.
        unsafe {
            let word = from.cast::<u64>().add(at).read_unaligned();
            AtomicU64::from_ptr(to.cast::<u64>().add(at)).store(word, Ordering::Relaxed);
        }
    }
    for at in words * 8..len {
        // SAFETY: as above.
        unsafe { AtomicU8::from_ptr(to.add(at)).store(from.add(at).read(), Ordering::Relaxed) };
    }
}

/// Copies bytes from where others may write them at the same time.
///
/// # Safety
/// `to` is valid for writes of `len` bytes, and `from` for atomic reads.
#[inline(always)]
pub(crate) unsafe fn load_bytes(to: *mut u8, from: *const u8, len: usize) {
    let words = if from.addr().is_multiple_of(8) { len / 8 } else { 0 };
    for at in 0..words {
        // SAFETY: within the bytes that the caller promises; `from` is aligned.
        unsafe {
            let word = AtomicU64::from_ptr(from.cast::<u64>().add(at).cast_mut());
            to.cast::<u64>().add(at).write_unaligned(word.load(Ordering::Relaxed));
        }
    }
    for at in words * 8..len {
        // SAFETY: as above.
        unsafe {
            let byte = AtomicU8::from_ptr(from.add(at).cast_mut());
            to.add(at).write(byte.load(Ordering::Relaxed));
        }
    }
}
