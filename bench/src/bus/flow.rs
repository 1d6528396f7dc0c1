//! Messages per second: producers give as fast as they can for a while, consumers sum all words.

use std::{
    io,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::ends::{CAPACITY, Give, Idle, Message, Own, Take, Topology, Waiting};
use crate::harness::{
    Failure, Sample,
    sys::{GENERATOR, Stopwatch, UNDER_TEST, pin},
};

/// Messages of each producer before the slice counts: all places were used by then.
const WARM_UP: u64 = 4 * CAPACITY as u64;
/// Messages from one look at the clock to the next.
const STRIDE: u64 = 2048;

/// What the threads of a slice know of each other.
struct Course {
    start: Barrier,
    time: Duration,
    waiting: Waiting,
    /// Producers that are not done.
    giving: AtomicUsize,
    /// Messages of those that are.
    sent: AtomicU64,
}

impl Course {
    /// Whether so many are all messages.
    #[inline(always)]
    fn is_over(&self, taken: u64) -> bool {
        // Acquire pairs with the Release of each producer: all have said how many they sent.
        self.giving.load(Ordering::Acquire) == 0 && self.sent.load(Ordering::Relaxed) == taken
    }
}

/// What came of a producer.
struct Given {
    start: Instant,
    sent: u64,
}

/// What came of a consumer.
struct Taken {
    end: Instant,
    cpu: Duration,
    messages: u64,
    sum: u64,
}

/// A slice: messages per second through `T`, in batches of so many.
///
/// # Errors
/// It cannot be set up, stalls, or the ends disagree.
pub(super) fn slice<T, M, const BATCH: usize>(time: Duration) -> Result<Sample, Failure>
where
    T: Topology<M>,
    M: Message,
{
    let (givers, takers) = T::open()?;
    let threads = givers.len() + takers.len();
    let course = Arc::new(Course {
        start: Barrier::new(threads),
        time,
        waiting: if threads > 2 { Waiting::Yield } else { Waiting::Spin },
        giving: AtomicUsize::new(givers.len()),
        sent: AtomicU64::new(0),
    });
    let takers = takers.into_iter().map(|taker| {
        on_core(UNDER_TEST, &course, move |course| take_all::<_, M, BATCH>(Own(taker), course))
    });
    let takers = takers.collect::<io::Result<Vec<_>>>()?;
    let givers = givers.into_iter().map(|giver| {
        on_core(GENERATOR, &course, move |course| give_all::<_, M, BATCH>(Own(giver), course))
    });
    let givers = givers.collect::<io::Result<Vec<_>>>()?;
    let given = givers.into_iter().map(joined).collect::<Result<Vec<_>, _>>();
    let taken = takers.into_iter().map(joined).collect::<Result<Vec<_>, _>>();
    rate::<M>(&given?, &taken?)
}

fn on_core<R: Send + 'static>(
    core: usize,
    course: &Arc<Course>,
    work: impl FnOnce(&Course) -> Result<R, Failure> + Send + 'static,
) -> io::Result<JoinHandle<Result<R, Failure>>> {
    let course = Arc::clone(course);
    thread::Builder::new().spawn(move || {
        let pinned = pin(core);
        course.start.wait();
        pinned?;
        work(&course)
    })
}

fn joined<R>(thread: JoinHandle<Result<R, Failure>>) -> Result<R, Failure> {
    thread.join().map_err(|_| io::Error::other("a thread panicked"))?
}

fn give_all<G, M, const BATCH: usize>(mut giver: Own<G>, course: &Course) -> Result<Given, Failure>
where
    G: Give<M>,
    M: Message,
{
    let giver = &mut giver.0;
    give_some::<_, M, BATCH>(giver, 0, WARM_UP, course.waiting)?;
    let (start, mut sent) = (Instant::now(), WARM_UP);
    while start.elapsed() < course.time {
        give_some::<_, M, BATCH>(giver, sent, sent + STRIDE, course.waiting)?;
        sent += STRIDE;
    }
    course.sent.fetch_add(sent, Ordering::Relaxed);
    // Release pairs with the Acquire in `is_over`.
    course.giving.fetch_sub(1, Ordering::Release);
    Ok(Given { start, sent })
}

#[inline(always)]
fn give_some<G, M, const BATCH: usize>(
    giver: &mut G,
    mut next: u64,
    end: u64,
    waiting: Waiting,
) -> Result<(), Failure>
where
    G: Give<M>,
    M: Message,
{
    let mut idle = Idle::new(waiting);
    while next < end {
        let sent = match BATCH {
            1 => u64::from(giver.give(M::of(next))),
            _ => giver.give_batch(next..end.min(next + BATCH as u64)),
        };
        if sent == 0 {
            idle.wait()?;
        } else {
            idle = Idle::new(waiting);
        }
        next += sent;
    }
    Ok(())
}

fn take_all<T, M, const BATCH: usize>(mut taker: Own<T>, course: &Course) -> Result<Taken, Failure>
where
    T: Take<M>,
    M: Message,
{
    let (watch, mut idle) = (Stopwatch::start(), Idle::new(course.waiting));
    let (mut messages, mut sum) = (0_u64, 0_u64);
    loop {
        let before = messages;
        let mut each = |message: &M| {
            messages += 1;
            sum = sum.wrapping_add(message.sum());
        };
        match BATCH {
            1 => while taker.0.take(&mut each) {},
            _ => while taker.0.take_batch(BATCH, &mut each) {},
        }
        if course.is_over(messages) {
            return Ok(Taken { end: Instant::now(), cpu: watch.stop(), messages, sum });
        }
        if messages > before {
            idle = Idle::new(course.waiting);
        }
        idle.wait()?;
    }
}

/// Messages per second, if each consumer has had all of them.
fn rate<M: Message>(given: &[Given], taken: &[Taken]) -> Result<Sample, Failure> {
    let sent: u64 = given.iter().map(|given| given.sent).sum();
    let sum = given.iter().map(|given| given.sent * (given.sent - 1) / 2);
    let sum = sum.fold(0_u64, |all, one| all.wrapping_add(one.wrapping_mul(M::WORDS)));
    for taken in taken {
        same(sent, taken.messages)?;
        same(sum, taken.sum)?;
    }
    let start = given.iter().map(|given| given.start).min();
    let end = taken.iter().map(|taken| taken.end).max();
    let (Some(start), Some(end)) = (start, end) else {
        return Err(io::Error::other("a topology without ends").into());
    };
    let counted = sent - WARM_UP * given.len() as u64;
    let cpu = taken.iter().map(|taken| taken.cpu).sum();
    let rate = counted as f64 / end.saturating_duration_since(start).as_secs_f64();
    Ok(Sample::of([rate]).with_cpu(cpu, sent as usize))
}

fn same(sent: u64, answered: u64) -> Result<(), Failure> {
    if sent == answered { Ok(()) } else { Err(Failure::Miscounted { sent, answered }) }
}
