//! Turns of Tautline's loop.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use tautline_runtime::{Config, Descriptor, Runtime, WaitMode};

use super::{TURNS, quiet_pair};
use crate::harness::{
    Contender, Failure, Role, Sample,
    sys::{UNDER_TEST, pin},
};

/// Messages that make a connection hot.
const WARM_UP: usize = 64;

/// A turn in `Spin` with one quiet hot connection.
pub(super) fn idle_turn() -> Vec<Contender> {
    vec![Contender::new("tautline", Role::Tautline, || {
        Ok(Sample::of([nanos_a_turn(Config::default().stall)?]))
    })]
}

/// The same turn with the watch for turns that do not end, minus the turn without it.
pub(super) fn watch_cost() -> Vec<Contender> {
    vec![Contender::new("tautline", Role::Tautline, || {
        let without = nanos_a_turn(None)?;
        Ok(Sample::of([nanos_a_turn(Config::default().stall)? - without]))
    })]
}

fn nanos_a_turn(stall: Option<Duration>) -> Result<f64, Failure> {
    pin(UNDER_TEST)?;
    let (mut client, server) = quiet_pair()?;
    let config = Config { wait: WaitMode::Spin, stall, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let _conn = Descriptor::new(server.into())?.on_data(|_, _| ())?;
    for _ in 0..WARM_UP {
        client.write_all(&[0; 8])?;
        turns(&runtime, 64)?;
    }
    let start = Instant::now();
    turns(&runtime, TURNS)?;
    Ok(start.elapsed().as_nanos() as f64 / TURNS as f64)
}

fn turns(runtime: &Runtime, count: usize) -> io::Result<()> {
    let mut left = count;
    let counted = runtime.run_until(|| {
        left -= 1;
        left == 0
    });
    counted.map_err(io::Error::other)
}
