//! `turn`: what a turn of our spinning loop costs when there is nothing to do, and what the watch
//! adds to it. The limit is the one system call that such a turn makes.

mod ours;

use std::net::{TcpListener, TcpStream};

use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// Turns a slice.
pub(crate) const TURNS: usize = 100_000;

/// The idle turn, and the watch.
pub(crate) fn groups(_: &Plan) -> Vec<Group> {
    let limit = || Contender::new("recv", Role::Limit, empty_receives);
    let group = |name, ours: Vec<Contender>, note| Group {
        metrics: vec![Metric::lower(name, "ns")],
        contenders: std::iter::once(limit()).chain(ours).collect(),
        note: Some(note),
    };
    vec![
        group(
            "idle-spin-turn",
            ours::idle_turn(),
            "limit: one receive on a socket that has nothing; tautline: WaitMode::Spin, else the default configuration; one-dispatch: a turn in which one task is polled",
        ),
        group(
            "watch-cost-idle",
            ours::watch_cost(ours::Turn::Idle),
            "an idle turn with the watch, which is on by default, minus one without it; limit: as above, for scale",
        ),
        group(
            "watch-cost-dispatch",
            ours::watch_cost(ours::Turn::Dispatch),
            "the same of a turn in which one task is polled",
        ),
    ]
}

/// A connected pair of sockets on which nothing is sent.
fn quiet_pair() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    server.set_nonblocking(true)?;
    Ok((client, server))
}

fn empty_receives() -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let (_client, server) = quiet_pair()?;
    let mut buffer = [0; 64];
    let watch = Stopwatch::start();
    for _ in 0..TURNS {
        match std::io::Read::read(&mut &server, &mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(std::io::Error::other("a quiet socket had something").into()),
        }
    }
    Ok(Sample::of_work(watch.stop(), TURNS))
}
