//! Signals let through as often as they were raised.

use std::task::{Context, Waker};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tautline_bus::signal::{Config, Signal};
use tautline_bus::{InProcess, Local, Private, ReceiveError, Wait};

fn run<S: InProcess>(steps: &[(u8, u32)]) {
    let signal = Signal::<S>::new(Config::default()).unwrap();
    let (raiser, mut waiter) = (signal.raiser().unwrap(), signal.waiter().unwrap());
    let mut context = Context::from_waker(Waker::noop());
    let mut count = 0u64;
    for (step, times) in steps {
        let expected = if count > 0 { Ok(()) } else { Err(ReceiveError::Empty) };
        match step {
            0 => {
                raiser.raise(*times);
                count += u64::from(*times);
                continue;
            }
            1 => assert_eq!(waiter.try_take(), expected),
            2 => {
                let polled = waiter.poll_take(&mut context);
                assert_eq!(polled.is_ready(), count > 0);
            }
            _ => {
                assert_eq!(waiter.take_all(), count);
                count = 0;
            }
        }
        count = count.saturating_sub(1);
        assert_eq!(signal.count(), count);
    }
}

proptest! {
    /// So many are let through as it was raised, in both scopes.
    #[test]
    fn the_count_is_kept(steps in vec((0..4u8, 0..4u32), 0..100)) {
        run::<Private>(&steps);
        run::<Local>(&steps);
    }
}

/// Several threads wait, however they do, and each raise lets one through.
#[test]
fn waiters_are_let_through() {
    for wait in [Wait::Yield, Wait::default(), Wait::Park { spin_for: Duration::ZERO }] {
        let signal = Signal::<Local>::new(Config { wait, ..Config::default() }).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let mut waiter = signal.waiter().unwrap();
                std::thread::spawn(move || {
                    let mut count = 0;
                    while waiter.wait().is_ok() {
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let raiser = signal.raiser().unwrap();
        drop(signal);
        (0..1000).for_each(|n| raiser.raise(n % 3));
        drop(raiser);
        let sum: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(sum, 999);
    }
}

/// A wait ends by its deadline; in the scope of one thread at once.
#[test]
fn a_wait_ends_in_time() {
    let signal = Signal::<Local>::new(Config::default()).unwrap();
    let mut waiter = signal.waiter_as("w").unwrap();
    let limit = Duration::from_millis(2);
    assert_eq!(waiter.wait_timeout(limit), Err(ReceiveError::TimedOut));
    let raiser = signal.raiser_as("r").unwrap();
    assert_eq!(signal.users(), [1, 1]);
    raiser.raise(1);
    drop((raiser, signal));
    assert_eq!((waiter.wait(), waiter.wait()), (Ok(()), Err(ReceiveError::Closed)));

    let signal = Signal::<Private>::new(Config::default()).unwrap();
    assert_eq!(signal.waiter().unwrap().wait(), Err(ReceiveError::Empty));
}
