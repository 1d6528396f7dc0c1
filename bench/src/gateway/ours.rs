//! The gateway of `tautline gateway`: its station, on a loop that spins.

use std::{cell::Cell, io, rc::Rc};

use tautline_market::live::{GatewayConfig, Station};
use tautline_relay::endpoint::MulticastSource;
use tautline_runtime::{Config, Runtime, WaitMode};

use super::{Job, Outcome, feed::Layout};

/// Until the last message is in the books.
pub(super) fn run(job: Job) -> io::Result<Outcome> {
    let Job { groups, servers, ready, mut watch, .. } = job;
    let config = Config { wait: WaitMode::Spin, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let default = GatewayConfig::default();
    let line = |group| MulticastSource { group, ..default.lines[0].clone() };
    let config = GatewayConfig {
        lines: groups.map(|group| line(group.into())).into(),
        replay: servers.replay.to_string(),
        snapshot: servers.snapshot.to_string(),
        ..default
    };
    let station = runtime.block_on(Station::<Layout>::open(&config)).map_err(io::Error::other)?;
    let station = station.map_err(io::Error::other)?;
    let (noted, done) = (Rc::new(Cell::default()), Rc::new(Cell::new(false)));
    let (note, is_done) = (noted.clone(), done.clone());
    station.on_update(move |gateway| {
        if gateway.is_sound() && watch.reached(gateway.sequencer().present()) {
            note.set(std::mem::take(&mut watch.done));
            is_done.set(true);
        }
    });
    let _ = ready.send(());
    runtime.run_until(|| done.get()).map_err(io::Error::other)?;
    let checksum = station.with(|gateway| gateway.books().checksum());
    Ok(Outcome { done: noted.take(), checksum })
}
