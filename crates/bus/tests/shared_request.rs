//! Requests between processes.

mod processes;

use std::os::unix::fs::FileExt;
use std::task::Poll;
use std::time::Duration;

use processes::scribbler::find_file;
use processes::{Other, namespace, part, stay, until};
use rustix::event::{PollFd, PollFlags, poll};
use tautline_bus::channel::Channel;
use tautline_bus::completion::TakeError;
use tautline_bus::request::{Config, Orphans, Request, Requests};
use tautline_bus::wakeup::Wakeup;
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

/// Whether the descriptor becomes readable within that time.
fn is_readable(wakeup: &Wakeup, within: Duration) -> bool {
    let mut descriptors = [PollFd::new(wakeup, PollFlags::IN)];
    poll(&mut descriptors, Some(&within.try_into().unwrap())).unwrap() == 1
}

/// A task that serves sleeps while nothing is asked, and is woken by a request.
#[test]
fn a_task_that_serves_sleeps() {
    let namespace = namespace("sleeps");
    let squares = open(&namespace);
    let (mut client, mut server) = (squares.client().unwrap(), squares.server().unwrap());
    let wakeup = Wakeup::between_processes().unwrap();
    assert!(wakeup.arm(|context| server.poll_receive(context)).is_pending());
    assert!(!is_readable(&wakeup, Duration::from_millis(20)), "it is polled without need");
    let call = client.call(7).unwrap();
    assert!(is_readable(&wakeup, LONG));
    match wakeup.arm(|context| server.poll_receive(context)) {
        Poll::Ready(Ok(request)) => request.reply([7, 49]),
        other => panic!("{other:?}"),
    }
    assert_eq!(call.wait(Some(LONG)), Ok([7, 49]));
}

/// One that only waits is told of a request that a dead server has left.
#[test]
fn a_task_is_told_what_the_dead_have_left() {
    let namespace = namespace("left");
    let squares = open(&namespace);
    let mut client = squares.client().unwrap();
    let calls = [1, 2].map(|n| client.call(n).unwrap());
    Other::at("take two", &namespace).kill();
    let mut server = squares.server().unwrap();
    let wakeup = Wakeup::between_processes().unwrap();
    for call in calls {
        assert!(wakeup.arm(|context| server.poll_wait(context)).is_ready());
        server.try_serve(|n| [n, n * n]).unwrap();
        assert!(server.is_redelivered());
        drop(call);
    }
    // The last look finds that there is no more.
    assert_eq!(server.try_receive().map(drop), Err(ReceiveError::Empty));
    assert!(wakeup.arm(|context| server.poll_wait(context)).is_pending());
}

/// A request over which somebody has scribbled is told to the server, and to its caller that nobody
/// answers it.
#[test]
fn a_corrupt_request_is_answered() {
    let namespace = namespace("corrupt");
    let flags = Requests::<[bool; 64], u64, Shared>::open(&namespace, "flags", config()).unwrap();
    let (mut client, mut server) = (flags.client().unwrap(), flags.server().unwrap());
    let call = client.call([true; 64]).unwrap();
    let segment = find_file(std::process::id(), &namespace, "flags").unwrap();
    let mut bytes = vec![0; segment.metadata().unwrap().len() as usize];
    segment.read_exact_at(&mut bytes, 0).unwrap();
    let at = bytes.windows(64).position(|bytes| bytes == [1; 64]).unwrap();
    segment.write_all_at(&[2], at as u64).unwrap();
    assert_eq!(server.try_receive().map(drop), Err(ReceiveError::Corrupt));
    assert_eq!(call.wait(Some(LONG)), Err(TakeError::Abandoned));
    // What comes after it is served.
    let call = client.call([false; 64]).unwrap();
    server.serve(|_| 7).unwrap();
    assert_eq!(call.wait(Some(LONG)), Ok(7));
}
