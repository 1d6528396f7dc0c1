//! Turns of Tautline's loop.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use tautline_runtime::{Config, Descriptor, Runtime, WaitMode, task};

use super::{TURNS, quiet_pair};
use crate::harness::{
    Contender, Failure, Role, Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// Messages that make a connection hot.
const WARM_UP: usize = 64;
/// Stretches with the watch and without it, alternating, in a slice of what the watch costs.
const STRETCHES: u32 = 4;

/// What a turn finds to do, besides its one hot connection on which nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    Idle,
    /// One task, which yields.
    Dispatch,
}

/// A turn in `Spin` with one quiet hot connection; what it is with a dispatch as a variant.
pub(super) fn idle_turn() -> Vec<Contender> {
    let slice = |turn| move || Ok(Sample::of_work(turns(turn, true)?, TURNS));
    vec![
        Contender::new("tautline", Role::Tautline, slice(Turn::Idle)),
        Contender::new("tautline-one-dispatch", Role::Variant, slice(Turn::Dispatch)),
    ]
}

/// The turn with the watch, as it is by default, minus the turn without it.
pub(super) fn watch_cost(turn: Turn) -> Vec<Contender> {
    vec![Contender::new("tautline", Role::Tautline, move || {
        let mut cost = 0.0;
        for stretch in 0..STRETCHES {
            // With, without, without, with: a steady change of speed cancels out.
            let watched = matches!(stretch % 4, 0 | 3);
            let nanos = turns(turn, watched)?.as_nanos() as f64;
            cost += if watched { nanos } else { -nanos };
        }
        Ok(Sample::of([cost / f64::from(STRETCHES / 2) / TURNS as f64]))
    })]
}

/// Processor time of [`TURNS`] turns of a loop of their own.
fn turns(turn: Turn, watch: bool) -> Result<Duration, Failure> {
    pin(UNDER_TEST)?;
    let (mut client, server) = quiet_pair()?;
    let config = Config { wait: WaitMode::Spin, watch, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let _conn = Descriptor::new(server.into())?.on_data(|_, _| ())?;
    for _ in 0..WARM_UP {
        client.write_all(&[0; 8])?;
        run(&runtime, 64)?;
    }
    if turn == Turn::Dispatch {
        let always = async {
            loop {
                task::yield_now().await;
            }
        };
        task::spawn(always).map_err(io::Error::other)?;
        run(&runtime, 64)?;
    }
    let watch = Stopwatch::start();
    run(&runtime, TURNS)?;
    Ok(watch.stop())
}

fn run(runtime: &Runtime, turns: usize) -> io::Result<()> {
    let mut left = turns;
    let counted = runtime.run_until(|| {
        left -= 1;
        left == 0
    });
    counted.map_err(io::Error::other)
}
