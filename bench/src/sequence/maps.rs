//! The usual answers: a map of copies by their numbers. Packets of one message.

use std::collections::{BTreeMap, HashMap};

use tautline_feed::format::{Compact, Format, Kind};

use super::stream::Stream;
use super::{Failure, Order, Shape, Sink};

/// What a map does here.
pub(super) trait Copies: Default {
    /// Keeps a copy of a message, unless there is one.
    fn keep(&mut self, number: u64, body: &[u8]);
    /// Takes the message of that number out.
    fn take(&mut self, number: u64) -> Option<Box<[u8]>>;
}

impl Copies for BTreeMap<u64, Box<[u8]>> {
    fn keep(&mut self, number: u64, body: &[u8]) {
        self.entry(number).or_insert_with(|| body.into());
    }

    fn take(&mut self, number: u64) -> Option<Box<[u8]>> {
        let first = self.first_entry()?;
        (*first.key() == number).then(|| first.remove())
    }
}

impl Copies for HashMap<u64, Box<[u8]>> {
    fn keep(&mut self, number: u64, body: &[u8]) {
        self.entry(number).or_insert_with(|| body.into());
    }

    fn take(&mut self, number: u64) -> Option<Box<[u8]>> {
        self.remove(&number)
    }
}

/// What is next is handed on where it lies, what is ahead is copied into a map.
pub(super) struct Mapped<M> {
    next: u64,
    ahead: M,
}

/// An ordered map.
pub(super) type Tree = Mapped<BTreeMap<u64, Box<[u8]>>>;
/// An unordered one.
pub(super) type Hash = Mapped<HashMap<u64, Box<[u8]>>>;

impl<M: Copies> Mapped<M> {
    #[inline(always)]
    fn take_one(&mut self, datagram: &[u8], sink: &mut Sink) {
        let Ok(packet) = Compact::parse(datagram) else { return };
        let (Kind::Messages(1), Some((message, _))) = (packet.kind, Compact::split(packet.body))
        else {
            return;
        };
        if packet.number > self.next {
            self.ahead.keep(packet.number, message);
        } else if packet.number == self.next {
            sink.take(self.next, message);
            self.next += 1;
            while let Some(message) = self.ahead.take(self.next) {
                sink.take(self.next, &message);
                self.next += 1;
            }
        }
    }
}

impl<M: Copies> Order for Mapped<M> {
    fn new(next: u64, _: Shape) -> Result<Self, Failure> {
        Ok(Self { next, ahead: M::default() })
    }

    fn take(&mut self, stream: &Stream, sink: &mut Sink) {
        stream.packets().for_each(|datagram| self.take_one(datagram, sink));
    }
}
