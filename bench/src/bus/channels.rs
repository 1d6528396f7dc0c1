//! Channels: crossbeam, kanal, crossfire, flume and the standard library's, bounded, tried without
//! waiting.

use std::{io, sync::mpsc};

use crossfire::{mpsc::Array as ManyArray, spsc::Array};

use super::ends::{CAPACITY, Give, Message, Opened, Take, Topology};

/// A channel that many may send to, with so many senders.
macro_rules! channel {
    ($(#[$doc:meta])* $name:ident, $giver:ty, $taker:ty, $open:expr) => {
        $(#[$doc])*
        pub(super) struct $name<const GIVERS: usize>;

        impl<M: Message, const GIVERS: usize> Topology<M> for $name<GIVERS> {
            type Giver = $giver;
            type Taker = $taker;

            fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
                let (giver, taker) = $open(CAPACITY);
                Ok((vec![giver; GIVERS], vec![taker]))
            }
        }
    };
}

/// Sending and receiving without waiting.
macro_rules! tries {
    ($giver:ty, $taker:ty) => {
        impl<M: Message> Give<M> for $giver {
            #[inline(always)]
            fn give(&mut self, message: M) -> bool {
                self.try_send(message).is_ok()
            }
        }

        impl<M: Message> Take<M> for $taker {
            #[inline(always)]
            fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
                self.try_recv().map(|message| each(&message)).is_ok()
            }
        }
    };
}

channel!(
    /// crossbeam-channel.
    Crossbeam,
    crossbeam_channel::Sender<M>,
    crossbeam_channel::Receiver<M>,
    crossbeam_channel::bounded
);
tries!(crossbeam_channel::Sender<M>, crossbeam_channel::Receiver<M>);

channel!(
    /// The standard library's.
    Std,
    mpsc::SyncSender<M>,
    mpsc::Receiver<M>,
    mpsc::sync_channel
);
tries!(mpsc::SyncSender<M>, mpsc::Receiver<M>);

channel!(
    /// crossfire, of its kind for many senders.
    CrossfireMany,
    crossfire::MTx<ManyArray<M>>,
    crossfire::Rx<ManyArray<M>>,
    crossfire::mpsc::bounded_blocking
);
tries!(crossfire::MTx<ManyArray<M>>, crossfire::Rx<ManyArray<M>>);

/// crossfire, of its kind for one sender.
pub(super) struct Crossfire;

impl<M: Message> Topology<M> for Crossfire {
    type Giver = crossfire::Tx<Array<M>>;
    type Taker = crossfire::Rx<Array<M>>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let (giver, taker) = crossfire::spsc::bounded_blocking(CAPACITY);
        Ok((vec![giver], vec![taker]))
    }
}

tries!(crossfire::Tx<Array<M>>, crossfire::Rx<Array<M>>);

channel!(
    /// flume.
    Flume,
    flume::Sender<M>,
    FlumeTaker<M>,
    |capacity| {
        let (giver, taker) = flume::bounded(capacity);
        (giver, FlumeTaker(taker))
    }
);

/// flume's receiving end.
pub(super) struct FlumeTaker<M>(flume::Receiver<M>);

impl<M: Message> Give<M> for flume::Sender<M> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        self.try_send(message).is_ok()
    }
}

impl<M: Message> Take<M> for FlumeTaker<M> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        self.0.try_recv().map(|message| each(&message)).is_ok()
    }

    /// All that are there, whatever the limit.
    #[inline(always)]
    fn take_batch(&mut self, _: usize, mut each: impl FnMut(&M)) -> bool {
        self.0.drain().map(|message| each(&message)).count() > 0
    }
}

channel!(
    /// kanal.
    Kanal,
    kanal::Sender<M>,
    KanalTaker<M>,
    |capacity| {
        let (giver, taker) = kanal::bounded(capacity);
        (giver, KanalTaker { taker, drained: Vec::with_capacity(capacity) })
    }
);

/// kanal's receiving end, and room for what a drain takes.
pub(super) struct KanalTaker<M> {
    taker: kanal::Receiver<M>,
    drained: Vec<M>,
}

impl<M: Message> Give<M> for kanal::Sender<M> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        matches!(self.try_send(message), Ok(true))
    }
}

impl<M: Message> Take<M> for KanalTaker<M> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        let Ok(Some(message)) = self.taker.try_recv() else { return false };
        each(&message);
        true
    }

    /// All that are there, whatever the limit.
    #[inline(always)]
    fn take_batch(&mut self, _: usize, each: impl FnMut(&M)) -> bool {
        let taken = self.taker.drain_into(&mut self.drained).is_ok_and(|count| count > 0);
        self.drained.iter().for_each(each);
        self.drained.clear();
        taken
    }
}
