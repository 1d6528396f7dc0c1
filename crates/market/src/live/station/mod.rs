//! A gateway that has joined the groups of an exchange, and publishes through relay endpoints.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tautline_feed::format::Format;
use tautline_feed::sequence::{Line, Lost, Sequencer, Slots};
use tautline_net::multicast::Peer;
use tautline_net::{Conn, Details, Packet};
use tautline_relay::endpoint::MulticastSource;
use tautline_relay::{Publisher, join_group};
use tautline_runtime::timer::{self, Timer};

use super::clients::{Hears, ReplayClient, SnapshotClient};
use super::clock::Clock;
use super::config::GatewayConfig;
use super::report::{AskedReport, GatewayReport, InstrumentReport, LineReport, Rate, per_second};
use super::run::RunError;
use crate::gateway::{Doubt, Gateway, Notice, Output, Quote, SnapshotError};
use crate::replay::Answer;
use crate::snapshot::Part;

/// A gateway on the loop of this thread.
pub struct Station<F: Format> {
    gateway: RefCell<Gateway<F, Slots>>,
    lines: RefCell<Vec<Joined>>,
    replay: Rc<ReplayClient>,
    snapshot: Rc<SnapshotClient>,
    publisher: Publisher,
    clock: Clock,
    begun: Instant,
    timer: RefCell<Option<Timer>>,
    /// When the timer goes off.
    armed: Cell<Instant>,
    rates: RefCell<Rates>,
    /// Why the last snapshot was of no use.
    useless: Cell<Option<SnapshotError>>,
    /// Hears what is worth knowing, before it is logged.
    listener: Box<dyn Fn(&Notice)>,
    /// Sees the books when they have changed.
    observer: RefCell<Option<Observer<F>>>,
    /// What it has seen: updates, and whether the books were sound, and stale.
    observed: Cell<(u64, bool, bool)>,
    own: Weak<Self>,
}

type Observer<F> = Box<dyn FnMut(&Gateway<F, Slots>)>;

/// A line that was joined.
struct Joined {
    group: String,
    conn: Conn,
    /// Datagrams that the socket had no room for, when it was asked last.
    dropped: Cell<u32>,
}

struct Rates {
    all: Rate,
    each: Vec<Rate>,
}

/// The timer's own period: it is set anew each time, so that this is only the longest wait.
const PERIOD: Duration = Duration::from_secs(1);
/// Bytes in which packets that came ahead of others are kept.
const STORE: usize = 8 << 20;
/// Bytes of the largest packet that a replay server may send.
const PACKET: usize = u16::MAX as usize - 1;
/// What the socket of a line is to hold, as far as the system grants it: a burst, while the loop does
/// something else.
const BUFFER: usize = 4 << 20;
/// Quotes that are held at a time, over all queues of subscribers together.
const QUOTES: usize = 8192;

impl<F: Format> Station<F> {
    /// Joins all lines, opens all destinations, and begins. Servers need not be there yet.
    ///
    /// # Errors
    /// [`RunError`] names the line or the destination that cannot be.
    pub async fn open(config: &GatewayConfig) -> Result<Rc<Self>, RunError> {
        Self::open_and_tell(config, |_| {}).await
    }

