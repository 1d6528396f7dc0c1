//! The waker seam: where one user leaves a [`Waker`], and whoever has something for it finds it.

use std::cell::RefCell;
use std::task::Waker;

use crate::sync::{AtomicU32, Ordering, UnsafeCell};

/// Where one user leaves its waker. One user at a time registers; any may wake.
#[doc(hidden)]
pub trait WakerCell {
    /// A cell without a waker.
    fn new() -> Self;
    /// Leaves a waker, in place of one that was left before. A wake that comes meanwhile is not
    /// lost: it wakes this one.
    fn register(&self, waker: &Waker);
    /// Takes the waker out and wakes it.
    fn wake(&self);
    /// Takes the waker out.
    fn clear(&self);
}

/// A waker of the one thread that there is.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct PrivateWaker(RefCell<Option<Waker>>);

impl WakerCell for PrivateWaker {
    fn new() -> Self {
        Self::default()
    }

    fn register(&self, waker: &Waker) {
        let mut kept = self.0.borrow_mut();
        match &mut *kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        // Not borrowed while it runs: it may poll whoever registers here.
        let waker = self.0.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn clear(&self) {
        let waker = self.0.borrow_mut().take();
        drop(waker);
    }
}

/// Nobody touches the cell.
const IDLE: u32 = 0;
/// The user writes to the cell.
const REGISTERING: u32 = 1;
/// Somebody has a wake-up for it: takes the waker out if nobody registers, else leaves the wake-up
/// to who registers.
const WAKING: u32 = 2;

/// A waker that any thread may find.
///
/// The states are those of the cell of this kind in the `futures` crate: who turns `IDLE` into
/// `REGISTERING` or into `WAKING` has the cell for itself; a `WAKING` set on top of the other is
/// done by its owner when it lets go.
#[doc(hidden)]
pub struct LocalWaker {
    state: AtomicU32,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the content is touched by the thread alone that has turned the state from `IDLE`.
unsafe impl Send for LocalWaker {}
// SAFETY: as above.
unsafe impl Sync for LocalWaker {}

impl std::fmt::Debug for LocalWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalWaker")
    }
}

impl LocalWaker {
    /// Uses the content.
    ///
    /// # Safety
    /// The caller has turned the state from `IDLE`, and has not yet turned it back.
    unsafe fn content<R>(&self, work: impl FnOnce(&mut Option<Waker>) -> R) -> R {
        // SAFETY: the state keeps everybody else away.
        self.waker.with_mut(|waker| work(unsafe { &mut *waker }))
    }

    /// Leaves what `change` makes of the content; whoever wakes meanwhile is answered here.
    fn replace(&self, change: impl FnOnce(&mut Option<Waker>)) {
        // Acquire pairs with the Releases of those who had the cell before.
        let free =
            self.state.compare_exchange(IDLE, REGISTERING, Ordering::Acquire, Ordering::Relaxed);
        if free.is_err() {
            // A wake-up is being delivered: it counts for the one that registers now as well.
            let mut missed = None;
            change(&mut missed);
            if let Some(waker) = missed {
                waker.wake();
            }
            return;
        }
        // SAFETY: the state was turned from `IDLE` above.
        unsafe { self.content(change) };
        // Release hands the content on; Acquire, on failure, sees what the waker announces.
        let done =
            self.state.compare_exchange(REGISTERING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if done.is_err() {
            // SAFETY: the state is `REGISTERING | WAKING`: the wake-up left the cell to us.
            let waker = unsafe { self.content(Option::take) };
            // AcqRel: gives the cell back, and sees what was announced.
            self.state.swap(IDLE, Ordering::AcqRel);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl WakerCell for LocalWaker {
    fn new() -> Self {
        Self { state: AtomicU32::new(IDLE), waker: UnsafeCell::new(None) }
    }

    fn register(&self, waker: &Waker) {
        self.replace(|kept| match kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        });
    }

    fn wake(&self) {
        // AcqRel: announces what was done before to the user, and takes over its waker.
        if self.state.fetch_or(WAKING, Ordering::AcqRel) != IDLE {
            return;
        }
        // SAFETY: the state was turned from `IDLE` above.
        let waker = unsafe { self.content(Option::take) };
        // Release hands the cell back.
        self.state.fetch_and(!WAKING, Ordering::Release);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn clear(&self) {
        self.replace(|kept| *kept = None);
    }
}
