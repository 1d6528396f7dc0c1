//! What a topology is to the benchmark: messages of three sizes, ends that give and ends that take
//! without waiting, and how everybody waits between two tries.

use std::{
    hint::spin_loop,
    io,
    mem::MaybeUninit,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use crate::harness::Failure;

/// Messages for which there is room: in each ring or channel.
pub(crate) const CAPACITY: usize = 1024;

/// A message: words that all hold its number, all of which are read.
pub(crate) trait Message: Copy + Send + Sync + 'static {
    /// Its words.
    const WORDS: u64;
    /// The message of that number.
    fn of(number: u64) -> Self;
    /// The sum of its words.
    fn sum(&self) -> u64;

    /// Its number, for which all words are read.
    #[inline(always)]
    fn number(&self) -> u64 {
        self.sum() / Self::WORDS
    }

    /// Writes the message of that number in place.
    fn fill(place: &mut MaybeUninit<Self>, number: u64);
    /// Its bytes.
    fn bytes(&self) -> &[u8];
    /// Its bytes, of which all values are valid.
    fn bytes_mut(&mut self) -> &mut [u8];
}

impl<const N: usize> Message for [u64; N] {
    const WORDS: u64 = N as u64;

    #[inline(always)]
    fn of(number: u64) -> Self {
        [number; N]
    }

    #[inline(always)]
    fn sum(&self) -> u64 {
        self.iter().fold(0, |sum, word| sum.wrapping_add(*word))
    }

    #[inline(always)]
    fn fill(place: &mut MaybeUninit<Self>, number: u64) {
        let words: *mut u64 = place.as_mut_ptr().cast();
        for at in 0..N {
            // SAFETY: within the array.
            unsafe { words.add(at).write(number) };
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: words are made of bytes alone.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), size_of::<Self>()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and of any bytes.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), size_of::<Self>()) }
    }
}

/// The producer's end.
pub(crate) trait Give<M: Message>: 'static {
    /// Gives a message; says whether there was room.
    fn give(&mut self, message: M) -> bool;

    /// Gives the message of that number, made in place where that can be; says whether there was
    /// room.
    #[inline(always)]
    fn give_number(&mut self, number: u64) -> bool {
        self.give(M::of(number))
    }

    /// Gives the messages of these numbers for which there is room; says how many.
    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        numbers.take_while(|number| self.give(M::of(*number))).count() as u64
    }
}

/// The consumer's end.
pub(crate) trait Take<M>: 'static {
    /// Takes a message; says whether there was one.
    fn take(&mut self, each: impl FnMut(&M)) -> bool;

    /// The number of the message that is taken, of which all words are read: where they lie, where
    /// that can be.
    #[inline(always)]
    fn take_number(&mut self) -> Option<u64>
    where
        M: Message,
    {
        let mut number = None;
        self.take(|message| number = Some(message.number()));
        number
    }

    /// Takes the messages that are there, at most `limit`; says whether there was one.
    #[inline(always)]
    fn take_batch(&mut self, limit: usize, mut each: impl FnMut(&M)) -> bool {
        let taken = (0..limit).take_while(|_| self.take(&mut each)).count();
        taken > 0
    }
}

/// The ends of a topology.
pub(crate) type Opened<G, T> = (Vec<G>, Vec<T>);

/// Some producers, some consumers and what lies between them.
pub(crate) trait Topology<M: Message>: 'static {
    /// The end of a producer.
    type Giver: Give<M> + Send;
    /// The end of a consumer.
    type Taker: Take<M> + Send;

    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made.
    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>>;
}

/// An end on cache lines of its own: for those that do not see to it themselves.
#[repr(align(128))]
pub(crate) struct Own<T>(pub(crate) T);

/// How long somebody tries in vain.
const PATIENCE: Duration = Duration::from_millis(500);
/// Tries that go before a thread which shares its core gives way.
const SPINS: u32 = 64;

/// What is between two tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// For threads that have a core each.
    Spin,
    /// Spins some, then gives way to others: for more threads than cores.
    Yield,
}

/// One wait of somebody who tries again and again.
pub(crate) struct Idle {
    waiting: Waiting,
    tries: u32,
    since: Option<Instant>,
}

impl Idle {
    /// It begins.
    #[inline(always)]
    pub(crate) fn new(waiting: Waiting) -> Self {
        Self { waiting, tries: 0, since: None }
    }

    /// Lets the others go on.
    ///
    /// # Errors
    /// Nothing has come of it for too long.
    #[inline(always)]
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        self.tries += 1;
        spin_loop();
        if self.tries < SPINS { Ok(()) } else { self.wait_longer() }
    }

    #[cold]
    #[inline(never)]
    fn wait_longer(&mut self) -> Result<(), Failure> {
        if self.waiting == Waiting::Yield {
            thread::yield_now();
        }
        let asks = self.tries.is_multiple_of(SPINS);
        if asks && self.since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err(Failure::Stalled(PATIENCE));
        }
        Ok(())
    }
}