    /// The same; what is worth knowing is told to `listener` as it happens.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_and_tell(
        config: &GatewayConfig,
        listener: impl Fn(&Notice) + 'static,
    ) -> Result<Rc<Self>, RunError> {
        config.check()?;
        let publisher = Publisher::open("gateway", &config.to, QUOTES, Quote::LEN).await?;
        let clock = Clock::new();
        let begun = clock.now();
        let gateway = Gateway::new(config.gateway.clone(), Slots::new(STORE)?, begun)?;
        let peers: Result<Vec<Peer>, _> = config.lines.iter().map(join).collect();
        let peers = peers?;
        let station = Rc::new_cyclic(|own| Self {
            gateway: RefCell::new(gateway),
            lines: RefCell::default(),
            replay: ReplayClient::new(&config.replay, PACKET),
            snapshot: SnapshotClient::new(&config.snapshot),
            publisher,
            clock,
            begun,
            timer: RefCell::default(),
            armed: Cell::new(begun),
            rates: RefCell::new(Rates::new(config.gateway.instruments)),
            useless: Cell::default(),
            listener: Box::new(listener),
            observer: RefCell::default(),
            observed: Cell::default(),
            own: Weak::clone(own),
        });
        station.replay.start(station.own.clone())?;
        station.begin(config, peers)?;
        Ok(station)
    }

    fn begin(self: &Rc<Self>, config: &GatewayConfig, peers: Vec<Peer>) -> Result<(), RunError> {
        for (at, (peer, from)) in peers.into_iter().zip(&config.lines).enumerate() {
            let own = self.own.clone();
            let line = Line(at as u8);
            let receive = move |_: &Conn, packet: Packet<'_>| {
                if let Some(station) = own.upgrade() {
                    station.datagram(line, packet.bytes);
                }
            };
            let failed = |error| RunError::line(from.group, &error);
            let conn = peer.on_datagrams(receive).map_err(failed)?;
            let (group, dropped) = (from.group.to_string(), Cell::default());
            self.lines.borrow_mut().push(Joined { group, conn, dropped });
        }
        let own = self.own.clone();
        let tick = move || {
            if let Some(station) = own.upgrade() {
                station.tick();
            }
        };
        self.timer.replace(Some(timer::every(PERIOD, tick)?));
        self.tick();
        Ok(())
    }

    fn datagram(&self, line: Line, bytes: &[u8]) {
        let now = self.clock.now();
        let mut out = |output| self.carry_out(output);
        self.gateway.borrow_mut().datagram(now, line, bytes, &mut out);
        self.settle();
    }

    fn tick(&self) {
        let now = self.clock.now();
        self.gateway.borrow_mut().tick(now, &mut |output| self.carry_out(output));
        // It has gone off, and comes again when its period is over if nobody says otherwise.
        self.armed.set(now + PERIOD);
        self.settle();
    }

    /// What has changed is seen, what was published leaves, and the timer goes off in time.
    fn settle(&self) {
        self.observe();
        self.publisher.flush();
        let timeout = self.gateway.borrow_mut().timeout();
        if timeout < self.armed.get()
            && let Some(timer) = &*self.timer.borrow()
        {
            self.armed.set(timeout);
            timer.rearm(self.clock.on_the_loop(timeout));
        }
    }

    fn observe(&self) {
        let gateway = self.gateway.borrow();
        let state = (gateway.stats().updates, gateway.is_sound(), gateway.is_stale());
        if self.observed.replace(state) == state {
            return;
        }
        let observer = self.observer.take();
        if let Some(mut observer) = observer {
            observer(&gateway);
            // Unless it has named another one: then this one is dropped, with nothing borrowed.
            let is_alone = self.observer.borrow().is_none();
            if is_alone {
                self.observer.replace(Some(observer));
            }
        }
    }

    /// Does what the gateway wants, while that is at work: nothing here calls back into it.
    fn carry_out(&self, output: Output) {
        match output {
            Output::Publish(quote) => self.publisher.publish(&quote.encode()),
            Output::Replay(request) => self.replay.ask(request),
            Output::Snapshot => self.snapshot.fetch(self.own.clone()),
            Output::Notice(notice) => {
                if matches!(notice, Notice::Began { .. } | Notice::Live) {
                    self.replay.hurry();
                }
                self.tell(&notice);
                (self.listener)(&notice);
            }
        }
    }

    /// Tells the log. What is wrong with snapshots again and again is told when it changes.
    fn tell(&self, notice: &Notice) {
        match notice {
            Notice::Snapshot(error) => {
                self.snapshot.known.note(error);
                if self.useless.replace(Some(*error)) != Some(*error) {
                    log::warn!("{error}");
                }
            }
            Notice::Sound { .. } => {
                self.useless.take();
                tell(notice);
            }
            _ => tell(notice),
        }
    }

    /// Has `observer` called with the gateway when its books have changed, or have become sound,
    /// doubtful, stale or live: at once, after each datagram or answer that did it, and before quotes leave. It
    /// takes the place of the one before.
    pub fn on_update(&self, observer: impl FnMut(&Gateway<F, Slots>) + 'static) {
        drop(self.observer.replace(Some(Box::new(observer))));
    }

    /// Looks at the gateway.
    pub fn with<T>(&self, look: impl FnOnce(&Gateway<F, Slots>) -> T) -> T {
        look(&self.gateway.borrow())
    }

    /// Where quotes go.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Nothing more is received; what was published is still sent.
    pub fn finish(&self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
        drop(self.observer.take());
        for line in &*self.lines.borrow() {
            line.count_drops();
            line.conn.close();
        }
        self.publisher.finish();
    }

    fn elapsed(&self) -> f64 {
        self.clock.now().saturating_duration_since(self.begun).as_secs_f64()
    }

    /// How it stands: rates are those since the report before.
    pub fn report(&self) -> GatewayReport {
        let at_s = self.elapsed();
        let counts = self.counts();
        let mut rates = self.rates.borrow_mut();
        let each = rates.each.iter_mut().zip(&counts);
        let each: Vec<f64> = each.map(|(rate, count)| rate.sample(*count, at_s)).collect();
        let all = rates.all.sample(counts.iter().sum(), at_s);
        let destinations = self.publisher.sample();
        GatewayReport { destinations, ..self.tell_all("gateway", all, &counts, &each) }
    }

    /// How it stood: rates are averages.
    pub fn summary(&self) -> GatewayReport {
        let at_s = self.elapsed();
        let counts = self.counts();
        let each: Vec<f64> = counts.iter().map(|count| per_second(*count, at_s)).collect();
        let all = per_second(counts.iter().sum(), at_s);
        let destinations = self.publisher.total();
        GatewayReport { destinations, ..self.tell_all("gateway-summary", all, &counts, &each) }
    }

    /// Updates of each instrument.
    fn counts(&self) -> Vec<u64> {
        let gateway = self.gateway.borrow();
        gateway.books().iter().map(|(instrument, _)| gateway.updates(instrument)).collect()
    }

    fn tell_all(
        &self,
        kind: &'static str,
        updates_per_s: f64,
        counts: &[u64],
        each: &[f64],
    ) -> GatewayReport {
        let gateway = self.gateway.borrow();
        let (stats, sequencer) = (gateway.stats(), gateway.sequencer());
        let sequence = sequencer.stats();
        let lines = self.lines.borrow();
        let lines = lines.iter().enumerate();
        let lines = lines.map(|(at, line)| line.report(Line(at as u8), sequencer)).collect();
        let books = gateway.books().iter().zip(counts).zip(each);
        let instruments = books
            .map(|(((instrument, book), count), per_s)| {
                InstrumentReport::of(instrument, book, *count, *per_s)
            })
            .collect();
        let (replay, snapshot) = (&self.replay.known, &self.snapshot.known);
        GatewayReport {
            kind,
            elapsed_s: self.elapsed(),
            session: sequencer.session().map(|session| session.to_string()),
            sound: gateway.is_sound(),
            stale: gateway.is_stale(),
            next: sequencer.present(),
            updates: stats.updates,
            updates_per_s,
            quotes: stats.quotes,
            lines,
            strange: stats.strange,
            gaps: sequence.gaps,
            repaired: sequence.repaired,
            lost: sequence.lost,
            doubts: stats.doubts,
            replay: AskedReport {
                server: replay.server.clone(),
                connected: replay.connected.get(),
                requests: self.replay.requests.get(),
                answers: stats.replayed,
                refused: stats.replay_refused,
                error: replay.error(),
            },
            snapshot: AskedReport {
                server: snapshot.server.clone(),
                connected: snapshot.connected.get(),
                requests: stats.snapshots_asked,
                answers: stats.snapshots,
                refused: stats.snapshots_failed,
                error: snapshot.error(),
            },
            instruments,
            destinations: Vec::new(),
        }
    }
}

