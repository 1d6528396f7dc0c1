//! Every interleaving of a loop that sleeps and of those who post to it, with at most three
//! preemptions, as loom sees it.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p tautline-runtime --lib loom
//! ```

use std::sync::Arc as StdArc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::*;
use crate::sync::{Ordering, fence};

/// Checks `body` under every interleaving with at most three preemptions.
pub(crate) fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 5_000;
    model.check(body);
}

/// An eventfd: counts wake-ups, and lets the loop wait for one. A wait for a wake-up
/// that never comes is a deadlock, which loom reports.
#[derive(Default)]
pub(crate) struct Bell {
    /// Wake-ups not yet taken, and all there ever were.
    rings: Mutex<(usize, usize)>,
    rung: Condvar,
}

impl Wake for Bell {
    fn wake(&self) {
        let mut rings = self.rings.lock().unwrap();
        *rings = (rings.0 + 1, rings.1 + 1);
        self.rung.notify_one();
    }
}

impl Bell {
    pub(crate) fn wait(&self) {
        let mut rings = self.rings.lock().unwrap();
        while rings.0 == 0 {
            rings = self.rung.wait(rings).unwrap();
        }
        rings.0 = 0;
    }

    pub(crate) fn total(&self) -> usize {
        self.rings.lock().unwrap().1
    }
}

/// A sleeper and the bell that ends its sleeps.
pub(crate) fn sleepy() -> (Arc<Sleeper>, StdArc<Bell>) {
    let bell = StdArc::new(Bell::default());
    (Arc::new(Sleeper::new(bell.clone())), bell)
}

/// A loop that sleeps whenever it finds nothing gets every message: no wake-up is lost,
/// and there are no more of them than sleeps.
#[test]
fn loom_no_wake_up_is_lost_and_none_comes_twice() {
    check(|| {
        let (sleeper, bell) = sleepy();
        let (poster, mut mailbox) = mailbox(2, Rouse(sleeper.clone())).unwrap();
        let posters: Vec<_> = (0..2)
            .map(|id| {
                let poster = poster.clone();
                thread::spawn(move || poster.post(id).unwrap())
            })
            .collect();
        let (mut received, mut announced) = (0, 0);
        while received < 2 {
            if mailbox.take().is_some() {
                received += 1;
                continue;
            }
            announced += 1;
            if sleeper.prepare_sleep(|| mailbox.is_empty()) {
                bell.wait();
                sleeper.awake();
            }
        }
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        assert!(bell.total() <= announced);
    });
}

/// The canary: a poster that leaves the fence out loses a wake-up, and the model sees it.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_lost_wake_up_of_a_poster_without_fence() {
    lose_a_wake_up(|| ());
}

/// The canary's twin: with the fence back in the very same model passes.
#[test]
fn loom_finds_nothing_once_the_fence_is_back() {
    lose_a_wake_up(|| fence(Ordering::SeqCst));
}

/// A sleep against a post whose fence is `between`.
fn lose_a_wake_up(between: impl Fn() + Send + Sync + Clone + 'static) {
    check(move || {
        let (sleeper, bell) = sleepy();
        let (poster, mut mailbox) = mailbox(2, ()).unwrap();
        let (looks, between) = (sleeper.clone(), between.clone());
        let thread = thread::spawn(move || {
            poster.post(()).unwrap();
            between();
            looks.look_without_fence();
        });
        if sleeper.prepare_sleep(|| mailbox.is_empty()) {
            bell.wait();
            sleeper.awake();
        }
        thread.join().unwrap();
        assert_eq!(mailbox.take(), Some(()));
    });
}
