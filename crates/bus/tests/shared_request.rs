//! Requests between processes.

mod processes;

use std::time::Duration;

use processes::{Other, namespace, part, stay, until};
use tautline_bus::channel::Channel;
use tautline_bus::completion::TakeError;
use tautline_bus::request::{Config, Orphans, Request, Requests};
use tautline_bus::{Full, OpenError, ReceiveError, Shared};

type Squares = Requests<u64, [u64; 2], Shared>;
const SHORT: Duration = Duration::from_millis(1);
/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);

fn config() -> Config {
    let (full, patience) = (Full::Block(Some(LONG)), Some(LONG));
    Config { clients: 3, outstanding: 4, full, patience, ..Config::default() }
}

fn open(namespace: &str) -> Squares {
    Squares::open(namespace, "squares", config()).unwrap()
}

fn open_failing(namespace: &str) -> Squares {
    let config = Config { orphans: Orphans::Lose, ..config() };
    Squares::open(namespace, "failing", config).unwrap()
}

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    let squares = if part.ends_with("fail") { open_failing } else { open }(&namespace);
    match part.as_str() {
        "serve" => {
            let mut server = squares.server().unwrap();
            println!("\nready");
            while server.serve(|n| [n, n * n]).is_ok() {}
        }
        "take two" | "take two and fail" => {
            let mut server = squares.server().unwrap();
            let _two = (server.receive().unwrap(), server.receive().unwrap());
            stay();
        }
        "take one and answer" => {
            let mut server = squares.server().unwrap();
            server.serve(|n| [n, n * n]).unwrap();
            stay();
        }
        "ask three" => {
            let mut client = squares.client().unwrap();
            let _calls = [1, 2, 3].map(|n| client.call(n).unwrap());
            client.tell(4).unwrap();
            stay();
        }
        other => panic!("there is no part {other}"),
    }
}

/// Requests of several clients are answered by another process, each to its own.
#[test]
fn answers_cross() {
    let namespace = namespace("cross");
    let server = Other::at("serve", &namespace);
    let squares = open(&namespace);
    std::thread::scope(|scope| {
        for id in 0..2 {
            let mut client = squares.client().unwrap();
            scope.spawn(move || {
                for n in (id..20_000).step_by(2) {
                    assert_eq!(client.request(n), Ok([n, n * n]));
                }
                let calls = [5, 6, 7].map(|n| client.call(n).unwrap());
                for (call, n) in calls.into_iter().zip(5..) {
                    assert_eq!(call.wait(Some(LONG)), Ok([n, n * n]));
                }
            });
        }
    });
    server.kill();
    let error = Requests::<u64, u64, Shared>::open(&namespace, "squares", config());
    assert!(matches!(error, Err(OpenError::Mismatch { .. })), "{error:?}");
    let error = Channel::<u64, Shared>::open(&namespace, "squares", Default::default());
    assert!(matches!(error, Err(OpenError::Mismatch { .. })), "{error:?}");
}

/// What a server had taken and not answered when it was killed goes to the next, marked; what it had
/// not taken, unmarked. The clients wait all the time.
#[test]
fn the_next_server_takes_over() {
    let namespace = namespace("over");
    let squares = open(&namespace);
    let mut client = squares.client().unwrap();
    let calls = [1, 2, 3].map(|n| client.call(n).unwrap());
    Other::at("take two", &namespace).kill();
    let mut server = squares.server().unwrap();
    let mut met = Vec::new();
    for _ in 0..3 {
        let Request { message, ticket } = server.receive().unwrap();
        assert!(ticket.is_wanted());
        assert_eq!(server.is_redelivered(), ticket.is_redelivered());
        met.push((message, ticket.is_redelivered()));
        ticket.reply([message, message * message]);
    }
    met.sort_unstable();
    assert_eq!(met, [(1, true), (2, true), (3, false)]);
    for (call, n) in calls.into_iter().zip(1..) {
        assert_eq!(call.wait(Some(LONG)), Ok([n, n * n]));
    }
    assert!(server.try_receive().is_err());
    // One that was answered does not come again.
    let call = client.call(9).unwrap();
    drop(server);
    let other = Other::at("take one and answer", &namespace);
    assert_eq!(call.wait(Some(LONG)), Ok([9, 81]));
    other.kill();
    let mut server = squares.server().unwrap();
    assert_eq!(server.receive_timeout(SHORT).map(drop), Err(ReceiveError::TimedOut));
}

