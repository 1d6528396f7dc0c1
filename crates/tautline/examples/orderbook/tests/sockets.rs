//! The program's own shell against the simulated exchange, over real sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use super::faults;
use crate::connection::{Connection, Failure, Orders, Place};
use crate::exchange::{Account, Course, Exchange, Faults, Over};
use crate::report::differences;
use crate::sequence::Counters;
use crate::shell::follow_all;

const CONNECTIONS: u64 = 16;
const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

const OVERS: [Over; 3] = [Over::Lines, Over::Ws, Over::Wss];

fn orders(places: &[Place]) -> Orders {
    Orders {
        places: places.to_vec(),
        tls: None,
        symbols: SYMBOLS.map(str::to_owned).to_vec(),
        hold: 4096,
        run_for: Some(Duration::from_secs(60)),
        tables: false,
    }
}

fn course(seed: u64, updates: u64, faults: Faults) -> Course {
    Course { seed, symbols: SYMBOLS.map(str::to_owned).to_vec(), updates, faults }
}

/// Both sides of each connection when all is over.
fn run(course: &Course, rate: u64, over: Over) -> Vec<(Account, Connection)> {
    let exchange = Exchange::start(course, CONNECTIONS, rate, over).expect("sockets on loopback");
    let tls = exchange.tls().expect("a certificate");
    let connections = follow_all(Orders { tls, ..orders(exchange.places()) });
    let connections = connections.expect("threads and sockets");
    for Connection { place, end, .. } in &connections {
        assert!(end.is_ok(), "{place}: {end:?}");
    }
    exchange.finish().expect("all clients stay to the end").into_iter().zip(connections).collect()
}

fn counters(connection: &Connection) -> Counters {
    let mut all = Counters::default();
    connection.feed.markets().iter().for_each(|market| all.add(market.counters()));
    all
}

/// Every line that the exchange sent was read, and every increment applied has a latency.
fn check_accounts(Account { place, dealt, .. }: &Account, connection: &Connection) {
    let subscribed = u64::from(matches!(place, Place::WebSocket(_)));
    let sent = dealt.updates - dealt.dropped + dealt.repeated + dealt.snapshots + subscribed;
    assert_eq!(connection.feed.lines(), sent + SYMBOLS.len() as u64);
    let latencies = connection.feed.latencies();
    let recorded = latencies.live.count() + latencies.held.count();
    assert_eq!(recorded, counters(connection).applied);
}

/// Proves that sixteen connections whose increments are dropped, repeated and swapped end with
/// exactly the exchange's books, and that there was something to repair on each of them.
#[test]
fn every_book_is_the_exchanges_own() {
    for (seed, over) in [11, 12, 13].into_iter().zip(OVERS) {
        let faults = Faults { drop: 0.01, repeat: 0.02, swap: 0.01 };
        let mut all_duplicates = 0;
        for (account, connection) in run(&course(seed, 3000, faults), 3000, over) {
            let found = differences(&account, &connection.feed);
            assert!(found.is_empty(), "seed {seed}: {found:?}");
            let dealt = account.dealt;
            assert!(dealt.dropped > 0 && dealt.repeated > 0 && dealt.swapped > 0, "{dealt:?}");
            let Counters { applied, duplicates, gaps, snapshots, .. } = counters(&connection);
            assert!(applied > 0 && gaps > 0, "seed {seed}: {connection:?}");
            assert!(snapshots > SYMBOLS.len() as u64, "seed {seed}: {connection:?}");
            all_duplicates += duplicates;
            check_accounts(&account, &connection);
        }
        assert!(all_duplicates > 0, "seed {seed}");
    }
}

/// Proves that a sound stream is followed without a second snapshot, whatever its speed: no
/// increment is taken for lost or repeated.
#[test]
fn a_sound_stream_needs_one_snapshot() {
    let course = course(14, 2000, Faults::default());
    for (account, connection) in OVERS.iter().flat_map(|over| run(&course, u64::MAX, *over)) {
        assert_eq!(differences(&account, &connection.feed), [""; 0]);
        let Counters { duplicates, gaps, overlaps, overflows, snapshots, .. } =
            counters(&connection);
        assert_eq!([duplicates, gaps, overlaps, overflows, snapshots], [0, 0, 0, 0, 2]);
        check_accounts(&account, &connection);
    }
}

/// Proves that the comparison finds a book that is wrong, one that is behind, and one that is
/// missing.
#[test]
fn wrong_books_are_found() {
    let faults = faults(&mut fastrand::Rng::with_seed(3));
    for (mut account, connection) in run(&course(15, 20, faults), u64::MAX, Over::Lines) {
        assert_eq!(differences(&account, &connection.feed), [""; 0]);
        account.books[0].levels.bids.pop();
        assert_eq!(differences(&account, &connection.feed).len(), 1);
        account.books[0].last += 1;
        account.books[1].symbol.push('X');
        assert_eq!(differences(&account, &connection.feed).len(), 2);
    }
}

