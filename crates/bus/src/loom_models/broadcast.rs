//! Broadcasts: cursors against the publisher, and sequence locks.

use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::thread;

use super::{SLEEPY, check, check_three};
use crate::broadcast::{Broadcast, Config, Publisher};
use crate::error::ReceiveError;
use crate::ring::Line;
use crate::ring::fan::{self, Start};
use crate::ring::tape::{self, Found};
use crate::scope::{Local, Place, Word};
use crate::sync::{AtomicU64, spin_loop};

/// A message that the model counts.
type Token = Arc<u64>;

struct Fan {
    rows: Vec<fan::Row<Local>>,
    slots: Vec<Place<Token>>,
}

type Giver = fan::Giver<Token, Local>;
type Taker = fan::Taker<Token, Local>;

impl Fan {
    fn new(takers: usize, capacity: usize) -> StdArc<Self> {
        StdArc::new(Self {
            rows: (0..fan::rows(takers)).map(fan::row::<Local>).collect(),
            slots: (0..capacity).map(|_| Place::empty()).collect(),
        })
    }

    fn giver(&self) -> Giver {
        // SAFETY: each model has one giver, and keeps the ring.
        unsafe { Giver::new(&self.rows, &self.slots) }
    }

    fn taker(&self, seat: usize, start: Start) -> Taker {
        // SAFETY: each model has one taker of a seat at a time, and keeps the ring.
        unsafe { Taker::new(&self.rows, &self.slots, seat, start) }
    }
}

impl Drop for Fan {
    fn drop(&mut self) {
        for position in fan::rest::<Local>(&self.rows, self.slots.len()) {
            // SAFETY: a message lies there, and nobody is left.
            drop(unsafe { self.slots[position as usize % self.slots.len()].read() });
        }
    }
}

fn give(giver: &mut Giver, n: u64) {
    while !give_if_room(giver, n) {
        spin_loop();
    }
}

fn give_if_room(giver: &mut Giver, n: u64) -> bool {
    let room = giver.has_room();
    if room {
        let old = giver.vacate(0);
        // SAFETY: there is room, and what lay there was moved out.
        unsafe {
            giver.place(0).write(Token::new(n));
            giver.publish(1);
        }
        drop(old);
    }
    room
}

fn take(taker: &mut Taker) -> u64 {
    loop {
        match take_if_there(taker) {
            Some(message) => return message,
            None => spin_loop(),
        }
    }
}

/// Looks at the next message, and passes it.
fn take_if_there(taker: &mut Taker) -> Option<u64> {
    if !taker.look().unwrap() {
        return None;
    }
    // SAFETY: the message was published, and the cursor passes it below.
    let message = unsafe { **taker.place(0).to_read() };
    // Looked at once more at the end, so that the model sees who writes meanwhile.
    taker.place(0).to_read();
    taker.advance(1);
    taker.release();
    Some(message)
}

/// Two takers, each at its own pace, over the end of the ring: each gets every message, and none
/// is written over before both have passed it.
#[test]
fn loom_fan_each_gets_all() {
    check_three(|| {
        let kept = Fan::new(2, 1);
        let mut giver = kept.giver();
        let takers: Vec<_> = (0..2)
            .map(|seat| {
                let (mut taker, keeps) = (kept.taker(seat, Start::Next), kept.clone());
                thread::spawn(move || {
                    let taken = take_if_there(&mut taker).into_iter().collect::<Vec<_>>();
                    drop(keeps);
                    (taker, taken)
                })
            })
            .collect();
        // A model knows no fairness: waiting for room would have no end.
        let given = (0..3u64).filter(|n| give_if_room(&mut giver, *n)).collect::<Vec<_>>();
        for taker in takers {
            let (mut taker, mut taken) = taker.join().unwrap();
            taken.extend(std::iter::from_fn(|| take_if_there(&mut taker)));
            assert_eq!(taken, given);
        }
    });
}

/// A giver that waits for the room that a taker makes, over and over.
#[test]
fn loom_fan_room_is_made() {
    check(|| {
        let kept = Fan::new(1, 2);
        let mut giver = kept.giver();
        let (mut taker, keeps) = (kept.taker(0, Start::Next), kept.clone());
        let thread = thread::spawn(move || {
            (0..4).for_each(|n| assert_eq!(take(&mut taker), n));
            drop(keeps);
        });
        (0..4).for_each(|n| give(&mut giver, n));
        thread.join().unwrap();
    });
}

/// A taker comes while the giver makes room: what it takes is there and in one run, from the
/// oldest or the next on, and nobody writes over it.
fn comes_while_room_is_made(start: Start, capacity: usize) {
    check(move || {
        let kept = Fan::new(1, capacity);
        let mut giver = kept.giver();
        (0..capacity as u64).for_each(|n| give(&mut giver, n));
        let comes = kept.clone();
        let thread = thread::spawn(move || {
            let mut taker = comes.taker(0, start);
            if let Some(first) = take_if_there(&mut taker)
                && let Some(second) = take_if_there(&mut taker)
            {
                assert_eq!(second, first + 1);
            }
            fan::leave::<Local>(&comes.rows, 0);
        });
        (0..2).for_each(|n| give(&mut giver, capacity as u64 + n));
        thread.join().unwrap();
    });
}

