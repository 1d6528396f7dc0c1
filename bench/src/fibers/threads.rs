//! Two threads on one core, which the kernel switches between.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use super::Measured;
use crate::harness::{
    Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// Turns that each of the two takes in a slice.
const TURNS: usize = 10_000;

/// A thread's flag; it parks until that is set.
#[derive(Default)]
struct Flag(AtomicBool);

impl Flag {
    fn post(&self, to: &Thread) {
        // Release: what was done before is seen by whoever takes the flag.
        self.0.store(true, Ordering::Release);
        to.unpark();
    }

    fn wait(&self) {
        // Acquire: pairs with `post`.
        while !self.0.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Two threads and two flags; the time of both.
pub(super) fn hand_over() -> Measured {
    pin(UNDER_TEST)?;
    let flags = Arc::new([Flag::default(), Flag::default()]);
    let (shared, first) = (Arc::clone(&flags), thread::current());
    let partner = thread::Builder::new().spawn(move || -> Duration {
        let [mine, theirs] = &*shared;
        let watch = Stopwatch::start();
        for _ in 0..TURNS {
            mine.wait();
            theirs.post(&first);
        }
        watch.stop()
    })?;
    let [theirs, mine] = &*flags;
    let watch = Stopwatch::start();
    for _ in 0..TURNS {
        theirs.post(partner.thread());
        mine.wait();
    }
    let cpu = watch.stop();
    let theirs = partner.join().map_err(|_| io::Error::other("the other thread panicked"))?;
    Ok(Sample::of_work(cpu + theirs, 2 * TURNS))
}
