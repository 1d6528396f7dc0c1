//! Memory in equal places, to receive to.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;

/// Bytes of a cache line.
const LINE: usize = 64;
/// How far apart in the cache the places of large datagrams begin: further than most datagrams are
/// long, and an odd number of lines, so that those of many do not compete for the same sets.
const APART: usize = 33 * LINE;
/// Of the region: allocators touch the memory of regions that are to be aligned further.
const ALIGNMENT: usize = 16;

/// Memory of a fixed size that belongs to its holder alone. It is cut from one allocation
/// with others, and given back when the last of them is dropped.
pub struct Place {
    start: NonNull<u8>,
    size: usize,
    /// What it was cut from; kept until the last place is gone.
    _region: Rc<Region>,
}

struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

/// `count` places of `size` bytes each, zeroed. Pages that are not written to cost address
/// space alone, where the system has it so; a system with huge pages may count by those.
///
/// # Errors
/// [`OutOfMemory`](io::ErrorKind::OutOfMemory) when the system does not grant as much.
///
/// ```
/// let mut places = tautline_runtime::places(3, 1500)?;
/// places[1][..4].copy_from_slice(b"mine");
/// assert_eq!((&places[0][..4], &places[1][..4], places[2].len()), (&[0; 4][..], &b"mine"[..], 1500));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn places(count: usize, size: usize) -> io::Result<Vec<Place>> {
    let lines = size.checked_next_multiple_of(LINE).and_then(|size| size.checked_add(APART));
    let stride = lines.map(|_| stride(size)).ok_or(io::ErrorKind::OutOfMemory)?;
    let bytes = count.checked_mul(stride).map(|bytes| bytes.max(LINE));
    let layout = bytes.and_then(|bytes| Layout::from_size_align(bytes, ALIGNMENT).ok());
    let layout = layout.ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc_zeroed(layout) };
    let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
    let region = Rc::new(Region { start, layout });
    let place = |at| Place {
        // SAFETY: `count` strides were allocated.
        start: unsafe { start.add(at * stride) },
        size,
        _region: Rc::clone(&region),
    };
    Ok((0..count).map(place).collect())
}

/// Bytes from one place of `size` bytes to the next. Not a multiple of a page, in which all first
/// lines would compete for the same set of the cache; what lies between two places is address space
/// alone where they are larger than a page.
pub(super) fn stride(size: usize) -> usize {
    size.next_multiple_of(LINE) + if size > APART { APART } else { LINE }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; no place is left.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl Deref for Place {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `size` zeroed bytes of the region, which lives; no other place has them.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places do not overlap, and each outlives the others.
    #[test]
    fn places_are_disjoint() {
        let mut all = places(5, 100).unwrap();
        for (at, place) in all.iter_mut().enumerate() {
            assert_eq!(**place, [0; 100]);
            place.fill(at as u8);
        }
        all.rotate_left(2);
        all.truncate(2);
        assert_eq!((&*all[0], &*all[1]), (&[2; 100][..], &[3; 100][..]));
        assert!(places(0, 10).unwrap().is_empty());
        assert!(places(2, 0).unwrap().iter().all(|place| place.is_empty()));
    }

    /// More than the address space holds, by product or by size, is an error.
    #[test]
    fn impossible_places_are_refused() {
        let sizes = [(usize::MAX, 100), (1 << 40, 1 << 20), (1, 1 << 62)];
        let wraps = [usize::MAX, usize::MAX - LINE, usize::MAX - 2 * LINE].map(|size| (1, size));
        for (count, size) in sizes.into_iter().chain(wraps) {
            let refused = places(count, size).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