/// See [`comes_while_room_is_made`].
#[test]
fn loom_fan_a_newcomer_at_the_oldest_is_not_overrun() {
    comes_while_room_is_made(Start::Oldest, 1);
    comes_while_room_is_made(Start::Oldest, 2);
}

/// See [`comes_while_room_is_made`].
#[test]
fn loom_fan_a_newcomer_at_the_next_is_not_overrun() {
    comes_while_room_is_made(Start::Next, 1);
    comes_while_room_is_made(Start::Next, 2);
}

/// Two takers come while the giver makes room, which must lower its horizon again for one.
#[test]
fn loom_fan_two_newcomers_are_not_overrun() {
    check_three(|| {
        let kept = Fan::new(2, 1);
        let mut giver = kept.giver();
        give(&mut giver, 0);
        let threads: Vec<_> = (0..2)
            .map(|seat| {
                let comes = kept.clone();
                thread::spawn(move || {
                    let mut taker = comes.taker(seat, Start::Oldest);
                    take_if_there(&mut taker);
                    fan::leave::<Local>(&comes.rows, seat);
                })
            })
            .collect();
        (1..3).for_each(|n| _ = give_if_room(&mut giver, n));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A publisher that sleeps is woken when the subscriber that held it up goes.
#[test]
fn loom_broadcast_who_goes_wakes_the_publisher() {
    check(|| {
        let (broadcast, mut publisher) = sleepy();
        let leaves = broadcast.subscriber_as("l").unwrap();
        let thread = thread::spawn(move || drop(leaves));
        publisher.send(1).unwrap();
        publisher.send(2).unwrap();
        thread.join().unwrap();
    });
}

/// A subscriber that sleeps hears of messages, and of the end; a publisher of room.
#[test]
fn loom_broadcast_sleepers_are_woken() {
    check(|| {
        let (broadcast, mut publisher) = sleepy();
        let mut reader = broadcast.subscriber_as("r").unwrap();
        drop(broadcast);
        let thread = thread::spawn(move || {
            assert_eq!(reader.receive(), Ok(1));
            assert_eq!(reader.receive(), Ok(2));
            assert_eq!(reader.receive(), Err(ReceiveError::Closed));
        });
        publisher.send(1).unwrap();
        publisher.send(2).unwrap();
        drop(publisher);
        thread.join().unwrap();
    });
}

fn sleepy() -> (Broadcast<u64, Local>, Publisher<u64, Local>) {
    let config = Config { capacity: 1, subscribers: 1, wait: SLEEPY, ..Config::default() };
    let broadcast = Broadcast::new(config).unwrap();
    let publisher = broadcast.publisher_as("p").unwrap();
    (broadcast, publisher)
}

struct Tape {
    tail: tape::Row<Local>,
    words: Vec<AtomicU64>,
}

/// Two words, so that one of them may be of another message.
type Pair = [u64; 2];

fn tape(capacity: usize) -> StdArc<Tape> {
    let words = capacity * tape::slot_words::<Pair>();
    let word = |_| <AtomicU64 as Word<u64>>::new(0);
    StdArc::new(Tape { tail: Line(word(0)), words: (0..words).map(word).collect() })
}

/// A taker that is overtaken: what it gets is whole and in order, and what it gets and what it
/// has missed is all that was given.
fn overtaken(capacity: usize, messages: u64) {
    check(move || {
        let kept = tape(capacity);
        // SAFETY: the one giver of a tape that all keep.
        let mut giver = unsafe { tape::Giver::<Pair, Local>::new(&kept.tail, &kept.words) };
        // SAFETY: all keep the tape.
        let mut taker = unsafe { tape::Taker::new(&kept.tail, &kept.words, Start::Next) };
        let keeps = kept.clone();
        let thread = thread::spawn(move || {
            (0..messages).for_each(|n| giver.give(&[n, !n]));
            drop(keeps);
        });
        let mut next = 0;
        for _ in 0..3 {
            step(&mut taker, &mut next);
        }
        thread.join().unwrap();
        while step(&mut taker, &mut next) {}
        assert_eq!(next, messages);
    });
}

/// Takes the next message, if there is one, or hears what was missed.
fn step(taker: &mut tape::Taker<Pair, Local>, next: &mut u64) -> bool {
    match taker.take().unwrap() {
        Found::Message(message) => {
            assert_eq!(message, [*next, !*next]);
            *next += 1;
        }
        Found::Overtaken => {
            let missed = taker.skip();
            assert!(missed > 0);
            *next += missed;
        }
        Found::Nothing => return false,
    }
    true
}

/// See [`overtaken`].
#[test]
fn loom_tape_nothing_is_torn_and_all_is_counted() {
    overtaken(1, 2);
    overtaken(2, 3);
}
