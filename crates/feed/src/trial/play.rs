//! A sequencer to which anything happens, and somebody who hears what it tells.

use std::time::{Duration, Instant};

use super::Act;
use crate::format::{Builder, Format, Kind, Session};
use crate::sequence::{Config, Event, Line, Numbers, Sequencer, Store};

/// A sequencer, its time, and what it has told.
pub struct Play<F: Format, S: Store> {
    sequencer: Sequencer<F, S>,
    now: Instant,
    /// Everything before was told.
    told: u64,
}

/// More than all gaps can be asked for in all attempts.
const TICKS: usize = 100;

/// What was told about numbers.
enum Told {
    Began(u64),
    /// Handed on or lost.
    Over(Numbers),
    Ended(u64),
}

impl<F: Format, S: Store> Play<F, S> {
    /// Nothing has happened yet.
    ///
    /// # Panics
    /// If there is no sequencer of that configuration.
    pub fn new(config: Config, store: S) -> Self {
        let now = Instant::now();
        let sequencer = Sequencer::new(config, store, now).expect("it was made up to be sound");
        Self { sequencer, now, told: 0 }
    }

    /// Something happens.
    ///
    /// # Panics
    /// If what is told is not in order, or not once, or messages are not what was sent, or parts of the
    /// sequencer do not agree.
    pub fn act(&mut self, act: &Act) {
        let mut told = Vec::new();
        let mut tell = |event: Event<'_, F>| told.extend(heard(event));
        let (now, end) = (self.now, self.sequencer.future());
        match *act {
            Act::Packet { from, session, number, kind, is_cut } => {
                let bytes = datagram::<F>(session, number.of(end), kind, is_cut);
                let packet = F::parse(&bytes).expect("its header is whole");
                match from {
                    2 => self.sequencer.replayed(now, packet, &mut tell),
                    line => self.sequencer.packet(now, Line(line), packet, &mut tell),
                }
            }
            Act::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                // Who asks again without a pause may be due again at once, but not for ever.
                let ticks = (0..TICKS).take_while(|_| {
                    self.sequencer.tick(self.now, &mut tell);
                    self.sequencer.timeout().is_some_and(|timeout| timeout <= self.now)
                });
                assert!(ticks.count() < TICKS, "time stands still");
            }
            Act::WaitForSnapshot => self.sequencer.wait_for_snapshot(),
            Act::Snapshot(number) => {
                let number = number.of(end);
                if self.sequencer.snapshot(now, number, &mut tell) {
                    self.told = number;
                }
            }
        }
        told.into_iter().for_each(|told| self.hears(told));
        assert_eq!(self.told, self.sequencer.present());
        self.sequencer.check();
    }

    fn hears(&mut self, told: Told) {
        match told {
            Told::Began(next) => self.told = next,
            Told::Over(numbers) => {
                assert!(numbers.first == self.told && numbers.len() > 0, "{numbers}");
                self.told = numbers.end;
            }
            Told::Ended(next) => assert_eq!(next, self.told),
        }
    }
}

/// What an event says about numbers; messages are looked into.
fn heard<F: Format>(event: Event<'_, F>) -> Option<Told> {
    match event {
        Event::Began { next, .. } => Some(Told::Began(next)),
        Event::Messages(run) => {
            for (number, message) in run.messages() {
                assert_eq!(message, content(number));
            }
            assert_eq!(run.messages().count(), usize::from(run.count));
            Some(Told::Over((run.first..run.first + u64::from(run.count)).into()))
        }
        Event::Lost { numbers, .. } => Some(Told::Over(numbers)),
        Event::Ended { next, .. } => Some(Told::Ended(next)),
        _ => None,
    }
}

/// What is in the message of that number: of one length for some in a row, then of another.
fn content(number: u64) -> Vec<u8> {
    let number = number as u16; // those of 16 bits are known by no more
    number.to_le_bytes().into_iter().cycle().take(2 + usize::from(number / 8 % 3)).collect()
}

/// Any packet.
fn datagram<F: Format>(session: u32, number: u64, kind: Kind, is_cut: bool) -> Vec<u8> {
    let mut room = vec![0; 1200];
    let session = Session::of_number(session);
    let builder = Builder::<F>::new(&mut room, session, number);
    let mut builder = builder.expect("there is room for a header");
    match kind {
        Kind::Messages(count) => {
            for at in 0..u64::from(count) {
                let content = content(number.wrapping_add(at));
                builder.push(&content).expect("there is room for 150 of them");
            }
            let bytes = builder.finish();
            bytes[..bytes.len() - usize::from(is_cut)].to_vec()
        }
        Kind::Heartbeat => builder.finish().to_vec(),
        Kind::End => builder.finish_session().to_vec(),
    }
}
