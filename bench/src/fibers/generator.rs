//! The generators that `may` stands on, bare: a hand loop resumes them.

use std::{cell::Cell, hint::black_box, rc::Rc};

use generator::{Gn, LocalGenerator};

use super::{Measured, TURNS, WARM_UP, in_turn};
use crate::harness::{
    Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// Two that yield in turn.
pub(super) fn switch() -> Measured {
    pin(UNDER_TEST)?;
    let turns = Rc::new(Cell::new(0));
    let one = || -> LocalGenerator<'static, (), ()> {
        let turns = Rc::clone(&turns);
        Gn::new_scoped_local(move |mut scope| {
            loop {
                turns.set(turns.get() + 1);
                scope.yield_with(());
            }
        })
    };
    let mut pair = [one(), one()];
    let row = black_box(&mut pair[..]);
    let mut rounds = |count| {
        for _ in 0..count {
            for one in &mut *row {
                one.resume();
            }
        }
    };
    rounds(WARM_UP);
    let watch = Stopwatch::start();
    rounds(TURNS);
    let cpu = watch.stop();
    in_turn(TURNS, turns.get() / 2)?;
    Ok(Sample::of_work(cpu, 2 * TURNS as usize))
}
