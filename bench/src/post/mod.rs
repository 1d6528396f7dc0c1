//! `post`: a message from another thread (core 1) to a handler on the loop (core 0).
//!
//! A mailbox implements [`Mailbox`]; [`contenders`] makes both slices of it.

mod ours;
mod ring;
mod std_channel;
mod tokio;

use std::{
    hint::spin_loop,
    io,
    ops::ControlFlow,
    sync::mpsc::{self, Sender},
    time::{Duration, Instant},
};

use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample, percentile,
    sys::{GENERATOR, UnderTest, pin},
};

/// Messages that a mailbox holds.
pub(crate) const CAPACITY: usize = 1024;
/// Messages of a latency slice, and the time between them.
const PACED: (u64, Duration) = (4_000, Duration::from_micros(4));
/// Messages of a throughput slice.
const FLOOD: u64 = 1_000_000;
/// The message that ends a slice.
const LAST: u64 = u64::MAX;
/// How long the poster tries to get one message in.
const PATIENCE: Duration = Duration::from_millis(500);

/// The posting end.
pub(crate) trait Poster: Send + 'static {
    /// Posts a message; says whether there was room.
    fn post(&mut self, message: u64) -> bool;
}

/// A mailbox and the loop that empties it, never sleeping.
pub(crate) trait Mailbox: 'static {
    /// Its posting end.
    type Poster: Poster;
    /// Makes a mailbox for [`CAPACITY`] messages, hands its posting end out through `ready` and
    /// runs `handler` for each message on the calling thread until it breaks.
    ///
    /// # Errors
    /// The loop cannot be set up.
    fn serve<H>(ready: Sender<Self::Poster>, handler: H) -> io::Result<()>
    where
        H: FnMut(u64) -> ControlFlow<()> + Send + 'static;
}

/// Latency and throughput.
pub(crate) fn groups(_: &Plan) -> Vec<Group> {
    vec![
        Group {
            metrics: vec![Metric::lower("post-p50", "ns")],
            contenders: contenders(Row::Latency),
            note: Some(
                "WaitMode::Spin, else the default configuration; from the post on core 1 to the handler on core 0; nobody sleeps, so that a message takes all the processor time until the next",
            ),
        },
        Group {
            metrics: vec![Metric::higher("post-throughput", "posts/s")],
            contenders: contenders(Row::Throughput),
            note: Some(
                "WaitMode::Spin, else the default configuration; one poster, 8 B messages, a full mailbox is tried again",
            ),
        },
    ]
}

/// Which of the two rows.
#[derive(Clone, Copy, Debug)]
enum Row {
    Latency,
    Throughput,
}

fn contenders(row: Row) -> Vec<Contender> {
    let mut contenders = vec![
        contender::<ring::Ring>("spsc-ring", Role::Limit, row),
        contender::<tokio::Channel>("tokio-mpsc", Role::Peer, row),
        contender::<std_channel::Channel>("std-mpsc", Role::Peer, row),
    ];
    contenders.extend(ours::contenders(row));
    contenders
}

/// A mailbox in one row.
fn contender<M: Mailbox>(name: &'static str, role: Role, row: Row) -> Contender {
    Contender::new(
        name,
        role,
        match row {
            Row::Latency => latency::<M>,
            Row::Throughput => throughput::<M>,
        },
    )
}

/// A loop that runs, and the posting end of its mailbox.
struct Session<M: Mailbox> {
    poster: M::Poster,
    server: UnderTest<io::Result<()>>,
}

/// Starts the loop with `handler`; its state arrives at `done` after the last message.
fn start<M: Mailbox, T: Default + Send + 'static>(
    mut state: T,
    mut handler: impl FnMut(&mut T, u64) + Send + 'static,
    done: Sender<T>,
) -> Result<Session<M>, Failure> {
    pin(GENERATOR)?;
    let (ready, is_ready) = mpsc::channel();
    let server = UnderTest::start(move || {
        M::serve(ready, move |message| {
            if message != LAST {
                handler(&mut state, message);
                return ControlFlow::Continue(());
            }
            // The other end waits for it, unless it has given up.
            let _ = done.send(std::mem::take(&mut state));
            ControlFlow::Break(())
        })
    })?;
    let poster = is_ready.recv_timeout(PATIENCE).map_err(|_| Failure::Stalled(PATIENCE))?;
    Ok(Session { poster, server })
}

fn post(poster: &mut impl Poster, message: u64) -> Result<(), Failure> {
    let mut tries = 0_u32;
    let mut start = None;
    while !poster.post(message) {
        spin_loop();
        tries = tries.wrapping_add(1);
        if tries.is_multiple_of(4096) && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE
        {
            return Err(Failure::Stalled(PATIENCE));
        }
    }
    Ok(())
}

fn latency<M: Mailbox>() -> Result<Sample, Failure> {
    let (done, is_done) = mpsc::channel();
    let origin = Instant::now();
    let stamp = move || origin.elapsed().as_nanos() as u64;
    let record = move |times: &mut Vec<u64>, sent: u64| times.push(stamp().saturating_sub(sent));
    let times = Vec::with_capacity(PACED.0 as usize);
    let Session { mut poster, server } = start::<M, _>(times, record, done)?;
    let cpu = server.cpu.read();
    for _ in 0..PACED.0 {
        let pause = Instant::now();
        while pause.elapsed() < PACED.1 {
            spin_loop();
        }
        post(&mut poster, stamp())?;
    }
    let cpu = server.cpu.read() - cpu;
    post(&mut poster, LAST)?;
    let mut times = is_done.recv_timeout(PATIENCE).map_err(|_| Failure::Stalled(PATIENCE))?;
    server.join()??;
    counted(PACED.0, times.len() as u64)?;
    let values: Vec<_> = percentile(&mut times, 0.5).into_iter().collect();
    Ok(Sample::of(values).with_cpu(cpu, PACED.0 as usize))
}

fn throughput<M: Mailbox>() -> Result<Sample, Failure> {
    let (done, is_done) = mpsc::channel();
    let count = |(messages, sum): &mut (u64, u64), message: u64| {
        *messages += 1;
        *sum = sum.wrapping_add(message);
    };
    let Session { mut poster, server } = start::<M, _>((0, 0), count, done)?;
    let (start, cpu) = (Instant::now(), server.cpu.read());
    for message in 0..FLOOD {
        post(&mut poster, message)?;
    }
    // Nearly all have been taken by now: a mailbox holds a thousandth of them.
    let cpu = server.cpu.read() - cpu;
    post(&mut poster, LAST)?;
    let (messages, sum) = is_done.recv_timeout(PATIENCE).map_err(|_| Failure::Stalled(PATIENCE))?;
    let time = start.elapsed();
    server.join()??;
    counted(FLOOD, messages)?;
    counted(FLOOD * (FLOOD - 1) / 2, sum)?;
    Ok(Sample::of([FLOOD as f64 / time.as_secs_f64()]).with_cpu(cpu, FLOOD as usize))
}

fn counted(sent: u64, answered: u64) -> Result<(), Failure> {
    if sent == answered { Ok(()) } else { Err(Failure::Miscounted { sent, answered }) }
}
