//! Handlers that look themselves whether there is something: while a loop spins, those of busy
//! descriptors are called in every turn.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{REAL, small};
use socket2::{Domain, SockAddr, Type};
use tautline_runtime::{Batch, Config, Conn, Descriptor, Drained, Runtime, To, WaitMode};

/// Longest wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket of which a handler takes one datagram at each call, and the one that sends to it.
struct Line {
    sender: Descriptor,
    addr: SockAddr,
    conn: Conn,
    calls: Rc<Cell<u32>>,
    taken: Rc<Cell<u32>>,
    /// The handler takes nothing as long as it is called in every turn.
    blind: Rc<Cell<bool>>,
}

impl Line {
    fn new() -> Self {
        let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
        let udp = || Descriptor::socket(Domain::IPV4, Type::DGRAM, None).unwrap();
        let (sender, receiver) = (udp(), udp());
        receiver.bind(&any.into()).unwrap();
        let addr = receiver.conn().local_addr().unwrap();
        let (calls, taken, blind) =
            (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let batch = RefCell::new(Batch::new(1, 64));
        let (count, took, is_blind) = (calls.clone(), taken.clone(), blind.clone());
        let look = move |conn: &Conn| {
            count.set(count.get() + 1);
            if (is_blind.get() && conn.is_hot()) || batch.borrow_mut().receive(conn).is_err() {
                return Ok(Drained::Yes);
            }
            took.set(took.get() + 1);
            Ok(if conn.is_hot() { Drained::Yes } else { Drained::No })
        };
        let conn = receiver.on_maybe_readable(look).unwrap();
        Self { sender, addr, conn, calls, taken, blind }
    }

    fn send(&self, datagrams: usize) {
        let mut batch = Batch::new(datagrams, 64);
        (0..datagrams).for_each(|_| batch.push(b"x", None).unwrap());
        assert_eq!(batch.send(self.sender.conn(), 0, To::All(&self.addr)).unwrap(), datagrams);
    }
}

/// Sends so many datagrams on each line in turn, each after the one before was taken.
fn feed(runtime: &Runtime, lines: &[&Line], datagrams: usize) {
    for _ in 0..datagrams {
        for line in lines {
            let before = line.taken.get();
            line.send(1);
            let until = Instant::now() + PATIENCE;
            while line.taken.get() == before {
                assert!(Instant::now() < until, "a datagram was not taken");
                runtime.poll_once().unwrap();
            }
        }
    }
}

/// Feeds a line, one datagram after the other, until it is hot.
fn make_hot(runtime: &Runtime, line: &Line) {
    let until = Instant::now() + PATIENCE;
    while !line.conn.is_hot() {
        assert!(Instant::now() < until, "it does not become hot");
        feed(runtime, &[line], 1);
    }
}

fn turns(runtime: &Runtime, turns: usize) {
    for _ in 0..turns {
        runtime.poll_once().unwrap();
    }
}

/// A runtime on each real driver.
fn everywhere(wait: WaitMode, hot: usize, test: impl Fn(&Runtime)) {
    for driver in REAL {
        test(&Runtime::new(Config { driver, wait, hot, ..small() }).unwrap());
    }
}

/// The handler of a busy descriptor finds what came without the driver, and is called in every turn.
#[test]
fn busy_handlers_look_themselves() {
    everywhere(WaitMode::Spin, 1, |runtime| {
        let line = Line::new();
        assert!(!line.conn.is_hot());
        feed(runtime, &[&line], 32);
        assert!(line.conn.is_hot());
        let before = (line.calls.get(), runtime.metrics().engine.completions);
        turns(runtime, 10);
        feed(runtime, &[&line], 100);
        assert!(line.calls.get() >= before.0 + 110);
        assert_eq!(runtime.metrics().engine.completions, before.1, "the driver was asked");
    });
}

/// As many as may be hot are, also when they are busy in turn; one more, and none is.
#[test]
fn those_that_take_turns_become_hot() {
    for lines in [2, 3] {
        everywhere(WaitMode::Spin, 2, |runtime| {
            let all: Vec<_> = (0..lines).map(|_| Line::new()).collect();
            let all: Vec<_> = all.iter().collect();
            feed(runtime, &all, 32);
            let hot = all.iter().filter(|line| line.conn.is_hot()).count();
            assert_eq!(hot, if lines == 2 { 2 } else { 0 }, "of {lines}");
            feed(runtime, &all, 32);
        });
    }
}

/// What a look leaves is found by the next ones, a burst by as many as it has datagrams.
#[test]
fn what_a_look_leaves_is_found() {
    everywhere(WaitMode::Spin, 1, |runtime| {
        let line = Line::new();
        feed(runtime, &[&line], 32);
        line.send(20);
        let turns = (0..1_000).take_while(|_| {
            runtime.poll_once().unwrap();
            line.taken.get() < 52
        });
        assert!(turns.count() < 1_000, "{} of 52", line.taken.get());
    });
}

/// Looks that find nothing let the loop fall asleep, what was left wakes it, and what comes later
/// is told as ever.
#[test]
fn looks_keep_no_loop_awake() {
    let wait = WaitMode::Warm { spin_for: Duration::from_millis(20) };
    everywhere(wait, 1, |runtime| {
        let line = Line::new();
        make_hot(runtime, &line);
        // The looks overlook it; the poll that follows them does not.
        let (taken, sleeps) = (line.taken.get(), runtime.metrics().sleeps);
        line.blind.set(true);
        line.send(1);
        let until = Instant::now() + PATIENCE;
        runtime.run_until(|| line.taken.get() > taken || Instant::now() > until).unwrap();
        assert_eq!(line.taken.get(), taken + 1);
        runtime.run_for(Duration::from_millis(100)).unwrap();
        assert!(runtime.metrics().sleeps > sleeps);
        assert!(!line.conn.is_hot());
        let calls = line.calls.get();
        runtime.run_for(Duration::from_millis(50)).unwrap();
        assert_eq!(line.calls.get(), calls, "it looks while the loop sleeps");
        feed(runtime, &[&line], 1);
    });
}

/// A descriptor that is paused is not looked at, and its datagrams are there when it goes on.
#[test]
fn paused_handlers_do_not_look() {
    everywhere(WaitMode::Spin, 1, |runtime| {
        let line = Line::new();
        feed(runtime, &[&line], 32);
        line.conn.pause();
        let calls = line.calls.get();
        line.send(3);
        turns(runtime, 100);
        assert_eq!((line.calls.get(), line.conn.is_hot()), (calls, false));
        line.conn.resume().unwrap();
        let until = Instant::now() + PATIENCE;
        while line.taken.get() < 35 {
            assert!(Instant::now() < until, "{} of 35", line.taken.get());
            runtime.poll_once().unwrap();
        }
    });
}

/// A program that turns the loop itself, now and then, hears of what came: neither spinning nor
/// sleeping, the loop leaves nothing hot.
#[test]
fn what_comes_between_rare_turns_is_heard() {
    let wait = WaitMode::Warm { spin_for: Duration::from_millis(20) };
    everywhere(wait, 1, |runtime| {
        let line = Line::new();
        make_hot(runtime, &line);
        std::thread::sleep(Duration::from_millis(30));
        let taken = line.taken.get();
        line.send(1);
        for _ in 0..20 {
            runtime.poll_once().unwrap();
            std::thread::sleep(Duration::from_millis(21));
        }
        assert_eq!(line.taken.get(), taken + 1);
    });
}

/// A handler that hands on what it has received bit by bit, and says that there is more, is called
/// until nothing is left, also when its looks find nothing new and the loop falls asleep.
#[test]
fn a_handler_that_is_not_done_is_called_again() {
    let wait = WaitMode::Warm { spin_for: Duration::from_millis(2) };
    everywhere(wait, 1, |runtime| {
        let left = Rc::new(Cell::new(0));
        let rest = left.clone();
        let mut line = Line::new();
        let batch = RefCell::new(Batch::new(128, 64));
        let took = line.taken.clone();
        let receiver = Descriptor::socket(Domain::IPV4, Type::DGRAM, None).unwrap();
        receiver.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        line.addr = receiver.conn().local_addr().unwrap();
        let hand_on = move |conn: &Conn| {
            if rest.get() == 0 {
                match batch.borrow_mut().receive(conn) {
                    Ok(count) => rest.set(count),
                    Err(_) => return Ok(Drained::Yes),
                }
            }
            // So that the time to stay awake is over before all are handed on.
            std::thread::sleep(Duration::from_micros(100));
            rest.set(rest.get() - 1);
            took.set(took.get() + 1);
            Ok(Drained::No)
        };
        line.conn = receiver.on_maybe_readable(hand_on).unwrap();
        make_hot(runtime, &line);
        let taken = line.taken.get();
        line.send(100);
        let until = Instant::now() + PATIENCE;
        runtime.run_until(|| line.taken.get() == taken + 100 || Instant::now() > until).unwrap();
        assert_eq!((line.taken.get() - taken, left.get()), (100, 0));
    });
}

/// A hot one that falls silent gives its place to another that is busy, and what comes to it later is
/// heard as ever.
#[test]
fn silent_handlers_cool() {
    everywhere(WaitMode::Spin, 1, |runtime| {
        let (silent, busy) = (Line::new(), Line::new());
        make_hot(runtime, &silent);
        make_hot(runtime, &busy);
        assert!(!silent.conn.is_hot());
        let calls = silent.calls.get();
        turns(runtime, 100);
        assert_eq!(silent.calls.get(), calls, "it looks although it is cold");
        feed(runtime, &[&silent], 3);
    });
}
