//! Raw rings with one producer and one consumer: rtrb and ringbuf.

use std::{io, ops::Range};

use ringbuf::{
    HeapCons, HeapProd, HeapRb,
    traits::{Consumer as _, Producer as _, Split},
};

use super::ends::{CAPACITY, Give, Message, Opened, Take, Topology};

/// rtrb.
pub(super) struct Rtrb;

impl<M: Message> Topology<M> for Rtrb {
    type Giver = rtrb::Producer<M>;
    type Taker = rtrb::Consumer<M>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let (giver, taker) = rtrb::RingBuffer::new(CAPACITY);
        Ok((vec![giver], vec![taker]))
    }
}

impl<M: Message> Give<M> for rtrb::Producer<M> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        self.push(message).is_ok()
    }

    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        let room = match self.cached_slots() {
            0 => self.slots(),
            room => room,
        };
        let count = room.min((numbers.end - numbers.start) as usize);
        match self.write_chunk_uninit(count) {
            Ok(chunk) => chunk.fill_from_iter(numbers.map(M::of)) as u64,
            Err(_) => 0,
        }
    }
}

impl<M: Message> Take<M> for rtrb::Consumer<M> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        self.pop().map(|message| each(&message)).is_ok()
    }

    #[inline(always)]
    fn take_batch(&mut self, limit: usize, mut each: impl FnMut(&M)) -> bool {
        let there = match self.cached_slots() {
            0 => self.slots(),
            there => there,
        };
        let Ok(chunk) = self.read_chunk(there.min(limit)) else { return false };
        let (first, second) = chunk.as_slices();
        first.iter().for_each(&mut each);
        second.iter().for_each(each);
        chunk.commit_all();
        there > 0
    }
}

/// ringbuf, in the form that caches the opposite index.
pub(super) struct Ringbuf;

impl<M: Message> Topology<M> for Ringbuf {
    type Giver = HeapProd<M>;
    type Taker = HeapCons<M>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        let (giver, taker) = HeapRb::new(CAPACITY).split();
        Ok((vec![giver], vec![taker]))
    }
}

impl<M: Message> Give<M> for HeapProd<M> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        self.try_push(message).is_ok()
    }

    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        self.push_iter(numbers.map(M::of)) as u64
    }
}

impl<M: Message> Take<M> for HeapCons<M> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        self.try_pop().map(|message| each(&message)).is_some()
    }

    #[inline(always)]
    fn take_batch(&mut self, limit: usize, mut each: impl FnMut(&M)) -> bool {
        let taken = self.pop_iter().take(limit).map(|message| each(&message)).count();
        taken > 0
    }
}
