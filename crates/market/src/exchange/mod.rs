//! An exchange that is not: orders as they might come, on lines that are as bad as one likes.
//!
//! ```text
//! flow ──▶ message ──▶ books
//!             │
//!             ▼
//!          history ──▶ packet ──▶ line 0: lost, doubled, held back, late ──▶ out
//!             │              └──▶ line 1: ..each line for itself          ──▶ out
//!             ▼
//!     replay, snapshot
//! ```
//!
//! The same seed, and the same times at which it is called, make the same session, message by message
//! and loss by loss. What the lines do to packets does not change what the packets say.

mod config;
mod flow;
mod history;
mod line;

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use tautline_feed::format::{Builder, Format, Session};
use tautline_feed::sequence;

pub use self::config::{Config, ConfigError};
use self::flow::Flow;
pub(crate) use self::history::pack;
pub use self::history::{Absent, History};
use self::line::Line;
pub use self::line::{Impairment, LineCounts};
use crate::book::Books;

/// A simulated exchange, which speaks in packets of one format.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tautline_feed::format::{Format, MoldUdp64};
/// use tautline_market::exchange::{Config, Exchange};
///
/// let now = Instant::now();
/// let mut exchange = Exchange::<MoldUdp64>::new(Config::default(), 7, now)?;
/// let mut packets = 0;
/// exchange.tick(now + Duration::from_millis(100), &mut |_line, bytes: &[u8]| {
///     assert!(MoldUdp64::parse(bytes).is_ok());
///     packets += 1;
/// });
/// assert!(packets > 0);
/// assert!(exchange.history().next() > 1, "something was said");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exchange<F> {
    config: Config,
    flow: Flow,
    books: Books,
    history: History,
    lines: Box<[Line]>,
    rng: fastrand::Rng,
    /// When orders come next.
    due: Instant,
    /// When something was said last.
    said: Instant,
    has_ended: bool,
    /// Of one packet.
    room: Box<[u8]>,
    format: PhantomData<F>,
}

/// So many bursts of orders at most are made up for at once: who comes later than that finds an exchange
/// that was slower.
const BURSTS: u32 = 256;

/// Messages of a burst: at least one, and not more.
const BURST: u32 = 8;

impl<F: Format> Exchange<F> {
    /// An exchange whose day begins now.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: Config, seed: u64, now: Instant) -> Result<Self, ConfigError> {
        config.check::<F>()?;
        let mut rng = fastrand::Rng::with_seed(seed);
        let flow = Flow::new(rng.fork(), config.instruments, config.orders);
        let lines = config
            .lines
            .iter()
            .map(|line| Line::new(line.clone(), rng.fork(), config.queue, config.packet, now));
        Ok(Self {
            flow,
            books: Books::new(config.instruments, config.orders)?,
            history: History::new(config.history)?,
            lines: lines.collect::<Result<_, _>>()?,
            rng,
            due: now,
            said: now,
            has_ended: false,
            room: vec![0; config.packet].into(),
            config,
            format: PhantomData,
        })
    }

    /// It is so late: hands out each packet that is due, and the line on which it goes.
    pub fn tick(&mut self, now: Instant, out: &mut impl FnMut(sequence::Line, &[u8])) {
        for _ in 0..BURSTS {
            if self.due > now || self.has_ended {
                break;
            }
            self.burst(now);
        }
        if self.due <= now {
            self.due = now;
        }
        if now >= self.said + self.config.heartbeat {
            self.say_what_comes_next(now);
        }
        for (at, line) in self.lines.iter_mut().enumerate() {
            line.flush(now, &mut |bytes| out(sequence::Line(at as u8), bytes));
        }
    }

    /// When [`Exchange::tick`] has something to do.
    pub fn timeout(&self) -> Instant {
        let heartbeat = self.said + self.config.heartbeat;
        let said = if self.has_ended { heartbeat } else { heartbeat.min(self.due) };
        self.lines.iter().filter_map(Line::timeout).fold(said, Instant::min)
    }

    /// Orders come, and are told.
    fn burst(&mut self, now: Instant) {
        let first = self.history.next();
        for _ in 0..self.rng.u32(1..=BURST) {
            let message = self.flow.next(&self.books);
            self.books.apply(&message).expect("what happens fits the books");
            self.history.push(&message);
        }
        let pause = self.pause();
        self.due += pause;
        self.say(now, first);
    }

    /// Until orders come again: on average so long that the rate is met.
    fn pause(&mut self) -> Duration {
        let mean = f64::from(1 + BURST) / 2.0 / f64::from(self.config.rate);
        // Arrivals that know nothing of each other; none is so late that nobody waits for it.
        Duration::from_secs_f64((-(1.0 - self.rng.f64()).ln()).min(20.0) * mean)
    }

    /// Puts all messages from that one on into packets.
    fn say(&mut self, now: Instant, first: u64) {
        let mut numbers = first..self.history.next();
        while !numbers.is_empty() {
            let session = self.config.session;
            let (packet, behind) =
                pack::<F>(&self.history, session, numbers.clone(), &mut self.room);
            self.lines.iter_mut().for_each(|line| line.send(now, packet));
            numbers.start = behind;
        }
        self.said = now;
    }

    /// A heartbeat, or the end of the session.
    fn say_what_comes_next(&mut self, now: Instant) {
        let (session, next) = (self.config.session, self.history.next());
        let builder = Builder::<F>::new(&mut self.room, session, next);
        let builder = builder.expect("a header fits, as was checked");
        let packet = if self.has_ended { builder.finish_session() } else { builder.finish() };
        self.lines.iter_mut().for_each(|line| line.send(now, packet));
        self.said = now;
    }

    /// Nothing happens any more: says so now, and as often as there would be a heartbeat.
    pub fn finish(&mut self, now: Instant) {
        self.has_ended = true;
        self.say_what_comes_next(now);
    }

    /// From now on a line does this to its packets; what is on its way is not touched.
    ///
    /// # Panics
    /// If there is no such line.
    pub fn impair(&mut self, line: sequence::Line, impairment: Impairment) {
        self.lines[usize::from(line.0)].impair(impairment);
    }

    /// The session.
    pub fn session(&self) -> Session {
        self.config.session
    }

    /// What it was told when it was made.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The books as they are.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// The latest messages.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What has become of the packets of a line.
    ///
    /// # Panics
    /// If there is no such line.
    pub fn counts(&self, line: sequence::Line) -> LineCounts {
        self.lines[usize::from(line.0)].counts()
    }
}

#[cfg(test)]
mod tests;
