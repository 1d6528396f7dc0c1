//! Signals.

use loom::thread;

use super::{SLEEPY, check, check_three};
use crate::error::ReceiveError;
use crate::scope::Local;
use crate::signal::{Config, Signal};
use crate::sync::{Arc, UnsafeCell};

fn signal() -> Signal<Local> {
    Signal::new(Config { raisers: 2, waiters: 2, wait: SLEEPY, ..Config::default() }).unwrap()
}

/// Two waiters sleep, and one raise lets both through, each once.
#[test]
fn loom_signal_all_waiters_are_woken() {
    check_three(|| {
        let signal = signal();
        let raiser = signal.raiser_as("r").unwrap();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mut waiter = signal.waiter_as("w").unwrap();
                thread::spawn(move || waiter.wait().unwrap())
            })
            .collect();
        raiser.raise(2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(signal.count(), 0);
    });
}

/// What was done before a raise is seen by who is let through; and the end is told.
#[test]
fn loom_signal_brings_what_was_done_before() {
    struct Work(UnsafeCell<u32>);
    // SAFETY: the signal keeps the two threads apart, which the model checks.
    unsafe impl Sync for Work {}
    // SAFETY: as above.
    unsafe impl Send for Work {}

    check(|| {
        let signal = signal();
        let (raiser, mut waiter) = (signal.raiser_as("r").unwrap(), signal.waiter_as("w").unwrap());
        drop(signal);
        let work = Arc::new(Work(UnsafeCell::new(0)));
        let does = work.clone();
        let thread = thread::spawn(move || {
            // SAFETY: the other thread looks after the raise.
            does.0.with_mut(|work| unsafe { *work = 7 });
            raiser.raise(1);
        });
        waiter.wait().unwrap();
        // SAFETY: the work is done.
        assert_eq!(work.0.with(|work| unsafe { *work }), 7);
        assert_eq!(waiter.wait(), Err(ReceiveError::Closed));
        thread.join().unwrap();
    });
}

/// Two who take while it is raised: each raise is taken once, or is there still.
#[test]
fn loom_signal_each_raise_is_taken_once() {
    check_three(|| {
        let signal = signal();
        let raiser = signal.raiser_as("r").unwrap();
        raiser.raise(1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mut waiter = signal.waiter_as("w").unwrap();
                thread::spawn(move || u64::from(waiter.try_take().is_ok()))
            })
            .collect();
        raiser.raise(2);
        let taken: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(taken >= 1);
        assert_eq!(taken + signal.count(), 3);
    });
}
