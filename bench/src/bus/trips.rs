//! Round trips: a client on core 1 asks, a server on core 0 answers with the same number.

use std::{
    io,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::ends::{Give, Idle, Message, Own, Take, Topology, Waiting};
use crate::harness::{
    Failure, Sample, percentile,
    sys::{GENERATOR, UnderTest, pin},
    ticks::Ticks,
};

/// Trips before a slice counts.
const WARM_UP: u64 = 2_000;
/// Most trips of a slice.
const TRIPS: usize = 100_000;
/// Trips from one look at the clock to the next.
const STRIDE: usize = 64;

/// The end that asks.
pub(crate) trait Client: 'static {
    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// There is none.
    fn ask(&mut self, number: u64) -> Result<u64, Failure>;
}

/// The end that answers.
pub(crate) trait Server: 'static {
    /// Answers, if it is asked; says what it was asked.
    ///
    /// # Errors
    /// The answer cannot be given.
    fn serve(&mut self) -> Result<Option<u64>, Failure>;
}

/// What has both ends.
pub(super) trait Exchange: 'static {
    /// The end that asks.
    type Client: Client;
    /// The end that answers.
    type Server: Server + Send;

    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made.
    fn open() -> io::Result<(Self::Client, Self::Server)>;
}

/// A slice: the 50th and the 99th percentile of the round trip.
///
/// # Errors
/// It cannot be set up, or an answer is missing or wrong.
pub(super) fn slice<X: Exchange>(time: Duration) -> Result<Sample, Failure> {
    pin(GENERATOR)?;
    let (mut client, mut server) = X::open()?;
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let server = UnderTest::start(move || {
        let mut idle = Idle::new(Waiting::Spin);
        loop {
            if server.serve()?.is_some() {
                idle = Idle::new(Waiting::Spin);
            } else if is_over.load(Ordering::Relaxed) {
                return Ok(());
            } else {
                idle.wait()?;
            }
        }
    })?;
    let cpu = server.cpu.read();
    let times = times(&mut client, WARM_UP, time);
    let cpu = server.cpu.read() - cpu;
    over.store(true, Ordering::Relaxed);
    // Who waits for requests is told by that.
    drop(client);
    let served: Result<(), Failure> = server.join()?;
    let mut times = times?;
    served?;
    let count = times.len() + WARM_UP as usize;
    let values = [0.5, 0.99].iter().filter_map(|&share| percentile(&mut times, share));
    Ok(Sample::of(values.collect::<Vec<_>>()).with_cpu(cpu, count))
}

/// The times of all trips, in nanoseconds, after so many that do not count.
///
/// # Errors
/// An answer is missing or wrong.
pub(crate) fn times(
    client: &mut impl Client,
    warm_up: u64,
    time: Duration,
) -> Result<Vec<u64>, Failure> {
    for number in 1..=warm_up {
        trip(client, number)?;
    }
    let mut times = Vec::with_capacity(TRIPS);
    let (start, clock) = (Instant::now(), Ticks::start());
    while times.len() < TRIPS && (!times.len().is_multiple_of(STRIDE) || start.elapsed() < time) {
        let begun = Ticks::now();
        trip(client, times.len() as u64 + 1)?;
        times.push(Ticks::now().wrapping_sub(begun));
    }
    let nanos = clock.nanos();
    times.iter_mut().for_each(|ticks| *ticks = (*ticks as f64 * nanos) as u64);
    Ok(times)
}

#[inline(always)]
fn trip(client: &mut impl Client, number: u64) -> Result<(), Failure> {
    let answered = client.ask(number)?;
    if answered == number {
        return Ok(());
    }
    Err(Failure::Miscounted { sent: number, answered })
}

/// Two rings or channels of one kind, one each way.
pub(super) struct Pair<T>(PhantomData<T>);

/// One end of each.
pub(crate) struct Ends<G, T, M> {
    giver: Own<G>,
    taker: Own<T>,
    messages: PhantomData<fn(M)>,
}

impl<G, T, M> Ends<G, T, M> {
    /// Of a way there and a way back.
    pub(crate) fn new(giver: G, taker: T) -> Self {
        Self { giver: Own(giver), taker: Own(taker), messages: PhantomData }
    }
}

type PairEnds<T> =
    Ends<<T as Topology<[u64; 1]>>::Giver, <T as Topology<[u64; 1]>>::Taker, [u64; 1]>;

impl<T: Topology<[u64; 1]>> Exchange for Pair<T> {
    type Client = PairEnds<T>;
    type Server = PairEnds<T>;

    fn open() -> io::Result<(Self::Client, Self::Server)> {
        let none = || io::Error::other("a ring without ends");
        let one = || -> io::Result<(T::Giver, T::Taker)> {
            let (mut givers, mut takers) = T::open()?;
            Ok((givers.pop().ok_or_else(none)?, takers.pop().ok_or_else(none)?))
        };
        let ((to_server, at_server), (to_client, at_client)) = (one()?, one()?);
        Ok((Ends::new(to_server, at_client), Ends::new(to_client, at_server)))
    }
}

impl<M: Message, G: Give<M>, T: Take<M>> Client for Ends<G, T, M> {
    #[inline(always)]
    fn ask(&mut self, number: u64) -> Result<u64, Failure> {
        let mut idle = Idle::new(Waiting::Spin);
        while !self.giver.0.give_number(number) {
            idle.wait()?;
        }
        loop {
            match self.taker.0.take_number() {
                Some(answer) => return Ok(answer),
                None => idle.wait()?,
            }
        }
    }
}

impl<M: Message, G: Give<M>, T: Take<M>> Server for Ends<G, T, M> {
    #[inline(always)]
    fn serve(&mut self) -> Result<Option<u64>, Failure> {
        let Some(asked) = self.taker.0.take_number() else { return Ok(None) };
        let mut idle = Idle::new(Waiting::Spin);
        while !self.giver.0.give_number(asked) {
            idle.wait()?;
        }
        Ok(Some(asked))
    }
}