/// Or the callers are told, where that was agreed; one that waits notices the death itself.
#[test]
fn calls_of_the_dead_fail_by_policy() {
    let namespace = namespace("fail");
    let squares = open_failing(&namespace);
    let mut client = squares.client().unwrap();
    let [one, two, three] = [1, 2, 3].map(|n| client.call(n).unwrap());
    Other::at("take two and fail", &namespace).kill();
    assert_eq!(one.wait(Some(LONG)), Err(TakeError::Abandoned));
    assert_eq!(two.wait(Some(LONG)), Err(TakeError::Abandoned));
    let mut server = squares.server().unwrap();
    server.serve(|n| [n, 0]).unwrap();
    assert_eq!(three.wait(Some(LONG)), Ok([3, 0]));
}

/// A client that is killed leaves its slots and its seat; what it has asked is served, and the answer
/// meets nobody.
#[test]
fn a_dead_client_leaves_its_slots() {
    let namespace = namespace("client");
    let squares = open(&namespace);
    let mut server = squares.server().unwrap();
    let asker = Other::at("ask three", &namespace);
    let early = server.receive().unwrap();
    assert_eq!(early.message, 1);
    asker.kill();
    until("its seat is not free", || {
        _ = server.receive_timeout(Duration::ZERO).map(|request| assert!(request.message > 1));
        (squares.users() == [0, 1]).then_some(())
    });
    assert!(!early.ticket.is_wanted());
    // The next client of the seat has all slots but the one of the request that is served.
    let mut client = squares.client().unwrap();
    let calls: Vec<_> = (10..13).map(|n| client.call(n).unwrap()).collect();
    early.reply([0, 0]);
    let last = client.call(13).unwrap();
    while let Ok(request) = server.receive_timeout(SHORT) {
        let n = request.message;
        assert_eq!(request.ticket.is_wanted(), n >= 10);
        request.reply([n, n]);
    }
    for (call, n) in calls.into_iter().chain([last]).zip(10..) {
        assert_eq!(call.wait(Some(LONG)), Ok([n, n]));
    }
}

/// Calls that are given up at each stage free their slots, and requests that nobody waits for are
/// told apart.
#[test]
fn calls_that_are_given_up_free_their_slots() {
    let namespace = namespace("given-up");
    let squares = open(&namespace);
    let mut client = squares.client().unwrap();
    // Before it is taken, and with a server that then dies.
    drop(client.call(1).unwrap());
    let (kept, given_up) = (client.call(2).unwrap(), client.call(3).unwrap());
    Other::at("take two", &namespace).kill();
    let mut server = squares.server().unwrap();
    drop(given_up);
    let mut met = Vec::new();
    while let Ok(request) = server.receive_timeout(Duration::from_millis(20)) {
        met.push((request.message, request.ticket.is_wanted()));
        request.reply([0, 0]);
    }
    met.sort_unstable();
    // The first was only told, to the one that died.
    assert_eq!(met, [(2, true), (3, false)]);
    assert_eq!(kept.wait(Some(LONG)), Ok([0, 0]));
    for _ in 0..3 {
        let calls = [(); 4].map(|()| client.call(9).unwrap());
        drop(calls);
        while server.receive_timeout(SHORT).is_ok() {}
    }
    let mut call = client.call(7).unwrap();
    assert_eq!(call.wait_for(SHORT), Err(TakeError::TimedOut));
}
