//! Slices on the heap that begin where a cache line does.

use std::alloc::{self, Layout};
use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::ring::Line;

/// A slice on the heap that begins a pair of cache lines: items of the size of a line, or of a part
/// of one, lie in one line each, and none is fetched twice.
#[doc(hidden)]
pub struct Aligned<T> {
    items: NonNull<T>,
    /// So many items are there.
    len: usize,
    /// Of the memory.
    layout: Layout,
}

// SAFETY: it owns its items, and hands out references alone.
unsafe impl<T: Send> Send for Aligned<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Aligned<T> {}

impl<T> Aligned<T> {
    /// So many items, as `make` has them; `None`: there is no room for them.
    pub(crate) fn new(count: usize, mut make: impl FnMut(usize) -> T) -> Option<Self> {
        let layout = Layout::array::<T>(count).ok()?.align_to(align_of::<Line<T>>()).ok()?;
        let items = if layout.size() == 0 {
            NonNull::dangling()
        } else {
            // SAFETY: the size is not zero.
            NonNull::new(unsafe { alloc::alloc(layout) })?.cast()
        };
        let mut this = Self { items, len: 0, layout };
        for at in 0..count {
            // SAFETY: within the memory; what was made before is dropped should this panic.
            unsafe { this.items.add(at).write(make(at)) };
            this.len = at + 1;
        }
        Some(this)
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: so many items are there, and live as long as this.
        unsafe { NonNull::slice_from_raw_parts(self.items, self.len).as_ref() }
    }
}

impl<T> Drop for Aligned<T> {
    fn drop(&mut self) {
        let items = ptr::slice_from_raw_parts_mut(self.items.as_ptr(), self.len);
        // SAFETY: the items are there, and nobody else's; the memory came from `new`, with that layout.
        unsafe {
            items.drop_in_place();
            if self.layout.size() != 0 {
                alloc::dealloc(self.items.as_ptr().cast(), self.layout);
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    /// Items begin a line, are as they were made, and are dropped, also when making one panics; what
    /// there is no room for is refused.
    #[test]
    fn items_are_kept() {
        let item = Rc::new(());
        let items = Aligned::new(5, |at| (at as u8, item.clone())).unwrap();
        assert!(items.as_ptr().addr().is_multiple_of(128));
        assert_eq!(items.iter().map(|item| item.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        drop(items);
        let making = AssertUnwindSafe(|| {
            Aligned::new(5, |at| if at < 3 { item.clone() } else { panic!("at the fourth") })
        });
        assert!(catch_unwind(making).is_err());
        assert_eq!(Rc::strong_count(&item), 1);
        assert_eq!(Aligned::new(3, |_| ()).unwrap().len(), 3);
        assert!(Aligned::new(0, |_| 1_u64).unwrap().is_empty());
        assert!(Aligned::new(usize::MAX / 8, |_| 1_u64).is_none());
    }
}
