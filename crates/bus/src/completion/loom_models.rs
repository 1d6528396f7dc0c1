//! Every interleaving of owner, completer and late completers with at most three preemptions, as
//! loom sees it.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p tautline-bus --lib loom
//! ```

use std::sync::Arc as StdArc;

use loom::thread;

use super::*;
use crate::parker;
use crate::scope::Local;
use crate::sync::Arc;

/// Checks `body` under every interleaving with at most three preemptions.
fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 5_000;
    model.check(body);
}

/// A completion whose owner sleeps as soon as it finds nothing. Its values are counted, so that the
/// model notices one that is lost or dropped twice.
fn sleepy() -> Async<Arc<u32>, Local> {
    Async::new(Config { wait: Wait::Park { spin_for: Duration::ZERO } })
}

/// An owner that sleeps is woken by the result, for one operation after the other: a wake-up that
/// is lost is a deadlock.
#[test]
fn loom_no_wake_up_is_lost() {
    check(|| {
        let mut done = sleepy();
        for n in 0..2 {
            let completer = done.begin().unwrap();
            let thread = thread::spawn(move || completer.complete(Arc::new(n)).unwrap());
            assert_eq!(done.wait(None).as_deref(), Ok(&n));
            thread.join().unwrap();
        }
    });
}

/// An owner that sleeps hears of a completer that was dropped.
#[test]
fn loom_an_owner_hears_of_a_dropped_completer() {
    check(|| {
        let mut done = sleepy();
        let completer = done.begin().unwrap();
        let thread = thread::spawn(move || drop(completer));
        assert_eq!(done.wait(None).unwrap_err(), TakeError::Abandoned);
        thread.join().unwrap();
    });
}

/// An owner that waits by a waker is woken.
#[test]
fn loom_a_waker_is_called() {
    check(|| {
        let mut done = sleepy();
        let completer = done.begin().unwrap();
        let thread = thread::spawn(move || completer.complete(Arc::new(1)).unwrap());
        let taken = parker::block_on(None, |context| done.poll_take(context));
        assert_eq!(taken.unwrap().as_deref(), Ok(&1));
        thread.join().unwrap();
    });
}

/// A complete against a cancel: the value is either taken back or dropped by the owner, and both
/// sides agree on which.
#[test]
fn loom_a_complete_against_a_cancel_leaves_one_value() {
    check(|| {
        let mut done = sleepy();
        let completer = done.begin().unwrap();
        let value = StdArc::new(7);
        let given = value.clone();
        let mut other = Async::<StdArc<u32>, Local>::new(Config { wait: Wait::Spin });
        let other_completer = other.begin().unwrap();
        let thread = thread::spawn(move || {
            let unwanted = other_completer.complete(given).is_err();
            (unwanted, completer.complete(Arc::new(0)).is_err())
        });
        let cancelled = (other.cancel(), done.cancel());
        assert_eq!(thread.join().unwrap(), cancelled);
        assert_eq!(StdArc::strong_count(&value), 1);
        assert!(done.is_idle());
    });
}

/// The completer of a cancelled operation, the next operation and its completer: the late one meets
/// nobody, the other its owner.
#[test]
fn loom_a_late_completer_meets_nobody() {
    check(|| {
        let mut done = sleepy();
        let late = done.begin().unwrap();
        let first = thread::spawn(move || late.complete(Arc::new(1)).is_ok());
        let met = !done.cancel();
        let completer = done.begin().unwrap();
        let second = thread::spawn(move || completer.complete(Arc::new(2)).unwrap());
        assert_eq!(done.wait(None).as_deref(), Ok(&2));
        assert_eq!(first.join().unwrap(), met);
        second.join().unwrap();
    });
}

/// An owner that goes while the completer is at work: nothing is left behind.
#[test]
fn loom_an_owner_that_goes_leaves_nothing_behind() {
    check(|| {
        let mut done = sleepy();
        let completer = done.begin().unwrap();
        let thread = thread::spawn(move || _ = completer.complete(Arc::new(1)));
        drop(done);
        thread.join().unwrap();
    });
}

/// A completer that sleeps until it is cancelled is woken by that.
#[test]
fn loom_a_cancel_wakes_its_completer() {
    check(|| {
        let mut done = sleepy();
        let mut completer = done.begin().unwrap();
        let thread = thread::spawn(move || {
            parker::block_on(None, |context| completer.poll_cancelled(context)).unwrap();
            assert!(completer.is_cancelled());
            completer
        });
        assert!(done.cancel());
        // The next operation is not disturbed by a completer that still watches for the last.
        let next = done.begin().unwrap();
        drop(thread.join().unwrap());
        next.complete(Arc::new(1)).unwrap();
        assert_eq!(done.try_take().as_deref(), Ok(&1));
    });
}

/// A completer of an old operation that watches for its cancel cannot take the waker of the next.
#[test]
fn loom_each_completer_is_woken_by_its_own_cancel() {
    check(|| {
        let mut done = sleepy();
        let watch = |mut completer: Completer<Arc<u32>, Local>| {
            parker::block_on(None, |context| completer.poll_cancelled(context)).unwrap();
        };
        let old = done.begin().unwrap();
        let first = thread::spawn(move || watch(old));
        done.cancel();
        let new = done.begin().unwrap();
        let second = thread::spawn(move || watch(new));
        done.cancel();
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// The first of two that is ready ends a wait for either.
#[test]
fn loom_the_first_of_two_ends_a_wait() {
    check(|| {
        let (mut one, mut two) = (sleepy(), sleepy());
        let (first, second) = (one.begin().unwrap(), two.begin().unwrap());
        let thread = thread::spawn(move || second.complete(Arc::new(2)).unwrap());
        assert_eq!(wait_first(&mut [&mut one, &mut two], None), Ok(1));
        thread.join().unwrap();
        drop(first);
    });
}

/// The canary: a completer that does not look for sleepers loses a wake-up, and the model sees it.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_finds_the_lost_wake_up_of_a_silent_completer() {
    check(|| {
        let mut done = sleepy();
        let generation = done.core.begin().unwrap();
        let core = done.core.clone();
        let thread = thread::spawn(move || core.publish_in_silence(generation));
        _ = done.wait(None);
        thread.join().unwrap();
    });
}
