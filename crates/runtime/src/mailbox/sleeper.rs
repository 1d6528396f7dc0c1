//! How a loop sleeps while other threads have something for it: no wake-up is lost, and
//! each sleep is ended at most once.
//!
//! ```text
//! loop                                sender
//! asleep = true                       make the message visible
//! fence                               fence
//! look for messages: if none, sleep   look at `asleep`: if set, clear it and wake
//! ```
//!
//! Of two fences, one comes first: either the loop sees the message, or the sender
//! sees that the loop sleeps. Of several senders only the one that clears the flag
//! wakes, so that a burst costs one system call.

use std::sync;

use tautline_bus::mailbox::Bell;

use crate::sync::{Arc, AtomicBool, Ordering, fence};

/// How any thread ends the loop's wait.
pub(crate) trait Wake: Send + Sync {
    /// Ends the wait that is under way, or the next one. Async-signal-safe.
    fn wake(&self);
}

/// Where a loop says that it sleeps, and where senders find whether to wake it. All
/// queues into one loop share one. Away from its neighbours, for every post reads it.
#[repr(align(128))]
pub(crate) struct Sleeper {
    /// The loop sleeps or is about to, and nobody has set out to wake it yet. Changed by
    /// exchanges alone, so that its values are one chain: the late exchange of a sender
    /// that meant an earlier sleep never undoes a later announcement unnoticed.
    asleep: AtomicBool,
    /// The loop never sleeps, so senders need not look.
    spins: bool,
    /// Not a cell of the model: it never changes.
    wake: sync::Arc<dyn Wake>,
}

impl Sleeper {
    /// For a loop that may sleep and is woken by `wake`.
    pub(crate) fn new(wake: sync::Arc<dyn Wake>) -> Self {
        Self { asleep: AtomicBool::new(false), spins: false, wake }
    }

    /// For a loop that never sleeps: a sender then pays neither fence nor load.
    pub(crate) fn never_sleeps(wake: sync::Arc<dyn Wake>) -> Self {
        Self { spins: true, ..Self::new(wake) }
    }

    /// The loop wants to sleep: announces it, then asks `is_idle` whether all queues
    /// are still empty. `true`: sleep, then call [`Sleeper::awake`]. `false`: there is
    /// work, or this loop never sleeps; nothing is announced any more.
    ///
    /// Only the loop's thread calls this.
    #[must_use]
    pub(crate) fn prepare_sleep(&self, is_idle: impl FnOnce() -> bool) -> bool {
        if self.spins {
            return false;
        }
        // Relaxed: the fence orders it before the look into the queues.
        self.asleep.swap(true, Ordering::Relaxed);
        // Pairs with the fence in `notify`: see the module.
        fence(Ordering::SeqCst);
        let idle = is_idle();
        if !idle {
            self.awake();
        }
        idle
    }

    /// The loop's sleep is over, whatever ended it.
    pub(crate) fn awake(&self) {
        // Relaxed: a sender that still sees the flag wakes once for nothing; messages
        // are found by their queues.
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// Something was put into one of the loop's queues: wakes the loop if it sleeps.
    #[inline]
    pub(crate) fn notify(&self) {
        if self.spins {
            return;
        }
        // Pairs with the fence in `prepare_sleep`: see the module.
        fence(Ordering::SeqCst);
        self.look_without_fence();
    }

    /// The second half of [`Sleeper::notify`], worth nothing without the first.
    #[inline]
    pub(super) fn look_without_fence(&self) {
        // Relaxed: the fence orders it after the message.
        if self.asleep.load(Ordering::Relaxed) {
            self.wake_once();
        }
    }

    /// Wakes the loop unless another sender has set out to.
    #[cold]
    fn wake_once(&self) {
        // Relaxed: an exchange always meets the latest value, so one sender wins; the
        // message was made visible by the fence.
        if self.asleep.swap(false, Ordering::Relaxed) {
            self.wake.wake();
        }
    }
}

/// A post rouses the loop that sleeps by this.
#[derive(Clone)]
pub(crate) struct Rouse(pub(crate) Arc<Sleeper>);

impl Bell for Rouse {
    #[inline]
    fn ring(&self) {
        self.0.notify();
    }
}
