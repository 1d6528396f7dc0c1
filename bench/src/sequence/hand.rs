//! The limits: bare loops that know the stream.

use std::marker::PhantomData;

use tautline_feed::format::{Compact, Format, MoldUdp64};

use super::stream::Stream;
use super::{Failure, Order, Shape, Sink};

/// What a bare loop reads of a packet.
pub(super) trait Bare: Format {
    /// The number of its first message.
    fn number(packet: &[u8]) -> u64;
    /// Its messages.
    fn count(packet: &[u8]) -> u16;
}

impl Bare for Compact {
    #[inline(always)]
    fn number(packet: &[u8]) -> u64 {
        u64::from(u32::from_le_bytes(field(packet, 8)))
    }

    #[inline(always)]
    fn count(packet: &[u8]) -> u16 {
        u16::from_le_bytes(field(packet, 2))
    }
}

impl Bare for MoldUdp64 {
    #[inline(always)]
    fn number(packet: &[u8]) -> u64 {
        u64::from_be_bytes(field(packet, 10))
    }

    #[inline(always)]
    fn count(packet: &[u8]) -> u16 {
        u16::from_be_bytes(field(packet, 18))
    }
}

#[inline(always)]
fn field<const N: usize>(packet: &[u8], at: usize) -> [u8; N] {
    packet.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Hands the messages of a packet on.
#[inline(always)]
fn hand_on<F: Bare>(number: u64, packet: &[u8], sink: &mut Sink) -> u64 {
    let count = u64::from(F::count(packet));
    let mut body = packet.get(F::HEADER..).unwrap_or(&[]);
    for at in 0..count {
        let Some((message, rest)) = F::split(body) else { break };
        sink.take(number + at, message);
        body = rest;
    }
    count
}

/// Compares the number of each packet with the one that is next.
pub(super) struct Compare<F> {
    next: u64,
    format: PhantomData<F>,
}

impl<F: Bare> Order for Compare<F> {
    fn new(next: u64, _: Shape) -> Result<Self, Failure> {
        Ok(Self { next, format: PhantomData })
    }

    fn take(&mut self, stream: &Stream, sink: &mut Sink) {
        for packet in stream.packets() {
            if F::number(packet) == self.next {
                self.next += hand_on::<F>(self.next, packet, sink);
            }
        }
    }
}

/// A place of the same size for each number, and nothing else: packets of one message.
pub(super) struct Ring {
    next: u64,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    /// The number of what lies here; 0: nothing does.
    number: u64,
    packet: [u8; 80],
}

impl Ring {
    #[inline(always)]
    fn place(&mut self, number: u64) -> &mut Place {
        let at = number as usize & (self.places.len() - 1);
        &mut self.places[at]
    }

    #[inline(always)]
    fn take_one(&mut self, packet: &[u8], sink: &mut Sink) {
        let number = Compact::number(packet);
        if number > self.next {
            let place = self.place(number);
            place.number = number;
            place.packet[..packet.len()].copy_from_slice(packet);
        } else if number == self.next {
            hand_on::<Compact>(number, packet, sink);
            self.next += 1;
            self.go_on(sink);
        }
    }

    #[inline(always)]
    fn go_on(&mut self, sink: &mut Sink) {
        let mut next = self.next;
        let mut place = self.place(next);
        while place.number == next {
            hand_on::<Compact>(next, &place.packet, sink);
            next += 1;
            place = self.place(next);
        }
        self.next = next;
    }
}

impl Order for Ring {
    fn new(next: u64, shape: Shape) -> Result<Self, Failure> {
        let places = (2 * shape.displacement).next_power_of_two();
        Ok(Self { next, places: vec![Place { number: 0, packet: [0; 80] }; places] })
    }

    fn take(&mut self, stream: &Stream, sink: &mut Sink) {
        stream.packets().for_each(|packet| self.take_one(packet, sink));
    }
}
