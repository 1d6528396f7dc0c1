//! HTTP/2: `h2-100-streams` is requests a second over one connection, a hundred streams under way on it.

use std::time::Duration;

use super::generator::{Frames, Speaker, preface, put_request};
use super::h1::{flood, slice};
use super::{Session, ours, peers};
use crate::harness::{Contender, Failure, Group, Metric, Plan, Sample};

const STREAMS: u64 = 100;

pub(super) fn streams(plan: &Plan) -> Group {
    let window = Duration::from_millis(if plan.quick { 150 } else { 300 });
    let mut servers = ours::servers();
    servers.push(peers::h2());
    let contenders = servers.into_iter().map(|server| {
        Contender::new(server.name, server.role, move || {
            slice(server.serve, |session| hundred(session, window))
        })
    });
    let metrics = vec![Metric::higher("h2-100-streams", "requests/s")];
    let note = Some("the limit is none: a bare loop cannot speak HTTP/2");
    Group { metrics, contenders: contenders.collect(), note }
}

fn hundred(session: &Session, window: Duration) -> Result<(Sample, u64), Failure> {
    let mut speaker = Speaker::new(session.connect()?, Frames::new());
    speaker.say(&preface(), 0)?;
    let (mut next, mut out) = (1, Vec::new());
    let turn = |speaker: &mut Speaker<Frames>, goes_on: bool| {
        out.clear();
        out.append(&mut speaker.counts().answers);
        let mut count = 0;
        while goes_on && speaker.sent + count < speaker.answered + STREAMS {
            put_request(&mut out, next);
            next += 2;
            count += 1;
        }
        speaker.say(&out, count)
    };
    flood(session, std::slice::from_mut(&mut speaker), window, turn)
}
