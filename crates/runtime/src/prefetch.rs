//! Asking the processor for memory before it is needed. Hints: they read nothing that the
//! program could see, fault nowhere, and do nothing where the processor has none.

/// Fetches the cache line at `place`, which will be read soon.
#[inline]
pub(crate) fn to_read<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, see above.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
