//! Copies of bytes that others may write, or read, at the same time: by atomic words.

use crate::sync::{AtomicU8, AtomicU64, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes come back, however many and wherever they begin.
    #[test]
    fn bytes_come_back() {
        let bytes: [u8; 96] = std::array::from_fn(|n| n as u8);
        for from in 0..9 {
            for len in 0..80 {
                let (mut there, mut back) = ([0; 96], [0; 96]);
                // SAFETY: within the arrays, which nobody else uses.
                unsafe {
                    store_bytes(there.as_mut_ptr().add(from), bytes.as_ptr(), len);
                    load_bytes(back.as_mut_ptr(), there.as_ptr().add(from), len);
                }
                assert_eq!((&back[..len], back[len]), (&bytes[..len], 0));
            }
        }
    }
}
