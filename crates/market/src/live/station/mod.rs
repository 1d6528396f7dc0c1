//! A gateway that has joined the groups of an exchange, and publishes through relay endpoints.
//!
//! | file | what it does |
//! | --- | --- |
//! | `joined` | a line: its socket, and what that has lost |
//! | `standing` | how it stands, as reports |
//! | `tell` | what it says in the log |

mod joined;
mod standing;
mod tell;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tautline_feed::format::Format;
use tautline_feed::sequence::{Line, Slots};
use tautline_net::multicast::Peer;
use tautline_net::{Conn, Packet};
use tautline_relay::Publisher;
use tautline_runtime::timer::{self, Timer};

use self::joined::{Joined, join};
use self::standing::Rates;
use self::tell::Teller;
use super::clients::{Hears, ReplayClient, SnapshotClient};
use super::clock::Clock;
use super::config::{GatewayConfig, WireFormat};
use super::run::RunError;
use crate::gateway::{Gateway, Notice, Output, Quote};
use crate::replay::Answer;
use crate::snapshot::Part;

/// A gateway on the loop of this thread.
pub struct Station<F: Format> {
    format: WireFormat,
    teller: Teller,
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
    /// Hears what is worth knowing, before it is logged.
    listener: Box<dyn Fn(&Notice)>,
    /// Sees the books when they have changed.
    observer: RefCell<Option<Observer<F>>>,
    /// What it has seen: updates, and whether the books were sound, and stale.
    observed: Cell<(u64, bool, bool)>,
    own: Weak<Self>,
}

type Observer<F> = Box<dyn FnMut(&Gateway<F, Slots>)>;

/// The timer's own period: it is set anew each time, so that this is only the longest wait.
const PERIOD: Duration = Duration::from_secs(1);
/// Bytes in which packets that came ahead of others are kept.
const STORE: usize = 8 << 20;
/// Bytes of the largest packet that a replay server may send.
const PACKET: usize = u16::MAX as usize - 1;
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
        let buffers = config.buffers.iter().copied().chain(std::iter::repeat(None));
        let peers = config.lines.iter().zip(buffers).map(|(line, buffer)| join(line, buffer));
        let peers = peers.collect::<Result<Vec<Peer>, _>>()?;
        let station = Rc::new_cyclic(|own| Self {
            format: config.format,
            teller: Teller::new(config.format),
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
            let joined = Joined::receive(from.group.to_string(), peer, receive).map_err(failed)?;
            self.lines.borrow_mut().push(joined);
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
            Notice::Snapshot(error) => return self.snapshot.known.note(error),
            Notice::Sound { .. } => self.snapshot.known.recover(),
            _ => {}
        }
        self.teller.tell(notice, self.clock.now(), |line| self.group(line));
    }

    /// The group of a line.
    fn group(&self, line: Line) -> String {
        let lines = self.lines.borrow();
        lines.get(usize::from(line.0)).map_or_else(String::new, |line| line.group().to_owned())
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
        self.lines.borrow().iter().for_each(Joined::close);
        self.publisher.finish();
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
