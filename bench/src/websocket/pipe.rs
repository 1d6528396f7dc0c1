//! `pipe-…`: messages a second over 32 connections, two scripts of 64 KiB (or two messages) under
//! way on each.

use std::time::{Duration, Instant};

use super::generator::{Script, Speaker};
use super::{BUFFER, servers};
use crate::echo::{PATIENCE, Serve, Session, Wait};
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Sample,
    sys::{GENERATOR, pin},
};

const CONNECTIONS: usize = 32;
/// Time before a slice counts.
const WARM_UP: Duration = Duration::from_millis(20);

const ROWS: [(&str, usize); 5] = [
    ("pipe-16", 16),
    ("pipe-125", 125),
    ("pipe-1k", 1024),
    ("pipe-16k", 16 << 10),
    ("pipe-256k", 256 << 10),
];

pub(super) fn groups(plan: &Plan) -> Vec<Group> {
    let window = Duration::from_millis(if plan.quick { 25 } else { 200 });
    ROWS.iter().map(|&(name, length)| group(name, length, window)).collect()
}

fn group(name: &'static str, length: usize, window: Duration) -> Group {
    let contenders = servers().into_iter().map(|server| {
        Contender::new(server.name, server.role, move || slice(server.serve, length, window))
    });
    Group {
        metrics: vec![Metric::higher(name, "messages/s")],
        contenders: contenders.collect(),
        note: None,
    }
}

fn slice(serve: Serve, length: usize, window: Duration) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let script = Script::new(length, (BUFFER / (length + 8)).max(1));
    let mut session = Session::start(serve, CONNECTIONS, Wait::Spin)?;
    let streams = std::mem::take(&mut session.clients);
    let mut speakers: Vec<_> =
        streams.into_iter().map(|stream| Speaker::new(stream, &script, 2)).collect();
    let measured = drive(&mut speakers, &session, window);
    let sent: u64 = speakers.iter().map(|speaker| speaker.sent * script.count as u64).sum();
    drop(speakers);
    match measured {
        Ok(sample) => session.finish(sent).map(|()| sample),
        Err(failure) => Err(session.abandon(failure)),
    }
}

fn drive(
    speakers: &mut [Speaker<'_>],
    session: &Session,
    window: Duration,
) -> Result<Sample, Failure> {
    let mut buffer = vec![0; 256 << 10];
    let start = Instant::now();
    let (mut first, mut last, mut latest) = (None, None, start);
    let (mut turn, mut waited) = (start, Duration::ZERO);
    loop {
        let goes_on = last.is_none();
        let mut any = false;
        for speaker in &mut *speakers {
            any |= speaker.turn(goes_on, &mut buffer)?;
        }
        let now = Instant::now();
        if any {
            latest = now;
        } else if first.is_some() && goes_on {
            waited += now - turn;
        }
        turn = now;
        let mark = || {
            let messages: f64 = speakers.iter().map(Speaker::messages).sum();
            (now, messages, session.cpu.usage())
        };
        if first.is_none() && now - start > WARM_UP {
            first = Some(mark());
        } else if last.is_none() && now - start > WARM_UP + window {
            last = Some(mark());
        }
        if let (Some(first), Some(last)) = (&first, &last)
            && speakers.iter().all(Speaker::is_done)
        {
            let (time, messages, usage) = (last.0 - first.0, last.1 - first.1, last.2 - first.2);
            return Ok(Sample {
                values: vec![messages / time.as_secs_f64()],
                cpu_ns: Some(usage.cpu.as_nanos() as f64 / messages),
                idle: Some(usage.idle(time)),
                spare: Some(waited.as_secs_f64() / time.as_secs_f64()),
                loss: None,
            });
        }
        if now - latest > PATIENCE {
            return Err(Failure::Stalled(PATIENCE));
        }
    }
}