impl<F: Format> Hears for Station<F> {
    fn answer(&self, answer: Answer<'_>) {
        let now = self.clock.now();
        self.gateway.borrow_mut().answer(now, answer, &mut |output| self.carry_out(output));
    }

    fn answered(&self) {
        self.settle();
    }

    fn part(&self, part: Part) {
        let now = self.clock.now();
        let mut out = |output| self.carry_out(output);
        self.gateway.borrow_mut().snapshot(now, part, &mut out);
        if matches!(part, Part::End { .. }) {
            self.settle();
        }
    }

    fn snapshot_failed(&self) {
        self.gateway.borrow_mut().snapshot_failed(self.clock.now());
        self.settle();
    }
}

impl<F: Format> fmt::Debug for Station<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Station").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// Joins the group of a line. Of datagrams nothing is asked but their bytes, and of IPv6 by which
/// interface they came: Linux hands on what came by others too.
fn join(from: &MulticastSource) -> Result<Peer, RunError> {
    let destination = from.group.is_ipv6();
    let details = Details { destination, ..Details::NONE };
    let options = Peer::options().receive_buffer(BUFFER).details(details);
    join_group(from, &options).map_err(|error| RunError::line(from.group, &error))
}

impl Joined {
    /// Asks for what the socket has dropped; one that is closed keeps its count.
    fn count_drops(&self) {
        if let Ok(dropped) = self.conn.dropped() {
            self.dropped.set(dropped);
        }
    }

