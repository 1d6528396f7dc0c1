//! The panic count of this thread, set aside while a fiber waits in the midst of a panic.
//!
//! The standard library counts the panics of a *thread*. A fiber that waits in a destructor
//! while it unwinds would make every other fiber of its loop believe that it panics: their
//! locks would be poisoned, their destructors would take the other branch. There is no call
//! that sets the count, so its place is found by what it does: it is the one word of the
//! thread's static storage that counts one and two inside two nested unwindings and nought
//! afterwards, and that decides what [`std::thread::panicking`] says. Where no such word is
//! found, which the log tells, the count stays, and a fiber that waits in mid-panic is seen by
//! the others as before.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::slice;
use std::sync::Once;
use std::thread::panicking;

thread_local! {
    /// Where this thread's count lies, once it was looked for.
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// A word of this thread's static storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place(NonNull<usize>);

impl Place {
    fn get(self) -> usize {
        // SAFETY: it lies in the storage of the thread that found it, which lives as long as
        // the thread; places never leave their thread. Volatile: its owner is elsewhere.
        unsafe { self.0.as_ptr().read_volatile() }
    }

    fn set(self, count: usize) {
        // SAFETY: as in `get`; `find` has made sure that this word is the count.
        unsafe { self.0.as_ptr().write_volatile(count) }
    }
}

/// Looks for this thread's count, unless it was found before. True: it is known.
pub(super) fn prepare() -> bool {
    if cfg!(panic = "unwind") && PLACE.get().is_none() {
        PLACE.set(find());
    }
    PLACE.get().is_some()
}

/// As [`prepare`]; says once in a process what is amiss where the count is not found.
pub(super) fn prepare_or_warn() {
    static WARNED: Once = Once::new();
    if cfg!(panic = "unwind") && !prepare() {
        WARNED.call_once(|| {
            log::warn!(
                "this build's standard library keeps its count of panics where it is not found: while a fiber waits in a destructor during a panic, the others of its thread believe that they panic"
            );
        });
    }
}

/// Makes this thread one that does not panic. Returns what [`restore`] needs to undo that.
#[inline]
pub(super) fn set_aside() -> usize {
    if panicking() { take() } else { 0 }
}

/// Whether this thread is in the hook of a panic, where nothing may panic, and so nobody may run
/// meanwhile who might. The standard library keeps that beside the count.
#[inline]
pub(super) fn is_in_hook() -> bool {
    panicking() && is_flagged()
}

#[cold]
fn is_flagged() -> bool {
    let Some(place) = PLACE.get() else { return false };
    // SAFETY: the pair of the count and the flag lies in this thread's storage; a byte of it may
    // be read, whatever it means.
    unsafe { place.0.as_ptr().add(1).cast::<u8>().read_volatile() == 1 }
}

/// Undoes [`set_aside`]. What the thread panics with by now is counted on top.
#[inline]
pub(super) fn restore(count: usize) {
    if count > 0 {
        put(count);
    }
}

#[cold]
fn take() -> usize {
    let Some(place) = PLACE.get() else { return 0 };
    let count = place.get();
    place.set(0);
    count
}

#[cold]
fn put(count: usize) {
    if let Some(place) = PLACE.get() {
        place.set(place.get() + count);
    }
}

/// Finds the word that counts this thread's panics.
fn find() -> Option<Place> {
    let mut words = words_of_this_thread();
    let before: Vec<usize> = words.iter().map(|word| word.get()).collect();
    let mut seen: [Vec<usize>; 2] =
        [Vec::with_capacity(words.len()), Vec::with_capacity(words.len())];
    let [once, twice] = &mut seen;
    unwind(|| {
        once.extend(words.iter().map(|word| word.get()));
        unwind(|| twice.extend(words.iter().map(|word| word.get())));
    });
    let mut at = 0;
    words.retain(|word| {
        let grown = [0, 1].map(|level| seen[level][at].wrapping_sub(before[at]));
        let fits = grown == [1, 2] && word.get() == before[at];
        at += 1;
        fits
    });
    words.into_iter().find(|&word| decides(word))
}

/// Calls `inside` while this thread unwinds.
fn unwind(inside: impl FnMut()) {
    struct OnDrop<F: FnMut()>(F);
    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _inside = OnDrop(inside);
        resume_unwind(Box::new(()));
    }));
}

/// Whether a word decides what the standard library says of this thread.
fn decides(word: Place) -> bool {
    let mut decides = false;
    unwind(|| {
        let count = word.get();
        word.set(0);
        let silenced = !panicking();
        word.set(count);
        decides = silenced && panicking();
    });
    decides
}

/// All words of the static storage that this thread's modules have.
fn words_of_this_thread() -> Vec<Place> {
    let mut words = Vec::new();
    // SAFETY: the callback takes its last argument for what it is, a vector of words.
    unsafe { libc::dl_iterate_phdr(Some(gather), (&raw mut words).cast()) };
    words
}

/// Adds the words of one module.
///
/// # Safety
/// `info` is what `dl_iterate_phdr` gives, `words` a vector of places.
unsafe extern "C" fn gather(
    info: *mut libc::dl_phdr_info,
    _: usize,
    words: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the caller's promise.
    let (info, words) = unsafe { (&*info, &mut *words.cast::<Vec<Place>>()) };
    if info.dlpi_tls_data.is_null() {
        return 0;
    }
    // SAFETY: the loader describes so many segments there.
    let segments = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let storage = segments.iter().find(|segment| segment.p_type == libc::PT_TLS);
    let bytes = storage.map_or(0, |segment| segment.p_memsz as usize);
    let first = info.dlpi_tls_data.cast::<u8>();
    let skipped = first.align_offset(align_of::<usize>());
    let aligned = first.wrapping_add(skipped).cast::<usize>();
    for at in 0..bytes.saturating_sub(skipped) / size_of::<usize>() {
        words.extend(NonNull::new(aligned.wrapping_add(at)).map(Place));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This thread's count is found, on any thread, and set aside and restored: in between, the
    /// thread does not panic, and a panic in between is counted as its first.
    #[test]
    fn a_panic_is_set_aside() {
        assert!(prepare(), "the standard library keeps its count elsewhere");
        let mut seen = Vec::new();
        unwind(|| {
            let before = panicking();
            let count = set_aside();
            let between = panicking();
            unwind(|| seen.push(panicking()));
            let after = panicking();
            restore(count);
            seen.extend([before, between, after, panicking()]);
        });
        assert_eq!(seen, [true, true, false, false, true]);
        assert!(!panicking());
    }

    /// A runtime may be made while its thread panics.
    #[test]
    fn the_count_is_found_in_the_midst_of_a_panic() {
        let mut found = None;
        unwind(|| found = find());
        prepare();
        assert!(found.is_some());
        assert_eq!(found, PLACE.get());
    }
}
