//! `rtt-…-p50`: one message at a time over one connection; both sides spin.

use std::time::{Duration, Instant};

use super::generator::{Script, Speaker};
use super::servers;
use crate::echo::{PATIENCE, Serve, Session, Wait};
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Sample,
    sys::{GENERATOR, pin},
};

const ROWS: [(&str, usize); 2] = [("rtt-16-p50", 16), ("rtt-16k-p50", 16 << 10)];
const WARM_UP: usize = 500;

pub(super) fn groups(plan: &Plan) -> Vec<Group> {
    let trips = if plan.quick { 1500 } else { 10_000 };
    ROWS.iter().map(|&(name, length)| group(name, length, trips)).collect()
}

fn group(name: &'static str, length: usize, trips: usize) -> Group {
    let contenders = servers().into_iter().map(|server| {
        Contender::new(server.name, server.role, move || slice(server.serve, length, trips))
    });
    Group { metrics: vec![Metric::lower(name, "ns")], contenders: contenders.collect(), note: None }
}

fn slice(serve: Serve, length: usize, trips: usize) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let script = Script::new(length, 1);
    let mut session = Session::start(serve, 1, Wait::Spin)?;
    let Some(stream) = session.clients.pop() else { return Err(Failure::Stalled(PATIENCE)) };
    let mut speaker = Speaker::new(stream, &script, 1);
    let measured = drive(&mut speaker, trips);
    let sent = speaker.sent;
    drop(speaker);
    match measured {
        Ok(mut times) => {
            session.finish(sent)?;
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            Ok(Sample::of([median.as_nanos() as f64]))
        }
        Err(failure) => Err(session.abandon(failure)),
    }
}

fn drive(speaker: &mut Speaker<'_>, trips: usize) -> Result<Vec<Duration>, Failure> {
    let mut buffer = vec![0; 64 << 10];
    let mut times = Vec::with_capacity(trips);
    for trip in 0..trips + WARM_UP {
        let start = Instant::now();
        speaker.say()?;
        let mut looks = 0_u32;
        while !speaker.is_done() {
            speaker.receive(&mut buffer)?;
            looks += 1;
            if looks.is_multiple_of(1024) && start.elapsed() > PATIENCE {
                return Err(Failure::Stalled(PATIENCE));
            }
        }
        if trip >= WARM_UP {
            times.push(start.elapsed());
        }
    }
    Ok(times)
}