    fn report<F: Format>(&self, line: Line, sequencer: &Sequencer<F, Slots>) -> LineReport {
        let stats = sequencer.line_stats(line);
        self.count_drops();
        LineReport {
            group: self.group.clone(),
            packets: stats.packets,
            first: stats.first,
            lost: stats.lost,
            late: stats.late,
            behind_us: stats.behind.as_secs_f64() * 1e6,
            dropped: u64::from(self.dropped.get()),
        }
    }
}

impl Rates {
    fn new(instruments: u32) -> Self {
        Self { all: Rate::new(), each: (0..instruments).map(|_| Rate::new()).collect() }
    }
}

/// Tells the log.
fn tell(notice: &Notice) {
    match notice {
        Notice::Began { session, next } => log::info!("session {session} begins with {next}"),
        Notice::Ended { session, next } => log::info!("session {session} ends before {next}"),
        Notice::Gap(gap) => log::debug!("messages {} are missing", gap.missing),
        Notice::Repaired { gap, by } => log::debug!("messages {gap} have come by {by:?}"),
        // The books are in doubt, which was told: each packet that there is no room for would be.
        Notice::Lost { numbers, why: why @ Lost::SnapshotLate } => {
            log::debug!("messages {numbers} are lost: {why:?}");
        }
        Notice::Lost { numbers, why } => log::warn!("messages {numbers} are lost: {why:?}"),
        Notice::Doubt(Doubt::Joined) => log::info!("the books wait for a snapshot"),
        Notice::Doubt(why) => log::warn!("the books are in doubt: {why}"),
        Notice::Sound { next } => log::info!("the books are sound from {next} on"),
        Notice::Refused(refusal) => log::debug!("not sent again: {refusal:?}"),
        Notice::Snapshot(error) => log::debug!("{error}"),
        Notice::Malformed { source } => log::warn!("a packet of {source:?} is malformed"),
        Notice::Absurd { source, number } => {
            log::warn!("a packet of {source:?} has the number {number}, far from all others");
        }
        Notice::Stale => log::warn!("nothing comes on any line"),
        Notice::Live => log::info!("the lines are live again"),
    }
}
