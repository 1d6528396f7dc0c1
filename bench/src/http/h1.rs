//! HTTP/1.1: `h1-rtt` is one request at a time over one connection; `h1-pipelined` requests a second over
//! eight connections, two batches of 64 under way on each.

use std::time::{Duration, Instant};

use super::generator::{Bodies, REQUEST, Speaker};
use super::{Serve, Server, Session, limit, ours, peers};
use crate::echo::PATIENCE;
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Sample, percentile,
    sys::{GENERATOR, pin},
};

const WARM_UP: usize = 500;
const CONNECTIONS: usize = 8;
const BATCH: u64 = 64;

fn servers() -> Vec<Server> {
    let mut servers = ours::servers();
    servers.extend([limit::server(), peers::h1()]);
    servers
}

pub(super) fn round_trips(plan: &Plan) -> Group {
    let trips = if plan.quick { 3000 } else { 10_000 };
    let contenders = servers().into_iter().map(|server| {
        Contender::new(server.name, server.role, move || {
            slice(server.serve, |session| one_by_one(session, trips))
        })
    });
    let metrics = vec![Metric::lower("h1-rtt", "ns")];
    Group { metrics, contenders: contenders.collect(), note: None }
}

pub(super) fn pipelined(plan: &Plan) -> Group {
    let window = Duration::from_millis(if plan.quick { 150 } else { 300 });
    let contenders = servers().into_iter().map(|server| {
        Contender::new(server.name, server.role, move || {
            slice(server.serve, |session| batches(session, window))
        })
    });
    let metrics = vec![Metric::higher("h1-pipelined", "requests/s")];
    Group { metrics, contenders: contenders.collect(), note: None }
}

/// Measures a server that is started for it, and holds its count against that of the generator.
pub(crate) fn slice(
    serve: Serve,
    drive: impl Fn(&Session) -> Result<(Sample, u64), Failure>,
) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let session = Session::start(serve)?;
    match drive(&session) {
        Ok((sample, sent)) => session.finish(sent).map(|()| sample),
        Err(failure) => Err(session.abandon(failure)),
    }
}

fn one_by_one(session: &Session, trips: usize) -> Result<(Sample, u64), Failure> {
    let mut speaker = Speaker::new(session.connect()?, Bodies);
    let mut buffer = vec![0; 64 << 10];
    let mut times = Vec::with_capacity(trips);
    for trip in 0..trips + WARM_UP {
        let start = Instant::now();
        speaker.say(REQUEST, 1)?;
        speaker.hear_all(&mut buffer)?;
        if trip >= WARM_UP {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    let median = percentile(&mut times, 0.5).unwrap_or_default();
    Ok((Sample::of([median]), speaker.sent))
}

fn batches(session: &Session, window: Duration) -> Result<(Sample, u64), Failure> {
    let requests = REQUEST.repeat(BATCH as usize);
    let mut speakers = Vec::new();
    for _ in 0..CONNECTIONS {
        speakers.push(Speaker::new(session.connect()?, Bodies));
    }
    let turn = |speaker: &mut Speaker<Bodies>, goes_on: bool| {
        while goes_on && speaker.sent < speaker.answered + 2 * BATCH {
            speaker.say(&requests, BATCH)?;
        }
        Ok(())
    };
    flood(session, &mut speakers, window, turn)
}

/// Has every speaker say what `turn` has it say, until the time is over and everything is answered.
pub(super) fn flood<C: super::generator::Counts>(
    session: &Session,
    speakers: &mut [Speaker<C>],
    window: Duration,
    mut turn: impl FnMut(&mut Speaker<C>, bool) -> Result<(), Failure>,
) -> Result<(Sample, u64), Failure> {
    let warm_up = window / 10;
    let mut buffer = vec![0; 256 << 10];
    let start = Instant::now();
    let (mut first, mut last, mut latest) = (None, None, start);
    loop {
        let goes_on = last.is_none();
        for speaker in &mut *speakers {
            turn(speaker, goes_on)?;
            if speaker.hear(&mut buffer)? {
                latest = Instant::now();
            }
        }
        let now = Instant::now();
        let mark = || {
            let answered: u64 = speakers.iter().map(|speaker| speaker.answered).sum();
            (now, answered, session.cpu.read())
        };
        if first.is_none() && now - start > warm_up {
            first = Some(mark());
        } else if last.is_none() && now - start > warm_up + window {
            last = Some(mark());
        }
        if let (Some(first), Some(last)) = (&first, &last)
            && speakers.iter().all(Speaker::is_done)
        {
            let (time, answers) = (last.0 - first.0, last.1 - first.1);
            let sample = Sample::of([answers as f64 / time.as_secs_f64()]);
            let sent = speakers.iter().map(|speaker| speaker.sent).sum();
            return Ok((sample.with_cpu(last.2 - first.2, answers as usize), sent));
        }
        if now - latest > PATIENCE {
            return Err(Failure::Stalled(PATIENCE));
        }
    }
}
