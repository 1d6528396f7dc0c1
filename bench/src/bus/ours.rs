//! Tautline's channel, its lanes and its broadcast, in the default configuration but for the
//! capacity and the number of users, and with other ways to wait.

use std::{io, marker::PhantomData, ops::Range};

use tautline_bus::{
    Local, Wait, broadcast,
    broadcast::{Broadcast, Publisher, Subscriber},
    channel,
    channel::{Channel, Receiver, Sender},
};

use super::ends::{CAPACITY, Give, Message, Opened, Take, Topology};

/// How the users wait, as the object is told.
pub(crate) trait Mode: Send + 'static {
    /// The policy.
    fn wait() -> Wait;
    /// Calls that wait by it (`send`, `receive`), rather than those that try.
    const WAITS: bool = false;
}

/// The default configuration, tried without waiting.
pub(crate) struct Default;

impl Mode for Default {
    fn wait() -> Wait {
        Wait::default()
    }
}

/// Users that never sleep, tried without waiting.
pub(crate) struct Spin;

impl Mode for Spin {
    fn wait() -> Wait {
        Wait::Spin
    }
}

/// The default configuration: `send` and `receive`.
pub(crate) struct Waits;

impl Mode for Waits {
    fn wait() -> Wait {
        Wait::default()
    }
    const WAITS: bool = true;
}

/// Users that give way: `send` and `receive`.
pub(super) struct Yields;

impl Mode for Yields {
    fn wait() -> Wait {
        Wait::Yield
    }
    const WAITS: bool = true;
}

/// An end in that mode. Those of ours lie on lines of their own.
pub(super) struct End<E, W>(E, PhantomData<W>);

impl<E, W> End<E, W> {
    fn new(end: E) -> Self {
        Self(end, PhantomData)
    }
}

// ------------------------------------------------------------------------------- channels

/// A channel with so many senders, each of which has a lane.
pub(super) struct Lanes<W, const GIVERS: usize>(PhantomData<W>);

impl<M: Message, W: Mode, const GIVERS: usize> Topology<M> for Lanes<W, GIVERS> {
    type Giver = End<Sender<M, Local>, W>;
    type Taker = End<Receiver<M, Local>, W>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let config = channel::Config {
            capacity: CAPACITY,
            senders: GIVERS,
            wait: W::wait(),
            ..channel::Config::default()
        };
        let channel = Channel::<M, Local>::new(config).map_err(io::Error::other)?;
        let givers = (0..GIVERS).map(|_| channel.sender().map(End::new)).collect::<Result<_, _>>();
        let taker = channel.receiver().map_err(io::Error::other)?;
        Ok((givers.map_err(io::Error::other)?, vec![End::new(taker)]))
    }
}

impl<M: Message, W: Mode> Give<M> for End<Sender<M, Local>, W> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        if W::WAITS { self.0.send(message).is_ok() } else { self.0.try_send(message).is_ok() }
    }

    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        self.0.send_batch(numbers.map(M::of)) as u64
    }
}

impl<M: Message, W: Mode> Take<M> for End<Receiver<M, Local>, W> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        let taken = if W::WAITS { self.0.receive() } else { self.0.try_receive() };
        taken.map(|message| each(&message)).is_ok()
    }

    #[inline(always)]
    fn take_batch(&mut self, limit: usize, mut each: impl FnMut(&M)) -> bool {
        let taken = self.0.drain(limit).map(|message| each(&message)).count();
        taken > 0
    }
}

/// A channel of one sender, whose messages are written and read in place.
pub(super) struct Loans;

/// An end that writes, or reads, in place.
pub(super) struct InPlace<E>(E);

impl<M: Message> Topology<M> for Loans {
    type Giver = InPlace<Sender<M, Local>>;
    type Taker = InPlace<Receiver<M, Local>>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let (givers, takers) = <Lanes<Default, 1> as Topology<M>>::open()?;
        let givers = givers.into_iter().map(|end| InPlace(end.0)).collect();
        Ok((givers, takers.into_iter().map(|end| InPlace(end.0)).collect()))
    }
}

impl<M: Message> Give<M> for InPlace<Sender<M, Local>> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        self.0.loan().map(|draft| draft.send_with(|place| place.write(message))).is_ok()
    }
}

impl<M: Message> Take<M> for InPlace<Receiver<M, Local>> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        self.0.take().map(|message| each(&message)).is_ok()
    }
}

// ------------------------------------------------------------------------------ broadcasts

/// A broadcast to two subscribers.
pub(super) struct Fan<W>(PhantomData<W>);

impl<M: Message, W: Mode> Topology<M> for Fan<W> {
    type Giver = End<Publisher<M, Local>, W>;
    type Taker = End<Subscriber<M, Local>, W>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let config = broadcast::Config {
            capacity: CAPACITY,
            subscribers: 2,
            wait: W::wait(),
            ..broadcast::Config::default()
        };
        let news = Broadcast::<M, Local>::new(config).map_err(io::Error::other)?;
        let takers = (0..2).map(|_| news.subscriber().map(End::new)).collect::<Result<_, _>>();
        let giver = news.publisher().map_err(io::Error::other)?;
        Ok((vec![End::new(giver)], takers.map_err(io::Error::other)?))
    }
}

impl<M: Message, W: Mode> Give<M> for End<Publisher<M, Local>, W> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        if W::WAITS { self.0.send(message).is_ok() } else { self.0.try_send(message).is_ok() }
    }

    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        self.0.send_batch(numbers.map(M::of)) as u64
    }
}

impl<M: Message, W: Mode> Take<M> for End<Subscriber<M, Local>, W> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        if W::WAITS {
            return self.0.receive().map(|message| each(&message)).is_ok();
        }
        self.0.take().map(|message| each(&message)).is_ok()
    }

    #[inline(always)]
    fn take_batch(&mut self, limit: usize, each: impl FnMut(&M)) -> bool {
        let taken = self.0.drain(limit);
        taken.iter().for_each(each);
        !taken.is_empty()
    }
}
