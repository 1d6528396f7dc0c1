//! Tautline's fibers.

use std::{io, rc::Rc};

use tautline_runtime::{
    Config, Runtime,
    fiber::{self, Baton, JoinHandle, Stack},
};

use super::{Measured, Stackful, TURNS, WARM_UP};
use crate::harness::{
    Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// On a loop of the default configuration.
pub(super) struct Fibers;

impl Stackful for Fibers {
    type Handle = JoinHandle<u64>;

    fn run(main: fn() -> Measured) -> Measured {
        pin(UNDER_TEST)?;
        let runtime = Runtime::new(Config::default()).map_err(io::Error::from)?;
        runtime.run_fiber(Stack::Small, main).map_err(io::Error::from)?
    }

    #[inline(always)]
    fn spawn(work: impl FnOnce() -> u64 + Send + 'static) -> io::Result<JoinHandle<u64>> {
        Ok(fiber::spawn(Stack::Small, work)?)
    }

    #[inline(always)]
    fn join(handle: JoinHandle<u64>) -> io::Result<u64> {
        handle.join().map_err(|error| io::Error::other(error.to_string()))
    }

    #[inline(always)]
    fn yield_now() -> io::Result<()> {
        Ok(fiber::yield_now()?)
    }
}

/// Two fibers and two batons.
pub(super) fn hand_over() -> Measured {
    Fibers::run(|| {
        let (mine, theirs) = (Rc::new(Baton::new()), Rc::new(Baton::new()));
        let (back, there) = (Rc::clone(&mine), Rc::clone(&theirs));
        let partner = fiber::spawn(Stack::Small, move || -> io::Result<()> {
            for _ in 0..WARM_UP + TURNS {
                there.wait()?;
                back.post();
            }
            Ok(())
        });
        let partner = partner.map_err(io::Error::from)?;
        let rounds = |count| -> io::Result<()> {
            for _ in 0..count {
                theirs.post();
                mine.wait()?;
            }
            Ok(())
        };
        rounds(WARM_UP)?;
        let watch = Stopwatch::start();
        rounds(TURNS)?;
        let cpu = watch.stop();
        partner.join().map_err(|error| io::Error::other(error.to_string()))??;
        Ok(Sample::of_work(cpu, 2 * TURNS as usize))
    })
}
