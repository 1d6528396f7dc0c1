//! The demonstration: the built-in feed, the relay, and a thread of checking subscribers.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use tautline_net::TcpStream;
use tautline_runtime::{Config, Runtime};

use super::relay::{Relay, peers};
use crate::config::{DemoConfig, RelayConfig};
use crate::demo::{CheckReport, Checker};
use crate::endpoint::{Destination, EndpointError, Source};
use crate::framing::{Deframer, Framing, FramingError};
use crate::run::RunError;
use crate::stats::{Snapshot, Summary};

/// Packets that each subscriber's queue holds: seconds of the default rate, since a machine that
/// is busy for a moment shall not spoil the demonstration.
const QUEUE: usize = 4096;
/// Packets that the relay holds.
const SLOTS: usize = 8192;

/// Runs feed, relay and subscribers until the time is over.
pub(crate) fn demonstrate(
    config: &DemoConfig,
    report: &mut dyn FnMut(&Snapshot),
) -> Result<Summary, RunError> {
    let what = describe(config).map_err(|error| RunError::Subscribers(error.to_string()))?;
    let runtime = what.host.start(peers(&what))?;
    let relay = Relay::open(&runtime, &what)?;
    let crowd = gather(&relay, config)?;
    relay.start()?;
    let mut summary = relay.run(Some(config.run_for), report, None)?;
    match crowd.reports(relay.written()) {
        Ok(check) => summary.check = Some(check),
        Err(error) => return Err(error.after(summary)),
    }
    Ok(summary)
}

/// Starts the subscribers, and waits until all of them are here.
fn gather(relay: &Relay<'_>, config: &DemoConfig) -> Result<Crowd, RunError> {
    let door = &relay.destinations()[0];
    let address = door.tally().bound();
    let address = address.ok_or_else(|| RunError::Subscribers("nobody listens".to_owned()))?;
    let crowd = Crowd::start(address, config)?;
    let (tally, all) = (door.tally(), u64::from(config.subscribers));
    // Either side may run out of descriptors: then the other one waits in vain.
    relay.run_until(|| tally.peers() == all || tally.error().is_some() || crowd.has_ended())?;
    if crowd.has_ended() {
        crowd.reports(0)?;
        return Err(RunError::Subscribers("they left".to_owned()));
    }
    tally.error().map_or(Ok(crowd), |error| Err(RunError::Subscribers(error)))
}

/// The relay between feed and subscribers.
fn describe(config: &DemoConfig) -> Result<RelayConfig, EndpointError> {
    let feed = &config.feed;
    let from = format!("demo:?rate={}&size={}", feed.rate, feed.size).parse::<Source>()?;
    let to =
        format!("tcp-listen://127.0.0.1:0?queue={QUEUE},64MiB&subscribers={}", config.subscribers);
    Ok(RelayConfig {
        from,
        to: vec![to.parse::<Destination>()?],
        run_for: Some(config.run_for),
        host: config.host,
        slots: SLOTS,
    })
}

/// The subscribers' thread.
struct Crowd(JoinHandle<io::Result<Vec<Checker>>>);

impl Crowd {
    fn start(relay: SocketAddr, config: &DemoConfig) -> Result<Self, RunError> {
        let (count, size) = (config.subscribers, config.feed.size);
        let thread = thread::Builder::new().name("subscribers".to_owned());
        thread
            .spawn(move || subscribe(relay, count as usize, size))
            .map(Self)
            .map_err(|error| RunError::Subscribers(error.to_string()))
    }

    fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// What all of them saw of a feed of `written` packets. Waits until the last one has seen the
    /// end of its stream.
    fn reports(self, written: u64) -> Result<CheckReport, RunError> {
        let checkers = match self.0.join() {
            Ok(result) => result.map_err(|error| RunError::Subscribers(super::explain(&error)))?,
            Err(_) => return Err(RunError::Subscribers("their thread panicked".to_owned())),
        };
        let mut sum = CheckReport::default();
        checkers.iter().for_each(|checker| sum.add(&checker.finish(written)));
        Ok(sum)
    }
}

/// One subscriber: its stream cut into packets, each of which is checked.
struct Subscriber {
    deframer: Deframer,
    checker: Checker,
}

impl Subscriber {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), FramingError> {
        while let Some(packet) = self.deframer.next(&mut bytes)? {
            self.checker.check(packet);
        }
        Ok(())
    }
}

/// Connects `count` subscribers and lets them receive until the relay ends their streams.
fn subscribe(relay: SocketAddr, count: usize, size: usize) -> io::Result<Vec<Checker>> {
    let config =
        Config { descriptors: count + 64, operations: 2 * count + 64, ..Config::default() };
    let runtime = Runtime::new(config)?;
    let here = Rc::new(Cell::new(count));
    let mut subscribers = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = runtime.block_on(TcpStream::connect(relay))??;
        subscribers.push(receive(stream, size, &here)?);
    }
    runtime.run_until(|| here.get() == 0)?;
    Ok(subscribers.iter().map(|subscriber| subscriber.borrow().checker.clone()).collect())
}

/// Gives a subscriber to the loop; it leaves `here` at the end of its stream.
fn receive(
    stream: TcpStream,
    size: usize,
    here: &Rc<Cell<usize>>,
) -> io::Result<Rc<RefCell<Subscriber>>> {
    let deframer = Deframer::new(Framing::Rfc4571, size);
    let subscriber = Subscriber { deframer, checker: Checker::from_start() };
    let subscriber = Rc::new(RefCell::new(subscriber));
    let (receiver, here) = (subscriber.clone(), here.clone());
    let conn = stream
        .on_data(move |_, bytes| receiver.borrow_mut().take(bytes).map_err(io::Error::other))?;
    conn.on_close(move |_, _| here.set(here.get() - 1));
    Ok(subscriber)
}