/// A peer that sends this and closes, when it has had the first requests.
fn peer(text: &'static [u8]) -> Place {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.read_exact(&mut [0; 40]).expect("requests");
        // The client may have closed in the middle of it.
        let _ = stream.write_all(text);
    });
    Place::Lines(address)
}

/// Where nobody listens.
fn nobody() -> Place {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    Place::Lines(listener.local_addr().expect("a bound socket"))
}

/// Proves that a connection that is refused, closed, broken off in a line or fed with garbage
/// ends with an error that names the line, and that the others go on to their end.
#[test]
fn failures_end_their_own_connection_alone() {
    let course = course(16, 200, Faults::default());
    let exchange = Exchange::start(&course, 2, 1000, Over::Lines).expect("sockets");
    const LINE: &[u8] = b"{\"e\":\"end\",\"s\":\"BTCUSDT\",\"u\":5}\n{\"e\"";
    let mut places = exchange.places().to_vec();
    places.extend([nobody(), peer(&LINE[..33]), peer(LINE), peer(b"HTTP/1.1 400 No\n")]);
    let connections = follow_all(orders(&places)).expect("threads and sockets");
    for (account, connection) in exchange.finish().expect("clients stay").iter().zip(&connections) {
        assert_eq!(differences(account, &connection.feed), [""; 0]);
    }
    let ends: Vec<_> = connections.into_iter().map(|connection| connection.end).collect();
    let [Ok(()), Ok(()), Err(refused), Err(closed), Err(cut), Err(garbage)] = &ends[..] else {
        panic!("{ends:?}");
    };
    assert!(matches!(refused, Failure::Connect(_)), "{refused}");
    // A peer that closes with requests unread resets the connection.
    for failure in [closed, cut] {
        let (Failure::Closed { line } | Failure::Broken { line, .. }) = failure else {
            panic!("{failure}");
        };
        assert!(*line <= 1, "{failure}");
    }
    assert!(garbage.to_string().starts_with("line 1 (byte 0)"), "{garbage}");
}

/// A server that opens a WebSocket, has the first request, says this and closes in order.
fn web_peer(said: &'static str) -> Place {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut socket = tungstenite::accept(stream).expect("a WebSocket");
        socket.read().expect("a request");
        // The client may have closed in the middle of it.
        let _ = socket.send(tungstenite::Message::text(said));
        let _ = socket.close(None);
        while socket.read().is_ok() {}
    });
    Place::WebSocket(format!("ws://{address}/"))
}

/// Proves that the same holds for WebSockets, and for what is none.
#[test]
fn failures_of_websockets_are_named() {
    let web = |place| match place {
        Place::Lines(address) => Place::WebSocket(format!("ws://{address}/")),
        web @ Place::WebSocket(_) => web,
    };
    let places = [
        web(nobody()),
        web(peer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")),
        web_peer(r#"{"result":null,"id":1}"#),
        web_peer("<html>"),
        web_peer(r#"{"id":2,"error":{"code":-1121,"msg":"Invalid symbol."}}"#),
    ];
    let ends: Vec<String> = follow_all(orders(&places))
        .expect("threads and sockets")
        .into_iter()
        .map(|connection| connection.end.expect_err("a failure").to_string())
        .collect();
    let expected = ["Connection refused", "404", "after line 1", "line 1 (byte 0)", "-1121"];
    for (end, expected) in ends.iter().zip(expected) {
        assert!(end.contains(expected), "{end}: {expected}");
    }
}

/// Proves that a line without an end is given up instead of being kept.
#[test]
fn endless_lines_are_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        while stream.write_all(&[b'['; 1 << 16]).is_ok() {}
    });
    let mut connections =
        follow_all(orders(&[Place::Lines(address)])).expect("threads and sockets");
    let end = connections.pop().expect("one connection").end;
    assert!(matches!(end, Err(Failure::TooLong { line: 1 })), "{end:?}");
}

/// Proves that silent exchanges, more than there are stacks by default, are all asked, and left
/// when the time is over, and that this is no failure.
#[test]
fn the_time_ends_everything() {
    // Nobody accepts before all is over, and a backlog holds 128.
    const EACH: usize = 50;
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listeners = [bind(), bind(), bind(), bind()];
    let address = |listener: &TcpListener| listener.local_addr().expect("a bound socket");
    let places: Vec<_> =
        listeners.iter().flat_map(|one| vec![Place::Lines(address(one)); EACH]).collect();
    let run_for = Some(Duration::from_millis(500));
    let connections = follow_all(Orders { run_for, ..orders(&places) }).expect("sockets");
    assert_eq!(connections.len(), places.len());
    for Connection { feed, end, .. } in &connections {
        assert!(end.is_ok() && !feed.is_complete(), "{end:?}");
    }
    for listener in &listeners {
        listener.set_nonblocking(true).expect("a socket");
        for _ in 0..EACH {
            let (mut stream, _) = listener.accept().expect("each has connected");
            let mut requests = String::new();
            stream.read_to_string(&mut requests).expect("the client has closed");
            assert_eq!(requests.lines().count(), SYMBOLS.len());
        }
    }
}
