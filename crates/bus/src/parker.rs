//! A thread that waits by a waker: for several things at once, which no single event could wait
//! for.

use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::sync::{self, AtomicU32, Bed, Ordering};

/// Not woken since the last look.
const EMPTY: u32 = 0;
/// Woken: the next sleep ends at once.
const WOKEN: u32 = 1;
/// The thread sleeps, or is about to.
const ASLEEP: u32 = 2;

/// Where one thread sleeps until its waker is called.
#[derive(Debug)]
struct Parker {
    state: AtomicU32,
    bed: Bed,
}

impl Wake for Parker {
    fn wake(self: StdArc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &StdArc<Self>) {
        // Release pairs with the Acquire in `was_woken`: who was woken sees why.
        if self.state.swap(WOKEN, Ordering::Release) == ASLEEP {
            self.bed.wake_all(&self.state);
        }
    }
}

impl Parker {
    fn new() -> Self {
        Self { state: AtomicU32::new(EMPTY), bed: Bed::new() }
    }

    /// Whether somebody has woken it; forgets that.
    fn was_woken(&self) -> bool {
        // Acquire pairs with the Release in `wake_by_ref`.
        self.state.swap(EMPTY, Ordering::Acquire) == WOKEN
    }

    /// Sleeps until it is woken or the time is over; may wake early.
    fn sleep(&self, due: Option<Instant>) {
        // Relaxed: it tells that a wake must end a sleep, and nothing else.
        let empty =
            self.state.compare_exchange(EMPTY, ASLEEP, Ordering::Relaxed, Ordering::Relaxed);
        if empty.is_ok() {
            let limit = due.map(|due| due.saturating_duration_since(Instant::now()));
            self.bed.sleep(&self.state, ASLEEP, limit);
        }
    }
}

/// Looks that a thread takes in a row, woken each time, before it gives way to others.
const GREED: u32 = 64;

/// Blocks the thread until `poll` is ready; `None`: the deadline has passed.
///
/// What `poll` waits for may wake it at once, as objects under [`Wait::Spin`](crate::Wait) do:
/// then it looks again and again.
pub(crate) fn block_on<R>(
    due: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Option<R> {
    with_parker(|parker, waker| {
        let mut context = Context::from_waker(waker);
        let mut looks = 0_u32;
        loop {
            if let Poll::Ready(result) = poll(&mut context) {
                return Some(result);
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                return None;
            }
            if parker.was_woken() {
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(GREED) { sync::yield_now() } else { sync::spin_loop() }
            } else {
                parker.sleep(due);
                parker.was_woken();
            }
        }
    })
}

/// Lends the thread's parker and its waker, which are made once for each thread.
#[cfg(not(loom))]
fn with_parker<R>(work: impl FnOnce(&Parker, &Waker) -> R) -> R {
    thread_local! {
        static OURS: (StdArc<Parker>, Waker) = {
            let parker = StdArc::new(Parker::new());
            (parker.clone(), Waker::from(parker))
        };
    }
    OURS.with(|(parker, waker)| work(parker, waker))
}

/// The same in a model, whose atomics do not outlive it.
#[cfg(loom)]
fn with_parker<R>(work: impl FnOnce(&Parker, &Waker) -> R) -> R {
    let parker = StdArc::new(Parker::new());
    let waker = Waker::from(parker.clone());
    work(&parker, &waker)
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::thread;

    use super::*;
    use crate::sync::Arc;

    /// A thread that blocks is woken, and sees what was done before the wake.
    #[test]
    fn loom_a_wake_brings_what_was_done_before() {
        loom::model(|| {
            let done = Arc::new(AtomicU32::new(0));
            let mut waking = None;
            block_on(None, |context| {
                if waking.is_some() {
                    // Relaxed: the wake alone brings it.
                    assert_eq!(done.load(Ordering::Relaxed), 1);
                    return Poll::Ready(());
                }
                let (done, waker) = (done.clone(), context.waker().clone());
                waking = Some(thread::spawn(move || {
                    done.store(1, Ordering::Relaxed);
                    waker.wake();
                }));
                Poll::Pending
            });
            waking.expect("the first look has begun it").join().unwrap();
        });
    }
}
