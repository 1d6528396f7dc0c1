//! `gateway`: the time from a datagram's first send to the book that it changes.
//!
//! A simulated exchange's packets go out on two lines, one after the other, at a steady pace. For our
//! gateway each line loses one packet of a hundred, and what both lose is asked for over TCP; for the
//! limit, which repairs nothing, no line loses any.

mod feed;
mod limit;
mod ours;

use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
    sync::{Arc, mpsc, mpsc::Sender},
    time::{Duration, Instant},
};

use self::feed::{Day, Lines};
use crate::{
    harness::{
        Contender, Failure, Group, Metric, Plan, Role, Sample, percentile,
        sys::{GENERATOR, UnderTest, pin},
        ticks::Ticks,
    },
    multicast::sockets::fresh_groups,
};

/// Packets before a slice counts.
const WARM_UP: usize = 500;
/// From one packet to the next.
const PACE: Duration = Duration::from_micros(20);
/// The share of packets that each line loses.
const LOSS: f64 = 0.01;
/// Longest wait for a gateway.
const PATIENCE: Duration = Duration::from_secs(2);

const NOTE: &str = "MoldUDP64 on two lines, one packet each 20 us, from its first send to the book; \
    everybody spins; the lines of the limit lose nothing; those of tautline 1 % each, repaired by \
    the other line or over TCP; tautline: WaitMode::Spin, else the default configuration";

/// What a gateway is asked to do: join both groups, keep the books, and tell the watch how far they
/// are.
struct Job {
    groups: [SocketAddrV4; 2],
    servers: Servers,
    day: Arc<Day>,
    /// To be used once both are joined.
    ready: Sender<()>,
    watch: Watch,
}

/// Where the exchange answers.
#[derive(Clone, Copy)]
struct Servers {
    /// Who has missed something.
    replay: SocketAddr,
    /// Who has no books yet.
    snapshot: SocketAddr,
}

/// Notes when each packet is in the books.
struct Watch {
    /// The number behind the last message of each packet, and when it was.
    ends: Vec<u64>,
    done: Vec<u64>,
}

impl Watch {
    fn new(day: &Day) -> Self {
        Self { ends: day.ends(), done: Vec::with_capacity(day.packets.len()) }
    }

    /// All below `next` is in the books. Whether that is the end of the day.
    #[inline]
    fn reached(&mut self, next: u64) -> bool {
        if self.ends.get(self.done.len()).is_some_and(|&end| end <= next) {
            let now = Ticks::now();
            while self.ends.get(self.done.len()).is_some_and(|&end| end <= next) {
                self.done.push(now);
            }
        }
        self.done.len() == self.ends.len()
    }
}

/// When each packet was in the books, and a number for what is in them at the end.
struct Outcome {
    done: Vec<u64>,
    checksum: u64,
}

/// A gateway: runs on its own pinned thread.
type Run = fn(Job) -> io::Result<Outcome>;

/// The one group.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let packets = if plan.quick { 4_000 } else { 20_000 };
    let day = Arc::new(Day::new(WARM_UP + packets));
    let contender = |name, role, run: Run, loss| {
        let (day, mut seed) = (day.clone(), 0);
        Contender::new(name, role, move || {
            seed += 1;
            slice(run, &day, Lines::new(loss, seed))
        })
    };
    let row = |share| Metric::lower(format!("book-{share}"), "ns");
    vec![Group {
        metrics: ["p50", "p99", "p999"].map(row).into(),
        contenders: vec![
            contender("bare", Role::Limit, limit::run, 0.0),
            contender("tautline", Role::Tautline, ours::run, LOSS),
            contender("tautline-lossless", Role::Variant, ours::run, 0.0),
        ],
        note: Some(NOTE),
    }]
}

fn slice(run: Run, day: &Arc<Day>, mut lines: Lines) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let groups = fresh_groups(2);
    let groups = [groups[0], groups[1]];
    let mut desk = feed::HelpDesk::new()?;
    let (ready, is_ready) = mpsc::channel();
    let watch = Watch::new(day);
    let job = Job { groups, servers: desk.servers()?, day: day.clone(), ready, watch };
    let gateway = UnderTest::start(move || run(job))?;
    let _ = is_ready.recv_timeout(PATIENCE);
    let socket = feed::sender()?;
    let (stretch, mut sent) = (Ticks::start(), Vec::with_capacity(day.packets.len()));
    let mut next = Instant::now();
    for packet in &day.packets {
        while Instant::now() < next {
            desk.answer(day)?;
        }
        next += PACE;
        sent.push(lines.send(&socket, &groups, packet)?);
    }
    let nanos = stretch.nanos();
    // What is missing at the end is named by the packets that end the session.
    let end = Instant::now() + PATIENCE;
    let outcome = loop {
        lines.end(&socket, &groups, day)?;
        let pause = Instant::now() + Duration::from_millis(5);
        while Instant::now() < pause {
            desk.answer(day)?;
        }
        match gateway.poll() {
            Some(outcome) => break outcome??,
            None if Instant::now() > end => return Err(Failure::Stalled(PATIENCE)),
            None => {}
        }
    };
    if outcome.checksum != day.checksum {
        return Err(Failure::Miscounted { sent: day.checksum, answered: outcome.checksum });
    }
    let took = sent.iter().zip(&outcome.done).skip(WARM_UP);
    let mut took: Vec<u64> = took.map(|(sent, done)| done.wrapping_sub(*sent)).collect();
    let value = |share| Some(percentile(&mut took, share)? * nanos);
    Ok(Sample::of([0.5, 0.99, 0.999].into_iter().filter_map(value).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everybody ends with the books of the exchange: else a slice is miscounted.
    #[test]
    fn all_books_are_those_of_the_exchange() {
        let day = Arc::new(Day::new(2_000));
        for (run, loss) in [(limit::run as Run, 0.0), (ours::run, 0.0), (ours::run, 0.2)] {
            let sample = slice(run, &day, Lines::new(loss, 1));
            assert!(sample.is_ok(), "loss {loss}: {:?}", sample.err());
        }
    }
}
