//! `echo-rtt`: the round trip of one 64-byte message as one raw spinning client sees it.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    PATIENCE, Received, Serve, Server, Session, Wait, limits, ours, peers, receive, runtimes, send,
};
use crate::{
    fibers::may_echo,
    harness::{
        Contender, Failure, Group, Metric, Plan, Role, Sample, percentile,
        sys::{GENERATOR, pin},
    },
};

const MESSAGE: usize = 64;
/// Round trips before a slice counts.
const WARM_UP: usize = 200;
/// Pause between two round trips to a sleeping server, so that it does fall asleep.
const PAUSE: Duration = Duration::from_micros(30);

/// What to know of the spin rows.
const SPIN_NOTE: &str = "tautline: WaitMode::Spin, else the default configuration";
/// What to know of the sleep rows.
const SLEEP_NOTE: &str = "the wake-up of a sleeping thread dominates; tautline: WaitMode::Sleep, else \
    the default configuration; tautline-warm: the default, WaitMode::Warm for 50 us, which outlasts \
    the pauses, so that it does not sleep";

/// The rows for spinning servers and for sleeping ones.
pub(crate) fn groups(_: &Plan) -> Vec<Group> {
    vec![group(Wait::Spin), group(Wait::Sleep)]
}

/// What to know of the row for fibers.
const FIBERS_NOTE: &str = "\
    everybody spins, may excepted, whose worker sleeps between two messages; limit: our \
    callback face; tautline: a fiber; WaitMode::Spin, else the default configuration";

/// The row for servers that wait in the midst of their code.
pub(crate) fn fibers() -> Group {
    let mut servers = ours::faces();
    servers.push(limits::server("spin", Role::Variant, limits::SPIN));
    servers.push(peers::tokio());
    let mut contenders: Vec<_> =
        servers.into_iter().map(|server| contender(server, Wait::Spin)).collect();
    contenders.push(Contender::new("may-sleeping", Role::Peer, || {
        // The thread that was started for it waits: that is not the one at work.
        Ok(Sample { cpu_ns: None, ..slice(may_echo, Wait::Spin)? })
    }));
    Group { metrics: vec![Metric::lower("echo-p50", "ns")], contenders, note: Some(FIBERS_NOTE) }
}

fn group(wait: Wait) -> Group {
    let (name, note) = match wait {
        Wait::Spin => ("spin", Some(SPIN_NOTE)),
        Wait::Sleep => ("sleep", Some(SLEEP_NOTE)),
    };
    let row = |percentile| Metric::lower(format!("{name}-{percentile}"), "ns");
    let contenders = servers(wait).into_iter().map(|server| contender(server, wait)).collect();
    Group { metrics: vec![row("p50"), row("p99")], contenders, note }
}

/// The limit is the bare spinning socket, or bare epoll where servers sleep.
fn servers(wait: Wait) -> Vec<Server> {
    let mut servers = match wait {
        Wait::Spin => vec![
            limits::server("spin", Role::Limit, limits::SPIN),
            limits::server("epoll", Role::Variant, limits::EPOLL),
        ],
        Wait::Sleep => vec![limits::server("epoll", Role::Limit, limits::EPOLL), ours::warm()],
    };
    servers.push(limits::server("mio", Role::Variant, peers::mio));
    servers.push(limits::server("uring", Role::Variant, limits::RING_DIRECT));
    servers.extend(runtimes());
    servers
}

fn contender(server: Server, wait: Wait) -> Contender {
    Contender::new(server.name, server.role, move || slice(server.serve, wait))
}

fn slice(serve: Serve, wait: Wait) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let session = Session::start(serve, 1, wait)?;
    match round_trips(&session, wait) {
        Ok(sample) => {
            let (_, sent) = sample;
            session.finish(sent)?;
            Ok(sample.0)
        }
        Err(failure) => Err(session.abandon(failure)),
    }
}

/// Measures one slice; returns it with the number of bytes sent.
fn round_trips(session: &Session, wait: Wait) -> Result<(Sample, u64), Failure> {
    let (trips, pause) = match wait {
        Wait::Spin => (2_000, Duration::ZERO),
        Wait::Sleep => (500, PAUSE),
    };
    let stream = &session.clients[0];
    let mut times = Vec::with_capacity(trips);
    for _ in 0..WARM_UP {
        round_trip(stream)?;
    }
    let cpu = session.cpu.read();
    for _ in 0..trips {
        times.push(round_trip(stream)?.as_nanos() as u64);
        rest(pause);
    }
    let cpu = (session.cpu.read() - cpu).as_nanos() as f64 / trips as f64;
    let values = [0.5, 0.99].iter().filter_map(|&share| percentile(&mut times, share)).collect();
    let sample = Sample { values, cpu_ns: Some(cpu), ..Sample::default() };
    Ok((sample, ((WARM_UP + trips) * MESSAGE) as u64))
}

/// One message there and back, spinning.
fn round_trip(stream: &TcpStream) -> Result<Duration, Failure> {
    let mut buffer = [7; MESSAGE];
    let start = Instant::now();
    send(stream, &buffer)?;
    let (mut filled, mut spins) = (0, 0_u32);
    while filled < MESSAGE {
        match receive(stream, &mut buffer[filled..]) {
            Received::Bytes(count) => filled += count,
            Received::Closed => {
                return Err(std::io::Error::other("the server closed the connection").into());
            }
            Received::Nothing => {
                spins += 1;
                if spins.is_multiple_of(1024) && start.elapsed() > PATIENCE {
                    return Err(Failure::Stalled(PATIENCE));
                }
            }
        }
    }
    Ok(start.elapsed())
}

fn rest(pause: Duration) {
    let start = Instant::now();
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
}
