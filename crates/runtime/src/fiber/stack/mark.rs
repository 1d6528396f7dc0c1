//! How deep a stack has been used, told from its memory: a stack begins as zeros, and what
//! was called left something else.

use std::ops::Range;
use std::ptr;

use super::memory::resident;

type Word = usize;

/// Bytes from the top of `span` down to the lowest word that is not zero. Pages that are
/// not in memory were never used, or are swapped out, and are left alone.
///
/// # Safety
/// The span must begin with a page, be mapped readable, and not be written to by another
/// thread meanwhile.
pub(super) unsafe fn depth(span: Range<usize>) -> usize {
    // SAFETY: the parts lie within the span.
    let lowest = resident(span.clone()).find_map(|part| unsafe { lowest_word(part) });
    lowest.map_or(0, |address| span.end - address)
}

/// The lowest address whose word is not zero.
///
/// # Safety
/// As [`depth`].
unsafe fn lowest_word(part: Range<usize>) -> Option<usize> {
    part.step_by(size_of::<Word>()).find(|&address| {
        let word: *const Word = ptr::with_exposed_provenance(address);
        // SAFETY: mapped by contract, and aligned, because a page is. Volatile, because a
        // suspended fiber wrote it, of which the compiler knows nothing.
        unsafe { word.read_volatile() != 0 }
    })
}

/// Makes everything that was used zero again.
///
/// # Safety
/// As [`depth`]; and the span must be writable, and hold nothing of use.
pub(super) unsafe fn clear(span: Range<usize>) {
    // SAFETY: passed on.
    let depth = unsafe { depth(span.clone()) };
    let lowest: *mut u8 = ptr::with_exposed_provenance_mut(span.end - depth);
    // SAFETY: within the span, which is writable and of no use by contract.
    unsafe { lowest.write_bytes(0, depth) };
}
