//! The only part that waits: a fiber for each connection, and one that tells of all of them.
//!
//! All of them run on one thread, between calls that wait. So they look at each other's books
//! without a lock, and end each other in the middle of a call.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tautline::fiber::net::{Signal, Signals, TcpStream, list_on};
use tautline::fiber::{self, JoinError, Scope, Stack, StackClass, StackSizes};
use tautline::websocket::read::Event;
use tautline::websocket::{Client, CloseCode, SendError};
use tautline::{Config, Runtime};

use crate::connection::{Connection, Failure, LONGEST_LINE, Orders, Place};
use crate::feed::{Dialect, Feed};
use crate::latency::since_1970;
use crate::report;

/// From one table to the next.
const TABLE: Duration = Duration::from_secs(1);

/// What the follower of a connection shares with those who look at it. It is never borrowed
/// while something is waited for.
type Shared = RefCell<Feed>;

/// Follows all addresses until their streams have ended, the time is over, or Ctrl-C is pressed.
/// SIGUSR1 has the fibers listed.
/// What goes wrong with one of them is told at once, and ends that one alone.
pub(crate) fn follow_all(orders: Orders) -> io::Result<Vec<Connection>> {
    let runtime = Runtime::new(config(orders.places.len()))?;
    let interrupts = Signals::new([Signal::INTERRUPT, Signal::TERMINATE])?;
    list_on(Signal::USER_1)?;
    runtime.run_fiber(Stack::Medium, move || {
        let feeds: Vec<(Place, Shared)> =
            orders.places.iter().map(|place| (place.clone(), shared(place, &orders))).collect();
        let client = client(&orders);
        let ends = fiber::scope(|scope| {
            let ends = run(scope, &feeds, &orders, &client, interrupts);
            // Those that watch go on for ever.
            scope.cancel();
            ends
        })??;
        let connection = |((place, feed), end): ((_, Shared), _)| Connection {
            place,
            feed: feed.into_inner(),
            end,
        };
        Ok(feeds.into_iter().zip(ends).map(connection).collect())
    })?
}

fn shared(place: &Place, orders: &Orders) -> Shared {
    let dialect = match place {
        Place::Lines(_) => Dialect::Lines,
        Place::WebSocket(_) => Dialect::WebSocket,
    };
    RefCell::new(Feed::new(&orders.symbols, orders.hold, dialect))
}

/// What all WebSockets share.
fn client(orders: &Orders) -> Client {
    match &orders.tls {
        Some(connector) => Client::new().tls(connector.clone()),
        None => Client::new(),
    }
}

/// With a stack for each connection, as none of them shall wait for another to end, one for
/// [`watch`], and one for the fiber that waits for all.
fn config(connections: usize) -> Config {
    let sizes = StackSizes::default();
    let medium = StackClass { count: connections + 2, ..sizes.medium };
    Config { stacks: StackSizes { medium, ..sizes }, ..Config::default() }
}

/// A fiber for each connection, and those that watch over them. How each connection has ended.
fn run<'scope>(
    scope: &'scope Scope<'scope, '_>,
    feeds: &'scope [(Place, Shared)],
    orders: &'scope Orders,
    client: &'scope Client,
    mut interrupts: Signals,
) -> io::Result<Vec<Result<(), Failure>>> {
    let mut followers = Vec::new();
    for (place, feed) in feeds {
        followers.push(scope.spawn(Stack::Medium, || follow_and_tell(place, client, feed))?);
    }
    let watch = scope.spawn(Stack::Medium, || watch(scope, feeds, orders.tables))?;
    let _ = scope.spawn(Stack::Small, move || {
        if interrupts.recv().is_ok() {
            scope.cancel();
        }
    })?;
    if let Some(time) = orders.run_for {
        let _ = scope.spawn(Stack::Small, move || {
            if fiber::sleep(time).is_ok() {
                scope.cancel();
            }
        })?;
    }
    let ends = followers.into_iter().map(|follower| match follower.join() {
        Ok(end) => end,
        // The time was over.
        Err(JoinError::Cancelled) => Ok(()),
        Err(error) => Err(Failure::Panicked(error.to_string())),
    });
    let ends = ends.collect();
    watch.cancel();
    match watch.join() {
        Ok(Err(error)) => Err(error),
        _ => Ok(ends),
    }
}

fn follow_and_tell(place: &Place, client: &Client, feed: &Shared) -> Result<(), Failure> {
    let end = match place {
        Place::Lines(address) => follow_lines(*address, feed),
        Place::WebSocket(url) => follow_messages(client, url, feed),
    };
    if let Err(failure) = &end {
        feed.borrow_mut().break_off();
        eprintln!("orderbook: {place}: {failure}");
    }
    end
}

/// One connection, from its first request to the end of its streams.
fn follow_lines(address: SocketAddr, feed: &Shared) -> Result<(), Failure> {
    let stream = TcpStream::connect(address).map_err(Failure::Connect)?;
    let broken = |error| Failure::Broken { line: feed.borrow().lines(), error };
    stream.set_nodelay(true).map_err(broken)?;
    let mut reader = BufReader::new(&stream);
    let mut line = Vec::new();
    while !feed.borrow().is_complete() {
        let requests = feed.borrow_mut().take_requests();
        stream.write_all(requests.as_bytes()).map_err(broken)?;
        line.clear();
        let read = reader.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line);
        let before = feed.borrow().lines();
        match read.map_err(broken)? {
            _ if line.ends_with(b"\n") => feed.borrow_mut().line(&line)?,
            LONGEST_LINE => return Err(Failure::TooLong { line: before + 1 }),
            _ => return Err(Failure::Closed { line: before }),
        }
        feed.borrow_mut().applied_at(since_1970());
    }
    Ok(())
}

/// The same over a WebSocket.
fn follow_messages(client: &Client, url: &str, feed: &Shared) -> Result<(), Failure> {
    let opened =
        fiber::wait(client.connect(url)).map_err(|error| Failure::Connect(error.into()))?;
    let mut socket = opened.map_err(|error| Failure::Open(error.to_string()))?;
    let broken = |error| Failure::Broken { line: feed.borrow().lines(), error };
    let sender = socket.sender();
    while !feed.borrow().is_complete() {
        let requests = feed.borrow_mut().take_requests();
        let sent = requests.lines().try_for_each(|request| sender.send(request));
        sent.map_err(|error: SendError| broken(error.into()))?;
        match socket.wait_read().map_err(broken)? {
            Some(Event::Text(text)) => feed.borrow_mut().line(text.as_bytes())?,
            Some(Event::Binary(bytes)) => feed.borrow_mut().line(bytes)?,
            // Pings are answered already.
            Some(_) => continue,
            None => return Err(Failure::Closed { line: feed.borrow().lines() }),
        }
        feed.borrow_mut().applied_at(since_1970());
    }
    // Whoever has gone need not be told.
    let _ = sender.close(CloseCode::NORMAL, "");
    while let Ok(Some(_)) = socket.wait_read() {}
    Ok(())
}

/// Prints the books once a second.
fn watch<'scope>(
    scope: &'scope Scope<'scope, '_>,
    feeds: &[(Place, Shared)],
    tables: bool,
) -> io::Result<()> {
    for seconds in 1.. {
        fiber::sleep(TABLE)?;
        let rows = feeds.iter().map(|(place, feed)| report::rows(place, &feed.borrow()));
        let table = report::table(&format!("after {seconds} s"), rows);
        if tables && let Err(error) = io::stdout().write_all(table.as_bytes()) {
            // Nobody reads what is found out.
            scope.cancel();
            return Err(error);
        }
    }
    Ok(())
}
