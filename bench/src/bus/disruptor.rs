//! disruptor: its own ring for each topology, with consumers that poll.

use std::{io, ops::Range};

use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, MultiProducer, MultiProducerBarrier, Producer,
    SingleConsumerBarrier, SingleProducer, SingleProducerBarrier, build_multi_producer,
    build_single_producer,
};

use super::ends::{CAPACITY, Give, Message, Opened, Take, Topology};

/// A producer of either kind.
pub(super) struct Giver<P>(P);

impl<M: Message, P: Producer<M> + Send + 'static> Give<M> for Giver<P> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        self.0.try_publish(|slot| *slot = message).is_ok()
    }

    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        let count = numbers.end - numbers.start;
        let sent = self.0.try_batch_publish(count as usize, |slots| {
            slots.zip(numbers).for_each(|(slot, number)| *slot = M::of(number));
        });
        if sent.is_ok() { count } else { 0 }
    }
}

macro_rules! polls {
    ($barrier:ty) => {
        impl<M: Message> Take<M> for EventPoller<M, $barrier> {
            #[inline(always)]
            fn take(&mut self, each: impl FnMut(&M)) -> bool {
                self.take_batch(1, each)
            }

            #[inline(always)]
            fn take_batch(&mut self, limit: usize, each: impl FnMut(&M)) -> bool {
                let polled = EventPoller::take(self, limit as u64);
                polled.map(|mut messages| messages.for_each(each)).is_ok()
            }
        }
    };
}

polls!(SingleProducerBarrier);
polls!(MultiProducerBarrier);

/// One producer, one consumer.
pub(super) struct One;

impl<M: Message> Topology<M> for One {
    type Giver = Giver<SingleProducer<M, SingleConsumerBarrier>>;
    type Taker = EventPoller<M, SingleProducerBarrier>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let builder = build_single_producer(CAPACITY, || M::of(0), BusySpin);
        let (taker, builder) = builder.new_event_poller();
        Ok((vec![Giver(builder.build())], vec![taker]))
    }
}

/// Two producers, one consumer.
pub(super) struct Many;

impl<M: Message> Topology<M> for Many {
    type Giver = Giver<MultiProducer<M, SingleConsumerBarrier>>;
    type Taker = EventPoller<M, MultiProducerBarrier>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let builder = build_multi_producer(CAPACITY, || M::of(0), BusySpin);
        let (taker, builder) = builder.new_event_poller();
        let giver = builder.build();
        Ok((vec![Giver(giver.clone()), Giver(giver)], vec![taker]))
    }
}

/// One producer, two consumers.
pub(super) struct Fan;

impl<M: Message> Topology<M> for Fan {
    type Giver = Giver<SingleProducer<M, MultiConsumerBarrier>>;
    type Taker = EventPoller<M, SingleProducerBarrier>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let builder = build_single_producer(CAPACITY, || M::of(0), BusySpin);
        let (taker, builder) = builder.new_event_poller();
        let (other, builder) = builder.new_event_poller();
        Ok((vec![Giver(builder.build())], vec![taker, other]))
    }
}
