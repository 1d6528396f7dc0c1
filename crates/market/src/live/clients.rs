//! How a gateway asks for replays and snapshots.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tautline_net::{Conn, Dial, TcpStream};
use tautline_relay::backoff::Backoff;
use tautline_runtime::{now, task, timer};

use super::run::RunError;
use crate::replay::{Answer, Answers, Request};
use crate::snapshot::{self, Part, Parts};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to connect.
const FLOOR: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(2);
/// How often somebody who waits for the next attempt looks whether there is a reason to hurry.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Who hears what the servers answer.
pub(super) trait Hears: 'static {
    /// Of a replay server.
    fn answer(&self, answer: Answer<'_>);
    /// All answers that one read has brought have been told.
    fn answered(&self);
    /// Of a snapshot server.
    fn part(&self, part: Part);
    /// A snapshot does not come to its end.
    fn snapshot_failed(&self);
}

/// What is known of a server.
#[derive(Default)]
pub(super) struct Known {
    /// What it has.
    what: &'static str,
    pub(super) server: String,
    pub(super) connected: Cell<bool>,
    error: RefCell<Option<String>>,
    /// What was told last, unless it is over.
    told: RefCell<Option<String>>,
    /// How often something was told.
    #[cfg(test)]
    news: Cell<u32>,
}

impl Known {
    fn new(what: &'static str, server: &str) -> Self {
        Self { what, server: server.to_owned(), ..Self::default() }
    }

    /// Keeps the last error for the report, and tells it if it is another than before.
    pub(super) fn note(&self, error: &dyn Display) {
        let error = error.to_string();
        if self.told.replace(Some(error.clone())).as_ref() == Some(&error) {
            log::debug!("{} from {}: {error}", self.what, self.server);
        } else {
            log::warn!("{} from {}: {error}", self.what, self.server);
            #[cfg(test)]
            self.news.set(self.news.get() + 1);
        }
        self.error.replace(Some(error));
    }

    /// What went wrong is over: if it happens again it is told again.
    pub(super) fn recover(&self) {
        self.told.take();
    }

    /// There is a connection: what went wrong before is of no interest any more.
    fn connect(&self) {
        self.connected.set(true);
        self.error.take();
    }

    pub(super) fn error(&self) -> Option<String> {
        self.error.borrow().clone()
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed the connection")
}

/// The same, whether the kernel has words of its own for it: what was sent decides that.
fn ended(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::ConnectionReset { closed() } else { error }
}

/// A connection to a replay server, which is made again whenever it is lost.
pub(super) struct ReplayClient {
    pub(super) known: Known,
    conn: RefCell<Option<Conn>>,
    packet: usize,
    /// Requests that were sent.
    pub(super) requests: Cell<u64>,
    /// There is a reason to believe that the server has come back.
    hurries: Cell<bool>,
}

impl ReplayClient {
    /// Of a server whose packets have at most so many bytes.
    pub(super) fn new(server: &str, packet: usize) -> Rc<Self> {
        let (known, conn) = (Known::new("replay", server), RefCell::default());
        Rc::new(Self { known, conn, packet, requests: Cell::default(), hurries: Cell::default() })
    }

    /// Connects, and tells `station` what comes.
    pub(super) fn start(self: &Rc<Self>, station: Weak<impl Hears>) -> Result<(), RunError> {
        task::spawn(self.clone().stay_connected(station))?;
        Ok(())
    }

    /// Asks, if there is anybody to ask: else it is asked for again in a while.
    pub(super) fn ask(&self, request: Request) {
        let Some(conn) = &*self.conn.borrow() else { return };
        match conn.write(&request.encode()) {
            Ok(_) => self.requests.set(self.requests.get() + 1),
            Err(error) => self.known.note(&error),
        }
    }

    /// The next attempt to connect is made soon: the exchange has been heard of again.
    pub(super) fn hurry(&self) {
        self.hurries.set(true);
    }

    async fn stay_connected(self: Rc<Self>, station: Weak<impl Hears>) {
        let seed = now().map_or(0, |now| now.as_nanos());
        let mut backoff = Backoff::new(FLOOR, CAP, seed);
        while station.strong_count() > 0 {
            let begun = now().unwrap_or_default();
            let end = self.connection(&station).await;
            if now().unwrap_or_default().saturating_since(begun) > 2 * PATIENCE {
                self.known.recover(); // it has lasted: that it ends is news
            }
            if let Err(error) = end {
                self.known.note(&error);
            }
            self.conn.take();
            self.known.connected.set(false);
            backoff.note_end(now().unwrap_or_default().saturating_since(begun));
            if self.rest(backoff.next_delay()).await.is_err() {
                return;
            }
        }
    }

    /// Waits for the next attempt to connect.
    async fn rest(&self, delay: Duration) -> Result<(), tautline_runtime::Error> {
        let end = now()? + delay;
        while now()? < end && !self.hurries.take() {
            timer::sleep(LOOK.min(end.saturating_since(now()?))).await?;
        }
        Ok(())
    }

    async fn connection(&self, station: &Weak<impl Hears>) -> io::Result<()> {
        let stream = Dial::new().timeout(PATIENCE).connect(self.known.server.as_str()).await?;
        self.conn.replace(Some(stream.conn().clone()));
        self.hurries.set(false);
        self.known.connect();
        let mut answers = Answers::new(self.packet);
        let mut buffer = vec![0; PIECE];
        loop {
            let (count, bytes) = stream.read(buffer).await;
            let mut input = &bytes[..count.map_err(ended)?];
            let Some(station) = station.upgrade().filter(|_| !input.is_empty()) else {
                return Err(closed());
            };
            self.known.recover();
            while let Some(answer) = answers.next(&mut input).map_err(io::Error::other)? {
                station.answer(answer);
            }
            station.answered();
            buffer = bytes;
        }
    }
}

/// Fetches snapshots, each over a connection of its own: one that is wanted makes an end of those before.
pub(super) struct SnapshotClient {
    pub(super) known: Known,
    /// Snapshots that were wanted.
    wanted: Cell<u64>,
}

impl SnapshotClient {
    pub(super) fn new(server: &str) -> Rc<Self> {
        Rc::new(Self { known: Known::new("snapshot", server), wanted: Cell::default() })
    }

