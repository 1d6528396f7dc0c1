//! The time from a send on one core to the handler on another, everybody spinning.

use std::{
    hint::black_box,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use super::{Job, PATIENCE, Receiver, Seen, Watcher, limit, receivers, sockets};
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample, percentile,
    sys::{GENERATOR, UnderTest, pin},
    ticks::Ticks,
};

/// Bytes of a datagram.
const SIZE: usize = 64;
/// Datagrams before a slice counts.
const WARM_UP: usize = 200;
/// From one that was seen to the next.
const PAUSE: Duration = Duration::from_micros(5);

const NOTE: &str = "64 B, one group, from the send to the handler on another core; everybody spins; \
    tautline: WaitMode::Spin, else the default configuration";

pub(super) fn group(plan: &Plan) -> Group {
    let packets = if plan.quick { 1_000 } else { 4_000 };
    let contender = |Receiver { name, role, receive }| {
        Contender::new(name, role, move || slice(receive, packets))
    };
    let one_by_one = Receiver { name: "recvmsg", role: Role::Limit, receive: limit::receive_one };
    Group {
        metrics: vec![Metric::lower("latency-p50", "ns"), Metric::lower("latency-p99", "ns")],
        contenders: [one_by_one].into_iter().chain(receivers()).map(contender).collect(),
        note: Some(NOTE),
    }
}

/// Notes when each datagram is seen.
struct Stamps {
    ticks: Vec<u64>,
    seen: Arc<AtomicUsize>,
    most: usize,
    done: Sender<Vec<u64>>,
}

impl Watcher for Stamps {
    fn open(&mut self) -> bool {
        true
    }

    #[inline]
    fn take(&mut self, seen: Seen<'_>) -> bool {
        self.ticks.push(Ticks::now().wrapping_sub(seen.number()));
        black_box(seen);
        // The sender waits for it: nothing else is handed over by it.
        self.seen.store(self.ticks.len(), Ordering::Relaxed);
        if self.ticks.len() < self.most {
            return true;
        }
        let _ = self.done.send(std::mem::take(&mut self.ticks));
        false
    }
}

fn slice(receive: fn(Job<Stamps>) -> io::Result<()>, packets: usize) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let groups = sockets::fresh_groups(1);
    let sender = sockets::Filler::new(&groups, SIZE)?;
    let (most, seen) = (WARM_UP + packets, Arc::new(AtomicUsize::new(0)));
    let ((ready, is_ready), (done, times)) = (mpsc::channel(), mpsc::channel());
    let watcher = Stamps { ticks: Vec::with_capacity(most), seen: seen.clone(), most, done };
    let job = Job { groups, details: true, spin: true, ready, watcher };
    let receiver = UnderTest::start(move || receive(job))?;
    let _ = is_ready.recv_timeout(PATIENCE);
    let stretch = Ticks::start();
    let sent = (0..most).try_for_each(|at| send_one(&sender, &seen, at));
    let nanos = stretch.nanos();
    if let Err(failure) = sent {
        // It is shown as many as it waits for, and ends.
        (0..most).try_for_each(|_| sender.wake())?;
        receiver.join()??;
        return Err(failure);
    }
    let mut times = times.recv_timeout(PATIENCE).map_err(|_| Failure::Stalled(PATIENCE))?;
    receiver.join()??;
    times.drain(..WARM_UP);
    let value = |share| Some(percentile(&mut times, share)? * nanos);
    Ok(Sample::of([0.5, 0.99].into_iter().filter_map(value).collect::<Vec<_>>()))
}

/// Sends one, waits until it is seen, and pauses.
fn send_one(sender: &sockets::Filler, seen: &AtomicUsize, at: usize) -> Result<(), Failure> {
    sender.send_number(Ticks::now())?;
    let start = Instant::now();
    while seen.load(Ordering::Relaxed) <= at {
        if start.elapsed() > PATIENCE {
            return Err(Failure::Stalled(PATIENCE));
        }
        std::hint::spin_loop();
    }
    let start = Instant::now();
    while start.elapsed() < PAUSE {
        std::hint::spin_loop();
    }
    Ok(())
}
