//! What the two processes do: round trips, as many messages as go, and waking the one who sleeps.

use std::{
    hint::spin_loop,
    time::{Duration, Instant},
};

use super::{
    peer::{Peer, say},
    way::{Pass, Way, now},
};
use crate::{
    bus::{
        ends::{Give, Idle, Message, Own, Take, Waiting},
        trips::{Client, Ends, Server, times},
    },
    harness::{
        Failure, Sample, percentile,
        sys::{GENERATOR, pin},
    },
};

/// The number of the message that ends a slice.
const LAST: u64 = 0;
/// Messages from one look at the clock to the next.
const STRIDE: u64 = 256;
/// Pause between two messages to one who sleeps: longer than anybody looks before it does.
const PAUSE: Duration = Duration::from_micros(200);

/// Something that two processes do.
pub(super) trait Task: 'static {
    /// The part of the first process, which measures: `part` names that of the second.
    ///
    /// # Errors
    /// It cannot be set up, stalls, or the two disagree.
    fn first<W: Way<M>, M: Message>(part: &str, time: Duration) -> Result<Sample, Failure>;

    /// The part of the second.
    ///
    /// # Errors
    /// As above.
    fn second<W: Way<M>, M: Message>(pass: &Pass) -> Result<(), Failure>;
}

fn set_up<W: Way<M>, M: Message>(part: &str) -> Result<(W::Giver, W::Taker, Peer), Failure> {
    pin(GENERATOR)?;
    let (giver, taker, pass) = W::first()?;
    Ok((giver, taker, Peer::start(part, &pass)?))
}

/// Here for everybody, not only for those whose call is so short that the compiler sees to it.
#[inline(always)]
fn give<M: Message>(giver: &mut impl Give<M>, number: u64) -> Result<(), Failure> {
    let mut idle = Idle::new(Waiting::Spin);
    while !giver.give_number(number) {
        idle.wait()?;
    }
    Ok(())
}

/// There and back: the 50th and the 99th percentile.
pub(super) struct Trips;

impl Task for Trips {
    fn first<W: Way<M>, M: Message>(part: &str, time: Duration) -> Result<Sample, Failure> {
        let (giver, taker, peer) = set_up::<W, M>(part)?;
        let mut ends = Ends::<_, _, M>::new(giver, taker);
        let warm_up = if M::WORDS > 1024 { 50 } else { 1000 };
        let mut times = times(&mut ends, warm_up, time)?;
        ends.ask(LAST)?;
        peer.end()?;
        let values = [0.5, 0.99].iter().filter_map(|&share| percentile(&mut times, share));
        Ok(Sample::of(values.collect::<Vec<_>>()))
    }

    /// Until the first process ends it.
    fn second<W: Way<M>, M: Message>(pass: &Pass) -> Result<(), Failure> {
        let (giver, taker) = W::second(pass)?;
        let mut ends = Ends::<_, _, M>::new(giver, taker);
        say("");
        let mut idle = Idle::new(Waiting::Spin);
        loop {
            match ends.serve()? {
                Some(LAST) => return Ok(()),
                Some(_) => idle = Idle::new(Waiting::Spin),
                None => idle.wait()?,
            }
        }
    }
}

/// Messages per second, one way.
pub(super) struct Rate;

impl Task for Rate {
    fn first<W: Way<M>, M: Message>(part: &str, time: Duration) -> Result<Sample, Failure> {
        let (giver, _taker, mut peer) = set_up::<W, M>(part)?;
        let mut giver = Own(giver);
        let (begun, start, mut sent) = (Instant::now(), now(), 0);
        while begun.elapsed() < time {
            for _ in 0..STRIDE {
                sent += 1;
                give(&mut giver.0, sent)?;
            }
        }
        give(&mut giver.0, LAST)?;
        let [messages, sum, end] = peer.words()?;
        peer.end()?;
        same(sent, messages)?;
        same(sent * (sent + 1) / 2, sum)?;
        Ok(Sample::of([sent as f64 * 1e9 / end.saturating_sub(start) as f64]))
    }

    fn second<W: Way<M>, M: Message>(pass: &Pass) -> Result<(), Failure> {
        let (_giver, taker) = W::second(pass)?;
        let mut taker = Own(taker);
        say("");
        let (mut messages, mut sum, mut is_over) = (0_u64, 0_u64, false);
        let mut idle = Idle::new(Waiting::Spin);
        while !is_over {
            let Some(number) = taker.0.take_number() else {
                idle.wait()?;
                continue;
            };
            messages += 1;
            sum += number;
            is_over = number == LAST;
            idle = Idle::new(Waiting::Spin);
        }
        say(&format!("{} {sum} {}", messages - 1, now()));
        Ok(())
    }
}

/// From the call that gives a message to one who sleeps until that has it.
pub(super) struct Wake;

impl Task for Wake {
    fn first<W: Way<M>, M: Message>(part: &str, time: Duration) -> Result<Sample, Failure> {
        let (mut giver, _taker, mut peer) = set_up::<W, M>(part)?;
        let begun = Instant::now();
        while begun.elapsed() < time {
            let pause = Instant::now();
            while pause.elapsed() < PAUSE {
                spin_loop();
            }
            give(&mut giver, now())?;
        }
        give(&mut giver, LAST)?;
        let [median] = peer.words()?;
        peer.end()?;
        Ok(Sample::of([median as f64]))
    }

    fn second<W: Way<M>, M: Message>(pass: &Pass) -> Result<(), Failure> {
        let (_giver, mut taker) = W::second(pass)?;
        say("");
        let (mut times, mut is_over) = (Vec::with_capacity(4096), false);
        while !is_over {
            let taken = taker.take(|message: &M| {
                let (sent, now) = (message.number(), now());
                is_over = sent == LAST;
                times.push(now.saturating_sub(sent));
            });
            if !taken {
                return Err(std::io::Error::other("nobody is left who gives").into());
            }
        }
        times.pop();
        say(&format!("{}", percentile(&mut times, 0.5).unwrap_or_default() as u64));
        Ok(())
    }
}

fn same(sent: u64, answered: u64) -> Result<(), Failure> {
    if sent == answered { Ok(()) } else { Err(Failure::Miscounted { sent, answered }) }
}
