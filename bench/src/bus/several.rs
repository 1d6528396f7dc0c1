//! Topologies of several rings with two ends each: one per producer, polled in turn, and one per
//! consumer, each of which is given every message.

use std::{io, marker::PhantomData};

use super::ends::{Give, Message, Opened, Own, Take, Topology};

/// Two of `T`: one per producer; the consumer takes from one as long as that gives, then from the
/// other.
pub(super) struct InTurn<T>(PhantomData<T>);

/// The consumer of [`InTurn`].
pub(super) struct Both<T> {
    ends: [Own<T>; 2],
    current: usize,
}

impl<M: Message, T: Take<M>> Take<M> for Both<T> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        self.ends[self.current].0.take(&mut each) || {
            self.current ^= 1;
            self.ends[self.current].0.take(each)
        }
    }

    #[inline(always)]
    fn take_batch(&mut self, limit: usize, each: impl FnMut(&M)) -> bool {
        self.current ^= 1;
        self.ends[self.current].0.take_batch(limit, each)
    }
}

impl<M: Message, T: Topology<M>> Topology<M> for InTurn<T> {
    type Giver = T::Giver;
    type Taker = Both<T::Taker>;

    fn open() -> io::Result<Opened<T::Giver, Self::Taker>> {
        let (givers, ends) = two::<M, T>()?;
        Ok((givers.into(), vec![Both { ends: ends.map(Own), current: 0 }]))
    }
}

/// Two of `T`: one per consumer; the producer gives each message to both.
pub(super) struct ToEach<T>(PhantomData<T>);

/// The producer of [`ToEach`].
pub(super) struct Twice<G> {
    ends: [Own<G>; 2],
    /// The first has the message that the second had no room for.
    half: bool,
}

impl<M: Message, G: Give<M>> Give<M> for Twice<G> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        if !self.half && !self.ends[0].0.give(message) {
            return false;
        }
        self.half = !self.ends[1].0.give(message);
        !self.half
    }
}

impl<M: Message, T: Topology<M>> Topology<M> for ToEach<T> {
    type Giver = Twice<T::Giver>;
    type Taker = T::Taker;

    fn open() -> io::Result<Opened<Self::Giver, T::Taker>> {
        let (ends, takers) = two::<M, T>()?;
        Ok((vec![Twice { ends: ends.map(Own), half: false }], takers.into()))
    }
}

type Two<M, T> = ([<T as Topology<M>>::Giver; 2], [<T as Topology<M>>::Taker; 2]);

fn two<M: Message, T: Topology<M>>() -> io::Result<Two<M, T>> {
    let one = || -> io::Result<(T::Giver, T::Taker)> {
        let (mut givers, mut takers) = T::open()?;
        let none = || io::Error::other("a ring without ends");
        Ok((givers.pop().ok_or_else(none)?, takers.pop().ok_or_else(none)?))
    };
    let ((giver, taker), (other, another)) = (one()?, one()?);
    Ok(([giver, other], [taker, another]))
}