    /// Fetches one, and tells `station` what comes.
    pub(super) fn fetch(self: &Rc<Self>, station: Weak<impl Hears>) {
        self.wanted.set(self.wanted.get() + 1);
        if let Err(error) = task::spawn(self.clone().one(self.wanted.get(), station)) {
            // It is wanted again when the gateway has run out of patience.
            self.known.note(&error);
        }
    }

    async fn one(self: Rc<Self>, number: u64, station: Weak<impl Hears>) {
        let is_wanted = || self.wanted.get() == number;
        let end = self.connection(&is_wanted, &station).await;
        if !is_wanted() {
            return;
        }
        self.known.connected.set(false);
        if let Err(error) = end {
            self.known.note(&error);
            if let Some(station) = station.upgrade() {
                station.snapshot_failed();
            }
        }
    }

    async fn connection(
        &self,
        is_wanted: &impl Fn() -> bool,
        station: &Weak<impl Hears>,
    ) -> io::Result<()> {
        let stream: TcpStream =
            Dial::new().timeout(PATIENCE).connect(self.known.server.as_str()).await?;
        stream.write_all(&snapshot::REQUEST[..]).await.0.map_err(ended)?;
        let mut parts = Parts::new();
        let mut buffer = vec![0; PIECE];
        self.known.connect();
        while is_wanted() {
            let (count, bytes) = stream.read(buffer).await;
            let mut input = &bytes[..count.map_err(ended)?];
            let Some(station) = station.upgrade().filter(|_| !input.is_empty()) else {
                return Err(closed());
            };
            while is_wanted()
                && let Some(part) = parts.next(&mut input).map_err(io::Error::other)?
            {
                station.part(part);
                if matches!(part, Part::End { .. }) {
                    return Ok(());
                }
            }
            buffer = bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tautline_feed::format::Session;
    use tautline_net::TcpListener;
    use tautline_runtime::{Config, DriverChoice, Runtime, sim};

    use super::*;

    /// Hears nothing.
    struct Deaf;

    impl Hears for Deaf {
        fn answer(&self, _: Answer<'_>) {}
        fn answered(&self) {}
        fn part(&self, _: Part) {}
        fn snapshot_failed(&self) {}
    }

    /// What goes wrong at each attempt is told once, also if there is a connection in between; when
    /// one has lasted its end is told again.
    #[test]
    fn the_same_mistake_is_told_once() {
        let world = DriverChoice::Sim(Box::new(sim::Config::new(1)));
        let runtime = Runtime::new(Config { driver: world, ..Config::default() }).unwrap();
        let place: SocketAddr = ([10, 0, 0, 1], 7010).into();
        let (client, station) = (ReplayClient::new(&place.to_string(), 100), Rc::new(Deaf));
        let listener = TcpListener::bind(place).unwrap();
        let (kept, accepted) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
        let (keeps, counts) = (kept.clone(), accepted.clone());
        listener
            .on_accept(move |stream: TcpStream| {
                counts.set(counts.get() + 1);
                if counts.get() == 10 {
                    keeps.replace(Some(stream));
                }
            })
            .unwrap();
        client.start(Rc::downgrade(&station)).unwrap();
        runtime.run_for(Duration::from_secs(2)).unwrap();
        assert!(accepted.get() > 2);
        assert_eq!(client.known.news.get(), 1);
        runtime.run_for(Duration::from_secs(60)).unwrap();
        assert_eq!((accepted.get(), client.known.news.get()), (10, 1));
        kept.take();
        runtime.run_for(Duration::from_secs(10)).unwrap();
        assert!(accepted.get() > 10);
        assert_eq!(client.known.news.get(), 2);
    }

    /// While nobody is there nothing is sent, nor counted as sent; who hears of the exchange again
    /// connects soon, and not when the pause between two attempts is over.
    #[test]
    fn who_hears_of_the_exchange_again_connects_soon() {
        let world = DriverChoice::Sim(Box::new(sim::Config::new(1)));
        let runtime = Runtime::new(Config { driver: world, ..Config::default() }).unwrap();
        let request = Request { session: Session::of_number(1), first: 1, count: 1 };
        for hurries in [true, false] {
            let place: SocketAddr = ([10, 0, 0, 1], 7000 + u16::from(hurries)).into();
            let (client, station) = (ReplayClient::new(&place.to_string(), 100), Rc::new(Deaf));
            client.start(Rc::downgrade(&station)).unwrap();
            runtime.run_for(Duration::from_secs(60)).unwrap();
            client.ask(request);
            assert_eq!((client.requests.get(), client.known.connected.get()), (0, false));
            assert!(client.known.error().is_some());
            let listener = TcpListener::bind(place).unwrap();
            let mut streams = Vec::new();
            listener.on_accept(move |stream: TcpStream| streams.push(stream)).unwrap();
            if hurries {
                client.hurry();
            }
            runtime.run_for(2 * LOOK).unwrap();
            assert_eq!(client.known.connected.get(), hurries);
            runtime.run_for(2 * CAP).unwrap();
            client.ask(request);
            assert_eq!((client.requests.get(), client.known.error()), (1, None));
        }
    }
}
