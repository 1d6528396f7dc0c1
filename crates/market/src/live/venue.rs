//! An exchange whose lines are multicast groups.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tautline_feed::format::Format;
use tautline_feed::sequence::Line;
use tautline_runtime::timer::{self, Timer};

use super::clock::Clock;
use super::config::ExchangeConfig;
use super::report::{ExchangeReport, InstrumentReport, Rate, per_second};
use super::run::RunError;
use super::sender::Sender;
use super::serve::{self, Server};
use crate::exchange::Exchange;
use crate::message::Message;

/// A simulated exchange on the loop of this thread.
pub struct Venue<F> {
    exchange: RefCell<Exchange<F>>,
    lines: Box<[Sender]>,
    replay: Rc<Server>,
    snapshot: Rc<Server>,
    clock: Clock,
    begun: Instant,
    timer: RefCell<Option<Timer>>,
    rates: RefCell<Rates>,
}

/// The timer's own period: it is set anew each time, so that this is only the longest wait.
const PERIOD: Duration = Duration::from_secs(1);

impl<F: Format> Venue<F> {
    /// Opens everything, and begins.
    ///
    /// # Errors
    /// [`RunError`] names the line or the address that cannot be.
    pub fn open(config: &ExchangeConfig) -> Result<Rc<Self>, RunError> {
        let (groups, lines) = (config.lines.len(), config.exchange.lines.len());
        if groups != lines {
            return Err(RunError::Lines { groups, lines });
        }
        let clock = Clock::new();
        let begun = clock.now();
        let exchange = Exchange::new(config.exchange.clone(), config.seed, begun)?;
        let lines = config.lines.iter().map(|to| Sender::open(to, config.exchange.packet));
        let lines = lines.collect::<Result<_, _>>()?;
        let (replay, replays) = Server::listen("replay", config.replay)?;
        let (snapshot, snapshots) = Server::listen("snapshot", config.snapshot)?;
        let venue = Rc::new(Self {
            exchange: RefCell::new(exchange),
            lines,
            replay: replay.clone(),
            snapshot: snapshot.clone(),
            clock,
            begun,
            timer: RefCell::default(),
            rates: RefCell::new(Rates::new(config.exchange.instruments)),
        });
        let own = venue.clone();
        let to = replay.clone();
        replay.serve(replays, move |it| serve::replays(own.clone(), to.clone(), it))?;
        let own = venue.clone();
        let to = snapshot.clone();
        snapshot.serve(snapshots, move |it| serve::snapshots(own.clone(), to.clone(), it))?;
        venue.begin()?;
        Ok(venue)
    }

    fn begin(self: &Rc<Self>) -> Result<(), RunError> {
        let own = Rc::downgrade(self);
        let work = move || {
            if let Some(venue) = own.upgrade() {
                venue.work();
            }
        };
        self.timer.replace(Some(timer::every(PERIOD, work)?));
        self.work();
        Ok(())
    }

    /// Sends what is due, and sets the timer for what comes next.
    fn work(&self) {
        let mut exchange = self.exchange.borrow_mut();
        let now = self.clock.now();
        exchange.tick(now, &mut |line, bytes: &[u8]| self.lines[usize::from(line.0)].send(bytes));
        self.lines.iter().for_each(Sender::flush);
        for (at, line) in self.lines.iter().enumerate() {
            line.see_crowding(exchange.counts(Line(at as u8)), exchange.config().queue);
        }
        self.rates.borrow_mut().count(&exchange);
        if let Some(timer) = &*self.timer.borrow() {
            timer.rearm(self.clock.on_the_loop(exchange.timeout()));
        }
    }

    /// Nothing happens any more: says so now, and as often as there would be a heartbeat.
    pub fn finish(&self) {
        self.exchange.borrow_mut().finish(self.clock.now());
        self.work();
    }

    /// Nothing more is sent.
    pub fn stop(&self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }

    /// Looks at the exchange.
    pub fn with<T>(&self, look: impl FnOnce(&Exchange<F>) -> T) -> T {
        look(&self.exchange.borrow())
    }

    /// Where the replay server listens.
    pub fn replay(&self) -> SocketAddr {
        self.replay.bound()
    }

    /// Where the snapshot server listens.
    pub fn snapshot(&self) -> SocketAddr {
        self.snapshot.bound()
    }

    pub(super) fn packet(&self) -> usize {
        self.exchange.borrow().config().packet
    }

    fn elapsed(&self) -> f64 {
        self.clock.now().saturating_duration_since(self.begun).as_secs_f64()
    }

    /// How it stands: rates are those since the report before.
    pub fn report(&self) -> ExchangeReport {
        let at_s = self.elapsed();
        let mut rates = self.rates.borrow_mut();
        let each = rates.sample_each(at_s);
        let messages_per_s = {
            let messages = rates.messages();
            rates.all.sample(messages, at_s)
        };
        self.tell("exchange", messages_per_s, &each, &rates)
    }

    /// How it stood: rates are averages.
    pub fn summary(&self) -> ExchangeReport {
        let at_s = self.elapsed();
        let rates = self.rates.borrow();
        let each: Vec<f64> = rates.counts.iter().map(|count| per_second(*count, at_s)).collect();
        let messages_per_s = per_second(rates.messages(), at_s);
        self.tell("exchange-summary", messages_per_s, &each, &rates)
    }

    fn tell(
        &self,
        kind: &'static str,
        messages_per_s: f64,
        each: &[f64],
        rates: &Rates,
    ) -> ExchangeReport {
        let exchange = self.exchange.borrow();
        let lines = self.lines.iter().enumerate();
        let lines = lines.map(|(at, line)| line.report(exchange.counts(Line(at as u8))));
        let books = exchange.books().iter().zip(each).zip(&rates.counts);
        let instruments = books.map(|(((instrument, book), per_s), count)| {
            InstrumentReport::of(instrument, book, *count, *per_s)
        });
        ExchangeReport {
            kind,
            elapsed_s: self.elapsed(),
            session: exchange.session().to_string(),
            messages: rates.messages(),
            messages_per_s,
            lines: lines.collect(),
            replay: self.replay.report(),
            snapshot: self.snapshot.report(),
            instruments: instruments.collect(),
        }
    }
}

impl<F: Format> fmt::Debug for Venue<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<SocketAddr> = self.lines.iter().map(Sender::group).collect();
        f.debug_struct("Venue").field("lines", &groups).finish_non_exhaustive()
    }
}

/// Messages, counted.
struct Rates {
    all: Rate,
    each: Vec<Rate>,
    /// Messages of each instrument.
    counts: Vec<u64>,
    /// Those before this number have been counted.
    counted: u64,
}

impl Rates {
    fn new(instruments: u32) -> Self {
        let instruments = instruments as usize;
        Self {
            all: Rate::new(),
            each: (0..instruments).map(|_| Rate::new()).collect(),
            counts: vec![0; instruments],
            counted: 1,
        }
    }

    fn messages(&self) -> u64 {
        self.counted - 1
    }

    /// Counts what has been said since the last time.
    fn count<F: Format>(&mut self, exchange: &Exchange<F>) {
        let history = exchange.history();
        for number in self.counted..history.next() {
            let message = history.get(number).ok().and_then(|it| Message::decode(it).ok());
            if let Some(message) = message {
                self.counts[message.instrument().0 as usize] += 1;
            }
        }
        self.counted = history.next();
    }

    fn sample_each(&mut self, at_s: f64) -> Vec<f64> {
        let each = self.each.iter_mut().zip(&self.counts);
        each.map(|(rate, count)| rate.sample(*count, at_s)).collect()
    }
}
