//! Virtual time, deadlocks and the trace.

use std::time::Duration;

use socket2::Type;

use super::super::{Config, Faults, Numbering, Rate};
use super::bench;
use crate::driver::suite::bench::loopback;
use crate::driver::{Driver, Op, Wait};
use crate::time::Instant;

/// A wait in an empty world takes exactly its time, and no real time.
#[test]
fn an_empty_world_skips_to_the_end_of_the_wait() {
    let mut bench = bench(&Config::new(1));
    let begin = bench.driver.virtual_now().unwrap();
    let year = Duration::from_secs(365 * 24 * 3600);
    assert!(!bench.turn(Wait::AtMost(year)));
    assert_eq!(bench.driver.virtual_now(), Some(begin + year));
    bench.turn(Wait::No);
    assert_eq!(bench.driver.virtual_now(), Some(begin + year + Duration::from_micros(1)));
}

/// A wait ends with the first thing that completes, at that time.
#[test]
fn a_wait_ends_when_something_completes() {
    let mut bench = bench(&Config::new(1));
    let (client, server) = bench.pair();
    let memory = bench.zeroed(8);
    bench.submit_recv(server, memory);
    let begin = bench.driver.virtual_now().unwrap();
    bench.send_all(client, b"late");
    assert_eq!(bench.turn_of(Wait::Forever, 8), (1, false));
    assert_eq!(bench.driver.virtual_now(), Some(begin + Duration::from_micros(10)));
    bench.finish();
}

/// A loop that waits for ever for what never comes is told so, and what it waits for.
#[test]
fn a_deadlock_is_named() {
    let config = Config { patience: Duration::ZERO, ..Config::new(1) };
    let mut bench = bench(&config);
    let (_client, server) = bench.pair();
    bench.submit(Op::RecvMulti { fd: server });
    let mut out = Vec::new();
    let error = bench.driver.poll(Wait::Forever, 8, &mut out).expect_err("nothing comes");
    let text = error.to_string();
    assert!(text.contains("deadlock in the simulated world"), "{text}");
    assert!(text.contains(&format!("1 operations wait for ever: recv multishot on {server}")));
    bench.finish();
}

/// A thread that wakes the loop in time is no deadlock.
#[test]
fn a_thread_may_still_wake_the_loop() {
    let config = Config { patience: Duration::from_secs(60), ..Config::new(1) };
    let mut bench = bench(&config);
    let waker = bench.driver.waker();
    let other = std::thread::spawn(move || waker.wake());
    assert!(bench.turn(Wait::Forever));
    other.join().unwrap();
}

/// The limit of descriptors holds, for sockets and for accepted connections, and a
/// connection that found none is accepted later.
#[test]
fn descriptors_run_out() {
    let config = Config { descriptors: 2, ..Config::new(1) };
    let mut bench = bench(&config);
    let (listener, addr) = bench.listener();
    let client = bench.socket(Type::STREAM);
    let connect = bench.connect(client, &addr);
    let error = bench.driver.socket(socket2::Domain::IPV4, Type::STREAM, None).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    assert_eq!(bench.result_of(connect), 0);
    assert_eq!(bench.run(Op::Accept { fd: listener }), -libc::EMFILE);
    bench.close(client);
    let server = bench.run(Op::Accept { fd: listener });
    bench.adopt(server);
    bench.finish();
}

/// A number rests after its descriptor was closed, if so configured.
#[test]
fn numbers_rest_by_option() {
    let numbers = |numbering| {
        let mut bench = bench(&Config { numbering, ..Config::new(1) });
        [(); 2].map(|()| {
            let fd = bench.socket(Type::STREAM);
            bench.close(fd);
            fd
        })
    };
    let [first, second] = numbers(Numbering::Lowest);
    assert_eq!(first, second);
    let [first, second] = numbers(Numbering::Rested(8));
    assert_ne!(first, second);
}

/// The trace tells what was asked and what came of it; the handle ends all faults.
#[test]
fn the_handle_shows_the_trace_and_calms_the_world() {
    let faults = Faults { no_descriptor: Rate::ALWAYS, ..Faults::none() };
    let config = Config { faults, lines: 4, ..Config::new(1) };
    let mut bench = bench(&config);
    let (domain, kind) = (socket2::Domain::IPV4, Type::DGRAM);
    assert!(bench.driver.socket(domain, kind, None).is_err());
    let lines = config.handle.lines();
    assert!(lines[0].ends_with("socket 0 -> -24"), "{lines:?}");
    config.handle.calm();
    bench.turn(Wait::No);
    let fd = bench.driver.socket(domain, kind, None).expect("no more faults");
    assert!(bench.driver.bind(fd, &loopback(9)).is_ok());
    assert!(config.handle.steps() >= 3);
}

/// From the appointed time on nothing goes wrong.
#[test]
fn faults_end_at_the_appointed_time() {
    let quiesce_at = Instant::from_nanos(5_000_000_000);
    let faults = Faults { no_descriptor: Rate::ALWAYS, quiesce_at, ..Faults::none() };
    let mut bench = bench(&Config { faults, ..Config::new(1) });
    let mut open = || {
        let result = bench.driver.socket(socket2::Domain::IPV4, Type::STREAM, None).is_ok();
        bench.turn(Wait::AtMost(Duration::from_secs(3)));
        result
    };
    assert_eq!([open(), open(), open()], [false, false, true]);
}
